//! The logs of a job, and their ids among its results (contract §5): `stdout` and `stderr` are those of replica 0,
//! `{n}/stdout` and `{n}/stderr` those of replica n.

use super::Job;

/// A log of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Of which replica.
    pub replica: u32,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
}

const STREAMS: [&str; 2] = ["stdout", "stderr"];

impl Log {
    /// Every log of a job.
    pub fn all(job: &Job) -> impl Iterator<Item = Self> {
        (0..job.work.replicas).flat_map(|replica| STREAMS.map(|stream| Self { replica, stream }))
    }

    /// Its id.
    #[must_use]
    pub fn id(self) -> String {
        match self.replica {
            0 => self.stream.to_owned(),
            replica => format!("{replica}/{}", self.stream),
        }
    }

    /// The log with this id of a job with so many replicas; `None` if it is the id of a file.
    #[must_use]
    pub fn of_id(id: &str, replicas: u32) -> Option<Self> {
        let (replica, name) = match id.split_once('/') {
            None => (0, id),
            Some((number, name)) => (number.parse().ok().filter(|replica| *replica > 0)?, name),
        };
        let stream = STREAMS.into_iter().find(|stream| *stream == name)?;
        let log = Self { replica, stream };
        // `01/stdout` and `+1/stdout` are names of files.
        (replica < replicas && log.id() == id).then_some(log)
    }

    /// How many bytes it has kept, if that is known.
    #[must_use]
    pub fn kept(self, job: &Job) -> Option<u64> {
        let replica = usize::try_from(self.replica).ok()?;
        let logs = job.outcome.as_ref()?.replicas.get(replica)?.logs?;
        STREAMS.iter().zip(logs).find_map(|(stream, log)| (*stream == self.stream).then_some(log.kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_logs_of_replicas_that_are_there_have_their_names() {
        for (id, replicas, expected) in [
            ("stdout", 1, Some((0, "stdout"))),
            ("stderr", 3, Some((0, "stderr"))),
            ("2/stdout", 3, Some((2, "stdout"))),
            ("3/stdout", 3, None),
            ("1/stdout", 1, None),
            ("0/stdout", 3, None),
            ("01/stdout", 3, None),
            ("+1/stdout", 3, None),
            ("out/stdout", 1, None),
            ("a/1/stdout", 3, None),
            ("stdin", 1, None),
            ("", 1, None),
        ] {
            let found = Log::of_id(id, replicas).map(|log| (log.replica, log.stream));
            assert_eq!(found, expected, "{id} of {replicas}");
        }
    }
}
