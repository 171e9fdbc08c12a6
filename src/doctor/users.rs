//! Who jobs run as, and whether what they find mounted is theirs to use.

use std::path::Path;

use futures_util::future::join_all;

use super::access::{Barrier, Bits, ENTER, Person, READ, WRITE};
use super::examine::Case;
use super::finding::{Finding, Subject};
use super::patience::looked;
use crate::config::{BackendKind, Service};
use crate::ports::MountKind;

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let kind = case.config.backend.kind;
    // Of an engine on another host the paths are there.
    let sees_paths = match kind {
        BackendKind::Docker => case.config.backend.docker.host.starts_with("unix://"),
        BackendKind::Process => true,
    };
    let mut findings = Vec::new();
    let mut looks = Vec::new();
    for (name, service) in &case.config.services {
        findings.push(identity(name, service, &case.daemon, kind));
        for mount in &service.mounts {
            let MountKind::Bind { source } = &mount.kind else { continue };
            if !sees_paths {
                continue;
            }
            let (name, source) = (name.clone(), source.clone());
            let (job, is_read_only) = (job_of(service, &case.daemon), mount.is_read_only);
            looks.push(looked(Subject::Users, format!("{} of {name}", source.display()), move || {
                vec![mounted(&name, &source, &job, is_read_only, kind)]
            }));
        }
    }
    findings.extend(join_all(looks).await.into_iter().flatten());
    findings
}

/// The user of the service's jobs, with groups.
fn job_of(service: &Service, daemon: &Person) -> Person {
    let own = daemon.gids.first().copied().unwrap_or(daemon.uid);
    let (uid, gid) = service.user.map_or((daemon.uid, own), |user| (user.uid, user.gid));
    Person::in_a_job(uid, [gid].into_iter().chain(service.extra_groups.iter().copied()).collect())
}

fn identity(name: &str, service: &Service, daemon: &Person, kind: BackendKind) -> Finding {
    let job = job_of(service, daemon);
    let who = format!("{}:{}", job.uid, job.gids.first().copied().unwrap_or_default());
    let needs_help = !daemon.is_above
        && (job.uid != daemon.uid || job.gids.iter().any(|gid| *gid != daemon.uid && !daemon.gids.contains(gid)));
    match (kind, needs_help) {
        (BackendKind::Process, true) => Finding::wrong(
            Subject::Users,
            format!(
                "jobs of {name} should run as {who}, which only a daemon that is root can do; it is {}",
                daemon.name
            ),
            format!("take user and extra_groups out of [service.{name}], or run the daemon as root"),
        ),
        (BackendKind::Docker, true) => Finding::fine(
            Subject::Users,
            format!(
                "jobs of {name} run as {who}; the daemon ({}) has a helper container hand over their files",
                daemon.name
            ),
        ),
        (BackendKind::Docker | BackendKind::Process, false) if job.uid == 0 => Finding::odd(
            Subject::Users,
            format!("jobs of {name} run as root"),
            format!("set user = \"UID:GID\" in [service.{name}]"),
        ),
        (BackendKind::Docker | BackendKind::Process, false) => {
            Finding::fine(Subject::Users, format!("jobs of {name} run as {who}"))
        }
    }
}

fn mounted(name: &str, source: &Path, job: &Person, is_read_only: bool, kind: BackendKind) -> Finding {
    let shown = source.display();
    let bits = match Bits::of(source) {
        Ok(bits) => bits,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::wrong(
                Subject::Users,
                format!("{shown}, which jobs of {name} should find mounted, is not there: none of them runs"),
                format!("mount it, or mkdir -p {shown}, or take it out of mounts of [service.{name}]"),
            );
        }
        Err(error) => {
            return Finding::odd(
                Subject::Users,
                format!("{shown}, which jobs of {name} find mounted, cannot be seen: {error}"),
                "run uwsd doctor as root",
            );
        }
    };
    let enter = if source.is_dir() { ENTER } else { 0 };
    let (wanted, deed) = if is_read_only { (READ | enter, "read") } else { (READ | WRITE | enter, "write") };
    // An engine mounts as root: what is above does not count.
    let barrier = match kind {
        BackendKind::Docker if job.is_let(bits, wanted) => None,
        BackendKind::Docker => Some(Barrier::Closed(source.to_owned(), bits)),
        BackendKind::Process => job.may(source, wanted).err(),
    };
    match barrier {
        None => Finding::fine(Subject::Users, format!("jobs of {name} can {deed} {shown}")),
        Some(barrier) => Finding::odd(
            Subject::Users,
            format!("jobs of {name} ({}) cannot {deed} {shown} by its mode: {barrier}", job.name),
            opening(name, source, bits, job, wanted),
        ),
    }
}

fn opening(name: &str, source: &Path, bits: Bits, job: &Person, wanted: u32) -> String {
    let by_group = (bits.mode >> 3) & wanted == wanted && bits.uid != job.uid && bits.gid != 0;
    if by_group {
        return format!("add {} to extra_groups of [service.{name}]", bits.gid);
    }
    let letters = if wanted & WRITE == 0 { "rX" } else { "rwX" };
    format!(
        "setfacl -m u:{}:{letters} {}    # an access control list, which uwsd doctor does not see",
        job.uid,
        source.display()
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::config::{Config, Host};
    use crate::ports::User;

    fn service(user: Option<(u32, u32)>) -> Service {
        let config = Config::defaults(Path::new("/nowhere"), Host { cpus: 4.0, memory: 8 << 30 });
        Service { user: user.map(|(uid, gid)| User { uid, gid }), ..config.services["ocps"].clone() }
    }

    #[test]
    fn jobs_of_another_user_need_root_or_an_engine() {
        let root = Person::of(0);
        let daemon = Person::in_a_job(990, vec![990]);
        for (user, daemon, kind, state, part) in [
            (None, &daemon, BackendKind::Docker, State::Fine, "run as 990:990"),
            (Some((1000, 1000)), &daemon, BackendKind::Docker, State::Fine, "helper container"),
            (Some((1000, 1000)), &daemon, BackendKind::Process, State::Wrong, "only a daemon that is root"),
            (Some((1000, 1000)), &root, BackendKind::Process, State::Fine, "run as 1000:1000"),
            (None, &root, BackendKind::Docker, State::Odd, "run as root"),
        ] {
            let found = identity("ocps", &service(user), daemon, kind);
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.sentence.contains(part), "{found:?}");
        }
    }

    #[test]
    fn a_mount_that_a_jobs_user_cannot_use_is_odd_and_one_that_is_not_there_wrong() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let mode = |mode| {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).expect("ours");
        };
        let job = Person::in_a_job(987_654, vec![987_654]);
        let state = |path: &Path, is_read_only| mounted("x", path, &job, is_read_only, BackendKind::Docker).state;
        mode(0o755);
        assert_eq!((state(dir.path(), true), state(dir.path(), false)), (State::Fine, State::Odd));
        mode(0o700);
        assert_eq!(state(dir.path(), true), State::Odd);
        assert_eq!(state(&dir.path().join("none"), true), State::Wrong);
    }

    #[test]
    fn a_group_that_may_is_the_remedy_where_there_is_one() {
        let job = Person::in_a_job(1000, vec![1000]);
        let remedy = |bits| opening("x", Path::new("/data"), bits, &job, READ | ENTER);
        assert_eq!(remedy(Bits { uid: 1, gid: 50, mode: 0o750 }), "add 50 to extra_groups of [service.x]");
        assert!(remedy(Bits { uid: 1, gid: 50, mode: 0o700 }).starts_with("setfacl -m u:1000:rX /data"));
    }
}
