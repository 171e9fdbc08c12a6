//! The job description of a service with typed parameters: which there are, and the program that they lead to.
//!
//! Configuration builds a [`Jdl`] once; parameters of a job are settled by it when they come in (names in the service's
//! own spelling, values checked) and lead to an argv when the job runs. No shell ever sees a value.

mod declaration;
mod template;

pub(crate) use declaration::truth;
pub use declaration::{BadDeclaration, Declaration, Pattern, ValueKind};
pub use template::{BadTemplate, Template};

use super::Parameter;

/// The parameters and the program of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Jdl {
    /// The parameters, in the order of the configuration.
    pub declarations: Vec<Declaration>,
    /// The program with its arguments.
    pub command: Template,
}

/// Why parameters do not fit a service: a sentence, and the parameter that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The parameter.
    pub name: String,
    /// What is wrong and what would do.
    pub why: String,
}

impl Jdl {
    /// The parameter of this name, in any case of letters (DALI 1.1 §3.1).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Declaration> {
        self.declarations.iter().find(|declaration| declaration.name.eq_ignore_ascii_case(name))
    }

    /// The same parameters with the service's spelling of names; those that it does not know stay as they are.
    ///
    /// # Errors
    /// [`Unfit`] for a value that is none of its kind, or a second one of a single-valued parameter (DALI 1.1 §3.2).
    pub fn settle(&self, parameters: Vec<Parameter>) -> Result<Vec<Parameter>, Unfit> {
        let mut settled: Vec<Parameter> = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let Some(declaration) = self.find(&parameter.name) else {
                settled.push(parameter);
                continue;
            };
            let name = &declaration.name;
            if parameter.value.is_empty() && !declaration.kind.may_be_empty() {
                continue; // as good as not given
            }
            let unfit = |why| Unfit { name: name.clone(), why };
            declaration.check(&parameter.value).map_err(unfit)?;
            if !declaration.is_multiple && settled.iter().any(|other| other.name == *name) {
                return Err(unfit(format!("{name} is given more than once; give it once")));
            }
            settled.push(Parameter { name: name.clone(), value: parameter.value });
        }
        Ok(settled)
    }

    /// Settled parameters with the defaults of those that are not given.
    ///
    /// # Errors
    /// [`Unfit`] for a required one that is missing: the job cannot run.
    pub fn complete(&self, mut parameters: Vec<Parameter>) -> Result<Vec<Parameter>, Unfit> {
        for declaration in &self.declarations {
            let name = &declaration.name;
            if parameters.iter().any(|given| given.name == *name) {
                continue;
            }
            match &declaration.default {
                Some(default) => parameters.push(Parameter { name: name.clone(), value: default.clone() }),
                None if declaration.is_required => {
                    let why = format!("{name} is missing; give {}", declaration.expected());
                    return Err(Unfit { name: name.clone(), why });
                }
                None => {}
            }
        }
        Ok(parameters)
    }

    /// The program and its arguments for complete parameters; `shown` is what stands for a value, as the path of a file
    /// does for its parameter.
    #[must_use]
    pub fn argv(&self, parameters: &[Parameter], shown: impl Fn(&Declaration, &str) -> String) -> Vec<String> {
        self.command.fill(|name| {
            let Some(declaration) = self.find(name) else { return Vec::new() };
            let given = parameters.iter().filter(|given| given.name == declaration.name);
            given.map(|given| shown(declaration, &given.value)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jdl() -> Jdl {
        let ra = Declaration { is_required: true, ..Declaration::new("RA", ValueKind::Real) };
        let band = Declaration {
            is_multiple: true,
            ..Declaration::new("BAND", ValueKind::Enum(vec!["g".to_owned(), "r".to_owned()]))
        };
        let size = Declaration { default: Some("5".to_owned()), ..Declaration::new("SIZE", ValueKind::Integer) };
        let declarations = vec![ra, band, size, Declaration::new("NOTE", ValueKind::Text)];
        let words = ["cutout", "--ra", "{RA}", "--band={BAND}", "--size", "{SIZE}", "--note", "{NOTE}"];
        let flags = ["NOTE"];
        let command = Template::parse(&words.map(str::to_owned), &declarations, &flags).expect("a template");
        Jdl { declarations, command }
    }

    fn parameters(pairs: &[(&str, &str)]) -> Vec<Parameter> {
        pairs.iter().map(|(name, value)| Parameter { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
    }

    #[test]
    fn names_are_settled_and_unknown_ones_kept() {
        let given = parameters(&[("ra", "1.5"), ("Band", "g"), ("BAND", "r"), ("LANG", "x"), ("size", "")]);
        let settled = jdl().settle(given).expect("fine");
        assert_eq!(settled, parameters(&[("RA", "1.5"), ("BAND", "g"), ("BAND", "r"), ("LANG", "x")]));
    }

    #[test]
    fn wrong_repeated_and_missing_values_are_told_by_name() {
        let jdl = jdl();
        for (pairs, why) in [
            (&[("ra", "x")][..], "RA is \"x\"; give a real number"),
            (&[("RA", "1"), ("ra", "2")][..], "RA is given more than once; give it once"),
            (&[("BAND", "z")][..], "BAND is \"z\"; give one of g, r"),
        ] {
            assert_eq!(jdl.settle(parameters(pairs)).expect_err(why).why, why);
        }
        let missing = jdl.complete(Vec::new()).expect_err("missing");
        assert_eq!((missing.name.as_str(), missing.why.as_str()), ("RA", "RA is missing; give a real number"));
    }

    #[test]
    fn the_argv_drops_what_is_absent_and_repeats_what_is_multiple() {
        let jdl = jdl();
        let argv = |pairs| {
            let complete = jdl.complete(jdl.settle(parameters(pairs)).expect("settled")).expect("complete");
            jdl.argv(&complete, |_, value| value.to_owned())
        };
        assert_eq!(argv(&[("RA", "1")]), ["cutout", "--ra", "1", "--size", "5"]);
        assert_eq!(
            argv(&[("RA", "1"), ("BAND", "g"), ("BAND", "r"), ("NOTE", "$(rm) {RA}"), ("SIZE", "7")]),
            ["cutout", "--ra", "1", "--band=g", "--band=r", "--size", "7", "--note", "$(rm) {RA}"]
        );
    }
}
