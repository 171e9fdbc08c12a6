//! Standard output and error are complete, byte for byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::geteuid;
use uwsd::domain::LogBytes;
use uwsd::ports::{How, LogLoss};

use super::{Bed, Can, MAX_LOG, can, clean, end_of, live, log_of, stdout_of};

const BURST: usize = 5_000_000;

pub async fn both_streams_are_complete(bed: &Arc<dyn Bed>) {
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf 'no newline'";
    let (backend, spec) = (bed.backend(), bed.spec(script));
    let ending = live(&*backend, &spec).await;
    let whole = |bytes| LogBytes { written: bytes, kept: bytes };
    assert_eq!((ending.log_error, ending.logs), (None, Some([whole(28), whole(18)])));
    assert_eq!(stdout_of(&spec), "out 1\nout 2\nout 3\nno newline");
    assert_eq!(log_of(&spec, "stderr"), b"err 1\nerr 2\nerr 3\n");
    clean(&*backend, &spec).await;
}

pub async fn a_burst_right_before_the_end_is_complete(bed: &Arc<dyn Bed>) {
    let script = format!("head -c {BURST} /dev/zero | tr '\\0' e >&2; head -c {BURST} /dev/zero | tr '\\0' o");
    let (backend, spec) = (bed.backend(), bed.spec(&script));
    assert_eq!(live(&*backend, &spec).await.how, How::Exited(0));
    for (stream, byte) in [("stdout", b'o'), ("stderr", b'e')] {
        let log = log_of(&spec, stream);
        assert_eq!(log.len(), BURST, "{stream}");
        assert!(log.iter().all(|b| *b == byte), "{stream} holds what was not written");
    }
    clean(&*backend, &spec).await;
}

pub async fn of_a_flood_beginning_and_end_are_kept(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::LimitLogs) {
        return;
    }
    let (flood, half) = (20_000_000_usize, usize::try_from(MAX_LOG / 2).expect("small"));
    let script = format!("echo first; head -c {flood} /dev/zero | tr '\\0' x; echo; echo last; echo quiet >&2");
    let (backend, spec) = (bed.backend(), bed.spec(&script));
    let ending = live(&*backend, &spec).await;
    assert_eq!((ending.how, ending.log_error), (How::Exited(0), None));
    let log = log_of(&spec, "stdout");
    assert!(log.starts_with(b"first\nxxx") && log.ends_with(b"xxx\nlast\n"));
    let told = "first\n".len() + flood + "\nlast\n".len();
    let marks = String::from_utf8(log[half..log.len() - half].to_vec()).expect("text");
    let cut = told - 2 * half;
    assert_eq!(marks, format!("\n[uwsd: this log may have {MAX_LOG} bytes; {cut} bytes are cut here]\n"));
    let bytes = |written: usize, kept: usize| [written, kept].map(|bytes| u64::try_from(bytes).expect("small"));
    let of = |[written, kept]: [u64; 2]| LogBytes { written, kept };
    assert_eq!(ending.logs, Some([of(bytes(told, log.len())), of(bytes(6, 6))]));
    assert_eq!(log_of(&spec, "stderr"), b"quiet\n");
    let dir = spec.dirs.log(&spec.run);
    assert_eq!(std::fs::read_dir(dir).expect("readable").count(), 2, "stdout, stderr and nothing else");
    clean(&*backend, &spec).await;
}

pub async fn a_log_that_is_just_not_too_long_is_kept_as_it_is(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::LimitLogs) {
        return;
    }
    let script = format!("head -c {} /dev/zero | tr '\\0' x; printf ' end'", MAX_LOG - 4);
    let (backend, spec) = (bed.backend(), bed.spec(&script));
    let ending = live(&*backend, &spec).await;
    let whole = |bytes| LogBytes { written: bytes, kept: bytes };
    assert_eq!((ending.log_error, ending.logs), (None, Some([whole(MAX_LOG), whole(0)])));
    let log = log_of(&spec, "stdout");
    let (text, end) = log.split_at(log.len() - 4);
    assert!(text.iter().all(|byte| *byte == b'x') && end == b" end", "there is what was not written");
    clean(&*backend, &spec).await;
}

pub async fn short_runs_lose_nothing(bed: &Arc<dyn Bed>) {
    let backend = bed.backend();
    for n in 0..50 {
        let spec = bed.spec("echo x");
        live(&*backend, &spec).await;
        assert_eq!(stdout_of(&spec), "x\n", "run {n}");
        assert_eq!(log_of(&spec, "stderr"), b"", "run {n}");
        clean(&*backend, &spec).await;
    }
}

pub async fn bytes_are_kept_as_they_are(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec(r"printf '\000\001\377\r\n\033[1m\303\050\n\n'"));
    live(&*backend, &spec).await;
    assert_eq!(log_of(&spec, "stdout"), b"\0\x01\xff\r\n\x1b[1m\xc3(\n\n");
    clean(&*backend, &spec).await;
}

pub async fn what_a_background_child_holds_open_does_not_stall_the_end(bed: &Arc<dyn Bed>) {
    let (backend, spec) = (bed.backend(), bed.spec("sleep 1000 & echo left it behind"));
    assert_eq!(live(&*backend, &spec).await.how, How::Exited(0));
    assert_eq!(stdout_of(&spec), "left it behind\n");
    clean(&*backend, &spec).await;
}

/// A very small file system, unmounted when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: &Path) -> Self {
        let (tmpfs, size) = (Some("tmpfs"), Some("size=64k"));
        mount(tmpfs, path, tmpfs, MsFlags::empty(), size).expect("root may mount");
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("it was mounted");
    }
}

pub async fn a_full_disk_under_the_logs_is_told_and_does_not_hide_the_end(bed: &Arc<dyn Bed>) {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can make a small disk");
        return;
    }
    for (stream, redirected) in [("stdout", ""), ("stderr", ">&2")] {
        let script = format!("head -c 1000000 /dev/zero {redirected}; exit 3");
        let (backend, spec) = (bed.backend(), bed.spec(&script));
        let disk = SmallDisk::at(&spec.dirs.log(&spec.run));
        let told = LogLoss { why: format!("no room left while writing {stream}"), is_full: true };
        let ending = live(&*backend, &spec).await;
        assert_eq!((ending.how, ending.log_error), (How::Exited(3), Some(told.clone())));
        let ending = end_of(&*bed.fresh_backend(), &spec).await;
        assert_eq!((ending.how, ending.log_error), (How::Exited(3), Some(told)));
        assert!(!log_of(&spec, stream).is_empty(), "what there was room for is there");
        drop(disk);
        clean(&*backend, &spec).await;
    }
}
