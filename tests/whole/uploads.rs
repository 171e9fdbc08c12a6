//! Files that a parameter names by URL, from a server with TLS.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use http::StatusCode;

use crate::bed::{Bed, Engine, UWSD, free_port};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Ended when dropped.
struct WebServer(Child);

impl Drop for WebServer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn openssl(dir: &Path, words: &str) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(words.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Serves the files of `dir` over TLS; `ca.pem` there is the authority that says so.
fn serve(dir: &Path, port: u16) -> WebServer {
    std::fs::write(dir.join("san"), "subjectAltName=IP:127.0.0.1\n").expect("written");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for words in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
        format!("req {key} -keyout server.key -out server.csr -subj /CN=server"),
        "x509 -req -in server.csr -out server.pem -extfile san -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
            .to_owned(),
    ] {
        assert!(openssl(dir, &words).status().expect("openssl is there").success(), "{words}");
    }
    let words = format!("s_server -accept 127.0.0.1:{port} -cert server.pem -key server.key -WWW -quiet");
    WebServer(openssl(dir, &words).spawn().expect("started"))
}

#[tokio::test]
async fn a_file_is_fetched_over_https_from_a_server_that_is_trusted_and_from_no_other() {
    let networks = "\n[uploads]\nfrom_urls = true\nurl_networks = [\"127.0.0.0/8\"]\n";
    let service = "[service.typed]\nmemory = \"256MiB\"\n\
                   command = [\"/bin/sh\", \"-c\", 'cat \"$1\" > \"$JOB_OUTPUT_DIR/result\"', \"typed\", \"{CATALOG}\"]\n\
                   parameters = [{ name = \"CATALOG\", type = \"file\", required = true }]\n";
    let bed = Bed::new(&Engine::Process, &format!("{networks}{service}"));
    let web = tempfile::tempdir().expect("temp dir");
    std::fs::write(web.path().join("stars.csv"), "vega,0.03\n").expect("written");
    let port = free_port();
    let _server = serve(web.path(), port);
    bed.until("the server to listen", async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    let form = format!("CATALOG=https://127.0.0.1:{port}/stars.csv&PHASE=RUN");
    let submit = async || bed.request("POST", "/api/typed/async", &[FORM], form.clone()).await;

    let stranger = bed.start(None).await;
    let refused = submit().await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text());
    assert!(
        refused.text().contains("cannot be fetched") && refused.text().contains("certificate"),
        "{}",
        refused.text()
    );
    assert_eq!(stranger.terminate().await, Some(0));

    let mut trusting = Command::new(UWSD);
    trusting.stdin(Stdio::null()).env("SSL_CERT_FILE", web.path().join("ca.pem")).env_remove("SSL_CERT_DIR");
    let _daemon = bed.start_by(trusting, None).await;
    let made = submit().await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text());
    let id = made.headers["location"].to_str().expect("text").rsplit('/').next().expect("an id").to_owned();
    let job = format!("/api/typed/async/{id}");
    bed.until("its end", async || bed.get(&format!("{job}/phase")).await.text().starts_with("COMPLETED")).await;
    assert_eq!(bed.get(&format!("{job}/results/result")).await.text(), "vega,0.03\n");
}
