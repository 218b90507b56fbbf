//! Where a stream stood when it handed something over, so that a later one can go on behind it.

use serde::{Deserialize, Serialize};

use super::fields::WindowStatistics;
use super::metrics::Report;
use super::statistics::FrameStatistics;

/// Where a stream of images stood behind one map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Indices of the window's frames, oldest first, each with what shows whether a later stream sees the same.
    pub window: Vec<(u64, u64)>,
    /// The window's statistics.
    #[serde(with = "bits")]
    pub statistics: WindowStatistics,
    /// Whether the map has no value because its frame shows no two phases.
    pub uniform: bool,
    /// Indices lost since the map before, first and after the last.
    pub lost: Vec<(u64, u64)>,
    /// What [`Report`] counts under these names, from the recording's start on.
    pub read: u64,
    /// See [`Report`].
    pub dropped_by_queue: u64,
    /// See [`Report`].
    pub windows_passed_over: u64,
    /// See [`Report`].
    pub repeated: u64,
    /// See [`Report`].
    pub invalid_frames: u64,
    /// See [`Report`].
    pub invalid_values: u64,
    /// See [`Report`].
    pub outlying_frames: u64,
    /// See [`Report`].
    pub outlying_values: u64,
    /// See [`Report`].
    pub blank_frames: u64,
    /// See [`Report`].
    pub jumps: u64,
    /// See [`Report`].
    pub first_jump: Option<u64>,
    /// See [`Report`].
    #[serde(default)]
    pub copies: u64,
    /// See [`Report`].
    #[serde(default)]
    pub first_copy: Option<u64>,
    /// See [`Report`].
    pub values: u64,
}

/// What earlier streams of the same images have done: the marks of all their maps, in order.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// What they report together; latencies are not among it.
    pub(super) report: Report,
    /// Behind the last map.
    pub(super) last: Option<Mark>,
}

impl Before {
    /// Take in the mark of the next map.
    pub fn add(&mut self, mark: Mark) {
        let report = &mut self.report;
        report.computed += 1;
        report.noise_sum += mark.statistics.noise;
        report.contrast_sum += mark.statistics.contrast;
        report.uniform_maps += u64::from(mark.uniform);
        mark.lost.iter().for_each(|(first, end)| report.lost.add(*first, *end));
        report.read = mark.read;
        report.dropped_by_queue = mark.dropped_by_queue;
        report.windows_passed_over = mark.windows_passed_over;
        report.repeated = mark.repeated;
        report.invalid_frames = mark.invalid_frames;
        report.invalid_values = mark.invalid_values;
        report.outlying_frames = mark.outlying_frames;
        report.outlying_values = mark.outlying_values;
        report.blank_frames = mark.blank_frames;
        report.jumps = mark.jumps;
        report.first_jump = mark.first_jump;
        report.copies = mark.copies;
        report.first_copy = mark.first_copy;
        report.values = mark.values;
        self.last = Some(mark);
    }

    /// Index of the newest frame of the last map's window.
    pub(super) fn newest(&self) -> Option<u64> {
        Some(self.last.as_ref()?.window.last()?.0)
    }
}

/// Where a stream of samples stood behind one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleMark {
    /// Samples given out, and taken in, from the recording's start on.
    pub given_out: u64,
    /// Lost ones among them.
    pub received: u64,
    /// First of those taken in behind the last gap, and a hash of all from there on: whether a later stream sees the
    /// same samples.
    pub hashed_from: u64,
    /// See there.
    pub hash: u64,
}

/// Numbers as their bits: JSON has no NaN.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::WindowStatistics;

    pub(super) fn serialize<S: Serializer>(s: &WindowStatistics, to: S) -> Result<S::Ok, S::Error> {
        let levels = s.levels.map(|(low, high)| [low.to_bits(), high.to_bits()]);
        ([s.offset, s.contrast, s.noise].map(f64::to_bits), levels).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WindowStatistics, D::Error> {
        let ([offset, contrast, noise], levels) = <([u64; 3], Option<[u64; 2]>)>::deserialize(from)?;
        let levels = levels.map(|l| (f64::from_bits(l[0]), f64::from_bits(l[1])));
        let [offset, contrast, noise] = [offset, contrast, noise].map(f64::from_bits);
        Ok(WindowStatistics { offset, contrast, noise, levels })
    }
}

/// A number that another frame hardly has.
pub(super) fn fingerprint(frame: &FrameStatistics) -> u64 {
    let values = [frame.offset, frame.contrast, frame.noise];
    values.iter().fold(0, |hash, v| mix(hash, v.to_bits()))
}

/// A hash of what `hash` is of, and another word.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    // An odd number whose bits look random: multiplying by it spreads every bit over the higher ones.
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}
