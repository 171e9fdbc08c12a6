//! Unknown hosts and foreign pages, through the whole server.

use crate::bed::Bed;

fn with_names() -> Bed {
    let mut bed = Bed::without_runs();
    bed.config.server.allowed_hosts = vec!["uws.example.org".to_owned()];
    bed.config.server.allowed_origins = vec!["https://portal.example.org".to_owned()];
    bed.config.server.public_url = Some("https://summit.example.org/uws/api".to_owned());
    bed
}

#[tokio::test]
async fn an_unknown_host_is_403_everywhere() {
    let daemon = with_names().start().await;
    let client = daemon.client();
    for path in ["/api/v1/job", "/healthz", "/nothing", "/api/v1/openapi.json"] {
        for host in ["evil.example", "evil.example:8080", "10.1.2.3"] {
            let answer = client.send("GET", path, &[("host", host)], "").await;
            assert_eq!(answer.status, 403, "{host} {path}");
            assert!(answer.text().contains("allowed_hosts"), "{}", answer.text());
        }
    }
    for host in ["localhost", "127.0.0.1:80", "[::1]", "uws.example.org", "Summit.Example.Org:443"] {
        assert_eq!(client.send("GET", "/api/v1/job", &[("host", host)], "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let daemon = with_names().start().await;
    let id = daemon.submit("print 1").await;
    let client = daemon.client();
    let foreign: [&[(&str, &str)]; 5] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:9999")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ];
    for headers in foreign {
        let put = client.send("PUT", "/api/v1/job?command=evil", headers, "").await;
        let delete = client.send("DELETE", &format!("/api/v1/job/{id}"), headers, "").await;
        assert_eq!((put.status, delete.status), (403, 403), "{headers:?}");
        let get = client.send("GET", "/api/v1/job", headers, "").await;
        assert_eq!((get.status, get.header("access-control-allow-origin")), (200, ""), "{headers:?}");
    }
    assert_eq!(daemon.listed().await, 1);
    assert_eq!(daemon.job(&id).await["phase"], "queued");
}

#[tokio::test]
async fn our_own_and_allowed_pages_may() {
    let daemon = with_names().start().await;
    let client = daemon.client();
    let fine: [&[(&str, &str)]; 4] = [
        &[("origin", "http://localhost")],
        &[("origin", "https://summit.example.org"), ("sec-fetch-site", "same-origin")],
        &[("origin", "https://portal.example.org"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "none")],
    ];
    for headers in fine {
        assert_eq!(client.send("PUT", "/api/v1/job?command=x", headers, "").await.status, 200, "{headers:?}");
    }
    let portal = [("origin", "https://portal.example.org"), ("access-control-request-method", "PUT")];
    let preflight = client.send("OPTIONS", "/api/v1/job", &portal, "").await;
    assert_eq!(preflight.header("access-control-allow-origin"), "https://portal.example.org");
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
}

#[tokio::test]
async fn odd_hosts_are_refused_and_old_programs_pass() {
    let daemon = with_names().start().await;
    let client = daemon.client();
    let status = |answer: String| answer.get(9..12).unwrap_or_default().to_owned();
    let cases = [
        ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "400"),
        ("GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "403"),
        ("GET /healthz HTTP/1.0\r\n\r\n", "200"),
        ("GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200"),
    ];
    for (request, expected) in cases {
        assert_eq!(status(client.raw(request.as_bytes()).await), expected, "{request}");
    }
}
