//! `[server]` and `[[server.listener]]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use url::Url;

use super::super::kind::toml_string;
use super::super::problem::Origin;
use super::super::reader::Reader;
use super::super::types::{ListenAddress, Listener, Server, Trust};

/// Reads `[server]`; `state` is the state directory where none is configured, and what it comes from, `runtime` the
/// directory for sockets that systemd made.
pub(in super::super) fn server(r: &mut Reader, state: Option<(PathBuf, Origin)>, runtime: Option<PathBuf>) -> Server {
    let instance = r.text("server.instance");
    let base_path = r.checked(
        "server.base_path",
        "give \"\" or a path that begins with / and does not end with it, such as \"/api\"; its first part may not be \
         healthz, readyz, metrics, assets or admin",
        base_path,
    );
    let public_url = r.optional(
        "server.public_url",
        "give http:// or https://, a host and perhaps a path, without user, query and fragment",
        public_url,
    );
    let state_dir = state_dir(r, state);
    let jobs_dir = r.path("server.jobs_dir").unwrap_or_else(|| {
        let jobs_dir = state_dir.join("jobs");
        r.derive("server.jobs_dir", &toml_string(&jobs_dir.to_string_lossy()), Origin::Derived("below state_dir"));
        jobs_dir
    });
    let admin_socket = admin_socket(r, &state_dir, runtime);
    Server {
        instance,
        base_path: base_path.unwrap_or_default(),
        public_url,
        state_dir,
        jobs_dir,
        allowed_hosts: r.each("server.allowed_hosts", "give host names without scheme and port", host_name),
        allowed_origins: r.each("server.allowed_origins", "give origins such as \"https://example.org\"", origin),
        max_body: r.size("server.max_body"),
        max_connections: r.whole("server.max_connections"),
        header_timeout: r.time("server.header_timeout"),
        shutdown_linger: r.time("server.shutdown_linger"),
        shutdown_grace: r.time("server.shutdown_grace"),
        listeners: listeners(r),
        listeners_by_default: r.origin("server.listener") == Origin::Default,
        admin_socket,
    }
}

/// Where the administration socket is: `runtime` is systemd's directory for it, if there is one.
fn admin_socket(r: &mut Reader, state_dir: &Path, runtime: Option<PathBuf>) -> Option<PathBuf> {
    const KEY: &str = "server.admin_socket";
    let text = r.text(KEY);
    if text == "none" {
        return None;
    }
    if !text.is_empty() {
        let path = PathBuf::from(&text);
        if !path.is_absolute() {
            r.refuse(KEY, "give an absolute path, or none");
        }
        return Some(path);
    }
    let (dir, origin) = match runtime {
        Some(dir) => (dir, Origin::Variable("RUNTIME_DIRECTORY".to_owned())),
        None => (state_dir.to_owned(), Origin::Derived("below state_dir")),
    };
    let path = dir.join("uwsd.sock");
    r.derive(KEY, &toml_string(&path.to_string_lossy()), origin);
    Some(path)
}

fn state_dir(r: &mut Reader, fallback: Option<(PathBuf, Origin)>) -> PathBuf {
    if let Some(dir) = r.path("server.state_dir") {
        return dir;
    }
    let Some((dir, origin)) = fallback else {
        // A bad one was noted already; this is about none at all.
        if !r.is_refused("server.state_dir") {
            r.problem(
                "server.state_dir",
                "is not set, and there is no home directory; give --state-dir DIR".to_owned(),
            );
        }
        return PathBuf::new();
    };
    r.derive("server.state_dir", &toml_string(&dir.to_string_lossy()), origin);
    dir
}

fn listeners(r: &mut Reader) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for n in 0..r.rows("server.listener") {
        let row = format!("server.listener[{n}]");
        let key = format!("{row}.address");
        let address = r.checked(&key, "give ADDRESS:PORT (an IP address or localhost) or unix:/PATH", listen_address);
        let trust = r.word(&format!("{row}.trust"), &[("anonymous", Trust::Anonymous)]);
        let proxies = r.each(
            &format!("{row}.trusted_proxies"),
            "give networks such as \"10.0.0.0/8\" or \"fd00::/8\", or unix",
            |text| if text == "unix" { Some(None) } else { network(text).map(Some) },
        );
        let trusts_unix = proxies.contains(&None);
        let trusted_proxies = proxies.into_iter().flatten().collect();
        let is_insecure = r.switch(&format!("{row}.insecure"));
        let Some(address) = address else { continue };
        let listener = Listener { address, trust, trusted_proxies, trusts_unix, is_insecure };
        if is_open(&listener) {
            r.refuse(
                &key,
                "other hosts reach it and its callers are anonymous: give a loopback address or unix:/PATH, or set \
                 insecure = true in its [[server.listener]]",
            );
        }
        let has_any_port = matches!(listener.address, ListenAddress::Tcp(address) if address.port() == 0);
        if !has_any_port && listeners.iter().any(|other| other.address == listener.address) {
            r.refuse(&key, "it is listened on already: give each address once");
        }
        listeners.push(listener);
    }
    listeners
}

/// Whether anybody on another host could run commands through the listener, and nobody said that this is meant.
fn is_open(listener: &Listener) -> bool {
    match (&listener.trust, &listener.address) {
        (Trust::Anonymous, ListenAddress::Tcp(address)) => {
            !listener.is_insecure && !address.ip().to_canonical().is_loopback()
        }
        (Trust::Anonymous, ListenAddress::Unix(_)) | (Trust::Operator, _) => false,
    }
}

fn base_path(text: &str) -> Option<String> {
    let is_segment = |segment: &str| {
        let is_form = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_form)
    };
    let is_taken = |first: &str| matches!(first, "healthz" | "readyz" | "metrics" | "assets" | "admin");
    let is_path = text.is_empty()
        || text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_segment) && !rest.split('/').next().is_some_and(is_taken));
    is_path.then(|| text.to_owned())
}

fn public_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.host_str().is_some_and(|host| !host.is_empty());
    let is_web = matches!(url.scheme(), "http" | "https");
    (is_web && is_plain).then(|| url.as_str().trim_end_matches('/').to_owned())
}

fn host_name(text: &str) -> Option<String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_ipv6 = bare.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    (is_ipv6 || is_name(text)).then(|| text.to_ascii_lowercase())
}

fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let origin = url.origin().ascii_serialization();
    let is_bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_bare.then_some(origin)
}

/// A network, or an address as the network of itself.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(net.trunc())
}

fn listen_address(text: &str) -> Option<ListenAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return path.is_absolute().then_some(ListenAddress::Unix(path));
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse::<u16>().ok()?))));
    }
    text.parse().ok().map(ListenAddress::Tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_begins_with_a_slash_and_does_not_end_with_one() {
        for good in ["", "/api", "/uws-server/api", "/a.b_c~d"] {
            assert_eq!(base_path(good).as_deref(), Some(good));
        }
        for bad in ["/", "api", "/api/", "//", "/a//b", "/a/../b", "/a b", "/ä", "/metrics", "/healthz/x", "/a?b"] {
            assert_eq!(base_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_public_url_is_kept_without_a_trailing_slash() {
        assert_eq!(public_url("https://a.example/x/").as_deref(), Some("https://a.example/x"));
        assert_eq!(public_url("http://a.example").as_deref(), Some("http://a.example"));
        for bad in ["a.example", "ftp://a.example", "https://", "https://u@a.example", "https://a/?q", "https://a/#f"] {
            assert_eq!(public_url(bad), None, "{bad}");
        }
    }

    #[test]
    fn hosts_origins_and_networks_are_brought_to_one_form() {
        assert_eq!(host_name("Summit.Example.ORG").as_deref(), Some("summit.example.org"));
        assert_eq!(host_name("[FD00::1]").as_deref(), Some("[fd00::1]"));
        assert!(["", "a:80", "http://a", "a/b", "[x]"].iter().all(|bad| host_name(bad).is_none()));
        assert_eq!(origin("HTTPS://Example.org:443").as_deref(), Some("https://example.org"));
        assert!(["null", "https://a/b", "file:///x", "*"].iter().all(|bad| origin(bad).is_none()));
        assert_eq!(network("10.0.0.1").map(|net| net.to_string()).as_deref(), Some("10.0.0.1/32"));
        assert_eq!(network("fd00::1/8").map(|net| net.to_string()).as_deref(), Some("fd00::/8"));
        assert!(["10.0.0.0/33", "x/8", "10.0.0.0/", "10.0/8"].iter().all(|bad| network(bad).is_none()));
    }

    #[test]
    fn a_listen_address_is_an_ip_address_with_port_or_a_unix_socket() {
        let tcp = |text: &str| Some(ListenAddress::Tcp(text.parse().expect("an address")));
        assert_eq!(listen_address("127.0.0.1:0"), tcp("127.0.0.1:0"));
        assert_eq!(listen_address("[::1]:8080"), tcp("[::1]:8080"));
        assert_eq!(listen_address("localhost:80"), tcp("127.0.0.1:80"));
        assert_eq!(listen_address("unix:/run/x.sock"), Some(ListenAddress::Unix("/run/x.sock".into())));
        assert!(["", "8080", ":80", "unix:", "unix:x", "a.example:80"].iter().all(|bad| listen_address(bad).is_none()));
    }
}
