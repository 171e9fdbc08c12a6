//! Every absolute URL that the daemon writes about a service is made here.

use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::extract::Asked;
use crate::config::Server;
use crate::domain::JobId;

/// What a path segment has encoded: all but the unreserved characters of RFC 3986 §2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a path of several segments.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// The links of one service, as this request's client reaches them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Links {
    /// `{scheme}://{host}{base_path}/{service}`.
    service: String,
}

impl Links {
    /// The links of `service`: below `public_url` where that is configured, else below the address that was asked.
    pub(super) fn of(server: &Server, asked: &Asked, headers: &HeaderMap, service: &str) -> Self {
        let root = if let Some(public) = &server.public_url {
            // Braces in a path come encoded from the configuration, in a host name as they are.
            public.replace("{service}", service).replace("%7Bservice%7D", service)
        } else {
            let prefix = asked.forwarded.as_ref().and_then(|forwarded| forwarded.prefix.as_deref());
            format!("{}{}{}", addressed(asked, headers), prefix.unwrap_or_default(), server.base_path)
        };
        Self { service: format!("{root}/{service}") }
    }

    /// The job list.
    pub(super) fn jobs(&self) -> String {
        format!("{}/async", self.service)
    }

    /// The job list, but not more than `last` of it.
    pub(super) fn last_jobs(&self, last: u32) -> String {
        format!("{}?LAST={last}", self.jobs())
    }

    /// A job, without a trailing slash.
    pub(super) fn job(&self, id: JobId) -> String {
        format!("{}/async/{id}", self.service)
    }

    /// A parameter of a job: all its values.
    pub(super) fn parameter(&self, id: JobId, name: &str) -> String {
        format!("{}/parameters/{}", self.job(id), utf8_percent_encode(name, SEGMENT))
    }

    /// One of a job's results; the slashes of its id stay.
    pub(super) fn result(&self, id: JobId, result: &str) -> String {
        format!("{}/results/{}", self.job(id), encoded_path(result))
    }

    /// The synchronous façade of a job.
    pub(super) fn sync(&self, id: JobId) -> String {
        format!("{}/sync/{id}", self.service)
    }

    /// Another resource of the service: `capabilities`, `availability`, `examples`.
    pub(super) fn sibling(&self, name: &str) -> String {
        format!("{}/{name}", self.service)
    }
}

/// A path as URLs have it.
pub(super) fn encoded_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Scheme and host as the client addressed them: as a trusted proxy says, else as the request does.
fn addressed(asked: &Asked, headers: &HeaderMap) -> String {
    let forwarded = asked.forwarded.as_deref();
    let scheme = forwarded.and_then(|forwarded| forwarded.scheme).unwrap_or("http");
    let of_header = || headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let of_request = || asked.uri.authority().cloned().or_else(of_header);
    let host = forwarded.and_then(|forwarded| forwarded.host.clone()).or_else(of_request);
    // Over a Unix socket, or in HTTP/1.0, there may be none.
    let host = host.as_ref().map_or("localhost", Authority::as_str);
    format!("{scheme}://{host}")
}

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use http::{HeaderValue, Uri};

    use super::*;
    use crate::config::testing;
    use crate::domain::{Caller, Timestamp};
    use crate::http::forwarded::Forwarded;

    fn links(public_url: Option<&str>, uri: &str, host: Option<&str>) -> Links {
        let mut server = testing::config_in(std::path::Path::new("/nowhere")).server;
        server.public_url = public_url.map(str::to_owned);
        let asked = Asked {
            caller: Caller::Anonymous,
            uri: uri.parse::<Uri>().expect("a target"),
            forwarded: None,
            may_change: true,
        };
        let headers = host.map(|host| (HOST, HeaderValue::try_from(host).expect("a header"))).into_iter().collect();
        Links::of(&server, &asked, &headers, "ocps")
    }

    #[test]
    fn links_follow_the_request_or_the_public_url() {
        for (public, uri, host, expected) in [
            (None, "/api/ocps/async", Some("summit:8080"), "http://summit:8080/api/ocps/async"),
            (None, "http://other:1/api/ocps/async", Some("summit"), "http://other:1/api/ocps/async"),
            (None, "/api/ocps/async", Some("[::1]:80"), "http://[::1]:80/api/ocps/async"),
            (None, "/api/ocps/async", None, "http://localhost/api/ocps/async"),
            (None, "/api/ocps/async", Some("a b<c>"), "http://localhost/api/ocps/async"),
            (Some("https://x.example/uws"), "/api/ocps/async", Some("summit"), "https://x.example/uws/ocps/async"),
            (Some("https://{service}.x.example"), "/", Some("summit"), "https://ocps.x.example/ocps/async"),
            (Some("https://x.example/{service}"), "/", Some("summit"), "https://x.example/ocps/ocps/async"),
        ] {
            let public = public.map(|text| url::Url::parse(text).expect("a URL"));
            let public = public.as_ref().map(|url| url.as_str().trim_end_matches('/'));
            assert_eq!(links(public, uri, host).jobs(), expected);
        }
    }

    #[test]
    fn the_word_of_a_trusted_proxy_comes_before_the_request_and_after_the_public_url() {
        let mut server = testing::config_in(std::path::Path::new("/nowhere")).server;
        let forwarded = Forwarded {
            scheme: Some("https"),
            host: Some(Authority::from_static("summit.example")),
            prefix: Some("/uws-server".to_owned()),
        };
        let uri = "/api/ocps/async".parse::<Uri>().expect("a target");
        let asked = Asked { caller: Caller::Anonymous, uri, forwarded: Some(Box::new(forwarded)), may_change: true };
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("backend:8080"))]);
        let jobs = |server: &Server| Links::of(server, &asked, &headers, "ocps").jobs();
        assert_eq!(jobs(&server), "https://summit.example/uws-server/api/ocps/async");
        server.public_url = Some("https://x.example".to_owned());
        assert_eq!(jobs(&server), "https://x.example/ocps/async");
    }

    #[test]
    fn names_are_encoded_and_the_slashes_of_a_result_stay() {
        let links = links(None, "/", Some("h"));
        let id = JobId::new(Timestamp::from_millis(0));
        let job = links.job(id);
        assert_eq!(links.result(id, "a b/ä%.txt"), format!("{job}/results/a%20b/%C3%A4%25.txt"));
        assert_eq!(links.parameter(id, "a/b"), format!("{job}/parameters/a%2Fb"));
        assert_eq!(links.last_jobs(100), "http://h/api/ocps/async?LAST=100");
    }
}
