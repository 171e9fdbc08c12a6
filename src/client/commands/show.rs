//! `list`, `show`, `wait`, `results` and `phase`: what is known.

use serde_json::Value;

use super::{Ending, Failure, Output};
use crate::client::print::{job_details, job_table, result_table, shown};
use crate::client::{Client, Job};
use crate::domain::{JobId, Phase};

pub(super) async fn list(
    client: &Client,
    phases: &[Phase],
    last: Option<u64>,
    output: &mut Output<'_>,
) -> Result<Ending, Failure> {
    let jobs = client.list(phases, last).await?;
    if output.json {
        output.document(&jobs.into_iter().map(|job| job.raw).collect::<Value>()).await?;
    } else {
        output.text(&job_table(&jobs)).await?;
    }
    Ok(Ending::Done)
}

pub(super) async fn show(client: &Client, id: JobId, output: &mut Output<'_>) -> Result<Ending, Failure> {
    let job = client.job(id).await?;
    if output.json {
        output.document(&job.raw).await?;
    } else {
        output.text(&job_details(&job)).await?;
    }
    Ok(Ending::Done)
}

pub(super) async fn wait(client: &Client, id: JobId, output: &mut Output<'_>) -> Result<Ending, Failure> {
    let job = client.wait(id).await?;
    if !output.json {
        output.text(&format!("{}\n", job.phase)).await?;
    }
    report_end(&job, output).await
}

pub(super) async fn results(client: &Client, id: JobId, output: &mut Output<'_>) -> Result<Ending, Failure> {
    let job = client.job(id).await?;
    if output.json {
        output.document(job.raw.get("results").unwrap_or(&Value::Null)).await?;
    } else {
        output.text(&result_table(&job.results)).await?;
    }
    if let Some(why) = job.files_gone() {
        output.say(&why).await?;
    }
    Ok(Ending::Done)
}

pub(super) async fn phase(client: &Client, id: JobId, output: &mut Output<'_>) -> Result<Ending, Failure> {
    let phase = client.phase(id).await?;
    if output.json {
        output.document(&Value::from(phase.as_str())).await?;
    } else {
        output.text(&format!("{phase}\n")).await?;
    }
    Ok(Ending::Done)
}

/// Tells how a job ended, beside the output, and what that means for the exit code.
pub(super) async fn report_end(job: &Job, output: &mut Output<'_>) -> Result<Ending, Failure> {
    if output.json {
        output.document(&job.raw).await?;
    }
    let ending = Ending::of(job);
    if ending != Ending::Done {
        let why = job.error().map(|why| format!(": {}", shown(why))).unwrap_or_default();
        output.say(&format!("job {} ended in {}{why}", job.id, job.phase)).await?;
    }
    Ok(ending)
}
