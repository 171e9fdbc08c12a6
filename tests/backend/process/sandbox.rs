//! What a job cannot see or reach.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use uwsd::backend::process::ProcessBackend;
use uwsd::config;
use uwsd::ports::{Mount, MountKind, Network, RunSpec, User};

use super::{ProcessBed, STRANGER, new_bed, settings, uwsd};
use crate::suite::{Bed, clean, inside, launch, live, log_of, stdout_of, until_it_says};

/// The specs of a script for every user that the bed can run it as.
fn as_every_user(bed: &ProcessBed, script: &str) -> Vec<RunSpec> {
    let other = bed.other_user().map(|user| RunSpec { user, ..bed.spec(script) });
    std::iter::once(bed.spec(script)).chain(other).collect()
}

/// What the script says as each of them.
async fn said(bed: &ProcessBed, script: &str) -> Vec<String> {
    let mut said = Vec::new();
    for spec in as_every_user(bed, script) {
        live(&*bed.backend, &spec).await;
        said.push(stdout_of(&spec));
        clean(&*bed.backend, &spec).await;
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_the_host_are_not_there() {
    let bed = new_bed().await;
    let script = "for f in /etc/shadow /etc/gshadow /etc/shadow- /etc/ssh/ssh_host_ed25519_key; do \
                  cat $f 2>/dev/null && echo read $f; done; \
                  for d in /etc/uwsd /etc/ssl/private /root /home /var /run /opt /srv /boot /sys /mnt /media; do \
                  ls -A $d 2>/dev/null | grep -vx tmp; done; id -un; test -r /etc/passwd && echo public";
    for said in said(&bed, script).await {
        assert!(said.ends_with("public\n"), "{said}");
        assert!(said.lines().count() <= 2, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_its_own_directories_and_scratch_can_be_written() {
    let bed = new_bed().await;
    let script = "for d in / /usr /etc /bin /lib /run /home /root /var /dev /uws /uws/jobs /proc/sys/kernel; do \
                  (echo x > $d/written) 2>/dev/null && echo wrote $d; done; \
                  for f in /proc/sys/kernel/core_pattern /proc/sys/vm/overcommit_memory /proc/sysrq-trigger; do \
                  (: >> $f) 2>/dev/null && echo opened $f; done; \
                  for d in /tmp /var/tmp /dev/shm $HOME $JOB_OUTPUT_DIR; do \
                  (echo x > $d/written) 2>/dev/null || echo $d is closed; done; true";
    for said in said(&bed, script).await {
        assert_eq!(said, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_the_host_are_out_of_reach() {
    let bed = new_bed().await;
    let place = tempfile::tempdir().expect("made");
    let path = place.path().join("socket");
    let _by_path = UnixListener::bind(&path).expect("bound");
    let name = format!("uwsd-test-{}", std::process::id());
    let _by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("bound");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = tcp.local_addr().expect("bound").port();
    let script = format!(
        "exec /usr/bin/perl -MSocket -e '
            socket(my $u, AF_UNIX, SOCK_STREAM, 0); print connect($u, pack_sockaddr_un(\"{}\")) ? 1 : 0;
            socket(my $a, AF_UNIX, SOCK_STREAM, 0); print connect($a, pack_sockaddr_un(\"\\0{name}\")) ? 1 : 0;
            socket(my $t, AF_INET, SOCK_STREAM, 0);
            print connect($t, pack_sockaddr_in({port}, inet_aton(\"127.0.0.1\"))) ? 1 : 0;
            socket(my $l, AF_INET, SOCK_STREAM, 0); bind($l, pack_sockaddr_in(4711, INADDR_LOOPBACK)); listen($l, 1);
            socket(my $c, AF_INET, SOCK_STREAM, 0); print connect($c, pack_sockaddr_in(4711, INADDR_LOOPBACK)) ? 1 : 0;'",
        path.display()
    );
    for said in said(&bed, &script).await {
        assert_eq!(said, "0001", "by path, by name, by the host's loopback; its own loopback is up");
    }

    let open = config::Process { host_network: true, ..settings() };
    let backend = ProcessBackend::new(&open, bed.state.path()).expect("it works here").with_program(uwsd());
    for (network, expected) in [(Network::Default, '1'), (Network::None, '0')] {
        let spec = RunSpec { network, ..bed.spec(&script) };
        live(&backend, &spec).await;
        let said = stdout_of(&spec);
        assert_eq!((said.chars().next(), said.chars().nth(2)), (Some('0'), Some(expected)), "{said}");
        clean(&backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_begins_with_a_clean_slate() {
    let bed = new_bed().await;
    let script = "grep -E '^Sig(Blk|Ign):' /proc/self/status | cut -f2; ls /proc/self/fd | tr '\\n' ' '; umask; \
                  pwd; readlink /proc/self/fd/0; ls /proc | grep -c '^[0-9]'";
    for spec in as_every_user(&bed, script) {
        live(&*bed.backend, &spec).await;
        let said = stdout_of(&spec);
        let lines: Vec<&str> = said.lines().collect();
        let signals = |line: &str| u64::from_str_radix(line, 16).expect("a mask") & 0x7fff_ffff; // real-time ones are libc's
        assert_eq!((signals(lines[0]), signals(lines[1])), (0, 0), "blocked and ignored signals: {said}");
        let home = format!("{}/home", inside(&spec));
        assert_eq!(lines[2..5], ["0 1 2 3 0022", home.as_str(), "/dev/null"]);
        let processes: u32 = said.lines().last().and_then(|n| n.parse().ok()).expect("a number");
        assert!(processes <= 5, "{processes} processes are seen");
        clean(&*bed.backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_cannot_be_looked_into_or_spoken_for() {
    let bed = new_bed().await;
    let script = "for f in environ mem maps fd/0 fd/3 fd/4 exe; do (: < /proc/1/$f) 2>/dev/null && echo opened $f; done; \
                  ls -l /proc/1/fd 2>/dev/null | grep -e '->'; true";
    for said in said(&bed, script).await {
        assert_eq!(said, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_cannot_be_cut_by_the_job_and_can_be_opened_by_name() {
    let bed = new_bed().await;
    let script = "echo one; echo two > /dev/stdout; echo three >> /dev/stdout; echo four > /proc/self/fd/1; \
                  echo err > /dev/stderr; truncate -s 0 /proc/self/fd/1 2>/dev/null; true";
    for spec in as_every_user(&bed, script) {
        live(&*bed.backend, &spec).await;
        assert_eq!(stdout_of(&spec), "one\ntwo\nthree\nfour\n");
        assert_eq!(log_of(&spec, "stderr"), b"err\n");
        clean(&*bed.backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_of_the_host_see_neither_environment_nor_command() {
    let bed = new_bed().await;
    let mut spec = bed.spec("echo begun; : s3same-in-command; while :; do sleep 1; done");
    spec.env.push(("TOKEN".into(), "s3same-in-environment".into()));
    launch(&*bed.backend, &spec).await;
    until_it_says(&spec, "begun").await;
    let all = std::fs::read_dir("/proc").expect("listed").flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let telling = lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains("s3same") || (line.contains("bwrap") && line.contains("--bind")))
        .filter(|line| !line.starts_with("/bin/sh -c")) // the command itself is a process like any other
        .collect::<Vec<_>>();
    assert!(telling.is_empty(), "{telling:?}");
    bed.backend.stop(&spec.run, std::time::Duration::ZERO).await.expect("stopped");
    clean(&*bed.backend, &spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_go_where_the_sandbox_is_empty_and_inside_each_other() {
    let bed = new_bed().await;
    let source = tempfile::tempdir().expect("made");
    std::fs::create_dir(source.path().join("inner")).expect("made");
    std::fs::write(source.path().join("x"), "outer\n").expect("written");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(source.path(), open).expect("ours");
    let bind = |target: &str| Mount {
        kind: MountKind::Bind { source: source.path().to_owned() },
        target: target.to_owned(),
        is_read_only: true,
    };
    let memory = Mount { kind: MountKind::Tmpfs { size: 0 }, target: "/home/ada/inner".into(), is_read_only: false };
    let script = "cat /home/ada/x /opt/site/data/x /var/lib/x/x; echo in > /home/ada/inner/y && cat /home/ada/inner/y";
    for mut spec in as_every_user(&bed, script) {
        spec.mounts = vec![memory.clone(), bind("/opt/site/data"), bind("/home/ada"), bind("/var/lib/x")];
        live(&*bed.backend, &spec).await;
        assert_eq!(
            stdout_of(&spec),
            "outer\nouter\nouter\nin\n",
            "{:?}",
            String::from_utf8_lossy(&log_of(&spec, "stderr"))
        );
        clean(&*bed.backend, &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_user_cannot_become_root_again() {
    let bed = new_bed().await;
    if bed.other_user().is_none() {
        eprintln!("SKIPPED: only root runs jobs of other users");
        return;
    }
    let script = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|CapInh|CapAmb|CapBnd):' /proc/self/status | tr '\\t' ' '; \
                  su -c id 2>/dev/null; kill -0 1 2>/dev/null && echo may signal init; true";
    let user = User { uid: STRANGER.uid, gid: STRANGER.gid };
    let spec = RunSpec { user, ..bed.spec(script) };
    live(&*bed.backend, &spec).await;
    let (uid, gid) = (user.uid, user.gid);
    let none = "0000000000000000";
    assert_eq!(
        stdout_of(&spec),
        format!(
            "Uid: {uid} {uid} {uid} {uid}\nGid: {gid} {gid} {gid} {gid}\nGroups:  \nCapInh: {none}\nCapPrm: {none}\n\
             CapEff: {none}\nCapBnd: {none}\nCapAmb: {none}\n"
        )
    );
    clean(&*bed.backend, &spec).await;
}
