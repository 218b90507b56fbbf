//! `--log`: what happens in a run, one JSON object a line, for those who look after instruments from afar.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::{Context, Result};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::args::LogLevel;

/// Lines that wait for a slow disk; more are left out: a log holds up no run.
const WAITING: usize = 4096;

/// Append to `path` what happens until the guard is dropped.
pub(crate) fn start(path: &Path, level: LogLevel) -> Result<WorkerGuard> {
    let name = || path.display().to_string();
    let file = OpenOptions::new().create(true).append(true).open(path).with_context(name)?;
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(WAITING).lossy(true).finish(file);
    let level = match level {
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(writer);
    // Of this program alone, not of the libraries in it.
    let ours = Targets::new().with_target("mollifier", level);
    let subscriber = tracing_subscriber::registry().with(ours).with(lines);
    tracing::subscriber::set_global_default(subscriber).with_context(name)?;
    Ok(guard)
}
