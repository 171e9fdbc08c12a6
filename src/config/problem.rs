//! Where a value comes from, and what is wrong with it.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default.
    Default,
    /// A default that was worked out, and from what.
    Derived(&'static str),
    /// The main file or a drop-in.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl Origin {
    /// Whether somebody set the value, so that it must not be bent silently.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        match self {
            Self::Default | Self::Derived(_) => false,
            Self::File(_) | Self::Variable(_) | Self::Flag(_) => true,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived(from) => write!(f, "default: {from}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key; `None` if a whole file is meant.
    pub key: Option<String>,
    /// Where it was set.
    pub origin: Origin,
    /// What it is, with credentials masked, and what would do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key} ")?;
            match &self.origin {
                Origin::Default | Origin::Derived(_) => write!(f, "by {}", self.origin)?,
                Origin::File(_) => write!(f, "in {}", self.origin)?,
                Origin::Variable(_) | Origin::Flag(_) => write!(f, "from {}", self.origin)?,
            }
        } else {
            write!(f, "{}", self.origin)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// All that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The problems, at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("config: 1 problem")?,
            n => write!(f, "config: {n} problems")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}
