//! What tells a request that is sent again from another one with the same key.

use uuid::Uuid;

use crate::domain::{Parameter, RunId, Timestamp, Upload, Variable};

use super::submit::{Asked, Submission};
use super::uploads::Staged;

/// A digest of everything that a submission asks for; the same for the same request, in every version of this program.
///
/// Of files only those count that came with the request: what is fetched is told by its URL.
pub(super) fn fingerprint(submission: &Submission, arrived: Option<&Staged>) -> [u8; 16] {
    let Submission { service, run_id, work, is_run, execution_duration, destruction, .. } = submission;
    let mut bytes = Vec::new();
    let mut add = |text: &str| {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    add(service);
    add(run_id.as_ref().map_or("", RunId::as_str));
    add(if *is_run { "run" } else { "" });
    add(&match execution_duration {
        Asked::Default => String::new(),
        Asked::For(limit) => limit.map_or(0, |limit| limit.as_millis()).to_string(),
    });
    add(&match destruction {
        Asked::Default => String::new(),
        Asked::For(at) => at.map_or(0, Timestamp::millis).to_string(),
    });
    add(&work.command);
    match &work.source {
        Some(source) => {
            add(&source.url);
            add(&source.commit_ref);
        }
        None => add("no source"),
    }
    add(&work.replicas.to_string());
    for Variable { name, value } in &work.environment {
        add(name);
        add(value);
    }
    add("parameters");
    for Parameter { name, value } in &work.parameters {
        add(name);
        add(value);
    }
    add("uploads");
    let contents = arrived.into_iter().flat_map(Staged::contents);
    for (Upload { name, .. }, content) in contents.filter(|(upload, _)| upload.source.is_none()) {
        add(name);
        add(&format!("{content:x?}"));
    }
    // Only where it is asked for: who asks for none is known by the digest that older versions made.
    if let Some(grace) = work.kill_grace {
        add("kill grace");
        add(&grace.as_millis().to_string());
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes).into_bytes()
}
