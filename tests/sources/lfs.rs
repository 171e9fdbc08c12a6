//! Large files (git-lfs) from real stores: a repository on this host, and a server of the batch API on loopback.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use uwsd::ports::SourceError;

use crate::repository::{Daemon, Repositories, git};
use crate::{Bench, config, file_url, files_below};

const CONTENT: &str = "a table that is said to be large\n";

fn is_installed() -> bool {
    Command::new("git").args(["lfs", "version"]).output().unwrap().status.success()
}

/// The test repository with `table.bin`, a large file; `None`, said aloud, without git-lfs.
fn repository() -> Option<Repositories> {
    if !is_installed() {
        eprintln!("SKIPPED: git-lfs is not there (package git-lfs)");
        return None;
    }
    let repositories = Repositories::new();
    let dir = repositories.dir();
    fs::write(dir.join(".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    fs::write(dir.join("table.bin"), CONTENT).unwrap();
    git(&dir, &["-c", "filter.lfs.clean=git-lfs clean -- %f", "-c", "filter.lfs.required=true", "add", "--all"]);
    git(&dir, &["commit", "--quiet", "-m", "a large file"]);
    git(&dir, &["update-server-info"]);
    let kept = git(&dir, &["show", "HEAD:table.bin"]);
    assert!(kept.starts_with("version https://git-lfs"), "{kept}");
    Some(repositories)
}

fn table(bench: &Bench) -> String {
    fs::read_to_string(bench.dir.path().join("src/table.bin")).unwrap()
}

#[tokio::test]
async fn large_files_are_fetched_only_if_configured() {
    let Some(repositories) = repository() else { return };
    let url = file_url(&repositories.dir());
    let without = Bench::new(config());
    without.checkout(&url, "").await.unwrap();
    assert!(table(&without).starts_with("version https://git-lfs"), "{}", table(&without));
    let with = Bench::new(config::Sources { lfs: true, ..config() });
    with.checkout(&url, "").await.unwrap();
    assert_eq!((table(&with).as_str(), with.readme().as_str()), (CONTENT, "two"));
    for file in files_below(&with.dir.path().join("src")) {
        assert_eq!(fs::metadata(&file).unwrap().nlink(), 1, "a job can change what it shares: {}", file.display());
    }
    assert_eq!(git(&with.dir.path().join("src"), &["-c", "filter.lfs.clean=git-lfs clean", "status", "-s"]), "");
}

#[tokio::test]
async fn large_files_come_from_a_server_with_the_login_of_the_url() {
    let Some(repositories) = repository() else { return };
    let mut tasks = JoinSet::new();
    let port = serve(&mut tasks, repositories.dir(), "Basic YWRhOnBAc3Mvdw==").await;
    let bench = Bench::new(config::Sources { lfs: true, ..config() });
    bench.checkout(&format!("http://ada:p%40ss%2fw@127.0.0.1:{port}/.git"), "").await.unwrap();
    assert_eq!(table(&bench), CONTENT);
}

#[tokio::test]
async fn large_files_of_the_daemon_s_own_are_no_source() {
    let Some(repositories) = repository() else { return };
    let dir = repositories.dir();
    let bench = Bench::new(config::Sources { lfs: true, ..config() });
    let open = bench.dir.path().join("open");
    let lfs = bench.dir.path().join("scratch/lfs");
    fs::create_dir(&open).unwrap();
    fs::rename(dir.join(".git/lfs"), &lfs).unwrap();
    let clone = |name: &str| {
        git(&open, &["clone", "--quiet", "--bare", &file_url(&dir), name]);
        open.join(name)
    };

    symlink(&lfs, clone("linked").join("lfs")).unwrap();
    git(&clone("told"), &["config", "lfs.storage", &lfs.display().to_string()]);
    let borrowed = clone("borrowed");
    fs::write(clone("borrowing").join("objects/info/alternates"), "../../borrowed/objects\n").unwrap();
    symlink(&lfs, borrowed.join("lfs")).unwrap();
    // Git finds these by their endings or by the whole of the name, and git-lfs another, above or of a shorter name.
    fs::create_dir_all(open.join("near/beside")).unwrap();
    symlink(&lfs, clone("near/.git").join("lfs")).unwrap();
    clone("near/beside.git");
    for (found, taken) in [("cut?off", "cut"), ("short#ened", "short")] {
        clone(found);
        symlink(&lfs, clone(taken).join("lfs")).unwrap();
    }
    fs::create_dir_all(open.join("far/away")).unwrap();
    symlink(&lfs, clone("far/.git").join("lfs")).unwrap();
    symlink("far/away", open.join("through")).unwrap();
    clone("through.git");
    clone("l%69nked");
    let linked = open.join("linked").display().to_string();
    for (name, file, url) in [
        ("elsewhere", ".lfsconfig", format!("file://{linked}")),
        ("plain", ".lfsconfig", linked.clone()),
        ("encoded", ".lfsconfig", linked.replace("linked", "l%69nked")),
        ("renamed", "kept", format!("file://{linked}")),
    ] {
        git(&open, &["clone", "--quiet", &file_url(&dir), name]);
        git(&open.join(name), &["config", "-f", file, "lfs.url", &url]);
        if file != ".lfsconfig" {
            symlink(file, open.join(name).join(".lfsconfig")).unwrap();
        }
        git(&open.join(name), &["add", ".lfsconfig", file]);
        git(&open.join(name), &["commit", "--quiet", "-m", "elsewhere"]);
    }

    let mut leaks = Vec::new();
    for name in [
        "linked",
        "told",
        "borrowing",
        "near/beside",
        "cut?off",
        "short#ened",
        "through",
        "elsewhere",
        "plain",
        "encoded",
        "renamed",
    ] {
        let done = bench.checkout(&file_url(&open.join(name)), "").await;
        let table = fs::read_to_string(bench.dir.path().join("src/table.bin")).unwrap_or_default();
        if done.is_ok() || table == CONTENT {
            leaks.push(format!("{name}: {done:?}: {table}"));
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[tokio::test]
async fn a_server_of_large_files_that_a_link_names_is_checked_as_any() {
    let Some(repositories) = repository() else { return };
    let dir = repositories.dir();
    git(&dir, &["config", "-f", "kept", "lfs.url", &file_url(&dir)]);
    // Neither git nor git-lfs follows this; whoever did would come to no end.
    git(&dir, &["config", "-f", "kept", "include.path", "kept"]);
    symlink("kept", dir.join(".lfsconfig")).unwrap();
    git(&dir, &["add", ".lfsconfig", "kept"]);
    git(&dir, &["commit", "--quiet", "-m", "renamed"]);
    let daemon = Daemon::serve(repositories.root.path());
    let protocols = vec!["git".to_owned()];
    let bench = Bench::new(config::Sources { lfs: true, git_protocols: protocols, ..config() });
    let error = bench.checkout(&daemon.url(), "").await.unwrap_err();
    assert!(error.to_string().contains("the repository's .lfsconfig is refused"), "{error}");
}

#[tokio::test]
async fn a_large_file_that_is_not_to_be_had_fails_the_checkout() {
    let Some(repositories) = repository() else { return };
    fs::remove_dir_all(repositories.dir().join(".git/lfs")).unwrap();
    let bench = Bench::new(config::Sources { lfs: true, ..config() });
    let error = bench.checkout(&file_url(&repositories.dir()), "").await.unwrap_err();
    let SourceError::Refused(why) = error else { panic!("{error:?}") };
    eprintln!("{why}");
    assert!(why.starts_with("the large files (git-lfs) were not fetched: ") && why.contains("missing object"), "{why}");
}

/// Where git-lfs is installed, the test runs itself again where it cannot be seen.
#[tokio::test]
async fn lfs_without_git_lfs_is_a_clear_error() {
    if is_installed() {
        let found = Command::new("which").args(["-a", "git-lfs"]).output().unwrap().stdout;
        let mut bwrap = Command::new("bwrap");
        bwrap.args(["--dev-bind", "/", "/"]);
        for program in String::from_utf8(found).unwrap().lines() {
            bwrap.args(["--ro-bind", "/dev/null"]).arg(fs::canonicalize(program).unwrap());
        }
        let me = std::env::current_exe().unwrap();
        let again = bwrap.arg(me).args(["--exact", "lfs::lfs_without_git_lfs_is_a_clear_error"]).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
        assert!(again.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let bench = Bench::new(config::Sources { lfs: true, ..config() });
    let error = bench.checkout("https://localhost/x", "").await.unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("git-lfs is not installed")), "{error:?}");
}

/// Serves the repository and its large files over HTTP to whoever sends `login`; the port.
async fn serve(tasks: &mut JoinSet<()>, repository: PathBuf, login: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(BufReader::new(stream), &repository, login, port).await;
        }
    });
    port
}

async fn answer(mut stream: BufReader<TcpStream>, repository: &Path, login: &str, port: u16) {
    let (mut request, mut length, mut is_allowed) = (String::new(), 0, false);
    stream.read_line(&mut request).await.unwrap_or_default();
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|count| count > 2) {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => is_allowed = value == login,
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap_or_default();
    let path = request.split([' ', '?']).nth(1).unwrap_or_default();
    let (status, kind, body) = match path {
        _ if !is_allowed => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", "text/plain", Vec::new()),
        "/.git/info/lfs/objects/batch" => ("200 OK", "application/vnd.git-lfs+json", batch(&body, port)),
        path => match fs::read(repository.join(path.trim_start_matches('/'))) {
            Ok(body) => ("200 OK", "application/octet-stream", body),
            Err(_) => ("404 Not Found", "text/plain", Vec::new()),
        },
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}

/// The answer of the batch API: where each object is.
fn batch(request: &[u8], port: u16) -> Vec<u8> {
    let request: Value = serde_json::from_slice(request).unwrap();
    let place = |object: &Value| {
        let oid = object["oid"].as_str().unwrap();
        let href = format!("http://127.0.0.1:{port}/.git/lfs/objects/{}/{}/{oid}", &oid[..2], &oid[2..4]);
        json!({ "oid": oid, "size": object["size"], "actions": { "download": { "href": href } } })
    };
    let objects: Vec<Value> = request["objects"].as_array().unwrap().iter().map(place).collect();
    json!({ "transfer": "basic", "objects": objects }).to_string().into_bytes()
}
