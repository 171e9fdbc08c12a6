//! What a job is asked to do.

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

/// What a job of a free-command service is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The command, one string for the service's shell.
    pub command: String,
    /// The source. `None` (the JSON API's `url: null`) also leaves its variables unset in the job.
    pub source: Option<Source>,
    /// The caller's variables, in the caller's order; of a repeated name the last one wins.
    pub environment: Vec<Variable>,
    /// How many copies run side by side, 1 or more.
    pub replicas: u32,
    /// Parameters that the service does not know, kept and shown (REQUEST, LANG, …), in the client's order.
    pub parameters: Vec<Parameter>,
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

    /// The bytes of everything in it; each variable takes what the kernel needs for it beside its text: `=`, a NUL and
    /// a pointer.
    #[must_use]
    pub fn size(&self) -> usize {
        let source = self.source.as_ref().map_or(0, |source| source.url.len() + source.commit_ref.len());
        let variables = self.environment.iter().map(|Variable { name, value }| name.len() + value.len() + 10);
        let parameters = self.parameters.iter().map(|Parameter { name, value }| name.len() + value.len() + 10);
        self.command.len() + source + variables.sum::<usize>() + parameters.sum::<usize>()
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
        let work =
            Work { command: "ls".to_owned(), source: Some(source), environment, replicas: 1, parameters: Vec::new() };
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
