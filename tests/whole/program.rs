//! `uwsd` as an operator calls it beside the daemon, and the database as a test looks at it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rusqlite::{Connection, OpenFlags};

use crate::bed::{Bed, UWSD};

/// What a command came to.
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub complaint: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), complaint: text(&output.stderr) }
    }
}

impl Told {
    /// Asserts that it was done, and returns what it printed.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!((self.code, self.complaint.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Asserts that it was refused with exit code 1 and this part of a sentence.
    #[track_caller]
    pub fn refused(self, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{}", self.complaint);
        assert!(self.complaint.contains(why), "{why:?} in {}", self.complaint);
    }
}

/// A command of `uwsd` on the state of a bed, not yet started.
pub fn command(bed: &Bed, words: &[&str]) -> Command {
    let mut command = Command::new(UWSD);
    command.args(words).stdin(Stdio::null());
    command.arg("--config").arg(bed.path().join("uwsd.toml")).arg("--state-dir").arg(bed.path().join("state"));
    command
}

/// Runs one.
pub fn uwsd(bed: &Bed, words: &[&str]) -> Told {
    command(bed, words).output().expect("started").into()
}

/// The database of a bed.
pub fn database(bed: &Bed) -> PathBuf {
    bed.path().join("state/uwsd.db")
}

/// Opens a database to look at it.
pub fn look(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opened")
}

/// The ids of the jobs in a database, in the order in which they were accepted.
pub fn ids(path: &Path) -> Vec<String> {
    let connection = look(path);
    let mut select = connection.prepare("SELECT lower(hex(id)) FROM job ORDER BY seq").expect("SQL");
    select.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("read")
}

/// What SQLite says to a database as a whole.
pub fn integrity(path: &Path) -> String {
    look(path).query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked")
}

/// The names in a directory, in their order.
pub fn names(dir: &Path) -> Vec<String> {
    let listing = std::fs::read_dir(dir).expect("a directory");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> = listing.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A disk of so many KiB; unmounted when dropped.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where none can be made.
    pub fn at(path: &Path, kibibytes: u32) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: only root can make a small disk");
            return None;
        }
        std::fs::create_dir_all(path).expect("made");
        let (tmpfs, size) = (Some("tmpfs"), format!("size={kibibytes}k"));
        mount(tmpfs, path, tmpfs, MsFlags::empty(), Some(size.as_str())).expect("root may mount");
        Some(Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("it was mounted");
    }
}
