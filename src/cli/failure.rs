//! From an error to one line and an exit code.

use std::process::ExitCode;

use mollifier::sink::SinkError;
use mollifier::source::SourceError;
use mollifier::stream::{BindError, StreamError};
use mollifier::units::UnitError;

/// The command was used in a way that cannot work; the message says what to type instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// An error for a command that was misused.
pub(crate) fn misuse(message: impl Into<String>) -> anyhow::Error {
    Misuse(message.into()).into()
}

/// Print one line on standard error, with the chain of causes if `verbose`, and give the exit code.
pub(crate) fn report(error: &anyhow::Error, verbose: bool) -> ExitCode {
    eprintln!("mollifier: {}", one_line(&error.to_string()));
    if verbose {
        for cause in error.chain().skip(1) {
            eprintln!("  because: {}", one_line(&cause.to_string()));
        }
    }
    ExitCode::from(if is_misuse(error) { 2 } else { 1 })
}

fn is_misuse(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        e.is::<Misuse>()
            || e.is::<BindError>()
            || e.is::<UnitError>()
            || matches!(e.downcast_ref(), Some(StreamError::Bind(_)))
            || matches!(e.downcast_ref(), Some(SinkError::Unsupported { .. }))
            || source_of(e).is_some_and(SourceError::is_misuse)
    })
}

fn source_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a SourceError> {
    match error.downcast_ref() {
        Some(StreamError::Source(source)) => Some(source),
        _ => error.downcast_ref(),
    }
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}
