//! Losses in the log: a camera that is too fast loses something with every frame, and the log must not drown in it.

use std::time::{Duration, Instant};

/// Losses within this time are told together.
const TOGETHER: Duration = Duration::from_secs(1);

/// What was lost and not told yet.
#[derive(Debug)]
pub(super) struct Losses {
    first: u64,
    last: u64,
    count: u64,
    /// Given up by the queue, as far as told.
    dropped: u64,
    told: Option<Instant>,
}

impl Losses {
    /// None so far; the queue has given up `dropped` in earlier streams.
    pub(super) fn new(dropped: u64) -> Self {
        Self { first: 0, last: 0, count: 0, dropped, told: None }
    }

    /// The indices `first..end` were lost.
    pub(super) fn add(&mut self, first: u64, end: u64) {
        if self.count == 0 {
            self.first = first;
        }
        self.last = end.saturating_sub(1);
        self.count += end.saturating_sub(first);
    }

    /// Tell the log if it is time, or in any case; `dropped` were given up by the queue up to now.
    pub(super) fn tell(&mut self, dropped: u64, now: bool) {
        if self.count == 0 || (!now && self.told.is_some_and(|at| at.elapsed() < TOGETHER)) {
            return;
        }
        // The queue may have given up more behind the gaps that were seen.
        let by_queue = dropped.saturating_sub(self.dropped).min(self.count);
        tracing::warn!(first = self.first, last = self.last, count = self.count, by_queue, "lost");
        *self = Self { told: Some(Instant::now()), ..Self::new(self.dropped + by_queue) };
    }
}
