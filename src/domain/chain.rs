//! An error and what caused it, for people.

use std::error::Error;

/// An error and everything behind it, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Some show their source already: `transparent` variants, for one.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("reading {0} failed")]
        Read(&'static str, #[source] Box<Self>),
        #[error("it failed: {0}")]
        Shown(#[source] Box<Self>),
        #[error(transparent)]
        Transparent(Box<Self>),
        #[error("no such file")]
        Cause,
    }

    #[test]
    fn everything_is_told_once() {
        let cause = || Box::new(Layer::Cause);
        assert_eq!(
            chain(&Layer::Read("a", Box::new(Layer::Read("b", cause())))),
            "reading a failed: reading b failed: no such file"
        );
        assert_eq!(chain(&Layer::Shown(cause())), "it failed: no such file");
        assert_eq!(chain(&Layer::Transparent(Box::new(Layer::Read("a", cause())))), "reading a failed: no such file");
    }
}
