//! `[backend]`, `[backend.docker]` and `[backend.process]`.

use std::path::PathBuf;

use url::{Host, Url};

use super::super::kind::toml_string;
use super::super::problem::Origin;
use super::super::reader::Reader;
use super::super::types::{Backend, BackendKind, Docker, Process};

/// Reads `[backend]` and the tables below it.
///
/// `login` is where credentials for registries are unless the configuration says, and what tells so.
pub(in super::super) fn backend(r: &mut Reader, login: (PathBuf, Origin)) -> Backend {
    let kind = r.word("backend.kind", &[("docker", BackendKind::Docker), ("process", BackendKind::Process)]);
    let max_log = r.size("backend.max_log");
    Backend { kind, docker: docker(r, login, max_log), process: process(r, max_log) }
}

fn docker(r: &mut Reader, login: (PathBuf, Origin), max_log: u64) -> Docker {
    let host = r
        .checked("backend.docker.host", "give unix:///PATH or tcp://HOST:PORT", |text| {
            engine_host(text).map(|place| (text.to_owned(), place))
        })
        .unwrap_or_else(|| (String::new(), Place::Socket));
    let (host, place) = host;
    let tls_ca = r.path("backend.docker.tls_ca");
    let tls_cert = r.path("backend.docker.tls_cert");
    let tls_key = r.path("backend.docker.tls_key");
    check_tls(r, place, [tls_ca.is_some(), tls_cert.is_some(), tls_key.is_some()]);
    let mut shared_state = r.switch("backend.docker.shared_state");
    if !r.is_configured("backend.docker.shared_state") {
        shared_state = place == Place::Socket;
        r.derive("backend.docker.shared_state", &shared_state.to_string(), Origin::Derived("by the scheme of host"));
    }
    Docker {
        host,
        tls_ca,
        tls_cert,
        tls_key,
        shared_state,
        pull_timeout: r.time("backend.docker.pull_timeout"),
        mirrors: r.each("backend.docker.mirrors", "give HOST[:PORT][/PATH], or REGISTRY=HOST[:PORT][/PATH]", mirror),
        image_age: r.time("backend.docker.image_age"),
        credentials: credentials(r, login),
        request_timeout: r.time("backend.docker.request_timeout"),
        log_driver: r
            .checked("backend.docker.log_driver", "give \"local\", \"json-file\" or \"journald\"", log_driver)
            .unwrap_or_default(),
        max_log,
        log_max_size: r.size("backend.docker.log_max_size"),
    }
}

fn process(r: &mut Reader, max_log: u64) -> Process {
    Process {
        max_log,
        bwrap: r
            .checked("backend.process.bwrap", "give an absolute path or a name to be found in PATH", program)
            .unwrap_or_default(),
        host_network: r.switch("backend.process.host_network"),
    }
}

/// Where an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind a Unix socket.
    Socket,
    /// On this host, by TCP.
    Loopback,
    /// On another host, as far as one can tell.
    Remote,
}

fn engine_host(text: &str) -> Option<Place> {
    if let Some(path) = text.strip_prefix("unix://") {
        return (path.len() > 1 && path.starts_with('/')).then_some(Place::Socket);
    }
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "tcp")?;
    let is_bare = url.port().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    let is_loopback = match url.host()? {
        Host::Domain("") => return None,
        Host::Domain(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    };
    is_bare.then_some(if is_loopback { Place::Loopback } else { Place::Remote })
}

fn check_tls(r: &mut Reader, place: Place, [has_ca, has_cert, has_key]: [bool; 3]) {
    match place {
        Place::Socket => {
            for (is_set, key) in [(has_ca, "tls_ca"), (has_cert, "tls_cert"), (has_key, "tls_key")] {
                if is_set {
                    r.refuse(&format!("backend.docker.{key}"), "TLS is for tcp:// only: leave it out or change host");
                }
            }
        }
        Place::Loopback | Place::Remote => {
            if has_cert != has_key {
                let key = if has_cert { "tls_cert" } else { "tls_key" };
                r.refuse(&format!("backend.docker.{key}"), "give tls_cert and tls_key together");
            }
            if has_ca && !has_cert && !has_key {
                r.refuse("backend.docker.tls_ca", "give tls_cert and tls_key too: the engine asks who speaks to it");
            }
            if has_cert && !has_ca {
                r.refuse("backend.docker.tls_cert", "give tls_ca too: without it no TLS is spoken");
            }
            if !has_ca && place == Place::Remote {
                r.warn(
                    "backend.docker.host is spoken to without TLS: whoever is on the way can run anything on that \
                     host; give tls_ca, tls_cert and tls_key"
                        .to_owned(),
                );
            }
        }
    }
}

fn mirror(text: &str) -> Option<String> {
    let (of, at) = text.split_once('=').unwrap_or(("docker.io", text));
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'/' | b'-' | b'_'))
    };
    (is_name(of) && is_name(at) && !of.contains('/') && !at.contains("//")).then(|| text.to_owned())
}

fn credentials(r: &mut Reader, (login, origin): (PathBuf, Origin)) -> PathBuf {
    r.path("backend.docker.credentials").unwrap_or_else(|| {
        r.derive("backend.docker.credentials", &toml_string(&login.to_string_lossy()), origin);
        login
    })
}

fn log_driver(text: &str) -> Option<String> {
    matches!(text, "local" | "json-file" | "journald").then(|| text.to_owned())
}

fn program(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    (!text.is_empty() && (path.is_absolute() || !text.contains('/'))).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_behind_a_socket_or_a_port() {
        for (text, place) in [
            ("unix:///var/run/docker.sock", Some(Place::Socket)),
            ("tcp://127.0.0.1:2375", Some(Place::Loopback)),
            ("tcp://localhost:2375", Some(Place::Loopback)),
            ("tcp://[::1]:2375", Some(Place::Loopback)),
            ("tcp://engine.example:2376", Some(Place::Remote)),
            ("", None),
            ("foo", None),
            ("unix://", None),
            ("unix://x", None),
            ("tcp://host", None),
            ("tcp://:2375", None),
            ("tcp://host:2375/x", None),
            ("tcp://u:p@host:2375", None),
            ("http://host:2375", None),
        ] {
            assert_eq!(engine_host(text), place, "{text}");
        }
    }
}
