//! What a PUT asks for, whatever form it came in.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::SERVICE;
use crate::domain::{RunId, Source, Variable, Work};
use crate::http::program;
use crate::http::reply::ApiError;
use crate::supervisor::{Asked, Submission};

/// A job to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct JobRequest {
    /// The command, one string for the service's shell.
    #[schema(example = "cd $JOB_SOURCE_DIR && bash bin/pipetask.sh", min_length = 1, max_length = 131_071)]
    pub(super) command: String,
    /// The client's own name for the job; empty or left out: the job's id.
    #[schema(required = false, pattern = "^([A-Za-z0-9][-._A-Za-z0-9]*)?$", max_length = 63)]
    pub(super) run_id: Option<String>,
    /// The git repository to check out; empty or left out: none. With `null` the job is not given the variables about
    /// its source either.
    #[schema(required = false, example = "https://github.com/lsst-dm/uws_scripts")]
    pub(super) url: Option<String>,
    /// A branch, tag or commit; empty or left out: the repository's default branch.
    #[schema(required = false, example = "main")]
    pub(super) commit_ref: String,
    /// Variables for the job, passed on byte for byte; of a repeated name the last one wins.
    #[schema(required = false)]
    pub(super) environment: Vec<EnvironmentVariable>,
    /// How many copies run side by side.
    #[schema(required = false, default = 1, minimum = 1)]
    pub(super) replicas: u32,
    /// How many seconds it has between TERM and KILL when it is stopped, lowered to what the service allows; `null` or left
    /// out: as the service says.
    #[schema(required = false, value_type = Option<f64>, minimum = 0)]
    pub(super) kill_grace: Option<Duration>,
}

/// A variable of the job's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct EnvironmentVariable {
    /// The name; those that begin with `JOB_` are the service's own.
    pub(super) name: String,
    /// The value.
    pub(super) value: String,
}

impl JobRequest {
    /// A request for `command` and nothing else.
    pub(super) fn new(command: String) -> Self {
        Self {
            command,
            run_id: None,
            url: Some(String::new()),
            commit_ref: String::new(),
            environment: Vec::new(),
            replicas: 1,
            kill_grace: None,
        }
    }

    /// The same in the words of the supervisor.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] with the field and what would do.
    pub(super) fn into_submission(self, idempotency_key: Option<String>) -> Result<Submission, ApiError> {
        if self.command.trim().is_empty() {
            return Err(bad("command is empty; give the command as a non-empty string"));
        }
        program::argument("command", &self.command)?;
        program::argument("commit_ref", &self.commit_ref)?;
        program::argument("url", self.url.as_deref().unwrap_or_default())?;
        let run_id = self.run_id.filter(|text| !text.is_empty());
        let run_id =
            run_id.map(|text| RunId::parse_json(&text)).transpose().map_err(|why| bad(format!("run_id: {why}")))?;
        let environment = self.environment.into_iter().enumerate().map(variable).collect::<Result<_, _>>()?;
        let source = self.url.map(|url| Source { url, commit_ref: self.commit_ref });
        let (replicas, kill_grace) = (self.replicas, self.kill_grace);
        let work = Work { source, environment, replicas, kill_grace, ..Work::of_command(self.command) };
        Ok(Submission {
            service: SERVICE.to_owned(),
            run_id,
            work,
            is_run: true,
            execution_duration: Asked::Default,
            destruction: Asked::Default,
            idempotency_key,
        })
    }
}

fn variable((index, given): (usize, EnvironmentVariable)) -> Result<Variable, ApiError> {
    program::variable(&format!("environment[{index}]"), given.name, given.value)
}

/// A refusal of a field.
pub(super) fn bad(why: impl Into<String>) -> ApiError {
    ApiError::Malformed(why.into())
}
