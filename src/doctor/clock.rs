//! The host's clock: limits do not need it, but times of jobs, logins and certificates do.

use std::path::Path;
use std::time::UNIX_EPOCH;

use super::examine::Case;
use super::finding::{Finding, State, Subject};
use super::patience::{PATIENCE, within};
use super::program::printed;
use crate::domain::Timestamp;
use crate::ports::{Clock, SystemClock};
use crate::sqlite::examine;

/// What systemd's own program leaves while it is synchronised.
const MARK: &str = "/run/systemd/timesync/synchronized";
const REMEDY: &str = "apt-get install chrony; timedatectl set-ntp true; chronyc tracking";

/// Whether the clock follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synchronised {
    /// By the word of this.
    Yes(&'static str),
    /// By the word of this.
    No(&'static str),
    /// Nothing here tells.
    NotTold,
}

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let path = case.config.store.path.clone();
    let known = within(PATIENCE, move || (newest_job(&path), program_made()));
    let (synchronised, known) = tokio::join!(synchronised(), known);
    let (newest, made) = known.unwrap_or((None, None));
    judge(synchronised, SystemClock.now(), newest, made)
}

/// What is odd about the clock, if it follows no other or nothing tells that it does: for the daemon, which does not wait for it.
pub async fn clock_not_followed() -> Option<Finding> {
    Some(follows(synchronised().await)).filter(|finding| finding.state != State::Fine)
}

async fn synchronised() -> Synchronised {
    match printed("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]).await.as_deref().map(str::trim) {
        Some("yes") => return Synchronised::Yes("timedatectl"),
        Some("no") => return Synchronised::No("timedatectl"),
        Some(_) | None => {}
    }
    if Path::new(MARK).exists() {
        return Synchronised::Yes("systemd-timesyncd");
    }
    match printed("chronyc", &["-n", "tracking"]).await {
        Some(text) => of_chrony(&text),
        None => Synchronised::NotTold,
    }
}

fn of_chrony(text: &str) -> Synchronised {
    let leap = text.lines().find_map(|line| line.strip_prefix("Leap status")?.split_once(':'));
    match leap.map(|(_, status)| status.trim()) {
        Some("Not synchronised") => Synchronised::No("chrony"),
        Some(_) => Synchronised::Yes("chrony"),
        None => Synchronised::NotTold,
    }
}

fn newest_job(path: &Path) -> Option<Timestamp> {
    examine(path).ok()?.newest_job
}

/// When this program was built: packages keep that time.
fn program_made() -> Option<Timestamp> {
    let modified = std::env::current_exe().ok()?.metadata().ok()?.modified().ok()?;
    let millis = modified.duration_since(UNIX_EPOCH).ok()?.as_millis();
    Some(Timestamp::from_millis(i64::try_from(millis).ok()?))
}

fn judge(
    synchronised: Synchronised,
    now: Timestamp,
    newest: Option<Timestamp>,
    made: Option<Timestamp>,
) -> Vec<Finding> {
    let before = [(newest, "its newest job was created"), (made, "this program was made")];
    let past = before.into_iter().filter_map(|(then, what)| then.filter(|then| *then > now).map(|then| (then, what)));
    let mut findings: Vec<Finding> = past
        .map(|(then, what)| {
            let sentence = format!("the clock is wrong: it says {now}, and {what} at {then}");
            Finding::wrong(Subject::Clock, sentence, format!("timedatectl set-time 'YYYY-MM-DD hh:mm:ss'; {REMEDY}"))
        })
        .collect();
    findings.push(follows(synchronised));
    findings
}

fn follows(synchronised: Synchronised) -> Finding {
    match synchronised {
        Synchronised::Yes(who) => Finding::fine(Subject::Clock, format!("it is synchronised, says {who}")),
        Synchronised::No(who) => Finding::odd(Subject::Clock, format!("it is not synchronised, says {who}"), REMEDY),
        Synchronised::NotTold => Finding::odd(
            Subject::Clock,
            "nothing here tells whether it is synchronised (neither timedatectl nor chronyc)",
            REMEDY,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_follows_another_and_is_not_before_what_is_known() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let states = |synchronised, newest, made| -> Vec<State> {
            judge(synchronised, at(1000), newest, made).iter().map(|finding| finding.state).collect()
        };
        let yes = Synchronised::Yes("x");
        assert_eq!(states(yes, Some(at(999)), Some(at(1000))), [State::Fine]);
        assert_eq!(states(yes, Some(at(1001)), None), [State::Wrong, State::Fine]);
        assert_eq!(states(yes, None, Some(at(2000))), [State::Wrong, State::Fine]);
        assert_eq!(states(Synchronised::No("x"), None, None), [State::Odd]);
        assert_eq!(states(Synchronised::NotTold, None, None), [State::Odd]);
        // What is installed is what is asked.
        let remedy = judge(Synchronised::No("x"), at(1000), None, None).remove(0).remedy.expect("a remedy");
        assert!(remedy.contains("install chrony") && remedy.ends_with("chronyc tracking"), "{remedy}");
    }

    #[test]
    fn chrony_is_understood() {
        let text =
            |status: &str| format!("Reference ID    : 7F7F0101 ()\nStratum         : 3\nLeap status     : {status}\n");
        assert_eq!(of_chrony(&text("Normal")), Synchronised::Yes("chrony"));
        assert_eq!(of_chrony(&text("Not synchronised")), Synchronised::No("chrony"));
        assert_eq!(of_chrony("506 Cannot talk to daemon"), Synchronised::NotTold);
    }
}
