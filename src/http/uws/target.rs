//! Which resource a path below `/{service}/async` names (UWS 1.1 §2.2.1).

use percent_encoding::percent_decode_str;

use crate::domain::JobId;
use crate::http::reply::ApiError;

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The job list.
    List,
    /// A job or a part of it.
    Job(JobId, Part),
}

/// A job, or one of its sub-resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The job itself.
    Whole,
    /// `phase`.
    Phase,
    /// `executionduration`.
    ExecutionDuration,
    /// `destruction`.
    Destruction,
    /// `quote`.
    Quote,
    /// `error`.
    Error,
    /// `owner`.
    Owner,
    /// `parameters`.
    Parameters,
    /// `parameters/{name}`.
    Parameter(String),
    /// `results`.
    Results,
    /// `results/{id}`.
    Result(String),
}

impl Target {
    /// The methods of the job list.
    pub(super) const LIST_METHODS: &str = "GET, HEAD, POST, OPTIONS";

    /// The resource of the path that follows `/async/`; a slash at its end counts for nothing.
    ///
    /// # Errors
    /// [`ApiError::NoSuchJob`] for what is no job id, [`ApiError::NoSuchPath`] for what no job has.
    pub(super) fn parse(tail: &str) -> Result<Self, ApiError> {
        let tail = tail.strip_suffix('/').unwrap_or(tail);
        if tail.is_empty() {
            return Ok(Self::List);
        }
        let (id, rest) = tail.split_once('/').unwrap_or((tail, ""));
        let id = id.parse().map_err(|_| ApiError::NoSuchJob)?;
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8().map_err(|_| ApiError::NoSuchPath)?;
            Ok::<_, ApiError>(text.into_owned())
        };
        let part = match rest.split_once('/') {
            None => match rest {
                "" => Part::Whole,
                "phase" => Part::Phase,
                "executionduration" => Part::ExecutionDuration,
                "destruction" => Part::Destruction,
                "quote" => Part::Quote,
                "error" => Part::Error,
                "owner" => Part::Owner,
                "parameters" => Part::Parameters,
                "results" => Part::Results,
                _ => return Err(ApiError::NoSuchPath),
            },
            Some(("parameters", name)) => Part::Parameter(decoded(name)?),
            Some(("results", result)) => Part::Result(decoded(result)?),
            Some(_) => return Err(ApiError::NoSuchPath),
        };
        Ok(Self::Job(id, part))
    }
}

impl Part {
    /// What the resource can be asked.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Whole => "GET, HEAD, POST, DELETE, OPTIONS",
            Self::Phase | Self::ExecutionDuration | Self::Destruction | Self::Parameters => "GET, HEAD, POST, OPTIONS",
            Self::Quote | Self::Error | Self::Owner | Self::Parameter(_) | Self::Results | Self::Result(_) => {
                crate::http::resource::READ_ONLY
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_tree_is_known_and_no_other() {
        let id = JobId::new(crate::domain::Timestamp::from_millis(1));
        let part = |rest: &str| match Target::parse(&format!("{id}{rest}")) {
            Ok(Target::Job(found, part)) if found == id => Some(part),
            Ok(_) | Err(_) => None,
        };
        assert_eq!(Target::parse("").ok(), Some(Target::List));
        for (rest, expected) in [
            ("", Part::Whole),
            ("/", Part::Whole),
            ("/phase", Part::Phase),
            ("/phase/", Part::Phase),
            ("/executionduration", Part::ExecutionDuration),
            ("/destruction", Part::Destruction),
            ("/quote", Part::Quote),
            ("/error", Part::Error),
            ("/owner", Part::Owner),
            ("/parameters/", Part::Parameters),
            ("/parameters/a%2Fb", Part::Parameter("a/b".to_owned())),
            ("/results", Part::Results),
            ("/results/a/b%20c", Part::Result("a/b c".to_owned())),
            ("/results/a%2fb", Part::Result("a/b".to_owned())),
        ] {
            assert_eq!(part(rest), Some(expected), "{rest}");
        }
        for bad in ["/x", "/phase/x", "/PHASE", "/results/%ff", "//phase", "/quote/a/b"] {
            assert_eq!(part(bad), None, "{bad}");
        }
        assert!(matches!(Target::parse("abc"), Err(ApiError::NoSuchJob)));
    }
}
