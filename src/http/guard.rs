//! The guard before routing: a web page must not reach a daemon on localhost through its visitor's browser.
//!
//! A name that is not ours in `Host` means DNS rebinding; a state change with a foreign `Origin` or a cross-site
//! `Sec-Fetch-Site` means a request forged by another site. Programs send neither and pass (contract §7).

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN};
use http::header::{ALLOW, HOST, ORIGIN, VARY};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use url::Url;
use warp::reply::Response;

use super::extract::{Peer, Via};
use super::forwarded::Forwarded;
use super::reply::ApiError;
use crate::config::Server;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Which names and origins are ours.
#[derive(Debug)]
pub(super) struct Guard {
    /// `Host` names answered besides loopback names, in lower case.
    hosts: Vec<String>,
    /// The origin of the public URL.
    public: Option<url::Origin>,
    /// Other web origins that may call.
    allowed: Vec<url::Origin>,
}

impl Guard {
    /// The guard that the configuration asks for.
    pub(super) fn new(server: &Server) -> Self {
        let public = server.public_url.as_deref().and_then(|text| Url::parse(text).ok());
        let mut hosts: Vec<String> = server.allowed_hosts.iter().map(|host| bare(host).to_ascii_lowercase()).collect();
        hosts.extend(public.as_ref().and_then(Url::host_str).map(|host| bare(host).to_ascii_lowercase()));
        let allowed = server.allowed_origins.iter().filter_map(|text| origin(text)).collect();
        Self { hosts, public: public.map(|url| url.origin()), allowed }
    }

    /// Lets a request through or says why not.
    pub(super) fn check<B>(
        &self,
        request: &Request<B>,
        peer: &Peer,
        forwarded: Option<&Forwarded>,
    ) -> Result<(), ApiError> {
        let host = host(request)?;
        if let Some(host) = &host {
            self.check_host(host, peer)?;
        }
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        self.check_origin(request.headers(), host.as_deref(), forwarded)
    }

    /// Whether the request may change something: of a GET, which [`Self::check`] lets through for reading.
    pub(super) fn may_change<B>(&self, request: &Request<B>, forwarded: Option<&Forwarded>) -> bool {
        host(request).is_ok_and(|host| self.check_origin(request.headers(), host.as_deref(), forwarded).is_ok())
    }

    fn check_host(&self, host: &str, peer: &Peer) -> Result<(), ApiError> {
        let Via::Tcp { local, .. } = peer.via else { return Ok(()) };
        let name = name_of(host).ok_or_else(|| ApiError::Malformed("the Host header is not a host name".to_owned()))?;
        if is_loopback(&name) || self.hosts.contains(&name) || address(&name) == Some(local) {
            return Ok(());
        }
        Err(ApiError::Foreign(format!(
            "this service does not answer to the Host name {name:?}; add it to server.allowed_hosts if it should"
        )))
    }

    fn check_origin(
        &self,
        headers: &HeaderMap,
        host: Option<&str>,
        forwarded: Option<&Forwarded>,
    ) -> Result<(), ApiError> {
        let mut origins = headers.get_all(ORIGIN).iter();
        if let Some(given) = origins.next() {
            let is_one = origins.next().is_none();
            if is_one && self.is_allowed(given) {
                return Ok(());
            }
            if !is_one || !self.is_own(given, host, forwarded) {
                return Err(ApiError::Foreign(
                    "a web page of another origin may not change anything here; add its origin to \
                     server.allowed_origins if it should"
                        .to_owned(),
                ));
            }
        }
        let is_cross = |site: &HeaderValue| site == "cross-site" || site == "same-site";
        if headers.get_all(SEC_FETCH_SITE).iter().any(is_cross) {
            return Err(ApiError::Foreign("a web page of another site may not change anything here".to_owned()));
        }
        Ok(())
    }

    /// Whether the origin is one that the operator named.
    fn is_allowed(&self, given: &HeaderValue) -> bool {
        !self.allowed.is_empty()
            && given.to_str().ok().and_then(origin).is_some_and(|given| self.allowed.contains(&given))
    }

    /// Whether the origin is this service itself: as the client addressed it, by the word of a trusted proxy or of the
    /// request, or by its public URL.
    fn is_own(&self, given: &HeaderValue, host: Option<&str>, forwarded: Option<&Forwarded>) -> bool {
        let Some(given) = given.to_str().ok().and_then(origin) else { return false };
        let scheme = forwarded.and_then(|forwarded| forwarded.scheme).unwrap_or("http");
        let host = forwarded.and_then(|forwarded| forwarded.host.as_ref()).map(Authority::as_str).or(host);
        let addressed = host.and_then(|host| origin(&format!("{scheme}://{host}")));
        self.public.as_ref() == Some(&given) || addressed == Some(given)
    }

    /// Tells the browser that a page of an allowed origin may read this answer.
    pub(super) fn share(&self, given: Option<&HeaderValue>, response: &mut Response) {
        let Some(given) = given.filter(|given| self.is_allowed(given)) else { return };
        let methods = response.headers().get(ALLOW).cloned();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, given.clone());
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(methods) = methods {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers
                .insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type, range, idempotency-key"));
        }
    }
}

/// The host that the request is addressed to: of its target if that is absolute, else of its one `Host` header.
fn host<B>(request: &Request<B>) -> Result<Option<Cow<'_, str>>, ApiError> {
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(Cow::Borrowed(authority.as_str())));
    }
    let mut given = request.headers().get_all(HOST).iter();
    match (given.next(), given.next()) {
        (Some(one), None) => {
            let text =
                one.to_str().map_err(|_| ApiError::Malformed("the Host header is not a host name".to_owned()))?;
            Ok(Some(Cow::Borrowed(text)))
        }
        // Browsers always send one: without it there is no page behind the request.
        (None, _) if request.version() <= Version::HTTP_10 => Ok(None),
        (None, _) => Err(ApiError::Malformed("an HTTP/1.1 request needs a Host header".to_owned())),
        (Some(_), Some(_)) => Err(ApiError::Malformed("a request needs one Host header, not several".to_owned())),
    }
}

/// The name in `host[:port]`, in lower case, without brackets and the dot at the end.
fn name_of(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    if host.contains('@') || authority.host().is_empty() {
        return None;
    }
    Some(bare(authority.host()).to_ascii_lowercase())
}

fn bare(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

fn address(name: &str) -> Option<IpAddr> {
    name.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || address(name).is_some_and(|address| address.is_loopback())
}

/// The origin of a text like `https://example.org:8443`; an opaque one (`null`) is none.
fn origin(text: &str) -> Option<url::Origin> {
    let origin = Url::parse(text).ok()?.origin();
    origin.is_tuple().then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Trust;

    fn guard() -> Guard {
        Guard {
            hosts: vec!["summit.example.org".to_owned()],
            public: origin("https://summit.example.org"),
            allowed: origin("https://portal.example.org").into_iter().collect(),
        }
    }

    fn tcp() -> Peer {
        let via = Via::Tcp { local: [10, 0, 0, 5].into(), remote: ([10, 0, 0, 9], 999).into() };
        Peer { via, trust: Trust::Anonymous, is_proxy: false }
    }

    fn request(method: Method, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    #[test]
    fn only_known_host_names_are_answered() {
        for (host, is_known) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("localhost.:8080", true),
            ("a.localhost", true),
            ("127.0.0.1:8080", true),
            ("127.8.9.1", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("Summit.Example.ORG:443", true),
            ("10.0.0.5:8080", true),
            ("10.0.0.6:8080", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("notlocalhost", false),
            ("127.0.0.1.evil.example", false),
            ("user@localhost", false),
            ("", false),
        ] {
            let request = request(Method::GET, &[("host", host)]);
            assert_eq!(guard().check(&request, &tcp(), None).is_ok(), is_known, "{host}");
            let unix = Peer { via: Via::Unix, trust: Trust::Anonymous, is_proxy: false };
            assert!(guard().check(&request, &unix, None).is_ok(), "{host} on a Unix socket");
        }
    }

    #[test]
    fn an_absolute_target_is_looked_at_and_not_the_header() {
        let request = Request::get("http://evil.example/").header("host", "localhost").body(()).expect("a request");
        assert!(guard().check(&request, &tcp(), None).is_err());
    }

    #[test]
    fn only_http_1_0_may_come_without_host() {
        let mut request = request(Method::GET, &[]);
        assert!(matches!(guard().check(&request, &tcp(), None), Err(ApiError::Malformed(_))));
        *request.version_mut() = Version::HTTP_10;
        assert!(guard().check(&request, &tcp(), None).is_ok());
    }

    #[test]
    fn two_hosts_are_refused() {
        let request = request(Method::GET, &[("host", "localhost"), ("host", "evil.example")]);
        assert!(matches!(guard().check(&request, &tcp(), None), Err(ApiError::Malformed(_))));
    }

    #[test]
    fn a_state_change_of_another_origin_is_refused() {
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[], true),
            (&[("origin", "http://localhost:8080")], true),
            (&[("origin", "http://localhost")], false),
            (&[("origin", "https://localhost:8080")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "https://summit.example.org")], true),
            (&[("origin", "https://portal.example.org")], true),
            (&[("origin", "https://portal.example.org"), ("sec-fetch-site", "cross-site")], true),
            (&[("origin", "https://portal.example.org"), ("origin", "https://evil.example")], false),
            (&[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")], true),
            (&[("origin", "http://localhost:8080"), ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], true),
        ];
        for (headers, is_fine) in cases {
            let mut all = vec![("host", "localhost:8080")];
            all.extend_from_slice(headers);
            for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
                assert_eq!(guard().check(&request(method, &all), &tcp(), None).is_ok(), *is_fine, "{headers:?}");
            }
            assert!(guard().check(&request(Method::GET, &all), &tcp(), None).is_ok(), "reading is free: {headers:?}");
        }
    }

    #[test]
    fn behind_a_trusted_proxy_the_origin_is_what_the_proxy_says() {
        let forwarded =
            Forwarded { scheme: Some("https"), host: Some(Authority::from_static("a.example")), prefix: None };
        for (origin, is_fine) in
            [("https://a.example", true), ("http://a.example", false), ("https://localhost", false)]
        {
            let request = request(Method::POST, &[("host", "localhost:8080"), ("origin", origin)]);
            assert_eq!(guard().check(&request, &tcp(), Some(&forwarded)).is_ok(), is_fine, "{origin}");
        }
    }

    #[test]
    fn only_an_allowed_origin_may_read_answers() {
        for (given, is_shared) in [("https://portal.example.org", true), ("https://evil.example", false)] {
            let mut response = Response::default();
            guard().share(Some(&HeaderValue::from_static(given)), &mut response);
            assert_eq!(response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), is_shared, "{given}");
        }
    }
}
