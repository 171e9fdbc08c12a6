//! Every link of every document is right, wherever the daemon is found (relocation).

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use uwsd::config::ListenAddress;

use crate::bed::{Bed, Daemon, listener};
use crate::client::Client;
use crate::uws::{BED_COMMAND, FORM};

/// A place where clients find the daemon, and how a request for a URL there comes to it.
struct Place {
    /// What every URL begins with.
    root: &'static str,
    /// The path by which it comes to the daemon, instead of the root's.
    path: &'static str,
    /// The headers that it comes with.
    headers: &'static [(&'static str, &'static str)],
}

impl Place {
    /// Asks as a client there would for `url`, which must be one of this place.
    async fn ask(&self, client: &Client, method: &str, url: &str, form: &str) -> crate::client::Answer {
        let below = url.strip_prefix(self.root).unwrap_or_else(|| panic!("{url} is not below {}", self.root));
        let mut headers = self.headers.to_vec();
        headers.push(FORM);
        client.send(method, &format!("{}{below}", self.path), &headers, form).await
    }

    /// Follows every link from the job list on; returns how many documents there were.
    async fn walk(&self, client: &Client, services: &[&str]) -> usize {
        let mut open: Vec<String> = Vec::new();
        for service in services {
            let made = self.ask(client, "POST", &format!("{}/{service}/async", self.root), BED_COMMAND).await;
            assert_eq!(made.status, 303, "{}", made.text());
            let job = made.header("location").to_owned();
            for _ in 0..1000 {
                if self.ask(client, "GET", &format!("{job}/phase"), "").await.text() == "COMPLETED" {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            open.push(job.clone());
            open.extend(["async", "capabilities", "examples"].map(|name| format!("{}/{service}/{name}", self.root)));
            open.extend(["parameters", "results", "error"].map(|name| format!("{job}/{name}")));
            for (path, form) in [("phase", "PHASE=ABORT"), ("destruction", "DESTRUCTION=2100-01-01")] {
                let changed = self.ask(client, "POST", &format!("{job}/{path}"), form).await;
                if changed.status == 303 {
                    assert_eq!(changed.header("location"), job, "{path}");
                }
            }
            let sync = self.ask(client, "POST", &format!("{}/{service}/sync", self.root), BED_COMMAND).await;
            open.push(sync.header("location").to_owned());
        }
        let mut seen = BTreeSet::new();
        while let Some(url) = open.pop() {
            if !seen.insert(url.clone()) {
                continue;
            }
            let answer = self.ask(client, "GET", &url, "").await;
            let is_fine = matches!(answer.status, 200 | 303) || url.ends_with("/error");
            assert!(is_fine, "{url}: {} {}", answer.status, answer.text());
            open.extend(links(&answer.headers, &String::from_utf8_lossy(&answer.body)));
        }
        seen.len()
    }
}

/// The absolute URLs in a document that are no namespaces, and where a redirection leads.
fn links(headers: &HeaderMap, body: &str) -> Vec<String> {
    let mut links: Vec<String> =
        headers.get("location").and_then(|at| at.to_str().ok()).map(str::to_owned).into_iter().collect();
    for marker in ["href=\"", "<accessURL use=\"full\">", "byReference=\"true\">", "\"href\":\""] {
        for found in body.split(marker).skip(1) {
            let end = found.find(['"', '<']).expect("it ends");
            links.push(found[..end].to_owned());
        }
    }
    links
}

async fn walk(bed: Bed, place: Place, services: &[&str], address: usize) {
    let daemon: Daemon = bed.start().await;
    let client = Client::new(daemon.addresses[address].clone());
    let documents = place.walk(&client, services).await;
    assert!(documents >= 10 * services.len(), "{documents} documents");
}

fn with_two_services() -> Bed {
    let mut bed = Bed::new();
    let service = bed.config.services["ocps"].clone();
    bed.config.services.insert("other".to_owned(), service);
    bed
}

#[tokio::test]
async fn behind_a_proxy_that_strips_a_prefix() {
    let mut bed = with_two_services();
    bed.config.server.listeners[0].trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    let headers = &[
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "summit.example.org"),
        ("x-forwarded-prefix", "/uws-server"),
    ];
    let place = Place { root: "https://summit.example.org/uws-server/api", path: "/api", headers };
    walk(bed, place, &["ocps", "other"], 0).await;
}

#[tokio::test]
async fn behind_a_proxy_that_keeps_a_prefix_with_the_standard_header() {
    let mut bed = with_two_services();
    bed.config.server.base_path = "/uws-server/api".to_owned();
    bed.config.server.listeners[0].trusted_proxies = vec!["127.0.0.1".parse::<std::net::IpAddr>().expect("one").into()];
    let headers = &[("forwarded", "for=192.0.2.7;proto=https;host=\"summit.example.org:8443\"")];
    let place = Place { root: "https://summit.example.org:8443/uws-server/api", path: "/uws-server/api", headers };
    walk(bed, place, &["ocps", "other"], 0).await;
}

#[tokio::test]
async fn with_a_public_url_that_gives_each_service_a_host_of_its_own() {
    let mut bed = Bed::new();
    bed.config.server.public_url = Some("https://{service}.example.org/uws".to_owned());
    let place = Place { root: "https://ocps.example.org/uws", path: "/api", headers: &[] };
    walk(bed, place, &["ocps"], 0).await;
}

#[tokio::test]
async fn on_another_host_name_without_any_configuration_of_it() {
    let mut bed = with_two_services();
    bed.config.server.allowed_hosts = vec!["teststand".to_owned()];
    let place = Place { root: "http://teststand:8080/api", path: "/api", headers: &[("host", "teststand:8080")] };
    walk(bed, place, &["ocps", "other"], 0).await;
}

#[tokio::test]
async fn over_a_unix_socket() {
    let mut bed = with_two_services();
    bed.config.server.listeners.push(listener(ListenAddress::Unix(bed.dir.path().join("api.sock"))));
    let place = Place { root: "http://localhost/api", path: "/api", headers: &[] };
    walk(bed, place, &["ocps", "other"], 1).await;
}

#[tokio::test]
async fn nobody_is_believed_who_is_no_trusted_proxy() {
    let daemon = Bed::new().start().await;
    for (name, value) in [("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example;proto=https")] {
        let made = daemon.client().send("POST", "/api/ocps/async", &[FORM, (name, value)], "COMMAND=print+1").await;
        assert!(made.header("location").starts_with("http://localhost/api/ocps/async/"), "{}", made.header("location"));
    }
    let headers: HeaderMap =
        [(HeaderName::from_static("location"), HeaderValue::from_static("x"))].into_iter().collect();
    assert_eq!(links(&headers, "<a href=\"y\">"), ["x", "y"]);
}
