//! `top`: what runs and waits, again and again.

use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::Value;

use super::{Ending, Failure, Output};
use crate::client::print::{shown, table};
use crate::client::{Client, ClientError, Job};
use crate::domain::Phase;

/// To the upper left corner, and everything away that is there.
const CLEAR: &str = "\x1b[H\x1b[2J";
/// How many jobs that have ended are shown.
const ENDED: u64 = 5;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames {
    /// How long one is shown.
    pub(super) every: Duration,
    /// How many jobs on their way it has at most.
    pub(super) rows: usize,
    /// Whether there is one only.
    pub(super) once: bool,
}

/// What there is at one moment.
struct Frame {
    /// How many jobs are in each phase on the way.
    counts: Vec<(Phase, usize)>,
    /// The first jobs on their way, those that run before those that wait; whole documents.
    active: Vec<Job>,
    /// The last jobs that have ended.
    ended: Vec<Job>,
}

pub(super) async fn top(client: &Client, frames: Frames, output: &mut Output<'_>) -> Result<Ending, Failure> {
    // A terminal shows one frame in the place of the last, a file has them one after the other.
    let clear = if !frames.once && std::io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        match Frame::of(client, frames.rows).await {
            Ok(frame) if output.json => output.document(&frame.to_json()).await?,
            Ok(frame) => output.text(&format!("{clear}{}", frame.to_text(client.service()))).await?,
            // It is being restarted, or the network is away: both pass.
            Err(error) if !frames.once && error.is_transient() => {
                let why = shown(&error.to_string());
                // Programs read documents only.
                if output.json { output.say(&why).await? } else { output.text(&format!("{clear}{why}\n")).await? }
            }
            Err(error) => return Err(error.into()),
        }
        if frames.once {
            return Ok(Ending::Done);
        }
        tokio::time::sleep(frames.every).await;
    }
}

impl Frame {
    async fn of(client: &Client, rows: usize) -> Result<Self, ClientError> {
        let (mut counts, mut first) = (Vec::new(), Vec::new());
        for phase in [Phase::Executing, Phase::Suspended, Phase::Queued, Phase::Held, Phase::Pending] {
            let mut jobs = client.list(&[phase], None).await?;
            counts.push((phase, jobs.len()));
            // The list begins with the newest job, the queue with the oldest.
            jobs.reverse();
            first.extend(jobs);
        }
        let mut active = Vec::new();
        for job in first.into_iter().take(rows) {
            match client.job(job.id).await {
                Ok(job) => active.push(job),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let ended = client.list(&[Phase::Completed, Phase::Error, Phase::Aborted], Some(ENDED)).await?;
        Ok(Self { counts, active, ended })
    }

    fn to_json(&self) -> Value {
        let counts = self.counts.iter().map(|(phase, count)| (phase.as_str().to_owned(), Value::from(*count)));
        let documents = |jobs: &[Job]| jobs.iter().map(|job| job.raw.clone()).collect::<Value>();
        serde_json::json!({
            "counts": counts.collect::<serde_json::Map<_, _>>(),
            "active": documents(&self.active),
            "ended": documents(&self.ended),
        })
    }

    fn to_text(&self, service: &str) -> String {
        let counts = self.counts.iter().filter(|(phase, count)| *count > 0 || is_usual(*phase));
        let counts: Vec<String> = counts.map(|(phase, count)| format!("{count} {phase}")).collect();
        let mut text = format!("{}: {}\n", shown(service), counts.join(", "));
        if !self.active.is_empty() {
            let rows = self.active.iter().map(|job| {
                let since = if is_usual(job.phase) { job.started().or_else(|| job.created()) } else { job.created() };
                row(job, since, &doing(job))
            });
            text.extend(["\n".to_owned(), table(["ID", "PHASE", "RUN ID", "OWNER", "SINCE", "DOES"], rows)]);
        }
        let all: usize = self.counts.iter().map(|(_, count)| count).sum();
        if all > self.active.len() {
            text.extend(["… and ".to_owned(), (all - self.active.len()).to_string(), " more\n".to_owned()]);
        }
        if !self.ended.is_empty() {
            let rows = self.ended.iter().map(|job| row(job, job.created(), ""));
            text.extend(["\n".to_owned(), table(["ENDED", "PHASE", "RUN ID", "OWNER", "CREATED", ""], rows)]);
        }
        text
    }
}

/// Phases whose number is told also when it is 0.
const fn is_usual(phase: Phase) -> bool {
    matches!(phase, Phase::Executing | Phase::Queued)
}

fn row(job: &Job, since: Option<&str>, does: &str) -> [String; 6] {
    let or_none = |text: Option<&str>| shown(text.unwrap_or("-"));
    [
        job.id.to_string(),
        job.phase.as_str().to_owned(),
        or_none(job.run_id()),
        or_none(job.owner()),
        or_none(since),
        does.to_owned(),
    ]
}

/// What the job does at the moment: of one that waits its stage, of one that runs its command.
fn doing(job: &Job) -> String {
    const WIDEST: usize = 60;
    let of_info = |name: &str| job.info().and_then(|info| info.get(name)).and_then(Value::as_str);
    let command = || job.parameters().iter().find(|(name, _)| *name == "COMMAND").map(|(_, command)| *command);
    let text = match (of_info("stage"), of_info("stageDetail")) {
        (Some(stage), Some(detail)) => format!("{stage}: {detail}"),
        (Some(stage), None) => stage.to_owned(),
        (None, _) => command().unwrap_or_default().to_owned(),
    };
    let text = shown(&text);
    if text.chars().count() <= WIDEST { text } else { text.chars().take(WIDEST - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::scripted::{Server, answer};

    const ID: &str = "0192f0c1a5b07c3d8e9f00112233aabb";

    fn job(raw: Value) -> Job {
        Job::read(raw).expect("a job")
    }

    #[test]
    fn a_frame_tells_what_runs_what_waits_and_what_ended() {
        let command = "x".repeat(80);
        let frame = Frame {
            counts: vec![(Phase::Executing, 1), (Phase::Suspended, 0), (Phase::Queued, 3), (Phase::Held, 1)],
            active: vec![
                job(json!({"jobId": ID, "phase": "EXECUTING", "startTime": "2031-03-04T08:15:00.250Z",
                           "parameters": [{"id": "COMMAND", "value": command}]})),
                job(
                    json!({"jobId": ID, "phase": "QUEUED", "runId": "a\u{1b}b", "creationTime": "2031-03-04T08:16:00.000Z",
                           "jobInfo": {"stage": "pulling", "stageDetail": "3 of 7 layers"}}),
                ),
            ],
            ended: vec![job(json!({"jobId": ID, "phase": "ERROR"}))],
        };
        let text = frame.to_text("ocps");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ocps: 1 EXECUTING, 3 QUEUED, 1 HELD");
        assert!(lines[3].contains("2031-03-04T08:15:00.250Z") && lines[3].ends_with(&format!("{}…", "x".repeat(59))));
        assert!(lines[4].contains("a\\u{1b}b") && lines[4].ends_with("pulling: 3 of 7 layers"), "{text}");
        assert_eq!(lines[5], "… and 3 more");
        assert!(lines[8].contains("ERROR"), "{text}");
    }

    #[tokio::test]
    async fn over_a_restart_programs_get_documents_only() {
        for json in [true, false] {
            let server = Server::start(|before, _| match before {
                0 => answer(503, "restarting"),
                1..=6 => answer(200, r#"{"jobs": []}"#), // one frame
                _ => answer(404, "gone"),
            })
            .await;
            let client = Client::new(&server.url, "ocps").expect("a URL");
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut output = Output { out: &mut out, err: &mut err, json };
            let frames = Frames { every: Duration::ZERO, rows: 9, once: false };
            top(&client, frames, &mut output).await.expect_err("nothing of that name");
            let (out, err) = (String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"));
            if json {
                let documents: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
                assert_eq!(documents.len(), 1, "{out}");
                assert!(err.starts_with("uwsctl: ") && err.contains("restarting"), "{err}");
            } else {
                assert!(out.contains("restarting") && err.is_empty(), "{out} {err}");
            }
        }
    }
}
