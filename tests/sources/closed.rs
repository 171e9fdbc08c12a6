//! Directories of the daemon's own, by a URL with `file`.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uwsd::ports::{SourceError, Sources as _};
use uwsd::sources::GitSources;

use crate::redirection::{ADA, LOGIN};
use crate::repository::{Repositories, git, serve_files};
use crate::{Bench, config, file_url, files_below, source};

const REFUSAL: &str = "the source URL leads into the daemon's own files; give a repository elsewhere";

/// A daemon with the mirror of a private repository, and a directory that jobs can write to.
struct Planted {
    bench: Bench,
    repositories: Repositories,
    mirror: PathBuf,
    open: PathBuf,
}

impl Planted {
    async fn new() -> Self {
        let repositories = Repositories::new();
        let mut tasks = JoinSet::new();
        let port = serve_files(&mut tasks, repositories.root.path().to_owned(), Some(LOGIN)).await;
        let bench = Bench::new(config());
        bench.checkout(&format!("http://{ADA}127.0.0.1:{port}/x.git/.git"), "").await.unwrap();
        let (mirror, open) = (bench.mirror(), bench.dir.path().join("open"));
        fs::create_dir(&open).unwrap();
        Self { bench, repositories, mirror, open }
    }

    /// The mirror, as seen from a directory two below the bench's.
    fn relative(&self) -> PathBuf {
        Path::new("../..").join(self.mirror.strip_prefix(self.bench.dir.path()).unwrap())
    }

    /// A directory in the open one.
    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.open.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A bare repository in the open directory that names the private commit and has no object.
    fn empty(&self, name: &str) -> PathBuf {
        let dir = self.dir(name);
        git(&dir, &["init", "--quiet", "--bare", "-b", "main"]);
        fs::write(dir.join("refs/heads/main"), format!("{}\n", self.repositories.main)).unwrap();
        dir
    }

    /// The same, with `alternates`.
    fn borrowing(&self, name: &str, alternates: impl AsRef<[u8]>) -> PathBuf {
        let dir = self.empty(name);
        fs::write(dir.join("objects/info/alternates"), alternates).unwrap();
        dir
    }

    /// The same, with a link in place of `part`.
    fn linked(&self, name: &str, part: &str) -> PathBuf {
        let dir = self.empty(name);
        let _ = fs::remove_dir_all(dir.join(part));
        symlink(self.mirror.join(part), dir.join(part)).unwrap();
        dir
    }
}

#[tokio::test]
async fn a_mirror_is_no_source_for_others() {
    let Planted { bench, mirror, open, .. } = Planted::new().await;
    let url = file_url(&mirror);
    for url in [url.replace("mirrors", "%6dirrors"), mirror.display().to_string(), url] {
        let unfit = bench.sources.check(&source(&url, "")).unwrap_err();
        assert_eq!((unfit.field, unfit.why.as_str()), ("url", REFUSAL), "{url}");
        assert_eq!(bench.checkout(&url, "").await, Err(SourceError::Refused(REFUSAL.to_owned())));
        assert_eq!(bench.sources.prefetch(&url).await, Err(SourceError::Refused(REFUSAL.to_owned())));
    }
    // Where links lead to is not asked at submission: the file system may not answer.
    symlink(bench.dir.path().join("scratch"), open.join("link")).unwrap();
    let through = file_url(&open.join("link/mirrors").join(mirror.file_name().unwrap()));
    assert_eq!(bench.sources.check(&source(&through, "")), Ok(()));
    assert_eq!(bench.checkout(&through, "").await, Err(SourceError::Refused(REFUSAL.to_owned())));
    assert_eq!(bench.sources.prefetch(&through).await, Err(SourceError::Refused(REFUSAL.to_owned())));
}

#[tokio::test]
async fn no_repository_that_somebody_made_leads_into_a_mirror() {
    let planted = Planted::new().await;
    let (mirror, relative, open) = (&planted.mirror, planted.relative(), &planted.open);
    let gitfile = |file: PathBuf, named: &Path| fs::write(file, format!("gitdir: {}\n", named.display())).unwrap();
    let objects = mirror.join("objects");

    symlink(mirror, open.join("a.git")).unwrap();
    symlink(mirror, planted.dir("b").join(".git")).unwrap();
    symlink(mirror, planted.dir("c.git").join(".git")).unwrap();
    gitfile(open.join("d"), mirror);
    gitfile(planted.dir("e").join(".git"), &relative);
    gitfile(open.join("f.git"), mirror);
    gitfile(planted.dir("g.git").join(".git"), &relative);
    fs::write(open.join("h"), [b"gitdir: ", mirror.as_os_str().as_encoded_bytes(), b"\0more"].concat()).unwrap();
    // A `.git` that is none is passed over.
    planted.dir("i/.git");
    symlink(mirror, open.join("i.git")).unwrap();

    planted.borrowing("j", format!("{}\n", objects.display()));
    planted.borrowing("k", format!("# of this\n\n../{}\n", relative.join("objects").display()));
    planted.borrowing("l", format!("{}\n", open.join("j/objects").display()));
    planted.borrowing("m", [objects.as_os_str().as_encoded_bytes(), b"\0more"].concat());
    planted.borrowing("n", format!("{:?}\n", objects.display().to_string()));
    // Taken back by the text, this is another directory than by the kernel.
    let far = planted.dir("far/away/there");
    let back = planted.borrowing("o", format!("link/../../{}\n", relative.join("objects").display()));
    symlink(far, back.join("objects/link")).unwrap();

    planted.linked("p", "objects");
    let packs = planted.empty("q");
    fs::remove_dir_all(packs.join("objects")).unwrap();
    for file in files_below(&objects) {
        let link = packs.join("objects").join(file.strip_prefix(&objects).unwrap());
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(file, link).unwrap();
    }
    fs::create_dir_all(packs.join("objects/pack")).unwrap();
    symlink(planted.linked("second", "objects").join("objects"), planted.dir("r").join("objects")).unwrap();
    fs::write(open.join("r/HEAD"), &planted.repositories.main).unwrap();
    planted.dir("r/refs");
    // Which commits there are is a secret, too.
    git(open, &["clone", "--quiet", "--bare", &file_url(&planted.repositories.dir()), "s"]);
    fs::remove_file(open.join("s/packed-refs")).unwrap();
    symlink(mirror.join("packed-refs"), open.join("s/packed-refs")).unwrap();

    for (name, common) in [("t", mirror), ("u", &relative)] {
        fs::write(planted.dir(name).join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(open.join(name).join("commondir"), format!("{}\n", common.display())).unwrap();
    }
    gitfile(planted.dir("v").join(".git"), Path::new("../u"));

    let mut leaks = Vec::new();
    for name in 'a'..='v' {
        let url = file_url(&open.join(name.to_string()));
        match planted.bench.checkout(&url, "").await {
            Err(SourceError::Refused(why)) if why == REFUSAL => {}
            Err(SourceError::Refused(why)) if name == 'n' && why.contains("quoted path") => {}
            other => leaks.push(format!("{name}: {other:?}")),
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[tokio::test]
async fn a_way_through_other_processes_and_a_zero_byte_are_no_way() {
    let planted = Planted::new().await;
    let root = Path::new("/proc/self/root").join(planted.repositories.dir().strip_prefix("/").unwrap());
    symlink(&root, planted.open.join("a")).unwrap();
    assert_eq!(planted.bench.sources.check(&source(&file_url(&root), "")).unwrap_err().why, REFUSAL);
    let done = planted.bench.checkout(&file_url(&planted.open.join("a")), "").await;
    assert_eq!(done, Err(SourceError::Refused(REFUSAL.to_owned())));

    symlink(&planted.mirror, planted.open.join("x%00")).unwrap();
    let done = planted.bench.checkout(&file_url(&planted.open.join("x%00")), "").await;
    assert!(matches!(&done, Err(SourceError::Refused(why)) if why.contains("%2500")), "{done:?}");
    let done = planted.bench.checkout(&planted.open.join("x%00").display().to_string(), "").await;
    assert_eq!(done, Err(SourceError::Refused(REFUSAL.to_owned())));
}

#[tokio::test]
async fn what_borrows_from_open_repositories_is_a_source_as_ever() {
    let repositories = Repositories::new();
    let (root, x) = (repositories.root.path(), repositories.dir());
    git(root, &["clone", "--quiet", "--shared", "--bare", "x.git", "shared.git"]);
    git(root, &["clone", "--quiet", "--shared", "shared.git", "again"]);
    git(&x, &["worktree", "add", "--quiet", "--detach", "../tree", "main"]);
    fs::create_dir(root.join("workdir")).unwrap();
    symlink("../x.git/.git", root.join("workdir/.git")).unwrap();
    symlink("x.git", root.join("link.git")).unwrap();
    let bench = Bench::new(config());
    for name in ["x", "x.git", "x.git/.git", "shared", "again", "tree", "workdir//", "link"] {
        let done = bench.checkout(&file_url(&root.join(name)), "main").await;
        assert_eq!(done.map(|done| done.commit), Ok(repositories.main.clone()), "{name}");
    }
}

#[tokio::test]
async fn a_fifo_in_a_repository_holds_nobody_up() {
    let repositories = Repositories::new();
    let fifo = repositories.dir().join(".git/objects/info/alternates");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let bench = Bench::new(uwsd::config::Sources { clone_timeout: Duration::from_secs(1), ..config() });
    // Git waits for its other end. This test could not end while a thread of ours did.
    let done = bench.checkout(&file_url(&repositories.dir()), "").await;
    assert!(matches!(&done, Err(SourceError::TimedOut(_))), "{done:?}");
}

/// A mount that never answers, like that of a server that is gone; ended when dropped.
struct Silent {
    _device: fs::File,
    place: PathBuf,
}

impl Silent {
    /// `None`, said aloud, where nothing can be mounted.
    fn mount(place: PathBuf) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let device = fs::File::options().read(true).write(true).open("/dev/fuse");
        let mounted = device.map_err(|error| error.to_string()).and_then(|device| {
            let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
            let (kind, flags) = (Some("fuse"), MsFlags::empty());
            let mounted = mount(Some("silent"), &place, kind, flags, Some(options.as_str()));
            mounted.map(|()| Self { _device: device, place }).map_err(|error| error.to_string())
        });
        mounted
            .map_err(|error| eprintln!("SKIPPED: a file system that does not answer cannot be mounted: {error}"))
            .ok()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = umount2(&self.place, MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn a_mount_that_does_not_answer_ends_with_the_time_for_a_clone() {
    let dir = tempfile::tempdir().unwrap();
    let limited = uwsd::config::Sources { clone_timeout: Duration::from_millis(700), ..config() };
    let sources = Arc::new(GitSources::new(limited, dir.path().join("scratch"), &[]).unwrap());
    let Some(silent) = Silent::mount(dir.path().join("silent")) else { return };
    let url = file_url(&silent.place.join("x"));
    let checked = tokio::task::spawn_blocking({
        let (sources, source) = (Arc::clone(&sources), source(&url, ""));
        move || sources.check(&source)
    });
    let checked = timeout(Duration::from_secs(10), checked).await.expect("no file system is asked at submission");
    assert_eq!(checked.unwrap(), Ok(()));
    // More than may look at once: who waits for a turn is given up in time, too.
    let waiting = (0..20).map(|n| {
        let (sources, url, into) = (Arc::clone(&sources), url.clone(), dir.path().join(format!("src{n}")));
        async move {
            fs::create_dir(&into).unwrap();
            sources.checkout(&source(&url, ""), &into).await
        }
    });
    let done = timeout(Duration::from_secs(30), futures_util::future::join_all(waiting)).await.expect("given up");
    assert!(done.iter().all(|done| matches!(done, Err(SourceError::TimedOut(_)))), "{done:?}");
    let done = timeout(Duration::from_secs(30), sources.prefetch(&url)).await.expect("given up");
    assert!(matches!(done, Err(SourceError::TimedOut(_))), "{done:?}");
}

#[tokio::test]
async fn what_lies_with_the_jobs_is_no_source_either() {
    let repositories = Repositories::new();
    let dir = tempfile::tempdir().unwrap();
    let jobs = repositories.root.path();
    let sources = GitSources::new(config(), dir.path().join("scratch"), &[jobs]).unwrap();
    let into = dir.path().join("src");
    fs::create_dir(&into).unwrap();
    let error = sources.checkout(&source(&file_url(&repositories.dir()), ""), &into).await.unwrap_err();
    assert!(matches!(&error, SourceError::Refused(why) if why.contains("the daemon's own files")), "{error:?}");
}
