//! Those who submit jobs, poll them to their ends, and look at what they left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bed::Bed;
use crate::faults::Random;
use crate::http::FORM;
use crate::job::{Job, Kind, Told, WRITTEN};

/// How many clients there are; each has one job at a time.
const CLIENTS: u64 = 10;
/// How often a client asks.
const EVERY: Duration = Duration::from_millis(500);
/// How long a job may take to end once nothing fails any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// Submits jobs until `end` and follows each to its own end.
pub async fn until(bed: Arc<Bed>, seed: u64, end: Instant) -> Vec<Job> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (bed, mut random) = (Arc::clone(&bed), Random::new(seed ^ (number << 32 | 1)));
        clients.spawn(async move {
            let mut jobs = Vec::new();
            while Instant::now() < end {
                let mut client = Client { bed: &bed, is_uws: random.next() % 2 == 0 };
                let submitted = client.submit(Kind::any(random.next()), random.next());
                // Where there is no room for so long none will come any more.
                let Ok(mut job) = tokio::time::timeout_at((end + PATIENCE / 2).into(), submitted).await else { break };
                client.follow(&mut job, random.next() % 4000, end + PATIENCE).await;
                jobs.push(job);
            }
            jobs
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// One job's client.
struct Client<'a> {
    bed: &'a Bed,
    /// Whether it speaks UWS, else JSON.
    is_uws: bool,
}

impl Client<'_> {
    /// Submits under a key, so that a try whose answer was lost makes no second job.
    async fn submit(&self, kind: Kind, key: u64) -> Job {
        let (command, key, submitted) = (kind.command(), format!("{key:x}"), Instant::now());
        // Its limit and its number of replicas are each for one API to ask for.
        let is_uws = (self.is_uws || kind.limit().is_some()) && kind.replicas() == 1;
        let id = if is_uws {
            let limit = kind.limit().map(|limit| limit.to_string());
            let mut fields = vec![("COMMAND", command.as_str()), ("PHASE", "RUN")];
            fields.extend(limit.as_deref().map(|limit| ("EXECUTIONDURATION", limit)));
            let form = form_urlencoded(&fields);
            let headers = [FORM, ("idempotency-key", &key)];
            let answer = self.bed.http.insist("POST", "/api/ocps/async", &headers, &form).await;
            assert_eq!(answer.status, 303, "{}", answer.text());
            let location = answer.location.expect("a location");
            location.rsplit('/').next().expect("an id").to_owned()
        } else {
            let body = json!({ "command": command, "url": null, "replicas": kind.replicas() }).to_string();
            let headers = [("content-type", "application/json"), ("idempotency-key", &key)];
            let answer = self.bed.http.insist("PUT", "/api/v1/job", &headers, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json().and_then(|job| job["jobId"].as_str().map(str::to_owned)).expect("an id")
        };
        Job { id, kind, submitted, polls: 0, ended: None, untrue: Vec::new(), is_deleted: false }
    }

    /// Polls until the job has ended; one that is to be aborted is so after `patience` ms.
    async fn follow(&mut self, job: &mut Job, patience: u64, deadline: Instant) {
        let abort_at = (job.kind == Kind::Aborted).then(|| Instant::now() + Duration::from_millis(patience));
        let (mut is_aborted, mut reached) = (false, 0);
        while Instant::now() < deadline {
            tokio::time::sleep(EVERY).await;
            if !is_aborted && abort_at.is_some_and(|at| Instant::now() >= at) {
                self.abort(job).await;
                is_aborted = true;
                if job.ended.is_some() {
                    return;
                }
            }
            let Some(phase) = self.phase(job).await else { continue };
            match rank(&phase) {
                Some(rank) if rank >= reached => reached = rank,
                _ => job.untrue.push(format!("phase {phase:?} after one of rank {reached}")),
            }
            if reached == 3 {
                let seen = Instant::now();
                if let Some(told) = self.told(job).await {
                    job.ended = Some((seen, told));
                }
                return;
            }
        }
    }

    /// The phase that is told; `None` if nobody answers.
    async fn phase(&self, job: &mut Job) -> Option<String> {
        let path = if self.is_uws {
            format!("/api/ocps/async/{}/phase", job.id)
        } else {
            format!("/api/v1/job/{}/phase", job.id)
        };
        let answer = self.bed.http.get(&path).await?;
        job.polls += 1;
        match answer.status {
            200 => Some(answer.text().trim().trim_matches('"').to_ascii_lowercase()),
            500.. => None,
            status => {
                job.untrue.push(format!("{status}: {}", answer.text()));
                None
            }
        }
    }

    async fn abort(&mut self, job: &mut Job) {
        if self.is_uws {
            let path = format!("/api/ocps/async/{}/phase", job.id);
            let answer = self.bed.http.insist("POST", &path, &[FORM], "PHASE=ABORT").await;
            // Refused if it has ended meanwhile.
            assert!([303, 403].contains(&answer.status), "{}", answer.text());
        } else {
            let answer = self.bed.http.insist("DELETE", &format!("/api/v1/job/{}", job.id), &[], "").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            job.is_deleted = true;
            let document = answer.json().unwrap_or_default();
            if document["phase"].as_str().and_then(rank) == Some(3) {
                // It had ended before, and whoever deletes such a job is told no more of it.
                let reason = "deleted after its end".to_owned();
                let told =
                    Told { reason, exit_code: None, replicas: Vec::new(), document: document.to_string(), fault: None };
                job.ended = Some((Instant::now(), told));
            }
        }
    }

    /// What is told of a job that has ended; `None` if it is not there any more.
    async fn told(&self, job: &Job) -> Option<Told> {
        let answer = self.bed.http.insist("GET", &format!("/api/v1/job/{}", job.id), &[], "").await;
        let document = answer.json()?;
        let info = &document["jobInfo"];
        let reason = info["reason"].as_str().unwrap_or("none").to_owned();
        let fault = match reason.as_str() {
            "ok" | "nonzero" => self.fault(job, &document).await,
            _ => None,
        };
        let exit_code = info["exitCode"].as_i64();
        let replicas = info["replicas"].as_array().into_iter().flatten();
        let replicas = replicas.map(|replica| replica["exitCode"].as_i64()).collect();
        Some(Told { reason, exit_code, replicas, document: document.to_string(), fault })
    }

    /// What is missing of the log of a job that came to its own end, and of the results of a success.
    async fn fault(&self, job: &Job, document: &Value) -> Option<String> {
        let is_told = document["jobInfo"]["logGap"].is_string();
        for replica in (0..job.kind.replicas()).filter(|_| !is_told) {
            let expected = job.kind.prints(replica);
            let log = self.left(&format!("/api/v1/job/{}/stdout?replica={replica}", job.id)).await;
            if let Some(log) = log.filter(|log| *log != expected) {
                return Some(format!("its log has {} bytes of {}", log.len(), expected.len()));
            }
        }
        if job.kind == Kind::Writes && document["jobInfo"]["reason"] == "ok" {
            let results = document["results"].as_array().map_or(0, Vec::len);
            let file = self.left(&format!("/api/v1/job/result/{}/0", job.id)).await;
            if let Some(file) = file.filter(|file| file.len() != WRITTEN) {
                return Some(format!("its result has {} bytes of {WRITTEN}; {results} results", file.len()));
            }
        }
        None
    }

    /// A file that a job left; `None` if it was given up for want of room.
    async fn left(&self, path: &str) -> Option<String> {
        let answer = self.bed.http.insist("GET", path, &[], "").await;
        (answer.status == 200 || !answer.text().contains("removed")).then(|| answer.text())
    }
}

/// How far a job is in this phase.
fn rank(phase: &str) -> Option<u8> {
    Some(match phase {
        "pending" => 0,
        "queued" | "held" => 1,
        "executing" | "suspended" => 2,
        "completed" | "error" | "aborted" => 3,
        _ => return None,
    })
}

fn form_urlencoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
