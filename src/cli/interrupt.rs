//! Ctrl-C ends a run, it does not break it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

/// A flag that the first Ctrl-C (or termination signal) raises; the second one ends the process at once.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raise = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if raise.swap(true, Ordering::AcqRel) {
            std::process::exit(1);
        }
    })?;
    Ok(stop)
}
