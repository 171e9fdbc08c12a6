//! Files that a job's parameters name by URL.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uwsd::config::{Program, Service, testing};
use uwsd::domain::jdl::{Declaration, Jdl, Template, ValueKind};

use crate::bed::{Bed, eventually};
use crate::uws::FORM;
use crate::uws_uploads::{Part, completed, job_of, kept, none_is_kept, post};

/// A small web server with one file; gone when dropped.
pub async fn web(body: &'static str) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.expect("asked");
            let answer = if head[..read].starts_with(b"GET /moved") {
                "HTTP/1.1 302 Found\r\nLocation: /file\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else if head[..read].starts_with(b"GET /file") {
                let length = body.len();
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {length}\r\n\r\n{body}")
            } else {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
            };
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    });
    (port, tasks)
}

pub fn with_urls(networks: &[&str]) -> Bed {
    let mut bed = Bed::new();
    bed.config.uploads.from_urls = true;
    bed.config.uploads.url_networks = networks.iter().map(|net| net.parse().expect("a network")).collect();
    let declarations = vec![Declaration::new("CAT", ValueKind::File), Declaration::new("SIZE", ValueKind::Integer)];
    let words = ["run", "print {CAT}"].map(str::to_owned);
    let command = Template::parse(&words, &declarations, &[]).expect("a template");
    let typed = Service { program: Program::Command(Jdl { declarations, command }), ..testing::service() };
    bed.config.services = BTreeMap::from([("typed".to_owned(), typed), ("ocps".to_owned(), testing::service())]);
    bed
}

#[tokio::test]
async fn a_url_is_fetched_before_the_job_is_accepted() {
    let (port, _web) = web("a,b\n").await;
    let daemon = with_urls(&["127.0.0.0/8"]).start().await;
    for place in ["file", "moved"] {
        let form = format!("CAT=http://127.0.0.1:{port}/{place}&PHASE=RUN");
        let made = daemon.client().send("POST", "/api/typed/async", &[FORM], &form).await;
        let (path, id) = job_of(&made);
        completed(&daemon, &path).await;
        let seen = daemon.client().get(&format!("{path}/results/stdout")).await;
        assert_eq!(seen.text(), format!("/uws/jobs/{id}/in/CAT\n"));
        let file = std::fs::read_to_string(daemon.config.server.jobs_dir.join(id).join("in/CAT"));
        assert_eq!(file.expect("the job sees it"), "a,b\n");
    }
    let form = format!("CAT=http://127.0.0.1:{port}/file&UPLOAD=t,http://127.0.0.1:{port}/moved&PHASE=RUN");
    let (path, id) = job_of(&daemon.client().send("POST", "/api/typed/async", &[FORM], &form).await);
    completed(&daemon, &path).await;
    let file = std::fs::read_to_string(daemon.config.server.jobs_dir.join(id).join("in/t"));
    assert_eq!(file.expect("the job sees it"), "a,b\n", "a table");
    for (url, sentence) in [
        (format!("http://127.0.0.1:{port}/none"), "the server answered 404 Not Found"),
        ("http://127.0.0.1:1/x".to_owned(), "client error (Connect)"),
    ] {
        let refused = daemon.client().send("POST", "/api/typed/async", &[FORM], &format!("CAT={url}")).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(&format!("CAT: {url} cannot be fetched: {sentence}")), "{}", refused.text());
    }
}

#[tokio::test]
async fn what_only_this_host_can_reach_is_not_fetched() {
    let (port, _web) = web("secret").await;
    let daemon = with_urls(&[]).start().await;
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"] {
        let form = format!("CAT=http://{host}:{port}/file");
        let refused = daemon.client().send("POST", "/api/typed/async", &[FORM], &form).await;
        assert_eq!(refused.status, 400, "{host}: {}", refused.text());
        assert!(refused.text().contains("its address is not public"), "{host}: {}", refused.text());
    }
    none_is_kept(&daemon).await;
}

#[tokio::test]
async fn a_url_with_a_login_is_refused_and_not_shown() {
    let (port, _web) = web("a,b\n").await;
    let host = format!("ada:geheim@127.0.0.1:{port}/file");
    let daemon = with_urls(&["127.0.0.0/8"]).start().await;
    let create = async |form: &str| daemon.client().send("POST", "/api/typed/async", &[FORM], form).await;
    let (path, _) = job_of(&create("SIZE=1").await);
    for (form, sentence) in [
        (format!("CAT=http://{host}"), "CAT: files are fetched without a login"),
        (format!("UPLOAD=t,HTTP:{host}"), "t: files are fetched without a login"),
        (format!("UPLOAD=1t,ftp://{host}"), "UPLOAD is \"1t,ftp://127.0.0.1"),
        (format!("CAT=ftp://{host}"), "CAT is \"ftp://127.0.0.1"),
        ("UPLOAD=t,http://ada:ge/heim@127.0.0.1/file".to_owned(), "t: http://127.0.0.1/file cannot be fetched"),
    ] {
        let change = daemon.client().send("POST", &format!("{path}/parameters"), &[FORM], &form).await;
        for refused in [create(&form).await, change] {
            assert_eq!(refused.status, 400, "{form}: {}", refused.text());
            assert!(refused.text().contains(sentence), "{form}: {}", refused.text());
            assert!(!refused.text().contains("heim") && !refused.text().contains("ada"), "{form}: {}", refused.text());
        }
    }
    none_is_kept(&daemon).await;
}

#[tokio::test]
async fn nothing_is_fetched_for_a_request_that_is_refused_anyway() {
    let daemon = with_urls(&["127.0.0.0/8"]).start().await;
    // Nobody serves this port: whoever tried to fetch would say so.
    let dead = "CAT=http://127.0.0.1:1/file";
    let create = async |form: &str| daemon.client().send("POST", "/api/typed/async", &[FORM], form).await;
    let wrong = create(&format!("{dead}&SIZE=large")).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("SIZE is \"large\""), "{}", wrong.text());
    let (path, _) = job_of(&create("SIZE=1").await);
    let change = async |form: &str| daemon.client().send("POST", &format!("{path}/parameters"), &[FORM], form).await;
    let wrong = change(&format!("{dead}&SIZE=large")).await;
    assert!(wrong.status == 400 && wrong.text().contains("SIZE is \"large\""), "{}", wrong.text());
    let tried = change(dead).await;
    assert!(tried.status == 400 && tried.text().contains("cannot be fetched"), "{}", tried.text());
    daemon.client().send("POST", &format!("{path}/phase"), &[FORM], "PHASE=RUN").await;
    assert_eq!(change(dead).await.status, 403);
    none_is_kept(&daemon).await;
}

#[tokio::test]
async fn the_files_of_one_request_share_the_time_for_fetching() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = silent.local_addr().expect("bound").port();
    let mut bed = with_urls(&["127.0.0.0/8"]);
    bed.config.uploads.url_timeout = Duration::from_secs(1);
    let daemon = bed.start().await;
    let form =
        format!("UPLOAD=a,http://127.0.0.1:{port}/a&UPLOAD=b,http://127.0.0.1:{port}/b&CAT=http://127.0.0.1:{port}/c");
    let begin = Instant::now();
    let refused = daemon.client().send("POST", "/api/typed/async", &[FORM], &form).await;
    assert_eq!(refused.status, 400);
    let sentence = "/a did not arrive within the 1 s that a request's files may take";
    assert!(refused.text().contains(sentence), "{}", refused.text());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn another_file_takes_the_place_of_one_that_was_fetched() {
    let (port, _web) = web("a,b\n").await;
    let daemon = with_urls(&["127.0.0.0/8"]).start().await;
    let form = format!("CAT=http://127.0.0.1:{port}/file");
    let (path, _) = job_of(&daemon.client().send("POST", "/api/typed/async", &[FORM], &form).await);
    let url = format!("{path}/parameters");
    for (part, content) in [("other", "1"), ("CAT", "2")] {
        let value = format!("param:{part}");
        let parts: &[Part<'_>] = &[("CAT", None, &value), (part, Some("f"), content)];
        let changed = post(&daemon, &url, parts).await;
        assert_eq!(changed.status, 303, "{}", changed.text());
        assert_eq!(daemon.client().get(&format!("{url}/{part}")).await.text(), content);
    }
    // The same URL again is the file as it is now; a table of the same name as a file is fetched beside it.
    for form in [form.clone(), form.clone(), format!("UPLOAD=CAT,http://127.0.0.1:{port}/moved")] {
        let changed = daemon.client().send("POST", &url, &[FORM], &form).await;
        let is_table = form.starts_with("UPLOAD");
        assert_eq!(changed.status, if is_table { 400 } else { 303 }, "{}", changed.text());
    }
    eventually("what was replaced or refused to go", || async {
        let [dir] = &kept(&daemon)[..] else { return None };
        (std::fs::read_dir(dir).ok()?.count() == 1).then_some(())
    })
    .await;
}
