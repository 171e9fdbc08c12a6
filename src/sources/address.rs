//! Addresses: which texts may name a repository, and what git is told instead.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The longest URL accepted, in bytes.
const MAX_LENGTH: usize = 4096;

/// A protocol that git may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Https,
    Http,
    Ssh,
    Git,
    File,
}

impl Protocol {
    const ALL: [Self; 5] = [Self::Https, Self::Http, Self::Ssh, Self::Git, Self::File];

    /// The protocol of a word, as in the configuration and before `://`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == word)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::Git => "git",
            Self::File => "file",
        }
    }
}

/// A name and a password for one server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// Where it may be sent: `scheme://host[:port]/`.
    pub(super) scope: String,
    /// What a credential helper tells git: `username=` and `password=`, a line each.
    pub(super) lines: OsString,
}

/// Where a repository is, in the only forms that git is given.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The URL that git gets, on its command line and in the repository's configuration: without a login.
    pub(super) url: String,
    /// The login that the URL held.
    pub(super) login: Option<Login>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.url).finish_non_exhaustive()
    }
}

impl Address {
    /// Reads `text`, which may use one of `allowed`.
    ///
    /// # Errors
    /// A sentence that names what is wrong and what would do; without any part of the text that may be secret.
    pub(super) fn parse(text: &str, allowed: &[Protocol]) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("the source URL is longer than {MAX_LENGTH} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("the source URL holds a control character; leave it out".into());
        }
        if text.is_empty() || text.starts_with('-') {
            return Err(format!("the source URL is empty or begins with '-'; {}", would_do(allowed)));
        }
        let scheme_end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
        let (scheme, rest) = text.split_at(scheme_end.unwrap_or(text.len()));
        if rest.starts_with("::") {
            return Err(format!(
                "the source URL names the transport helper {:?}, and helpers are never run; {}",
                shorten(scheme),
                would_do(allowed)
            ));
        }
        if let Some(rest) = rest.strip_prefix("://") {
            return Self::parse_url(scheme, rest, allowed);
        }
        if text.contains("://") {
            return Err(format!("the source URL does not begin with a protocol; {}", would_do(allowed)));
        }
        // As git reads it: a colon before any slash makes it an ssh address; a bracketed IPv6 address has its own.
        let colon = match text.find(']') {
            Some(at) => text[at..].find(':').map(|colon| at + colon),
            None => text.find(':'),
        };
        let slash = text.find('/').unwrap_or(text.len());
        match colon {
            Some(colon) if colon < slash => Self::parse_scp(&text[..colon], &text[colon + 1..], allowed),
            _ => Self::parse_path(text, allowed),
        }
    }

    /// The place on this host that it names, as git reads it; `None` if it is elsewhere.
    pub(super) fn place(&self) -> Option<PathBuf> {
        let path = self.url.strip_prefix("file://")?;
        Some(OsString::from_vec(percent_decode_str(path).collect()).into())
    }

    fn parse_url(scheme: &str, rest: &str, allowed: &[Protocol]) -> Result<Self, String> {
        let scheme = scheme.to_ascii_lowercase();
        let protocol = Protocol::parse(&scheme).filter(|protocol| allowed.contains(protocol)).ok_or_else(|| {
            format!("the source URL's protocol {:?} is not allowed here; {}", shorten(&scheme), would_do(allowed))
        })?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if protocol == Protocol::File {
            if !matches!(authority, "" | "localhost") || !path.starts_with('/') {
                return Err("a file URL names no host; write file:///PATH".into());
            }
            // Git leaves this as it is, in a path that would be another than ours.
            if path.contains("%00") {
                return Err("the source URL holds %00, which no path has; write %2500 for the characters".into());
            }
            return Ok(Self { url: format!("file://{path}"), login: None });
        }
        let (user, host_and_port) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        check_host_and_port(host_and_port, &scheme)?;
        if path.contains(char::is_whitespace) {
            return Err("the source URL holds a blank; write it as %20".into());
        }
        match (protocol, user) {
            (Protocol::Git, Some(_)) => {
                Err("git:// knows no users; leave the part before '@' out, or use https or ssh".into())
            }
            (Protocol::Ssh, Some(user)) => {
                check_ssh_user(user)?;
                Ok(Self { url: format!("ssh://{user}@{host_and_port}{path}"), login: None })
            }
            (Protocol::Https | Protocol::Http, Some(user)) => {
                let login = login(format!("{scheme}://{host_and_port}/"), user)?;
                Ok(Self { url: format!("{scheme}://{host_and_port}{path}"), login: Some(login) })
            }
            (_, None) => Ok(Self { url: format!("{scheme}://{host_and_port}{path}"), login: None }),
            (Protocol::File, Some(_)) => unreachable!("file URLs are done above"),
        }
    }

    /// The form `[user@]host:path`.
    fn parse_scp(server: &str, path: &str, allowed: &[Protocol]) -> Result<Self, String> {
        if !allowed.contains(&Protocol::Ssh) {
            return Err(format!(
                "the source URL is an ssh address, and ssh is not allowed here; {}",
                would_do(allowed)
            ));
        }
        let host = match server.rsplit_once('@') {
            Some((user, host)) => {
                check_ssh_user(user)?;
                host
            }
            None => server,
        };
        check_host_and_port(host, "ssh")?;
        if path.split('/').next().is_some_and(|first| first.contains('@')) {
            return Err("an ssh address takes no password; write USER@HOST:PATH".into());
        }
        if path.is_empty() || path.starts_with('-') {
            return Err("the ssh address has no proper path after the ':'; write USER@HOST:PATH".into());
        }
        Ok(Self { url: format!("{server}:{path}"), login: None })
    }

    fn parse_path(path: &str, allowed: &[Protocol]) -> Result<Self, String> {
        if !allowed.contains(&Protocol::File) {
            return Err(format!("the source URL has no protocol; {}", would_do(allowed)));
        }
        if !path.starts_with('/') {
            return Err("the source URL is a relative path; write an absolute one, or file:///PATH".into());
        }
        // Git decodes URLs, and a path is none: only this character would be read otherwise.
        Ok(Self { url: format!("file://{}", path.replace('%', "%25")), login: None })
    }
}

fn check_host_and_port(text: &str, scheme: &str) -> Result<(), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
            (if is_address { address } else { "" }, port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let is_host = host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
    if !is_host {
        return Err(format!("the source URL names no proper host; write {scheme}://HOST/PATH"));
    }
    let is_port = port.is_some_and(|port| {
        port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !is_port {
        return Err(format!(
            "the source URL has no proper port; write {scheme}://HOST:PORT/PATH, with any '/', '?', '#' or '@' of a \
             password percent-encoded"
        ));
    }
    Ok(())
}

fn check_ssh_user(user: &str) -> Result<(), String> {
    if user.contains(':') {
        return Err("ssh takes no password from a URL; the site configures a key (sources.ssh_key)".into());
    }
    let is_user = user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+'));
    if is_user { Ok(()) } else { Err("the ssh user in the source URL is no user name; write USER@HOST".into()) }
}

fn login(scope: String, user: &str) -> Result<Login, String> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let (name, password): (Vec<u8>, Vec<u8>) =
        (percent_decode_str(name).collect(), percent_decode_str(password).collect());
    if name.iter().chain(&password).any(u8::is_ascii_control) {
        return Err("the login in the source URL holds a control character; leave it out".into());
    }
    let lines = [b"username=".as_slice(), &name, b"\npassword=", &password].concat();
    Ok(Login { scope, lines: OsString::from_vec(lines) })
}

fn would_do(allowed: &[Protocol]) -> String {
    let words: Vec<&str> = allowed.iter().map(|protocol| protocol.as_str()).collect();
    if words.is_empty() {
        return "this site allows no sources".into();
    }
    format!("use a URL with {}", words.join(", "))
}

/// As much of a word of a stranger's as a sentence needs.
fn shorten(word: &str) -> String {
    word.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: [Protocol; 4] = [Protocol::Https, Protocol::Http, Protocol::Ssh, Protocol::Git];

    fn url(text: &str) -> Result<String, String> {
        Address::parse(text, &USUAL).map(|address| address.url)
    }

    #[test]
    fn usual_addresses_pass() {
        for text in [
            "https://github.com/lsst-dm/uws_scripts",
            "http://127.0.0.1:8080/x.git",
            "http://[::1]:80/x.git",
            "ssh://git@host:22/x",
            "git://host/x",
            "git@host:group/x.git",
            "host:x",
            "git@[::1]:x",
        ] {
            assert_eq!(url(text).as_deref(), Ok(text));
        }
        assert_eq!(url("HTTPS://host/x").as_deref(), Ok("https://host/x"));
    }

    #[test]
    fn every_refusal_says_what_would_do() {
        for (text, part) in [
            ("ext::sh -c touch% /tmp/x", "use a URL with https, http, ssh, git"),
            ("fd::3", "helpers are never run"),
            ("http::http://host/x", "helpers are never run"),
            ("--upload-pack=touch /tmp/x", "use a URL with"),
            ("file:///srv/x", "\"file\" is not allowed here; use a URL with https"),
            ("ftp://host/x", "\"ftp\" is not allowed here"),
            ("git+ssh://host/x", "\"git+ssh\" is not allowed here"),
            ("/srv/x", "has no protocol; use a URL with"),
            ("../x", "has no protocol"),
            ("https://", "names no proper host; write https://HOST/PATH"),
            ("https:///x", "names no proper host"),
            ("https://user@/x", "names no proper host"),
            ("ssh://-oProxyCommand=x/y", "names no proper host"),
            ("ssh://-oProxyCommand=x@host/y", "no user name"),
            ("-oProxyCommand=x:y", "begins with '-'"),
            ("git@-oProxyCommand=x:y", "names no proper host"),
            ("git@host:", "no proper path"),
            ("git@host:-x", "no proper path"),
            (":x", "names no proper host"),
            ("https://host:port/x", "no proper port"),
            ("https://host:99999/x", "no proper port"),
            ("https://host/a b", "%20"),
            ("https://ho\0st/x", "control character"),
            ("https://host/\nx", "control character"),
            ("git://user@host/x", "git:// knows no users"),
            ("", "is empty"),
            (&format!("https://host/{}", "x".repeat(5000)), "longer than"),
        ] {
            let why = url(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn refusals_hold_no_password() {
        for text in [
            "ssh://user:secret@host/x",
            "user:secret@host:x",
            "https://user:se/secret@host/x",
            "https://user:secret@/x",
            "ftp://user:secret@host/x",
            "git://user:secret@host/x",
            "https://user:secret%0aquit=1@host/x",
        ] {
            let why = url(text).expect_err(text);
            assert!(!why.contains("secret") && !why.contains("user:"), "{text}: {why}");
        }
    }

    #[test]
    fn a_login_leaves_the_url_and_is_bound_to_its_server() {
        let address = Address::parse("https://ada:p%40ss@host:8443/x", &USUAL).expect("fine");
        assert_eq!(address.url, "https://host:8443/x");
        let login = address.login.expect("there was one");
        assert_eq!(login.scope, "https://host:8443/");
        assert_eq!(login.lines, "username=ada\npassword=p@ss");
        let token = Address::parse("https://token@host/x", &USUAL).expect("fine").login.expect("there was one");
        assert_eq!(token.lines, "username=token\npassword=");
    }

    #[test]
    fn files_need_to_be_configured_and_absolute() {
        let with_file = [Protocol::File];
        let url = |text: &str| Address::parse(text, &with_file).map(|address| address.url);
        assert_eq!(url("/srv/50%/x").as_deref(), Ok("file:///srv/50%25/x"));
        assert_eq!(url("file:///srv/x").as_deref(), Ok("file:///srv/x"));
        assert_eq!(url("file://localhost/srv/x").as_deref(), Ok("file:///srv/x"));
        let address = Address::parse("file:///srv/a%20b%25", &with_file).expect("fine");
        assert_eq!(address.place(), Some("/srv/a b%".into()));
        assert!(url("file:///srv/x%00").expect_err("zero").contains("%2500"));
        assert_eq!(url("/srv/x%00").as_deref(), Ok("file:///srv/x%2500"));
        assert!(url("file://host/srv/x").expect_err("host").contains("file:///PATH"));
        assert!(url("srv/x").expect_err("relative").contains("absolute"));
        assert!(url("https://host/x").expect_err("https").contains("use a URL with file"));
    }
}
