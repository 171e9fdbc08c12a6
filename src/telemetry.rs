//! The log: what is let through, and in which form it goes to the journal or to standard error.

use std::fmt;
use std::io::{self, IsTerminal};

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, format};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt as subscriber, reload};

use crate::config::{Log, LogFormat};

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse, although the configuration was checked.
    #[error("the log filter {filter:?} is not understood")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// There is a log already.
    #[error("the log is set up twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Parts that chat about every exchange at levels that are meant for our own steps.
const CHATTY: [&str; 4] = ["bollard", "hyper", "hyper_util", "h2"];

/// The way to change what is let through while the daemon runs.
#[derive(Debug, Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Lets through what a level or a filter of pairs says, from now on.
    ///
    /// # Errors
    /// [`TelemetryError::Filter`].
    pub fn set(&self, level: &str) -> Result<(), TelemetryError> {
        let new = filter(level)?;
        // It is gone with the subscriber only: then nobody logs any more.
        drop(self.0.reload(new));
        Ok(())
    }
}

/// Sets up the log of the process; `journal_stream` is the variable `JOURNAL_STREAM`.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(log: &Log, instance: &str, journal_stream: Option<&str>) -> Result<LogFilter, TelemetryError> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let filtered = Registry::default().with(filter);
    // What cannot be written is lost. The complaint about it would go to where nothing can be written either, and panic.
    let lines = subscriber::layer().with_writer(io::stderr).log_internal_errors(false);
    let layer = match resolve(log.format, journal_stream) {
        Form::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        Form::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        Form::Journald => match journal(instance) {
            Ok(journal) => journal.boxed(),
            // Its socket may be out of reach where its stream is not.
            Err(_) => lines.with_ansi(false).event_format(Journald).boxed(),
        },
    };
    filtered.with(layer).try_init().map_err(TelemetryError::Twice)?;
    Ok(LogFilter(handle))
}

/// journald itself, to which fields are fields: `job.id` becomes `JOB_ID`, and `journalctl JOB_ID=…` finds it.
fn journal(instance: &str) -> io::Result<tracing_journald::Layer> {
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let named = (!instance.is_empty()).then_some(("INSTANCE", instance));
    let layer = tracing_journald::layer()?.with_field_prefix(None).with_syslog_identifier("uwsd".to_owned());
    Ok(layer.with_priority_mappings(priorities).with_custom_fields(named))
}

/// The form of lines once `auto` is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Journald,
}

fn resolve(format: LogFormat, journal_stream: Option<&str>) -> Form {
    match format {
        LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text,
        LogFormat::Journald => Form::Journald,
        LogFormat::Auto => {
            let stderr = fstat(io::stderr()).ok().map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
            // The variable is inherited by children whose standard error leads elsewhere; only a match counts.
            let is_journal = stderr.is_some() && stderr.as_deref() == journal_stream;
            if is_journal { Form::Journald } else { Form::Text }
        }
    }
}

/// The filter of a level or of pairs, with chatty parts kept at warn unless the filter says something about them.
fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let is_low = matches!(level.trim().to_ascii_lowercase().as_str(), "off" | "error" | "warn");
    let chatty: Vec<String> = if is_low { Vec::new() } else { CHATTY.map(|part| format!("{part}=warn")).to_vec() };
    // A later directive replaces an earlier one about the same part.
    let directives = [chatty.as_slice(), &[level.to_owned()]].concat().join(",");
    EnvFilter::try_new(directives).map_err(|source| TelemetryError::Filter { filter: level.to_owned(), source })
}

/// Lines with the priority prefix that journald reads (sd-daemon(3)), without time: journald keeps it.
#[derive(Debug)]
struct Journald;

impl<S, N> FormatEvent<S, N> for Journald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        let plain = format().without_time().with_level(false).with_ansi(false);
        plain.format_event(context, Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        // Each line is an entry of its own to journald.
        text.lines().try_for_each(|line| writeln!(out, "<{priority}>{line}"))
    }
}

/// The syslog priority of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A writer into memory.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn journald_lines_carry_a_priority_and_no_time() {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber =
            subscriber::fmt().with_max_level(Level::TRACE).event_format(Journald).with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), || {
            tracing::error!(target: "uwsd", "first\nsecond");
            tracing::info!(target: "uwsd", { job.id = "x" }, "third");
        });
        let text = String::from_utf8(memory.0.lock().expect("no panic").clone()).expect("UTF-8");
        assert_eq!(text, "<3>uwsd: first\n<3>second\n<6>uwsd: third job.id=\"x\"\n");
    }

    #[test]
    fn chatty_parts_are_kept_low_unless_they_are_asked_for() {
        let shown = |level| filter(level).expect("a filter").to_string();
        assert!(shown("debug").contains("bollard=warn"));
        assert!(shown("info,bollard=trace").contains("bollard=trace"));
        assert!(!shown("info,bollard=trace").contains("bollard=warn"));
        assert_eq!(shown("error"), "error");
    }

    #[test]
    fn auto_is_text_unless_standard_error_is_the_journal() {
        assert_eq!(resolve(LogFormat::Auto, None), Form::Text);
        assert_eq!(resolve(LogFormat::Auto, Some("0:0")), Form::Text);
        let stat = fstat(io::stderr()).expect("standard error is open");
        let stream = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert_eq!(resolve(LogFormat::Auto, Some(&stream)), Form::Journald);
    }
}
