//! The Docker engine: whether the daemon reaches it, and whether it keeps the limits of jobs.

use std::path::Path;

use super::access::{Barrier, Bits, Person, READ, WRITE, group_name};
use super::examine::Case;
use super::finding::{Finding, Subject};
use super::patience::{PATIENCE, looked};
use super::{cgroups, disks, images};
use crate::backend::docker::{EngineFigures, Examination};

/// What a warning of the engine's is about where it is none of ours, or told in other words.
const NOT_OURS: [&str; 9] =
    ["blkio", "bridge-nf-call", "kernel memory", "oom kill", "cpuset", "swap", "memory limit", "cpu ", "pids limit"];
const KERNEL: &str =
    "add cgroup_enable=memory swapaccount=1 to GRUB_CMDLINE_LINUX in /etc/default/grub, update-grub, reboot";

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let settings = &case.config.backend.docker;
    let examination = match Examination::new(settings, PATIENCE) {
        Ok(examination) => examination,
        Err(error) => return vec![Finding::wrong(Subject::Engine, error.to_string(), "uwsd check")],
    };
    let socket = settings.host.strip_prefix("unix://").map(std::path::PathBuf::from);
    let mut findings = Vec::new();
    if let Some(socket) = socket {
        let daemon = case.daemon.clone();
        let name = socket.display().to_string();
        findings.extend(
            looked(Subject::Engine, name, move || socket_is_open(&socket, &daemon).into_iter().collect()).await,
        );
    }
    let figures = match examination.figures().await {
        Ok(figures) => figures,
        // That it is closed was told; else this would tell it twice.
        Err(why) if why.contains("ermission denied") && !findings.is_empty() => return findings,
        Err(why) => {
            findings.push(unreached(&settings.host, &why));
            return findings;
        }
    };
    findings.extend(engine(&figures));
    findings.extend(limits(&figures));
    findings.extend(cgroups::of_engine(&figures, examination.is_local(), &case.daemon).await);
    findings.extend(users(&figures, settings.shared_state));
    if let Some(root) = figures.data_root.clone().filter(|_| examination.is_local()) {
        findings.extend(disks::of_engine(root, &case.config.disk).await);
    }
    findings.extend(images::look(&case.config, &case.daemon.name, &examination).await);
    findings
}

/// Whether the daemon may use the socket; nothing is told where it may, or where there is none.
fn socket_is_open(socket: &Path, daemon: &Person) -> Option<Finding> {
    match daemon.may(socket, READ | WRITE) {
        Ok(()) | Err(Barrier::Missing | Barrier::Unseen(_)) => None,
        Err(Barrier::Closed(path, bits)) => Some(closed(&path, bits, daemon)),
    }
}

fn closed(path: &Path, bits: Bits, daemon: &Person) -> Finding {
    let group = group_name(bits.gid);
    let remedy = if is_podmans(&path.to_string_lossy()) {
        give_podman_to(&daemon.name)
    } else if bits.gid == 0 {
        format!(
            "groupadd -f docker; put \"group\": \"docker\" into /etc/docker/daemon.json; systemctl restart docker; \
             usermod -aG docker {}; systemctl restart uwsd",
            daemon.name
        )
    } else {
        format!("usermod -aG {group} {} && systemctl restart uwsd", daemon.name)
    };
    Finding::wrong(
        Subject::Engine,
        format!("the daemon's user {} may not use the engine: {} is {bits}", daemon.name, path.display()),
        remedy,
    )
}

/// Whether the engine behind this socket is Podman, as far as its name tells.
fn is_podmans(socket: &str) -> bool {
    socket.contains("podman")
}

/// A command for the drop-in that the package has as an example: the socket's group, and the directory around it, which Debian's
/// Podman closes at each boot.
fn give_podman_to(group: &str) -> String {
    format!(
        "mkdir -p /etc/systemd/system/podman.socket.d && printf '%s\\n' '[Socket]' SocketGroup={group} SocketMode=0660 \
         'ExecStartPost=/bin/chmod 0755 /run/podman' >/etc/systemd/system/podman.socket.d/podman-socket.conf && \
         systemctl daemon-reload && systemctl restart podman.socket"
    )
}

fn unreached(host: &str, why: &str) -> Finding {
    let words = why.to_lowercase();
    let remedy = if !host.starts_with("unix://") {
        "look at the engine and the way to it, and at tls_ca, tls_cert and tls_key of [backend.docker]"
    } else if words.contains("permission denied") {
        "run uwsd doctor as root, or as the daemon's user"
    } else if is_podmans(host) {
        // Its service is started by its socket, and ends by itself.
        if words.contains("no answer in time") {
            "journalctl -u podman -n 50; systemctl restart podman.socket podman.service"
        } else if words.contains("refused") {
            "systemctl restart podman.socket"
        } else {
            "systemctl start podman.socket    # none there: apt-get install podman catatonit; another place: backend.docker.host"
        }
    } else if words.contains("no answer in time") {
        "journalctl -u docker -n 50; systemctl restart docker    # without live-restore this ends the jobs that run"
    } else if words.contains("refused") {
        "systemctl restart docker"
    } else {
        "systemctl start docker    # none there: apt-get install docker.io; another place: backend.docker.host"
    };
    Finding::wrong(Subject::Engine, format!("no engine answers at {host}: {why}"), remedy)
}

fn engine(figures: &EngineFigures) -> Vec<Finding> {
    let EngineFigures { description, took, storage_driver, data_root, .. } = figures;
    let mut sentence = format!("{description} answers in {} ms", took.as_millis());
    let store = storage_driver.as_deref().zip(data_root.as_deref());
    if let Some((driver, root)) = store {
        sentence.extend(["; it keeps images in ", &root.to_string_lossy(), " (", driver, ")"]);
    }
    let mut findings = vec![Finding::fine(Subject::Engine, sentence)];
    let mut odd = |sentence: &str, remedy: &str| findings.push(Finding::odd(Subject::Engine, sentence, remedy));
    if !figures.keeps_alive && !figures.is_podman {
        odd(
            "a restart of the engine ends the jobs that run (live-restore is off)",
            "put \"live-restore\": true into /etc/docker/daemon.json; systemctl reload docker",
        );
    }
    if storage_driver.as_deref() == Some("vfs") {
        odd(
            "the storage driver vfs copies a whole image for each job",
            "put \"storage-driver\": \"overlay2\" into /etc/docker/daemon.json; systemctl restart docker",
        );
    }
    if figures.is_rootless {
        odd(
            "the engine runs without root: users in jobs are others outside, and limits may not be kept",
            "use the engine of the system: backend.docker.host = \"unix:///var/run/docker.sock\"",
        );
    }
    for warning in &figures.warnings {
        let words = warning.trim_start_matches("WARNING: ").trim();
        if !NOT_OURS.iter().any(|about| words.to_lowercase().contains(about)) {
            odd(&format!("the engine warns: {words}"), "docker info    # shows it with its surroundings");
        }
    }
    if !figures.is_new_enough {
        findings.push(Finding::wrong(
            Subject::Engine,
            "the engine is too old: API version 1.24 is needed",
            "install Docker Engine 20.10 or newer",
        ));
    }
    findings
}

/// Which limits of jobs the engine does not keep.
fn limits(figures: &EngineFigures) -> Vec<Finding> {
    let none = |told: Option<bool>| told == Some(false);
    let kernel = "a kernel with CONFIG_CFS_BANDWIDTH and CONFIG_CGROUP_PIDS, as Debian's is";
    let mut findings: Vec<Finding> = [
        (figures.limits_memory, "memory", KERNEL),
        (figures.limits_cpus, "CPUs", kernel),
        (figures.limits_pids, "processes", kernel),
    ]
    .into_iter()
    .filter(|(told, ..)| none(*told))
    .map(|(_, what, remedy)| {
        let sentence = format!("the engine cannot limit {what}: that limit of jobs is only advisory");
        Finding::wrong(Subject::Limits, sentence, remedy)
    })
    .collect();
    if none(figures.limits_swap) && !none(figures.limits_memory) {
        findings.push(Finding::odd(
            Subject::Limits,
            "the engine cannot limit swap: a job that is out of memory may swap instead of ending",
            KERNEL,
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::fine(Subject::Limits, "the engine limits memory, swap, CPUs and processes"));
    }
    findings
}

fn users(figures: &EngineFigures, shares_files: bool) -> Option<Finding> {
    (figures.maps_users && shares_files).then(|| {
        Finding::odd(
            Subject::Users,
            "the engine gives users in containers other numbers outside (userns-remap): jobs may not get at their files",
            "set backend.docker.shared_state = false, or take \"userns-remap\" out of /etc/docker/daemon.json",
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::finding::State;
    use super::*;

    pub(in crate::doctor) fn sound() -> EngineFigures {
        EngineFigures {
            description: "Docker Engine 20.10 (API 1.41)".into(),
            is_podman: false,
            took: Duration::from_millis(12),
            is_new_enough: true,
            warnings: Vec::new(),
            limits_memory: Some(true),
            limits_swap: Some(true),
            limits_cpus: Some(true),
            limits_pids: Some(true),
            cgroup_driver: Some("systemd".into()),
            cgroup_version: Some("2".into()),
            is_rootless: false,
            maps_users: false,
            keeps_alive: true,
            storage_driver: Some("overlay2".into()),
            data_root: Some("/var/lib/docker".into()),
        }
    }

    fn told(findings: &[Finding]) -> Vec<(State, &str)> {
        findings.iter().map(|finding| (finding.state, finding.sentence.as_str())).collect()
    }

    #[test]
    fn a_sound_engine_is_one_line_and_each_oddity_one_more() {
        let figures = sound();
        let first = "Docker Engine 20.10 (API 1.41) answers in 12 ms; it keeps images in /var/lib/docker (overlay2)";
        assert_eq!(told(&engine(&figures)), [(State::Fine, first)]);
        let warnings = vec![
            "WARNING: No swap limit support".to_owned(),
            "WARNING: bridge-nf-call-iptables is disabled".to_owned(),
            "WARNING: API is accessible on http://0.0.0.0:2375 without encryption.".to_owned(),
        ];
        for (odd, part) in [
            (EngineFigures { keeps_alive: false, ..figures.clone() }, "live-restore"),
            (EngineFigures { storage_driver: Some("vfs".into()), ..figures.clone() }, "vfs"),
            (EngineFigures { is_rootless: true, ..figures.clone() }, "without root"),
            (EngineFigures { warnings, ..figures.clone() }, "accessible on http"),
        ] {
            match told(&engine(&odd)).as_slice() {
                [_, (State::Odd, sentence)] => assert!(sentence.contains(part), "{sentence}"),
                other => panic!("{part}: {other:?}"),
            }
        }
        let podman = EngineFigures { is_podman: true, keeps_alive: false, ..figures.clone() };
        assert_eq!(engine(&podman).len(), 1, "its containers depend on no daemon");
        let old = engine(&EngineFigures { is_new_enough: false, ..figures });
        assert_eq!(old.last().map(|finding| finding.state), Some(State::Wrong));
    }

    #[test]
    fn a_limit_that_is_not_kept_is_named() {
        let states =
            |figures: &EngineFigures| -> Vec<State> { limits(figures).iter().map(|found| found.state).collect() };
        let figures = sound();
        assert_eq!(states(&figures), [State::Fine]);
        assert_eq!(states(&EngineFigures { limits_pids: None, ..figures.clone() }), [State::Fine], "Podman is silent");
        assert_eq!(states(&EngineFigures { limits_swap: Some(false), ..figures.clone() }), [State::Odd]);
        let none = EngineFigures { limits_memory: Some(false), limits_swap: Some(false), ..figures };
        assert_eq!(states(&none), [State::Wrong]);
        let none = EngineFigures { limits_cpus: Some(false), limits_pids: Some(false), ..none };
        assert_eq!(states(&none), [State::Wrong; 3]);
    }

    #[test]
    fn the_remedy_for_silence_depends_on_its_kind() {
        for (host, why, part) in [
            ("unix:///s", "client error (Connect): No such file or directory", "systemctl start docker"),
            ("unix:///s", "Connection refused", "systemctl restart docker"),
            ("unix:///s", "no answer in time", "journalctl -u docker"),
            ("unix:///s", "Permission denied", "as root"),
            ("tcp://h:2376", "Connection refused", "tls_ca"),
            ("unix:///run/podman/podman.sock", "No such file or directory", "systemctl start podman.socket"),
            ("unix:///run/podman/podman.sock", "Connection refused", "systemctl restart podman.socket"),
            ("unix:///run/podman/podman.sock", "no answer in time", "journalctl -u podman"),
            ("unix:///run/podman/podman.sock", "Permission denied", "as root"),
        ] {
            let remedy = unreached(host, why).remedy.expect("a remedy");
            assert!(remedy.contains(part), "{why}: {remedy}");
            assert!(!host.contains("podman") || !remedy.contains("docker "), "{why}: {remedy}");
        }
    }

    #[test]
    fn a_closed_socket_is_opened_by_its_group_or_gets_one() {
        let daemon = Person::in_a_job(987_654, Vec::new());
        let remedy_at =
            |path, gid| closed(Path::new(path), Bits { uid: 0, gid, mode: 0o660 }, &daemon).remedy.expect("a remedy");
        let remedy = |gid| remedy_at("/var/run/docker.sock", gid);
        // The socket is closed as Podman makes it, its directory as a boot does: one remedy opens both.
        for path in ["/run/podman/podman.sock", "/run/podman"] {
            let remedy = remedy_at(path, 0);
            for part in ["SocketGroup=987654", "SocketMode=0660", "'ExecStartPost=/bin/chmod 0755 /run/podman'"] {
                assert!(remedy.contains(part), "{part} for {path}: {remedy}");
            }
            assert!(!remedy.contains('\n'), "one line: {remedy}");
        }
        assert_eq!(remedy(987_655), "usermod -aG 987655 987654 && systemctl restart uwsd");
        assert!(remedy(0).starts_with("groupadd -f docker"), "{}", remedy(0));
    }
}
