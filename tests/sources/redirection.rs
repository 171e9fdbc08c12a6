//! Logins, and servers that redirect.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uwsd::ports::SourceError;

use crate::repository::Repositories;
use crate::{Bench, config};

/// ada:p@ss/w
pub(crate) const LOGIN: &str = "YWRhOnBAc3Mvdw==";
pub(crate) const ADA: &str = "ada:p%40ss%2fw@";

/// A server of the files below `root`, and the logins that it was sent.
struct Server {
    port: u16,
    logins: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// What is below `/moved` it redirects to `to`, or to `/` of its own.
    async fn serve(tasks: &mut JoinSet<()>, root: PathBuf, to: Option<u16>, login: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let logins: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&logins);
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let (mut target, mut sent, mut line) = (String::new(), None, String::new());
                while stream.read_line(&mut line).await.is_ok_and(|count| count > 2) {
                    if let Some(rest) = line.strip_prefix("GET ") {
                        target = rest.split(' ').next().unwrap().to_owned();
                    } else if let Some(login) = line.strip_prefix("Authorization: Basic ") {
                        sent = Some(login.trim_end().to_owned());
                    }
                    line.clear();
                }
                seen.lock().unwrap().extend(sent.clone());
                let path = target.split('?').next().unwrap().trim_start_matches('/');
                let (status, body) = if let Some(rest) = target.strip_prefix("/moved") {
                    let place = format!("http://127.0.0.1:{}{rest}", to.unwrap_or(port));
                    (format!("301 Moved Permanently\r\nLocation: {place}"), Vec::new())
                } else if login.is_some_and(|login| sent.as_deref() != Some(login)) {
                    ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"".to_owned(), Vec::new())
                } else {
                    fs::read(root.join(path))
                        .map_or(("404 Not Found".into(), Vec::new()), |body| ("200 OK".into(), body))
                };
                let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, logins }
    }

    fn url(&self, login: &str, path: &str) -> String {
        format!("http://{login}127.0.0.1:{}/{path}", self.port)
    }

    fn logins(&self) -> Vec<String> {
        self.logins.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_login_does_not_go_where_its_server_redirects_to() {
    let repositories = Repositories::new();
    let mut tasks = JoinSet::new();
    let root = repositories.root.path().to_owned();
    for login in [None, Some(LOGIN)] {
        let other = Server::serve(&mut tasks, root.clone(), None, login).await;
        let named = Server::serve(&mut tasks, root.clone(), Some(other.port), None).await;
        let bench = Bench::new(config());
        let done = bench.checkout(&named.url(ADA, "moved/x.git/.git"), "").await;
        assert_eq!(other.logins(), Vec::<String>::new());
        if login.is_none() {
            assert_eq!(done.unwrap().commit, repositories.main);
        } else {
            let SourceError::Refused(why) = done.unwrap_err() else { panic!("it is refused") };
            assert!(why.contains("goes only to the server that it is given for"), "{why}");
            let SourceError::Refused(why) = bench.checkout(&other.url("", "x.git/.git"), "").await.unwrap_err() else {
                panic!("it is refused")
            };
            assert!(why.ends_with("(it is not there, or wants a login in the URL)"), "{why}");
        }
    }
}

#[tokio::test]
async fn a_login_is_good_for_every_place_of_its_server() {
    let repositories = Repositories::new();
    let mut tasks = JoinSet::new();
    let server = Server::serve(&mut tasks, repositories.root.path().to_owned(), None, Some(LOGIN)).await;
    let bench = Bench::new(config());
    let done = bench.checkout(&server.url(ADA, "moved/x.git/.git"), "").await.unwrap();
    assert_eq!((done.commit, bench.readme().as_str()), (repositories.main, "two"));
    assert!(server.logins().iter().all(|login| login == LOGIN), "{:?}", server.logins());
}
