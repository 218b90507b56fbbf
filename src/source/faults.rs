//! What an input goes through on the way.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of what went wrong on the way from a sensor, for whoever shows them while another thread reads.
#[derive(Debug, Default)]
pub struct Faults {
    /// Times that the device or the broker was out of reach and came back.
    pub breaks: AtomicU64,
    /// Lines or messages that are no row of numbers: each a lost sample.
    pub unreadable: AtomicU64,
    /// Messages that came a second time: passed over.
    pub repeated: AtomicU64,
    /// Times that the sensor's clock did not go on in even steps.
    pub clock: AtomicU64,
    /// Times that the broker had forgotten what it was to keep.
    pub forgotten: AtomicU64,
    /// Samples that the times of a table leave room for, where its rows are taken as even all the same.
    pub skipped: AtomicU64,
    /// Last lines of a pipe that have no end, so that they may be half written: left out.
    pub half: AtomicU64,
    /// Rows of a table whose time is not later than that of the row before, where the rows count as even all the same.
    pub back: AtomicU64,
}

impl Faults {
    pub(super) fn count(of: &AtomicU64) {
        of.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted, each with its name and what it means for the series.
    #[must_use]
    pub fn told(&self) -> [(&'static str, u64, &'static str); 8] {
        [
            ("breaks", &self.breaks, "times out of reach: what the sensor took meanwhile may be missing"),
            ("unreadable", &self.unreadable, "lines or messages that are no row of numbers: lost samples"),
            ("repeated", &self.repeated, "messages that came a second time: passed over"),
            ("clock", &self.clock, "times at which the sensor's clock did not go on in even steps"),
            ("forgotten", &self.forgotten, "times that the broker had forgotten what it was to keep"),
            (
                "skipped",
                &self.skipped,
                "samples are missing by the column of times, and what follows them comes as much too early: --spacing t \
                 has the rows taken as even (without it the times are followed)",
            ),
            ("half", &self.half, "line at the end is half written and was left out"),
            ("back", &self.back, "times are not later than those before: the rows are taken as they stand"),
        ]
        .map(|(name, count, meaning)| (name, count.load(Ordering::Relaxed), meaning))
    }
}
