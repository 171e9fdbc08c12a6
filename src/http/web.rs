//! Files from the web, for callers who name a URL: a server that fetches for others must not fetch what only it can reach.
//!
//! Names are resolved here, and only addresses are connected to that are public or of a network that the operator named;
//! each redirection is looked at in the same way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use ipnet::IpNet;
use tower_service::Service;
use url::{Host, Url};

use crate::config::Config;
use crate::domain::chain;

/// How many redirections are followed.
const MOST_REDIRECTIONS: usize = 5;

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    /// It is no URL of a file on the web.
    #[error("give a URL that begins with http:// or https://")]
    NotWeb,
    /// Its address is not one that is fetched from.
    #[error("its address is not public; the operator can allow its network in uploads.url_networks")]
    Private,
    /// It leads from one place to the next.
    #[error("it is redirected more than {MOST_REDIRECTIONS} times")]
    Redirections,
    /// The other server did not give it.
    #[error("the server answered {0}")]
    Status(http::StatusCode),
    /// There was no connection, or it broke.
    #[error("{0}")]
    Failed(String),
    /// No certificate authorities are known here.
    #[error("no certificate authorities are installed on this host (package ca-certificates)")]
    NoRoots,
}

/// What fetches from public addresses, and from those of some networks more; clones are handles to the same one.
#[derive(Clone, Default)]
pub struct Web {
    /// The client that was made last: to read the certificate authorities takes its time. They are read again after a reload.
    last: Arc<Mutex<Option<Made>>>,
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Answer {
    /// What the server says that it is.
    pub(super) media_type: Option<String>,
    body: Incoming,
}

/// A client, and for which configuration it was made.
type Made = (Arc<Config>, Https);
type Https = Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>;

impl Web {
    /// Asks for the file at a URL.
    ///
    /// # Errors
    /// [`WebError`].
    pub(super) async fn get(&self, config: &Arc<Config>, text: &str) -> Result<Answer, WebError> {
        let client = self.client(config).await?;
        let mut url = Url::parse(text).map_err(|_| WebError::NotWeb)?;
        for _ in 0..=MOST_REDIRECTIONS {
            let response = ask(&client, &config.uploads.url_networks, &url).await?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match (response.status(), location) {
                (status, Some(location)) if status.is_redirection() => {
                    url = url.join(location).map_err(|_| WebError::NotWeb)?;
                }
                (status, _) if status.is_success() => {
                    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                    let media_type = kind.map(str::to_owned);
                    return Ok(Answer { media_type, body: response.into_body() });
                }
                (status, _) => return Err(WebError::Status(status)),
            }
        }
        Err(WebError::Redirections)
    }

    /// The client for a configuration.
    async fn client(&self, config: &Arc<Config>) -> Result<Https, WebError> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = &*last()
            && Arc::ptr_eq(known, config)
        {
            return Ok(client.clone());
        }
        let allowed = Arc::from(config.uploads.url_networks.as_slice());
        let made = tokio::task::spawn_blocking(move || client(allowed)).await;
        let made = made.map_err(|panicked| WebError::Failed(panicked.to_string()))??;
        *last() = Some((Arc::clone(config), made.clone()));
        Ok(made)
    }
}

async fn ask(client: &Https, allowed: &[IpNet], url: &Url) -> Result<Response<Incoming>, WebError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(WebError::NotWeb);
    }
    // An address in the URL itself is not resolved, and so not looked at by the resolver.
    let literal = match url.host().ok_or(WebError::NotWeb)? {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
    };
    if literal.is_some_and(|ip| !may_be_fetched(ip, allowed)) {
        return Err(WebError::Private);
    }
    let uri: Uri = url.as_str().parse().map_err(|_| WebError::NotWeb)?;
    let request = Request::get(uri).header(USER_AGENT, concat!("uwsd/", env!("CARGO_PKG_VERSION")));
    let request = request.body(Empty::new()).map_err(|_| WebError::NotWeb)?;
    client.request(request).await.map_err(|error| {
        let chain = chain(&error);
        if chain.contains(PRIVATE) { WebError::Private } else { WebError::Failed(chain) }
    })
}

/// Reads the certificate authorities of this host; blocks for some milliseconds.
fn client(allowed: Arc<[IpNet]>) -> Result<Https, WebError> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver { allowed });
    tcp.enforce_http(false);
    let https = HttpsConnectorBuilder::new().with_native_roots().map_err(|_| WebError::NoRoots)?;
    let connector = https.https_or_http().enable_http1().wrap_connector(tcp);
    // A connection for each request: a server may close one after its answer without a word, and a redirection that is asked for over
    // it would fail.
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

impl Answer {
    /// The next piece of the file; `None` at its end.
    ///
    /// # Errors
    /// [`WebError::Failed`] if it broke off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, WebError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(WebError::Failed(chain(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

const PRIVATE: &str = "has no public address";

/// Resolves names, and leaves out the addresses that are not fetched from.
#[derive(Debug, Clone)]
struct Resolver {
    allowed: Arc<[IpNet]>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allowed = Arc::clone(&self.allowed);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fine: Vec<SocketAddr> = found.filter(|found| may_be_fetched(found.ip(), &allowed)).collect();
            if fine.is_empty() {
                return Err(io::Error::other(format!("{name} {PRIVATE}")));
            }
            Ok(fine.into_iter())
        })
    }
}

/// Whether an address may be fetched from: it is public, or the operator named its network.
fn may_be_fetched(ip: IpAddr, allowed: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    is_public(ip) || allowed.iter().any(|net| net.contains(&ip))
}

/// Networks that are not of the public internet (IANA's registries of special-purpose addresses).
const SPECIAL: [&str; 26] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
];

fn is_public(ip: IpAddr) -> bool {
    let is_special = |net: &str| net.parse().is_ok_and(|net: IpNet| net.contains(&ip));
    !ip.is_multicast() && !SPECIAL.iter().any(|net| is_special(net))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_host_can_reach_is_not_fetched() {
        let is_fetched = |text: &str| may_be_fetched(text.parse().expect("an address"), &[]);
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(!is_fetched(private), "{private}");
        }
        assert!(["1.1.1.1", "2606:4700::1"].iter().all(|public| is_fetched(public)));
        let site = ["10.1.0.0/16".parse().expect("a network")];
        assert!(may_be_fetched("10.1.2.3".parse().expect("an address"), &site));
        assert!(!may_be_fetched("10.2.2.3".parse().expect("an address"), &site));
    }

    #[test]
    fn every_special_network_is_one() {
        assert!(SPECIAL.iter().all(|net| net.parse::<IpNet>().is_ok()));
    }
}
