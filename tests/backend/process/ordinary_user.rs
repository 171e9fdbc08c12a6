//! The same as an ordinary user, who has neither cgroups nor other users.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use uwsd::ports::{BackendError, How, RunSpec, User};

use super::{STRANGER, new_bed, uwsd};
use crate::suite::{Bed, clean, live, stdout_of};

/// Set where the tests run as an ordinary user already.
const INNER: &str = "UWSD_TEST_ORDINARY";

#[test]
fn an_ordinary_user_keeps_the_contract_too() {
    if std::env::var_os(INNER).is_some() || !geteuid().is_root() {
        eprintln!("SKIPPED: this is an ordinary user already");
        return;
    }
    let place = tempfile::tempdir().expect("made");
    open(place.path(), 0o755);
    let copy = |from: &Path, name: &str| {
        let to = place.path().join(name);
        std::fs::copy(from, &to).expect("copied");
        open(&to, 0o755);
        to
    };
    let tests = copy(&std::env::current_exe().expect("this program"), "tests");
    let uwsd = copy(&uwsd(), "uwsd");
    let tmp = place.path().join("tmp");
    std::fs::create_dir(&tmp).expect("made");
    open(&tmp, 0o1777);

    let (uid, gid) = (format!("--reuid={}", STRANGER.uid), format!("--regid={}", STRANGER.gid));
    let output = Command::new("setpriv")
        .args([&uid, &gid, "--clear-groups"])
        .arg(tests)
        .args(["process::", "--test-threads=2"])
        .env(INNER, "1")
        .env("UWSD_TEST_UWSD", uwsd)
        .env("TMPDIR", &tmp)
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("setpriv runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("test process::contract::an_exit_code_is_told ... ok"), "{said}");
}

fn open(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_refused_unless_the_daemon_is_root() {
    let bed = new_bed().await;
    if geteuid().is_root() {
        eprintln!("SKIPPED: root may");
        return;
    }
    let user = User { uid: STRANGER.uid + 1, gid: STRANGER.gid };
    let spec = RunSpec { user, ..bed.spec("true") };
    for refused in [bed.backend.hand_over(&spec).await, bed.backend.create(&spec).await] {
        match refused {
            Err(BackendError::Refused { why, .. }) => assert!(why.contains("as root"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let spec = RunSpec { extra_groups: vec![4321], ..bed.spec("true") };
    assert!(matches!(bed.backend.create(&spec).await, Err(BackendError::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_group_limits_are_asked_for_and_said_to_be_advisory() {
    let bed = new_bed().await;
    if bed.is_limiting {
        eprintln!("SKIPPED: limits are enforced here");
        return;
    }
    let glutton = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let spec = RunSpec { memory: 48 * 1024 * 1024, ..bed.spec(glutton) };
    let ending = live(&*bed.backend, &spec).await;
    assert!(ending.is_advisory);
    assert_ne!(ending.how, How::Exited(0), "{}", stdout_of(&spec));
    clean(&*bed.backend, &spec).await;

    // In the user namespace of its sandbox the kernel (5.14 and later) counts the processes of the job alone.
    let bomb = "(i=0; while [ $i -lt 200 ]; do (echo alive; exec sleep 3) & i=$((i+1)); done; wait); exec sleep 1";
    let spec = RunSpec { pids: 32, ..bed.spec(bomb) };
    live(&*bed.backend, &spec).await;
    let alive = stdout_of(&spec).lines().filter(|line| *line == "alive").count();
    eprintln!("{alive} processes at once, of 32");
    assert!((5..=32).contains(&alive), "{alive} processes at once");
    clean(&*bed.backend, &spec).await;
}
