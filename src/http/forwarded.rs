//! What a trusted proxy says of the address that the client used: `Forwarded` (RFC 7239), else `X-Forwarded-*`.
//!
//! Each proxy on the way appends what it saw. What counts is what the first of the chain of trusted proxies saw, counted from
//! ours: whatever stands before that a client may have made up.

use http::HeaderMap;
use http::uri::Authority;
use ipnet::IpNet;

use std::net::IpAddr;

/// How a client reaches this service, as far as a proxy said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// `http` or `https`.
    pub(super) scheme: Option<&'static str>,
    /// The host, with its port.
    pub(super) host: Option<Authority>,
    /// The path that the proxy took away; begins with `/` and does not end with it.
    pub(super) prefix: Option<String>,
}

impl Forwarded {
    /// What the headers of a request from a trusted proxy say; `trusted` are the networks of such proxies.
    pub(super) fn of(headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let elements = list(headers, "forwarded");
        let is_trusted = |text: &str| address(text).is_some_and(|ip| trusted.iter().any(|net| net.contains(&ip)));
        // The prefix has no place in the standard's header: the other one says it in any case.
        let hops = list(headers, "x-forwarded-for");
        let depth = hops.iter().rev().take_while(|hop| is_trusted(hop)).count();
        let of_hop = |name: &str| {
            let values = list(headers, name);
            let at = values.len().checked_sub(1)?.saturating_sub(depth);
            values.into_iter().nth(at)
        };
        let prefix = of_hop("x-forwarded-prefix").and_then(|text| prefix(&text));
        let depth = elements.iter().rev().take_while(|one| part(one, "for").is_some_and(|by| is_trusted(&by))).count();
        if let Some(at) = elements.len().checked_sub(1) {
            let element = &elements[at.saturating_sub(depth)];
            let scheme = part(element, "proto").and_then(|text| scheme(&text));
            return Self { scheme, host: part(element, "host").and_then(|text| host(&text)), prefix };
        }
        let scheme = of_hop("x-forwarded-proto").and_then(|text| scheme(&text));
        let port = of_hop("x-forwarded-port");
        let host = of_hop("x-forwarded-host").and_then(|text| host(&text)).map(|host| match port {
            // Some proxies tell the port apart; the scheme's own needs no mention.
            Some(port) if host.port().is_none() && !is_default_port(scheme, &port) => {
                format!("{host}:{port}").parse().unwrap_or(host)
            }
            Some(_) | None => host,
        });
        Self { scheme, host, prefix }
    }
}

fn is_default_port(scheme: Option<&str>, port: &str) -> bool {
    matches!((scheme, port), (Some("https"), "443") | (Some("http") | None, "80"))
}

/// The items of a header that is a list, which may also be repeated; commas within quotes are none.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let mut items = Vec::new();
    for value in headers.get_all(name).iter().filter_map(|value| value.to_str().ok()) {
        let mut is_quoted = false;
        let mut item = String::new();
        for c in value.chars() {
            is_quoted ^= c == '"';
            if c == ',' && !is_quoted {
                items.push(std::mem::take(&mut item));
            } else {
                item.push(c);
            }
        }
        items.push(item);
    }
    items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The parameter `name` of an element of `Forwarded`, without quotes.
fn part(element: &str, name: &str) -> Option<String> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The address of a hop: `192.0.2.1`, `192.0.2.1:1234`, `[2001:db8::1]:1234`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => text,
    };
    let ip = bare.parse().or_else(|_| bare.rsplit_once(':').map_or(bare, |(ip, _)| ip).parse()).ok();
    ip.map(|ip: IpAddr| ip.to_canonical())
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(text))
}

fn host(text: &str) -> Option<Authority> {
    let host: Authority = text.parse().ok()?;
    (!text.contains('@') && !host.host().is_empty()).then_some(host)
}

fn prefix(text: &str) -> Option<String> {
    let path = text.trim_end_matches('/');
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'%'))
    };
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment)).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> (Option<&'static str>, Option<String>, Option<String>) {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(*value).expect("a header")))
            .collect();
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a network"));
        let Forwarded { scheme, host, prefix } = Forwarded::of(&headers, &trusted);
        (scheme, host.map(|host| host.to_string()), prefix)
    }

    fn said(
        scheme: &'static str,
        host: &str,
        prefix: Option<&str>,
    ) -> (Option<&'static str>, Option<String>, Option<String>) {
        (Some(scheme), Some(host.to_owned()), prefix.map(str::to_owned))
    }

    #[test]
    fn the_usual_headers_of_one_proxy_are_read() {
        assert_eq!(
            of(&[("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example"), ("x-forwarded-prefix", "/uws/")]),
            said("https", "a.example", Some("/uws"))
        );
        assert_eq!(
            of(&[("forwarded", "for=1.2.3.4;proto=HTTPS;host=\"a.example:8443\"")]),
            said("https", "a.example:8443", None)
        );
        let with_port = [("x-forwarded-proto", "https"), ("x-forwarded-host", "a"), ("x-forwarded-port", "8443")];
        assert_eq!(of(&with_port), said("https", "a:8443", None));
        let default_port = [("x-forwarded-proto", "https"), ("x-forwarded-host", "a"), ("x-forwarded-port", "443")];
        assert_eq!(of(&default_port), said("https", "a", None));
        assert_eq!(of(&[]), (None, None, None));
    }

    #[test]
    fn what_a_client_made_up_does_not_count() {
        // The proxy appended what it saw; before it stands what the client sent.
        assert_eq!(
            of(&[("x-forwarded-host", "evil.example, a.example"), ("x-forwarded-proto", "http, https")]),
            said("https", "a.example", None)
        );
        let forged = "for=10.0.0.9;host=evil.example, for=1.2.3.4;host=a.example;proto=https";
        assert_eq!(of(&[("forwarded", forged)]), said("https", "a.example", None));
    }

    #[test]
    fn of_a_chain_of_trusted_proxies_the_first_counts() {
        let chain = "for=1.2.3.4;host=a.example;proto=https, for=\"10.0.0.1:99\";host=inner;proto=http";
        assert_eq!(of(&[("forwarded", chain)]), said("https", "a.example", None));
        assert_eq!(
            of(&[
                ("x-forwarded-for", "1.2.3.4, 10.0.0.1"),
                ("x-forwarded-host", "a.example, inner"),
                ("x-forwarded-proto", "https, http")
            ]),
            said("https", "a.example", None)
        );
    }

    #[test]
    fn nonsense_is_left_out() {
        for (name, value) in [
            ("x-forwarded-host", "a b"),
            ("x-forwarded-host", "u@a"),
            ("x-forwarded-proto", "ftp"),
            ("x-forwarded-prefix", "uws"),
            ("x-forwarded-prefix", "/../x"),
            ("x-forwarded-prefix", "/a\"b"),
            ("x-forwarded-prefix", "//evil.example"),
            ("forwarded", "host"),
        ] {
            assert_eq!(of(&[(name, value)]), (None, None, None), "{name}: {value}");
        }
    }
}
