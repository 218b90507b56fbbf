//! What a stream counts while it runs.

use std::time::Duration;

/// Durations kept as counts in logarithmic bins: memory does not grow, percentiles are right to 2.5 %.
#[derive(Clone, Debug)]
pub struct Percentiles {
    bins: Vec<u64>,
    count: u64,
    max: Duration,
}

/// Bins to a factor e: each is 5 % wide.
const PER_E: f64 = 20.0;
/// The first bin's lower end, in seconds.
const SHORTEST: f64 = 1e-6;
/// One microsecond to about 27 hours.
const BINS: usize = 507;

impl Default for Percentiles {
    fn default() -> Self {
        Self { bins: vec![0; BINS], count: 0, max: Duration::ZERO }
    }
}

impl Percentiles {
    /// Count one duration.
    pub fn add(&mut self, duration: Duration) {
        let bin = (duration.as_secs_f64() / SHORTEST).max(1.0).ln() * PER_E;
        self.bins[(bin as usize).min(BINS - 1)] += 1;
        self.count += 1;
        self.max = self.max.max(duration);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that this share (0..1) of them does not exceed, in milliseconds; `None` before the first.
    #[must_use]
    pub fn at(&self, share: f64) -> Option<f64> {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bin = self.bins.iter().position(|&n| {
            seen += n;
            seen >= rank
        })?;
        let middle = SHORTEST * ((bin as f64 + 0.5) / PER_E).exp();
        Some(1e3 * middle.min(self.max.as_secs_f64()))
    }

    /// The longest one, in milliseconds.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        1e3 * self.max.as_secs_f64()
    }
}

/// The indices that never arrived, as half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// First index and the index after the last, ascending; the first 10,000 ranges.
    pub ranges: Vec<(u64, u64)>,
    /// Whether there were more ranges than are listed.
    pub more: bool,
}

impl Lost {
    const LISTED: usize = 10_000;

    /// Count the indices `first..end` as lost. Ranges come in ascending order.
    pub fn add(&mut self, first: u64, end: u64) {
        if first >= end {
            return;
        }
        self.count += end - first;
        let full = self.ranges.len() >= Self::LISTED;
        match self.ranges.last_mut() {
            Some(last) if last.1 == first && !self.more => last.1 = end,
            _ if full => self.more = true,
            _ => self.ranges.push((first, end)),
        }
    }
}

/// A duration as a number of milliseconds.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    1e3 * duration.as_secs_f64()
}

/// Where a stream stands, given with every map.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Frames (samples for series) that the source gave so far.
    pub read: u64,
    /// Maps (samples for series) computed so far, this one included.
    pub computed: u64,
    /// Frames (samples) lost so far, those given up by the queue included.
    pub lost: u64,
    /// Frames among them that the queue gave up.
    pub dropped_by_queue: u64,
    /// Frames that came again or too late: passed over.
    pub repeated: u64,
    /// Windows without a map because too many frames were missing between theirs.
    pub windows_passed_over: u64,
    /// Items waiting in the queue.
    pub queued: usize,
    /// From the arrival of this map's newest frame to now, in milliseconds.
    pub latency_ms: f64,
    /// How much of that the newest frame waited in the queue, in milliseconds.
    pub queue_ms: f64,
    /// Computing this map (block) alone, in milliseconds.
    pub compute_ms: f64,
    /// Handing over the map (block) before this one, in milliseconds.
    pub write_ms: f64,
}

/// What a stream did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Frames (samples for series) that the source gave, those given up by the queue included.
    pub read: u64,
    /// Maps (samples for series) handed to the sink.
    pub computed: u64,
    /// Frames (samples) lost: by the instrument, by the source or by the queue.
    pub lost: Lost,
    /// Frames among the lost that the queue gave up.
    pub dropped_by_queue: u64,
    /// Frames read but not computed because the run was interrupted.
    pub left_in_queue: u64,
    /// Frames that came again or too late, behind ones with a higher index: passed over.
    pub repeated: u64,
    /// Windows without a map because too many frames were missing between theirs.
    pub windows_passed_over: u64,
    /// Frames (samples) with an invalid value.
    pub invalid_frames: u64,
    /// Invalid values in all.
    pub invalid_values: u64,
    /// Frames with pixels that stand out from all around them, which were left out.
    pub outlying_frames: u64,
    /// Such pixels, among the invalid ones.
    pub outlying_values: u64,
    /// Frames of one value, or without a number, among the lost ones: of movies, whose maps take several frames.
    pub blank_frames: u64,
    /// Frames of a movie whose brightness jumps.
    pub jumps: u64,
    /// The first of them.
    pub first_jump: Option<u64>,
    /// Frames of a movie that are exact copies of the one before.
    pub copies: u64,
    /// The first of them.
    pub first_copy: Option<u64>,
    /// Values in all.
    pub values: u64,
    /// Frames with so many pixels at their largest value that it looks like a limit.
    pub limited_frames: u64,
    /// The newest such value.
    pub limit: Option<f64>,
    /// From a map's newest frame out of the source to its outputs in the sink.
    pub latency: Percentiles,
    /// How much of that the newest frame (block of samples) waited in the queue.
    pub queueing: Percentiles,
    /// Computing alone, a map (a block of samples for series).
    pub compute: Percentiles,
    /// Handing a map (a block) over to the sink: writing it.
    pub writing: Percentiles,
    /// Most items that waited in the queue.
    pub most_queued: usize,
    /// Items that the queue holds.
    pub queue_capacity: usize,
    /// Rows and columns of a tile (samples of a block).
    pub tile: Vec<usize>,
    /// Tiles a frame.
    pub tiles: usize,
    /// Pixels (samples) computed for each one that is kept: what tiles, and the strips within them, overlap by.
    pub computed_per_kept: f64,
    /// Banks left out because the frame is too small for them.
    pub banks_left_out: Vec<String>,
    /// Whether the stop flag ended it.
    pub interrupted: bool,
    /// Sum over the maps of the noise that was estimated for each; of series its mean times the samples computed.
    pub(super) noise_sum: f64,
    /// Sum over the maps of the standard deviation of their frames; of series likewise.
    pub(super) contrast_sum: f64,
    /// The steps that a series' values come in, where they are coarser than its noise; else 0.
    pub rounding: f64,
    /// The longest run of one value in a series, if it is longer than a kernel and no chance.
    pub stuck: Option<Stuck>,
    /// Maps whose frame shows no two phases although the model asks for them.
    pub uniform_maps: u64,
}

/// Samples of one value one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Number of the channel, if there are several.
    pub channel: Option<usize>,
    /// Index of the first.
    pub first: u64,
    /// How many.
    pub samples: u64,
}

impl Report {
    /// Standard deviation of the recording's noise as estimated, on average over the maps of images, or over the blocks of
    /// the series in which it is strongest against the signal.
    #[must_use]
    pub fn noise(&self) -> Option<f64> {
        (self.noise_sum > 0.0).then(|| self.noise_sum / self.computed as f64)
    }

    /// Standard deviation of a frame's values, noise included, on average over the maps of images, or of that series'
    /// samples over its blocks of 1,024; `None` where all are of one value.
    #[must_use]
    pub fn contrast(&self) -> Option<f64> {
        (self.contrast_sum > 0.0).then(|| self.contrast_sum / self.computed as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_ramp() {
        let mut p = Percentiles::default();
        assert_eq!(p.at(0.5), None);
        for i in 1..=1000 {
            p.add(Duration::from_micros(100 * i));
        }
        for (share, ms) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
            let got = p.at(share).unwrap_or(0.0);
            assert!((got / ms - 1.0).abs() < 0.03, "{share}: {got}");
        }
        assert!((p.max_ms() - 100.0).abs() < 1e-9);
        p.add(Duration::from_secs(1_000_000));
        assert!(p.at(1.0).is_some());
    }

    #[test]
    fn lost_ranges_join_and_are_bounded() {
        let mut lost = Lost::default();
        lost.add(3, 5);
        lost.add(5, 6);
        lost.add(6, 6);
        lost.add(9, 10);
        assert_eq!((lost.count, lost.ranges.as_slice()), (4, &[(3, 6), (9, 10)][..]));
        for i in 10..40_000 {
            lost.add(2 * i, 2 * i + 1);
        }
        assert_eq!((lost.count, lost.ranges.len(), lost.more), (4 + 39_990, 10_000, true));
    }
}
