//! Where the server is: `http://HOST:PORT/BASE` or `unix:PATH`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use super::ClientError;
use crate::domain::strip_credentials;

/// The server that is asked if no other is named.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080/api";

/// A server's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// What precedes every path of the API: `http://HOST:PORT/BASE`, without a login or a slash at its end.
    pub(super) base: String,
    /// The socket to connect to, instead of the host in `base`.
    pub(super) socket: Option<PathBuf>,
    /// The value of an `Authorization` header.
    pub(super) authorization: Option<String>,
    /// As it is shown.
    pub(super) shown: String,
}

impl ServerUrl {
    /// The administration socket, whose paths begin at its root.
    pub(super) fn administration(path: &Path) -> Self {
        let shown = format!("unix:{}", path.display());
        Self { base: "http://localhost".into(), socket: Some(path.to_owned()), authorization: None, shown }
    }

    pub(super) fn parse(text: &str) -> Result<Self, ClientError> {
        let shown = strip_credentials(text);
        let bad = |why| ClientError::BadUrl { url: shown.clone(), why };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            if !path.is_absolute() {
                return Err(bad("a Unix socket is written unix:/PATH"));
            }
            // The base path there is the default one.
            return Ok(Self { base: "http://localhost/api".into(), socket: Some(path), authorization: None, shown });
        }
        let url = Url::parse(text).map_err(|_| bad("use http://HOST:PORT/BASE or unix:/PATH"))?;
        match url.scheme() {
            "http" => {}
            "https" => {
                return Err(bad(
                    "this build speaks no TLS; use an http:// listener or unix:/PATH on the daemon's own \
                                host, or a tunnel to it (ssh -L 8080:127.0.0.1:8080 HOST)",
                ));
            }
            _ => return Err(bad("use http://HOST:PORT/BASE or unix:/PATH")),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("leave out what begins with '?' or '#'"));
        }
        let Some(host) = url.host_str() else { return Err(bad("it names no host")) };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let base = format!("http://{host}{port}{}", url.path().trim_end_matches('/'));
        Ok(Self { base, socket: None, authorization: authorization(&url), shown })
    }
}

fn authorization(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut plain: Vec<u8> = percent_decode_str(url.username()).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(url.password().unwrap_or_default()));
    Some(basic(&plain))
}

/// The header's value for a name and a password with a colon between them (RFC 7617 §2).
pub(super) fn basic(login: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_sockets_are_understood() {
        let base = |text: &str| ServerUrl::parse(text).expect(text).base;
        assert_eq!(base(DEFAULT_URL), "http://127.0.0.1:8080/api");
        assert_eq!(base("http://host/"), "http://host");
        assert_eq!(base("http://[::1]:81/uws-server/api/"), "http://[::1]:81/uws-server/api");
        let unix = ServerUrl::parse("unix:/run/uwsd/api.sock").expect("unix");
        assert_eq!((unix.base.as_str(), unix.socket), ("http://localhost/api", Some("/run/uwsd/api.sock".into())));
    }

    #[test]
    fn a_login_becomes_a_header_and_is_not_shown() {
        let url = ServerUrl::parse("http://ada:p%40ss@host/api").expect("fine");
        assert_eq!(url.authorization, Some(format!("Basic {}", STANDARD.encode("ada:p@ss"))));
        assert_eq!((url.base.as_str(), url.shown.as_str()), ("http://host/api", "http://host/api"));
    }

    #[test]
    fn other_urls_are_refused_with_what_would_do() {
        for (text, part) in [
            ("https://ada:secret@host/api", "speaks no TLS; use an http:// listener"),
            ("ftp://host", "use http://HOST:PORT"),
            ("127.0.0.1:8080", "use http://HOST:PORT"),
            ("unix:run", "unix:/PATH"),
            ("http://host/?x", "leave out"),
            ("", "use http://HOST:PORT"),
        ] {
            let why = ServerUrl::parse(text).expect_err(text).to_string();
            assert!(why.contains(part) && !why.contains("secret"), "{text}: {why}");
        }
    }
}
