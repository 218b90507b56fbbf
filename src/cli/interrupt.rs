//! Ctrl-C ends a run, it does not break it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Signals this close are one: `timeout` and other wrappers send theirs to the process and to its group.
const ONE: Duration = Duration::from_millis(500);

/// A flag that the first Ctrl-C (or termination signal) raises; the second one ends the process at once.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raise = Arc::clone(&stop);
    let mut first = None;
    ctrlc::set_handler(move || {
        if raise.swap(true, Ordering::AcqRel) && first.is_some_and(|first: Instant| first.elapsed() > ONE) {
            std::process::exit(1);
        }
        first.get_or_insert_with(Instant::now);
    })?;
    Ok(stop)
}
