//! What a job is asked to do.

use std::time::Duration;

/// A variable of the job's environment: passed on byte for byte, never expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Why a name cannot be a variable of the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvironmentName {
    /// Empty, or with `=` or NUL in it.
    #[error("the environment name {0:?} is empty or holds '=' or a NUL")]
    Form(String),
    /// One of the daemon's own.
    #[error("the environment name {0:?} is reserved: names that begin with JOB_ are set by the service")]
    Reserved(String),
    /// The value holds a NUL.
    #[error("the value of {0} holds a NUL, which no environment can carry")]
    Value(String),
}

impl Variable {
    /// The variable, if the caller may set it.
    ///
    /// # Errors
    /// [`BadEnvironmentName`] with the name.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Result<Self, BadEnvironmentName> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(BadEnvironmentName::Form(name));
        }
        if name.starts_with("JOB_") {
            return Err(BadEnvironmentName::Reserved(name));
        }
        if value.contains('\0') {
            return Err(BadEnvironmentName::Value(name));
        }
        Ok(Self { name, value })
    }
}

/// Where a job's source comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The URL of a git repository; empty: nothing is checked out.
    pub url: String,
    /// A branch, tag or commit; empty: the repository's default branch.
    pub commit_ref: String,
}

/// What a job is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The command, one string for the shell of a free-command service; empty in a service with typed parameters.
    pub command: String,
    /// The source. `None` (the JSON API's `url: null`) also leaves its variables unset in the job.
    pub source: Option<Source>,
    /// The caller's variables, in the caller's order; of a repeated name the last one wins.
    pub environment: Vec<Variable>,
    /// How many copies run side by side, 1 or more.
    pub replicas: u32,
    /// Typed parameters, and those that the service does not know, kept and shown (REQUEST, LANG, …), in the client's
    /// order.
    pub parameters: Vec<Parameter>,
    /// Files that the client handed in, which the job finds in its `in` directory.
    pub uploads: Vec<Upload>,
    /// How long it has between TERM and KILL when it is stopped; `None`: as its service says.
    pub kill_grace: Option<Duration>,
}

/// A file that the client handed in with its parameters (UWS 1.1 §2.2.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name: that of the parameter that shows it, and of the file that the job finds.
    pub name: String,
    /// The media type that the client gave it.
    pub media_type: Option<String>,
    /// The size in bytes.
    pub size: u64,
    /// The name under which the daemon keeps it, unique among all uploads.
    pub file: String,
    /// The URL that it was fetched from, if it did not come with the request.
    pub source: Option<String>,
}

impl Upload {
    /// The name, or with a number behind it if one of `others` has it: of a parameter with several files.
    #[must_use]
    pub fn free_name(name: &str, others: &[Self]) -> String {
        let is_taken = |name: &str| others.iter().any(|other| other.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_else(|| name.to_owned())
    }
}

/// A parameter of a job (UWS 1.1 §2.1.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name, as the client wrote it.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Work {
    /// The largest [`Work::size`] that is accepted: Linux gives a program at least so much room for its arguments and
    /// environment, and what is listed of a job stays small.
    pub const MAX_SIZE: usize = 1 << 20;

    /// A command for the service's shell and nothing else.
    #[must_use]
    pub fn of_command(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            source: None,
            environment: Vec::new(),
            replicas: 1,
            parameters: Vec::new(),
            uploads: Vec::new(),
            kill_grace: None,
        }
    }

    /// The bytes of everything in it; each variable takes what the kernel needs for it beside its text: `=`, a NUL and
    /// a pointer.
    #[must_use]
    pub fn size(&self) -> usize {
        let source = self.source.as_ref().map_or(0, |source| source.url.len() + source.commit_ref.len());
        let variables = self.environment.iter().map(|Variable { name, value }| name.len() + value.len() + 10);
        let parameters = self.parameters.iter().map(|Parameter { name, value }| name.len() + value.len() + 10);
        let uploads = self.uploads.iter().map(|upload| upload.name.len() + upload.file.len() + 10);
        let lists = variables.sum::<usize>() + parameters.sum::<usize>() + uploads.sum::<usize>();
        self.command.len() + source + lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_kept_byte_for_byte() {
        let hard = "a \"b\" 'c' $(d) ${e} `f` \\ \n: ü";
        assert_eq!(Variable::new("RUN_OPTIONS", hard).expect("fine").value, hard);
    }

    #[test]
    fn its_size_counts_everything() {
        let source = Source { url: "12345".to_owned(), commit_ref: "678".to_owned() };
        let environment = vec![Variable::new("A", "").expect("fine"), Variable::new("B", "12").expect("fine")];
        let work = Work { source: Some(source), environment, ..Work::of_command("ls") };
        assert_eq!(work.size(), 2 + 8 + 11 + 13);
    }

    #[test]
    fn bad_and_reserved_names_are_refused() {
        assert!(matches!(Variable::new("", "x"), Err(BadEnvironmentName::Form(_))));
        assert!(matches!(Variable::new("A=B", "x"), Err(BadEnvironmentName::Form(_))));
        assert!(matches!(Variable::new("JOB_ID", "x"), Err(BadEnvironmentName::Reserved(_))));
        assert!(matches!(Variable::new("A", "x\0"), Err(BadEnvironmentName::Value(_))));
    }
}
