//! The commands of `uwsctl`: one file for what belongs together.

mod arguments;
mod delete;
mod ending;
mod get;
mod logs;
mod run;
mod show;
mod submit;
#[cfg(test)]
mod tests;
mod top;

pub use arguments::{Cli, Command, SubmitArguments};
pub use ending::{Ending, Failure};
pub use run::{Output, run};
