//! Results and logs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::bed::{Bed, Daemon};

/// A job that left one file `data.txt` with ten digits.
async fn with_digits(daemon: &Daemon) -> String {
    let id = daemon.submit("write data.txt 0123456789").await;
    daemon.reaches(&id, "completed").await;
    id
}

fn out(daemon: &Daemon, id: &str) -> PathBuf {
    daemon.config.server.jobs_dir.join(id).join("out")
}

#[tokio::test]
async fn a_result_is_sent_with_all_that_a_download_needs() {
    let daemon = Bed::new().start().await;
    let id = with_digits(&daemon).await;
    let answer = daemon.client().get(&format!("/api/v1/job/result/{id}/0")).await;
    assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    for (header, value) in [
        ("content-length", "10"),
        ("content-type", "text/plain"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "attachment; filename=\"data.txt\"; filename*=UTF-8''data.txt"),
    ] {
        assert_eq!(answer.header(header), value, "{header}");
    }
    assert!(answer.header("etag").starts_with('"'), "a strong one");
}

#[tokio::test]
async fn a_file_that_the_client_has_is_not_sent_again() {
    let daemon = Bed::new().start().await;
    let id = with_digits(&daemon).await;
    let (client, path) = (daemon.client(), format!("/api/v1/job/result/{id}/0"));
    let etag = client.get(&path).await.header("etag").to_owned();
    let again = client.send("GET", &path, &[("if-none-match", &etag)], "").await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, etag.as_str()));
    assert_eq!(client.send("GET", &path, &[("if-none-match", "\"other\"")], "").await.status, 200);
    let part = client.send("GET", &path, &[("range", "bytes=2-3"), ("if-range", &etag)], "").await;
    assert_eq!((part.status, part.text()), (206, "23"));
    let whole = client.send("GET", &path, &[("range", "bytes=2-3"), ("if-range", "\"other\"")], "").await;
    assert_eq!((whole.status, whole.text()), (200, "0123456789"));
}

#[tokio::test]
async fn one_range_is_sent_as_asked() {
    let daemon = Bed::new().start().await;
    let id = with_digits(&daemon).await;
    let (client, path) = (daemon.client(), format!("/api/v1/job/result/{id}/0"));
    for (range, text, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = client.send("GET", &path, &[("range", range)], "").await;
        assert_eq!((answer.status, answer.text()), (206, text), "{range}");
        assert_eq!(answer.header("content-range"), content_range);
        assert_eq!(answer.header("content-length"), text.len().to_string());
    }
    let beyond = client.send("GET", &path, &[("range", "bytes=10-")], "").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */10"));
    for ignored in ["bytes=0-1,3-4", "bytes=x", "lines=1-2", "bytes=5-2"] {
        let answer = client.send("GET", &path, &[("range", ignored)], "").await;
        assert_eq!((answer.status, answer.text()), (200, "0123456789"), "{ignored}");
    }
}

#[tokio::test]
async fn a_large_result_arrives_whole() {
    let daemon = Bed::new().start().await;
    let id = with_digits(&daemon).await;
    let content: Vec<u8> = (0..9_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(out(&daemon, &id).join("data.txt"), &content).expect("written");
    let answer = daemon.client().get(&format!("/api/v1/job/result/{id}/0")).await;
    assert_eq!(answer.header("content-length"), content.len().to_string());
    assert!(answer.body == content, "the bytes differ");
    let part = daemon
        .client()
        .send("GET", &format!("/api/v1/job/result/{id}/0"), &[("range", "bytes=1000001-30000000")], "")
        .await;
    assert!(part.body == content[1_000_001..=30_000_000], "the bytes differ");
}

#[tokio::test]
async fn numbers_that_are_no_result_are_404() {
    let daemon = Bed::new().start().await;
    let id = with_digits(&daemon).await;
    for number in ["1", "-1", "+0", "x", "0x0", "99999999999999999999999", "%30"] {
        let answer = daemon.client().get(&format!("/api/v1/job/result/{id}/{number}")).await;
        assert_eq!((answer.status, answer.text()), (404, "Result file not found."), "{number}");
    }
    let nobody = "0192e4f1c7a87d2f8f1b0c5d7e9a1b3c";
    let answer = daemon.client().get(&format!("/api/v1/job/result/{nobody}/0")).await;
    assert_eq!((answer.status, answer.text()), (404, "Result file not found."));
}

#[tokio::test]
async fn nothing_outside_the_output_directory_is_ever_sent() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("write data.txt 1; write sub/deep.txt 2").await;
    let job = daemon.reaches(&id, "completed").await;
    assert_eq!(job["results"].as_array().expect("a list").len(), 2);
    let out = out(&daemon, &id);
    let secret = daemon.dir.path().join("secret");
    fs::write(&secret, "secret").expect("written");
    let (client, path) = (daemon.client(), format!("/api/v1/job/result/{id}/0"));
    let replace = |make: &dyn Fn(&PathBuf)| {
        let _ = fs::remove_file(out.join("data.txt"));
        make(&out.join("data.txt"));
    };
    replace(&|file| symlink("/etc/passwd", file).expect("linked"));
    assert_eq!(client.get(&path).await.status, 404, "a link");
    replace(&|file| symlink("sub/deep.txt", file).expect("linked"));
    assert_eq!(client.get(&path).await.status, 404, "a link inside");
    replace(&|file| mkfifo(file, Mode::S_IRWXU).expect("made"));
    assert_eq!(client.get(&path).await.status, 404, "a FIFO");
    replace(&|_| ());
    let gone = client.get(&path).await;
    assert_eq!((gone.status, gone.text()), (404, "Result file not found."));
    replace(&|file| fs::hard_link(&secret, file).expect("linked"));
    assert_eq!(client.get(&path).await.text(), "secret", "a hard link is the file itself");
    // A directory of the path turns into a link after the results were noted.
    fs::rename(out.join("sub"), out.join("moved")).expect("moved");
    fs::write(daemon.dir.path().join("deep.txt"), "secret").expect("written");
    symlink(daemon.dir.path(), out.join("sub")).expect("linked");
    assert_eq!(client.get(&format!("/api/v1/job/result/{id}/1")).await.status, 404, "a directory link");
}

#[tokio::test]
async fn names_are_safe_in_the_header() {
    let daemon = Bed::new().start().await;
    let id = daemon.submit("write ä\"b.fits 1").await;
    daemon.reaches(&id, "completed").await;
    let answer = daemon.client().get(&format!("/api/v1/job/result/{id}/0")).await;
    let expected = "attachment; filename=\"__b.fits\"; filename*=UTF-8''%C3%A4%22b.fits";
    assert_eq!(answer.header("content-disposition"), expected);
}

#[tokio::test]
async fn logs_are_sent_before_while_and_after_the_job_runs() {
    let daemon = Bed::new().start().await;
    let client = daemon.client();
    let id = daemon.submit("print one; complain two; hang").await;
    daemon.reaches(&id, "executing").await;
    let running = client.get(&format!("/api/v1/job/{id}/stdout")).await;
    assert_eq!((running.status, running.text()), (200, "one\n"));
    assert_eq!(running.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(client.get(&format!("/api/v1/job/{id}/stderr")).await.text(), "two\n");
    let new = client.send("GET", &format!("/api/v1/job/{id}/stdout"), &[("range", "bytes=2-")], "").await;
    assert_eq!((new.status, new.text()), (206, "e\n"));
    let nothing = client.send("GET", &format!("/api/v1/job/{id}/stdout"), &[("range", "bytes=4-")], "").await;
    assert_eq!(nothing.status, 416);
    let idle = Bed::without_runs().start().await;
    let waiting = idle.submit("print one").await;
    for stream in ["stdout", "stderr"] {
        let answer = idle.client().get(&format!("/api/v1/job/{waiting}/{stream}")).await;
        assert_eq!((answer.status, answer.text()), (200, ""), "not started yet");
    }
}

#[tokio::test]
async fn each_replica_has_its_log() {
    let daemon = Bed::new().start().await;
    let answer = daemon.put(&serde_json::json!({ "command": "print hello", "replicas": 2 })).await;
    let id = answer.json()["jobId"].as_str().expect("an id").to_owned();
    daemon.reaches(&id, "completed").await;
    for query in ["", "?replica=0", "?replica=1"] {
        let log = daemon.client().get(&format!("/api/v1/job/{id}/stdout{query}")).await;
        assert_eq!((log.status, log.text()), (200, "hello\n"), "{query}");
    }
    assert_eq!(daemon.client().get(&format!("/api/v1/job/{id}/stdout?replica=2")).await.status, 400);
}
