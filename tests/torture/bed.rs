//! A small disk and a daemon of the program's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::engine::{Engine, IMAGE};
use crate::http::{Http, free_port};
use crate::processes;

/// The size of the disk that the daemon and its jobs write to, in MiB; each second fills so much of it.
const DISK: u64 = 400;
const DISK_FOR_A_SECOND: f64 = 0.5;

/// What runs the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An engine whose containers end with it.
    Docker,
    /// An engine whose containers live through its restarts.
    LiveRestore,
    /// Processes inside bubblewrap.
    Process,
}

/// Where everything lies; unmounted and ended when dropped.
pub struct Bed {
    dir: TempDir,
    daemon: Mutex<Option<Child>>,
    /// How to speak to the daemon.
    pub http: Http,
    /// What runs the jobs.
    pub mode: Mode,
    /// The engine, if there is one.
    pub engine: Option<Engine>,
}

impl Bed {
    pub fn new(mode: Mode, lasts: Duration) -> Self {
        let dir = tempfile::Builder::new().prefix("torture").tempdir().expect("a directory");
        let is_live_restore = mode == Mode::LiveRestore;
        let engine = (mode != Mode::Process).then(|| Engine::make(dir.path().join("engine"), is_live_restore));
        let bed = Self { dir, daemon: Mutex::new(None), http: Http::new(free_port()), mode, engine };
        for name in ["disk", "ledger"] {
            fs::create_dir(bed.path(name)).expect("made");
        }
        let file = bed.path("disk.img");
        let size = DISK + lasts.mul_f64(DISK_FOR_A_SECOND).as_secs();
        fs::File::create(&file).and_then(|file| file.set_len(size << 20)).expect("a file");
        // Without room that is kept for root: full is full.
        run(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-m", "0"]).arg(&file));
        run(Command::new("mount").args(["-o", "loop"]).arg(&file).arg(bed.path("disk")));
        bed.set_boot_id(0);
        bed.write_config();
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_config(&self) {
        let (backend, image) = match &self.engine {
            Some(engine) => (engine.config(), format!("image = \"{IMAGE}\"\n")),
            None => ("kind = \"process\"".to_owned(), String::new()),
        };
        let config = format!(
            "[server]\nshutdown_linger = \"200ms\"\n\n\
             [backend]\n{backend}\n\n\
             [queue]\nmax_running = 4\ncpus = 8\nmemory = \"4GiB\"\n\n\
             [disk]\nrefuse_below = \"60MiB\"\nclean_below = \"40MiB\"\nclean_min_age = \"5s\"\n\n\
             [service.ocps]\n{image}pull = \"never\"\nnetwork = \"none\"\ncpus = 0.5\nmemory = \"64MiB\"\n\
             kill_grace = \"1s\"\nmounts = [{{ source = \"{}\", target = \"/ledger\", read_only = false }}]\n",
            self.path("ledger").display()
        );
        fs::write(self.path("uwsd.toml"), config).expect("written");
    }

    /// What the daemon takes for the boot id of its host.
    pub fn set_boot_id(&self, number: u32) {
        fs::write(self.path("boot_id"), format!("00000000-0000-4000-8000-{number:012}\n")).expect("written");
    }

    /// Starts the daemon and waits until it answers.
    pub async fn start_daemon(&self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).expect("a log");
        // A boot id of our own for this process alone; after the two `exec` it has the pid that is known here.
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"")
            .arg(self.path("boot_id"))
            .arg(env!("CARGO_BIN_EXE_uwsd"))
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.http.port)])
            .arg("--config")
            .arg(self.path("uwsd.toml"))
            .arg("--state-dir")
            .arg(self.path("disk/state"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare");
        *self.daemon.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.http.get("/healthz").await.is_none_or(|answer| answer.status != 200) {
            assert!(Instant::now() < deadline, "the daemon does not answer: {}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the daemon: at once, or in peace.
    pub fn end_daemon(&self, signal: nix::sys::signal::Signal) {
        let child = self.daemon.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut child) = child else { return };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("sent");
        child.wait().expect("ended");
    }

    /// Takes room on the disk until so many MiB are left.
    pub fn fill_disk(&self, left: u64) {
        let stat = nix::sys::statvfs::statvfs(&self.path("disk")).expect("a disk");
        let free = stat.blocks_available() * stat.fragment_size();
        let take = free.saturating_sub(left << 20);
        // Jobs write meanwhile: what is left may be less than was to be taken.
        Command::new("fallocate")
            .args(["-l", &take.max(1).to_string()])
            .arg(self.path("disk/ballast"))
            .stderr(Stdio::null())
            .status()
            .expect("fallocate");
    }

    pub fn free_disk(&self) {
        fs::remove_file(self.path("disk/ballast")).ok();
    }

    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Keeps what the daemon said where it outlives this program.
    pub fn keep_log(&self, seed: u64) -> PathBuf {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("torture-{seed}.log"));
        fs::copy(self.path("daemon.log"), &kept).expect("copied");
        kept
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.end_daemon(nix::sys::signal::Signal::SIGKILL);
        match &self.engine {
            Some(engine) => engine.deed(&["--power-off"]),
            None => processes::end_all(self),
        }
        run(Command::new("umount").arg(self.path("disk")));
    }
}

/// Whether this machine has what a bed needs; else what it lacks.
pub fn can_be_made(mode: Mode) -> Result<(), String> {
    let tools =
        if mode == Mode::Process { &["mkfs.ext4", "bwrap"][..] } else { &["mkfs.ext4", "dockerd", "containerd"] };
    for tool in tools {
        let found = Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin:/sbin command -v \"$0\"", tool]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            return Err(format!("there is no {tool}; tests/run installs it"));
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (file, at) = (dir.path().join("disk.img"), dir.path().join("disk"));
    fs::create_dir(&at).expect("made");
    fs::File::create(&file).and_then(|file| file.set_len(8 << 20)).expect("a file");
    run(Command::new("/usr/sbin/mkfs.ext4").arg("-q").arg(&file));
    let mounted = Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&at).output().expect("mount");
    if !mounted.status.success() {
        return Err(format!("no file can be mounted here: {}", String::from_utf8_lossy(&mounted.stderr).trim()));
    }
    run(Command::new("umount").arg(&at));
    Ok(())
}

pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
