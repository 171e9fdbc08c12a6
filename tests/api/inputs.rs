//! Bad inputs: a sentence that names the field, and nothing is created.

use serde_json::{Value, json};

use crate::bed::Bed;

#[tokio::test]
async fn a_bad_field_is_400_and_makes_nothing() {
    let daemon = Bed::without_runs().start().await;
    let long = "x".repeat(140_000);
    let cases: Vec<(Value, &str)> = vec![
        (json!({}), "command"),
        (json!([]), "object"),
        (json!({ "command": "" }), "command"),
        (json!({ "command": "  \n" }), "command"),
        (json!({ "command": 1 }), "command"),
        (json!({ "command": "a\u{0}b" }), "command"),
        (json!({ "command": long }), "command"),
        (json!({ "command": "x", "run_id": 1 }), "run_id"),
        (json!({ "command": "x", "run_id": "-a" }), "run_id"),
        (json!({ "command": "x", "run_id": "a b" }), "run_id"),
        (json!({ "command": "x", "run_id": "a".repeat(64) }), "run_id"),
        (json!({ "command": "x", "url": 1 }), "url"),
        (json!({ "command": "x", "url": "ext::sh -c id" }), "url"),
        (json!({ "command": "x", "commit_ref": [] }), "commit_ref"),
        (json!({ "command": "x", "url": "https://h/a", "commit_ref": "a..b" }), "commit_ref"),
        (json!({ "command": "x", "replicas": 0 }), "replicas"),
        (json!({ "command": "x", "replicas": 5 }), "replicas"),
        (json!({ "command": "x", "replicas": "1" }), "replicas"),
        (json!({ "command": "x", "environment": "A=1" }), "environment"),
        (json!({ "command": "x", "environment": [1] }), "environment[0]"),
        (json!({ "command": "x", "environment": [{ "name": "A", "value": "1" }, { "name": "B" }] }), "environment[1]"),
        (json!({ "command": "x", "environment": [{ "name": "A", "value": 7 }] }), "environment[0].value"),
        (json!({ "command": "x", "environment": [{ "name": "A", "value": true }] }), "environment[0].value"),
        (json!({ "command": "x", "environment": [{ "name": "", "value": "1" }] }), "environment[0]"),
        (json!({ "command": "x", "environment": [{ "name": "A=B", "value": "1" }] }), "environment[0]"),
        (json!({ "command": "x", "environment": [{ "name": "JOB_ID", "value": "1" }] }), "JOB_ID"),
        (json!({ "command": "x", "environment": [{ "name": "A", "value": "\u{0}" }] }), "A"),
        (json!({ "command": "x", "environment": [{ "name": "A", "value": "x".repeat(140_000) }] }), "environment[0]"),
    ];
    for (request, field) in cases {
        let answer = daemon.put(&request).await;
        let shown = request.to_string();
        assert_eq!(answer.status, 400, "{shown:.80}");
        assert!(answer.header("content-type").starts_with("text/plain"), "{shown:.80}");
        assert!(answer.text().contains(field) && !answer.text().contains('\n'), "{shown:.80}: {}", answer.text());
    }
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn a_job_that_is_too_large_in_all_is_400_although_each_part_would_do() {
    let mut bed = Bed::without_runs();
    bed.config.server.max_body = 16 << 20;
    let daemon = bed.start().await;
    let variables = |count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({ "name": format!("V{n}"), "value": "x".repeat(100_000) })).collect()
    };
    let answer = daemon.put(&json!({ "command": "x", "environment": variables(11) })).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("environment") && answer.text().contains("1048576"), "{}", answer.text());
    assert_eq!(daemon.listed().await, 0);
    assert_eq!(daemon.put(&json!({ "command": "x", "environment": variables(10) })).await.status, 200);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_400_or_415() {
    let daemon = Bed::without_runs().start().await;
    let client = daemon.client();
    let cases: &[(&str, &[u8], u16)] = &[
        ("application/json", b"", 400),
        ("application/json", b"{\"command\": \"x\"", 400),
        ("application/json", b"{\"command\": \"\xff\"}", 400),
        ("application/json", b"command=x", 400),
        ("application/x-www-form-urlencoded", b"command=%ff", 400),
        ("application/x-www-form-urlencoded", b"url=x", 400),
        ("multipart/form-data; boundary=X", b"nothing", 400),
        ("multipart/form-data", b"--X--", 400),
        ("text/csv", b"command=x", 415),
    ];
    for (kind, body, status) in cases {
        let answer = client.send("PUT", "/api/v1/job", &[("content-type", *kind)], *body).await;
        assert_eq!(answer.status, *status, "{kind} {}", answer.text());
    }
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_and_without_a_declared_length() {
    let daemon = Bed::without_runs().start().await;
    let client = daemon.client();
    let body = json!({ "command": "x", "padding": "y".repeat(3 << 20) }).to_string();
    let answer = client.put_json("/api/v1/job", &body).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("1048576"), "{}", answer.text());
    let head = "PUT /api/v1/job HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert!(client.raw(chunked.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    let waiting = format!(
        "PUT /api/v1/job HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    assert!(client.raw(waiting.as_bytes()).await.starts_with("HTTP/1.1 413 "), "refused before it is sent");
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_makes_nothing() {
    let daemon = Bed::without_runs().start().await;
    {
        let uwsd::config::ListenAddress::Tcp(address) = &daemon.addresses[0] else { panic!("TCP") };
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        let part = b"PUT /api/v1/job HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"command\": \"x\"}";
        tokio::io::AsyncWriteExt::write_all(&mut stream, part).await.expect("sent");
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await.expect("broken off");
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("heard of");
        assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(daemon.listed().await, 0);
}

#[tokio::test]
async fn what_the_original_ignores_is_ignored() {
    let daemon = Bed::without_runs().start().await;
    let answer = daemon.put(&json!({ "command": "x", "image": 1, "nested": { "a": [null] } })).await;
    assert_eq!(answer.status, 200);
    let twice = daemon.client().put_json("/api/v1/job", r#"{"command": "a", "command": "b"}"#).await;
    assert_eq!(twice.json()["parameters"]["command"][2], "b");
}

#[tokio::test]
async fn a_bad_phase_or_replica_names_what_would_do() {
    let daemon = Bed::without_runs().start().await;
    let client = daemon.client();
    let answer = client.get("/api/v1/job?phase=done").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("\"done\"") && answer.text().contains("pending, queued, executing, completed"));
    let id = daemon.submit("print 1").await;
    for bad in ["1", "-1", "x", ""] {
        assert_eq!(client.get(&format!("/api/v1/job/{id}/stdout?replica={bad}")).await.status, 400, "{bad}");
    }
}
