//! Waiting for an input that is still being written.

use std::fs::Metadata;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::SourceError;

/// How often the input is looked at. Notifications of the system would be faster, and do not come from network drives.
const POLL: Duration = Duration::from_millis(10);

/// How long nothing comes before the log says so.
const SILENT: Duration = Duration::from_secs(10);

/// How long a file must not have changed before its last part counts as written.
pub(super) const SETTLED: Duration = Duration::from_millis(40);
/// How long something that is left out may still come where later ones are there: programs write with several threads.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// How long something that is not whole is waited for where later ones are there already.
pub(super) const GIVEN_UP: Duration = Duration::from_secs(2);
/// And how long something that the system does not give: network drives come back.
pub(super) const OUT_OF_REACH: Duration = Duration::from_secs(30);

/// Reads an input to the end that it has now, and goes on as it grows.
#[derive(Clone, Debug)]
pub struct Follow {
    /// Raised to end the wait.
    pub stop: Arc<AtomicBool>,
    /// How long nothing has to come for the recording to be over; `None` waits until `stop`.
    pub idle: Option<Duration>,
}

impl Follow {
    /// Whether the recording is over: told so, or nothing has come since `heard` for as long as it may take.
    pub(super) fn over(&self, heard: Instant) -> bool {
        self.stop.load(Ordering::Acquire) || self.idle.is_some_and(|idle| heard.elapsed() >= idle)
    }

    /// Let a moment go by before the input is looked at again.
    pub(super) fn pause(&self) {
        thread::sleep(POLL);
    }

    /// What `look` finds, sooner or later; `None` where the recording is over instead.
    pub(super) fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut silent = false;
        while !self.stop.load(Ordering::Acquire) {
            if let Some(found) = look() {
                if silent {
                    tracing::info!(seconds = start.elapsed().as_secs_f64(), "the input goes on after a silence");
                }
                return Some(found);
            }
            if !silent && start.elapsed() >= SILENT {
                silent = true;
                tracing::warn!(seconds = SILENT.as_secs(), "nothing new from the input");
            }
            if self.idle.is_some_and(|idle| start.elapsed() >= idle) {
                break;
            }
            thread::sleep(POLL);
        }
        None
    }

    /// What `attempt` gives, once it gives something sound; its last failure where the recording is over before.
    pub(super) fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, SourceError>) -> Result<T, SourceError> {
        let mut last = None;
        let found = self.wait(|| match attempt() {
            Err(e) if e.may_pass() => {
                last = Some(e);
                None
            }
            result => Some(result),
        });
        match (found, last) {
            (Some(result), _) => result,
            (None, Some(e)) => Err(e),
            (None, None) => attempt(),
        }
    }
}

/// Whether a file has stopped changing.
#[derive(Debug)]
pub(super) struct Settling {
    seen: Option<(u64, SystemTime)>,
    since: Instant,
}

impl Settling {
    pub(super) fn new() -> Self {
        Self { seen: None, since: Instant::now() }
    }

    /// How long the file has not been there.
    pub(super) fn missing(&mut self) -> Duration {
        if self.seen.take().is_some() {
            self.since = Instant::now();
        }
        self.since.elapsed()
    }

    /// How long the file has been as it is now.
    pub(super) fn unchanged(&mut self, now: &Metadata) -> Duration {
        self.unchanged_state((now.len(), now.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
    }

    /// How long a file, or several together, have had this length and time.
    pub(super) fn unchanged_state(&mut self, state: (u64, SystemTime)) -> Duration {
        if self.seen != Some(state) {
            *self = Self { seen: Some(state), since: Instant::now() };
        }
        self.since.elapsed()
    }

    /// Whether it has been so for long enough.
    pub(super) fn is_settled(&mut self, now: &Metadata) -> bool {
        self.unchanged(now) >= SETTLED
    }
}
