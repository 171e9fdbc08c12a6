//! What git reads of a repository on this host, followed to where it really lies.
//!
//! Who can write to the host can make a repository that is another, or borrows from one: by links, by a file in place of a
//! `.git` directory (`gitdir: PATH`), as a worktree (`commondir`), by alternates. Every such way is followed here before git
//! is asked, and all below is walked, as a link may stand for any ref or object. What is changed between this look and
//! git's own is not seen.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use tokio_util::sync::CancellationToken;

use super::closed::{Closed, LEADS_INSIDE};

/// What git puts behind the path of a repository, in search of one.
const ENDINGS: [&str; 4] = ["/.git", "", ".git/.git", ".git"];
/// How much of a file that names other places is read, in bytes. Git takes no `.git` file that is larger.
const MAX_FILE: u64 = 1 << 20;

/// One of the two below.
pub(super) type Check = fn(&Closed, &Path, &CancellationToken) -> Result<(), &'static str>;

/// Refuses the repository that git finds at `place` if it leads into a closed directory. The file system is asked, which may
/// take long: once `given_up` is cancelled it ends soon, unless a file system does not answer.
///
/// # Errors
/// A sentence that says why, for who gave the URL.
pub(super) fn check(closed: &Closed, place: &Path, given_up: &CancellationToken) -> Result<(), &'static str> {
    let mut reach = Reach { closed, given_up, seen: HashSet::new() };
    candidates(place).iter().try_for_each(|candidate| reach.enter(candidate))
}

/// The same for the one that git-lfs finds at `place`: the first that there is there or above.
///
/// # Errors
/// As of [`check`].
pub(super) fn check_for_lfs(closed: &Closed, place: &Path, given_up: &CancellationToken) -> Result<(), &'static str> {
    let mut reach = Reach { closed, given_up, seen: HashSet::new() };
    // It takes the repository of a `.git` for that of the directory around it.
    let around = place.parent().filter(|_| place.ends_with(".git"));
    for place in around.into_iter().chain([place]) {
        for dir in closed.follow(place)?.ancestors() {
            reach.enter(&dir.join(".git"))?;
            reach.enter(dir)?;
        }
    }
    Ok(())
}

/// Where git looks for the repository at `place`. It takes the first that there is, and which one that is may change.
fn candidates(place: &Path) -> [PathBuf; 4] {
    let place = place.as_os_str().as_bytes();
    let end = place.iter().rposition(|&byte| byte != b'/').map_or(1, |last| last + 1);
    ENDINGS.map(|ending| OsStr::from_bytes(&[&place[..end], ending.as_bytes()].concat()).into())
}

struct Reach<'a> {
    closed: &'a Closed,
    given_up: &'a CancellationToken,
    /// The directories that were walked, without links.
    seen: HashSet<PathBuf>,
}

impl Reach<'_> {
    /// Looks at a repository, or a file that names one.
    fn enter(&mut self, candidate: &Path) -> Result<(), &'static str> {
        let real = self.closed.follow(candidate)?;
        match named_in(&real).as_deref().map(|text| text.strip_prefix(b"gitdir: ")) {
            Some(Some(named)) => self.repository(&beside(candidate, named)),
            Some(None) => Ok(()),
            None => self.repository(&real),
        }
    }

    fn repository(&mut self, path: &Path) -> Result<(), &'static str> {
        let path = self.closed.follow(path)?;
        // Without this git takes no directory for a repository; it may be one of data, and large.
        if path.join("HEAD").symlink_metadata().is_err() {
            return Ok(());
        }
        if let Some(named) = named_in(&path.join("commondir")) {
            self.walk(self.closed.follow(&path.join(OsStr::from_bytes(&named)))?)?;
        }
        self.walk(path)
    }

    /// Looks at all that is below the directory `start`, and at what links and alternates there lead to.
    fn walk(&mut self, start: PathBuf) -> Result<(), &'static str> {
        let mut waiting = vec![start];
        while let Some(dir) = waiting.pop() {
            if self.closed.meet(&dir) {
                return Err(LEADS_INSIDE);
            }
            if !self.seen.insert(dir.clone()) {
                continue;
            }
            waiting.extend(self.alternates(&dir)?);
            // What the daemon cannot read, git cannot, as it is the same user.
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                if self.given_up.is_cancelled() {
                    return Err("nobody waits for the source any more");
                }
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_symlink() {
                    waiting.push(self.closed.follow(&entry.path())?);
                } else if kind.is_dir() {
                    waiting.push(entry.path());
                }
            }
        }
        Ok(())
    }

    /// The directories of objects that `objects` borrows from.
    fn alternates(&self, objects: &Path) -> Result<Vec<PathBuf>, &'static str> {
        let Some(text) = contents(&objects.join("info/alternates")) else { return Ok(Vec::new()) };
        if text.len() as u64 == MAX_FILE {
            return Err("the repository borrows from too many others (objects/info/alternates); give another");
        }
        let mut found = Vec::new();
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
            if line.starts_with(b"\"") {
                return Err("the repository borrows from a quoted path (objects/info/alternates); write it without");
            }
            let path = objects.join(OsStr::from_bytes(line));
            // Git takes `..` back by the text, the kernel by the directories.
            found.extend([self.closed.follow(&path)?, self.closed.follow(&collapsed(&path))?]);
        }
        Ok(found)
    }
}

/// The path `named`, if it is relative seen from the directory that `file` is called in.
fn beside(file: &Path, named: &[u8]) -> PathBuf {
    file.parent().unwrap_or(file).join(OsStr::from_bytes(named))
}

/// The one path that the file at `path` holds.
fn named_in(path: &Path) -> Option<Vec<u8>> {
    let mut text = contents(path)?;
    while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        text.pop();
    }
    Some(text)
}

/// The beginning of the file at `path`, as far as git reads it: to the first zero byte. `None` for what is no file.
fn contents(path: &Path) -> Option<Vec<u8>> {
    // A FIFO must not make us wait for its other end, and a device is not even opened.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let file =
        OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path).ok()?;
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    text.truncate(text.iter().position(|&byte| byte == 0).unwrap_or(text.len()));
    Some(text)
}

/// `path` with every `..` taken back by the text alone.
fn collapsed(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut collapsed, part| {
        match part {
            Component::ParentDir => {
                collapsed.pop();
            }
            part => collapsed.push(part),
        }
        collapsed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a repository in which `file` holds `text`.
    fn said_of(file: &str, text: &str, given_up: &CancellationToken) -> Result<(), &'static str> {
        let dir = tempfile::tempdir().expect("a directory");
        for (path, text) in [("x/HEAD", ""), (file, text)] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        }
        check(&Closed::new([dir.path().join("state").as_path()]), &dir.path().join("x"), given_up)
    }

    #[test]
    fn git_looks_at_four_places() {
        let found = |place: &str| candidates(Path::new(place)).map(|path| path.display().to_string());
        assert_eq!(found("/srv/x//"), ["/srv/x/.git", "/srv/x", "/srv/x.git/.git", "/srv/x.git"]);
        assert_eq!(found("//"), ["//.git", "/", "/.git/.git", "/.git"]);
    }

    #[test]
    fn what_a_file_names_is_followed() {
        let going_on = CancellationToken::new();
        for (file, text) in [
            ("x/.git", "gitdir: ../y"),
            ("x/commondir", "y"),
            ("x/objects/info/alternates", "\n#\n/none"),
            ("x/objects/info/alternates", "#\"\n"),
            ("x.git/objects/info/alternates", "../../state"),
        ] {
            assert_eq!(said_of(file, text, &going_on), Ok(()), "{file}: {text}");
        }
        for (file, text) in [
            ("x.git", "gitdir: state/git\r\n"),
            ("x/.git", "gitdir: ../state"),
            ("x/commondir", "../state\0\n"),
            ("x/objects/info/alternates", "/none\n../../state/git"),
            ("x/objects/info/alternates", "none/../../../state/git"),
        ] {
            assert_eq!(said_of(file, text, &going_on), Err(LEADS_INSIDE), "{file}: {text}");
        }
        let endless = said_of("x/objects/info/alternates", &"/none\n".repeat(200_000), &going_on);
        assert!(endless.expect_err("refused").contains("too many others"));
    }

    #[test]
    fn once_nobody_waits_no_more_is_looked_at() {
        let given_up = CancellationToken::new();
        given_up.cancel();
        assert!(said_of("x/refs/heads/main", "", &given_up).expect_err("ended").contains("nobody waits"));
    }
}
