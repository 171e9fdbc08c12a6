//! How each of several replicas ended, as both APIs show it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Job, ReplicaEnd};

/// The end of one of several replicas; what is not known is left out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Replica)]
pub(super) struct ReplicaObject {
    /// The exit code of its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// The signal that killed its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// The most memory that it used, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory: Option<u64>,
    /// Whether that is only the most that was seen, looking now and then.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_sampled: Option<bool>,
    /// How many bytes its command wrote to standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_bytes: Option<u64>,
    /// The same of standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_bytes: Option<u64>,
}

impl ReplicaObject {
    /// Those of a job, in their order; none for a job with one replica, of which everything is told already.
    pub(super) fn all(job: &Job) -> Option<Vec<Self>> {
        let replicas = &job.outcome.as_ref()?.replicas;
        (job.work.replicas > 1 && !replicas.is_empty()).then(|| replicas.iter().map(Self::of).collect())
    }

    fn of(replica: &ReplicaEnd) -> Self {
        let ReplicaEnd { exit_code, signal, peak_memory, logs, log_gap: _ } = replica;
        Self {
            exit_code: *exit_code,
            signal: *signal,
            peak_memory: peak_memory.map(|peak| peak.bytes),
            peak_memory_sampled: peak_memory.map(|peak| peak.is_sampled),
            stdout_bytes: logs.map(|[stdout, _]| stdout.written),
            stderr_bytes: logs.map(|[_, stderr]| stderr.written),
        }
    }

    /// Its values as attributes of XML, after its number: there, other than in JSON, its place says little.
    pub(super) fn fields(&self, number: usize) -> Vec<(&'static str, String)> {
        let fields = [
            ("number", Some(number.to_string())),
            ("exitCode", self.exit_code.map(|code| code.to_string())),
            ("signal", self.signal.map(|signal| signal.to_string())),
            ("peakMemory", self.peak_memory.map(|bytes| bytes.to_string())),
            ("peakMemorySampled", self.peak_memory_sampled.map(|is_sampled| is_sampled.to_string())),
            ("stdoutBytes", self.stdout_bytes.map(|bytes| bytes.to_string())),
            ("stderrBytes", self.stderr_bytes.map(|bytes| bytes.to_string())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
