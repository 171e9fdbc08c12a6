//! What a run sees and may do.

use std::sync::Arc;

use uwsd::ports::{BackendError, Mount, MountKind, Network, RunSpec, Secret};

use super::{Bed, Can, can, clean, end_of, inside, launch, live, prepare, put, stdout_of};

async fn says(bed: &Arc<dyn Bed>, spec: &RunSpec) -> String {
    let backend = bed.backend();
    live(&*backend, spec).await;
    let said = stdout_of(spec);
    clean(&*backend, spec).await;
    said
}

pub async fn the_environment_is_kept_byte_for_byte(bed: &Arc<dyn Bed>) {
    let value = "a \"b\" 'c' $(d) $(PATH) ${e} `f` \\ \\n %s\nsecond line\n\ttab = ü 漢 \u{1f52d} ";
    let mut spec = bed.spec("printf '[%s][%s]' \"$HARD\" \"$EMPTY\"");
    spec.env.push(("HARD".into(), value.into()));
    spec.env.push(("EMPTY".into(), String::new()));
    assert_eq!(says(bed, &spec).await, format!("[{value}][]"));
}

pub async fn of_a_repeated_name_the_last_one_wins(bed: &Arc<dyn Bed>) {
    let mut spec = bed.spec("env | grep '^TWICE='");
    spec.env.push(("TWICE".into(), "first".into()));
    spec.env.push(("TWICE".into(), "last".into()));
    assert_eq!(says(bed, &spec).await, "TWICE=last\n");
}

pub async fn only_its_own_directories_are_seen(bed: &Arc<dyn Bed>) {
    let spec = bed.spec("");
    let spec = RunSpec { argv: shell(&format!("ls {}; ls /uws /uws/jobs", inside(&spec))), ..spec };
    let id = spec.run.job;
    let said = says(bed, &spec).await;
    assert_eq!(said, format!("home\nin\nout\nsrc\n/uws:\njobs\n\n/uws/jobs:\n{id}\n"));
}

fn shell(script: &str) -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into(), script.into()]
}

pub async fn input_cannot_be_changed(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::ShareFiles) {
        return;
    }
    let spec = bed.spec("");
    let inside = inside(&spec);
    let script = format!(
        "cd {inside}/in && cat parameters.json && for f in new parameters.json; do \
         (echo x > $f) 2>/dev/null && echo wrote $f; done; rm -f parameters.json 2>/dev/null && echo removed; true"
    );
    put(&spec.dirs.input().join("parameters.json"), "{}\n");
    assert_eq!(says(bed, &RunSpec { argv: shell(&script), ..spec }).await, "{}\n");
}

pub async fn home_and_output_are_writable(bed: &Arc<dyn Bed>) {
    let backend = bed.backend();
    let spec = bed.spec(
        "echo h > \"$HOME/x\" && cat \"$HOME/x\" && mkdir \"$JOB_OUTPUT_DIR/d\" && echo o > \"$JOB_OUTPUT_DIR/d/x\"",
    );
    live(&*backend, &spec).await;
    assert_eq!(stdout_of(&spec), "h\n");
    assert_eq!(std::fs::read_to_string(spec.dirs.output().join("d/x")).expect("the output is there"), "o\n");
    clean(&*backend, &spec).await;
}

pub async fn it_runs_as_its_user(bed: &Arc<dyn Bed>) {
    let spec = bed.spec("id -u; id -g");
    assert_eq!(says(bed, &spec).await, format!("{}\n{}\n", spec.user.uid, spec.user.gid));
    if let Some(user) = bed.other_user() {
        let spec = RunSpec { user, ..bed.spec("id -u; id -g; touch \"$JOB_OUTPUT_DIR/x\" && echo wrote") };
        assert_eq!(says(bed, &spec).await, format!("{}\n{}\nwrote\n", user.uid, user.gid));
    }
}

pub async fn it_has_its_groups(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::ExtraGroups) {
        let spec = RunSpec { extra_groups: vec![4321, 4322], ..bed.spec("grep '^Groups:' /proc/self/status") };
        let said = says(bed, &spec).await;
        assert!(said.contains("4321 4322"), "{said}");
    }
}

pub async fn it_has_no_privileges(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::DropPrivileges) {
        let spec = bed.spec("grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs):' /proc/self/status | tr -d '\\t'");
        let said = says(bed, &spec).await;
        assert_eq!(said, "CapPrm:0000000000000000\nCapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\n");
    }
}

pub async fn it_has_no_network_if_told_so(bed: &Arc<dyn Bed>) {
    let spec = RunSpec { network: Network::None, ..bed.spec("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '") };
    let said = says(bed, &spec).await;
    assert!(
        said.lines().all(|name| [
            "lo", "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"
        ]
        .contains(&name)),
        "{said}"
    );
}

fn with_secret(bed: &Arc<dyn Bed>, script: &str) -> (tempfile::TempDir, RunSpec) {
    let dir = tempfile::tempdir().expect("a directory for the secret");
    let file = dir.path().join("pgpass");
    put(&file, "host:5432:db:user:open-sesame\n");
    let target = "/run/secrets/pgpass".to_owned();
    let mut spec = bed.spec(script);
    spec.env.push(("PGPASSFILE".into(), target.clone()));
    spec.secrets = vec![Secret { name: "PGPASSFILE".into(), file, target }];
    (dir, spec)
}

pub async fn a_secret_is_a_private_file(bed: &Arc<dyn Bed>) {
    let (_dir, spec) = with_secret(bed, "cat \"$PGPASSFILE\"; stat -c '%a %u %g %F' \"$PGPASSFILE\"");
    let expected = format!("host:5432:db:user:open-sesame\n600 {} {} regular file\n", spec.user.uid, spec.user.gid);
    assert_eq!(says(bed, &spec).await, expected);
    if let Some(user) = bed.other_user() {
        let (_dir, spec) = with_secret(bed, "cat \"$PGPASSFILE\"");
        assert_eq!(says(bed, &RunSpec { user, ..spec }).await, "host:5432:db:user:open-sesame\n");
    }
}

pub async fn a_secret_is_not_told(bed: &Arc<dyn Bed>) {
    let (_dir, spec) = with_secret(bed, "test -s \"$PGPASSFILE\" && env | grep -c 'open-s[e]same'");
    let backend = bed.backend();
    launch(&*backend, &spec).await;
    end_of(&*backend, &spec).await;
    assert_eq!(stdout_of(&spec), "0\n");
    if let Some(told) = bed.engine_tells(&spec.run) {
        assert!(!told.contains("open-sesame"), "the engine tells the secret");
    }
    let found = std::process::Command::new("grep").args(["-r", "open-sesame"]).arg(&spec.dirs.root).output();
    assert!(found.expect("grep runs").stdout.is_empty(), "the secret lies in the job's directory");
    clean(&*backend, &spec).await;
}

pub async fn a_mount_is_read_only_unless_said_otherwise(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::Mount) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory to mount");
    let mut spec = bed
        .spec("for d in /data /scratch; do cat $d/x; (echo changed > $d/x) 2>/dev/null && echo wrote $d; done; true");
    for (name, is_read_only) in [("data", true), ("scratch", false)] {
        let source = dir.path().join(name);
        std::fs::create_dir(&source).expect("made");
        put(&source.join("x"), &format!("{name}\n"));
        open_to_all(dir.path());
        open_to_all(&source);
        open_to_all(&source.join("x"));
        spec.mounts.push(Mount { kind: MountKind::Bind { source }, target: format!("/{name}"), is_read_only });
    }
    assert_eq!(says(bed, &spec).await, "data\nscratch\nwrote /scratch\n");
}

fn open_to_all(path: &std::path::Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(path, mode).expect("it is ours");
}

pub async fn memory_is_mounted(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::Mount) {
        let mut spec = bed.spec("grep ' /fast ' /proc/mounts | cut -d' ' -f3; echo x > /fast/x && cat /fast/x");
        let kind = MountKind::Tmpfs { size: 1024 * 1024 };
        spec.mounts.push(Mount { kind, target: "/fast".into(), is_read_only: false });
        assert_eq!(says(bed, &spec).await, "tmpfs\nx\n");
    }
}

pub async fn a_mount_of_nothing_is_refused(bed: &Arc<dyn Bed>) {
    if !can(&**bed, Can::Mount) {
        return;
    }
    let (backend, mut spec) = (bed.backend(), bed.spec("echo ran"));
    let kind = MountKind::Bind { source: "/no/such/directory".into() };
    spec.mounts.push(Mount { kind, target: "/data".into(), is_read_only: true });
    backend.hand_over(&spec).await.expect("handed over");
    let refused = match backend.create(&spec).await {
        Ok(()) => backend.start(&spec).await,
        Err(error) => Err(error),
    };
    match refused {
        Err(BackendError::Refused { why, .. }) => assert!(why.contains("/no/such/directory"), "{why}"),
        other => panic!("{other:?}"),
    }
    clean(&*backend, &spec).await;
}

pub async fn arguments_are_not_interpreted(bed: &Arc<dyn Bed>) {
    let (backend, mut spec) = (bed.backend(), bed.spec(""));
    spec.argv = ["/bin/sh", "-c", "printf '[%s]' \"$@\"", "sh", "$(HOME)", "a b", "", "*", "'\"\n;"]
        .map(str::to_owned)
        .to_vec();
    prepare(&*backend, &spec).await;
    backend.start(&spec).await.expect("starts");
    end_of(&*backend, &spec).await;
    assert_eq!(stdout_of(&spec), "[$(HOME)][a b][][*]['\"\n;]");
    clean(&*backend, &spec).await;
}
