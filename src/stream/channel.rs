//! One channel of a series: the samples that are still needed, missing ones filled, and the noise in them.

use std::collections::VecDeque;

use super::noise::{rounding, series_noise};
use super::outliers::Outliers;
use super::runs::Runs;
use super::spikes::{Verdict, judge};

/// Samples that the noise is estimated from, the step at which it is estimated anew, and the fewest.
pub(super) const NOISE_BLOCK: u64 = 1024;
pub(super) const NOISE_STEP: u64 = 16;
pub(super) const NOISE_FEWEST: u64 = 32;
/// How far, in samples, a missing one is filled from its neighbours.
const REACH: usize = 3;
/// Samples that stand out are taken for the signal's own where more than so many would of the last [`NOISE_BLOCK`]: three in
/// a hundred.
const MOST_OUTLYING: usize = 30;

/// One channel's samples as far back as they are still needed.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Index of the first sample kept.
    pub(super) base: u64,
    /// The samples, a missing one as NaN.
    pub(super) values: Vec<f64>,
    /// For each sample the last finite one up to it, NaN before the first.
    held: Vec<f64>,
    /// The first finite sample: what is subtracted before anything is rounded.
    pub(super) offset: Option<f64>,
    /// Noise estimates by the index after their block, ascending.
    noises: VecDeque<(u64, f64)>,
    told: Told,
    runs: Runs,
    scratch: Vec<f64>,
    outliers: Outliers,
    /// Samples before this one are judged: they belong to the signal, or stood out and are missing.
    judged: u64,
    /// Those of the last ones that stood out, by index, and the noise beside the newest one judged.
    outlying: VecDeque<u64>,
    beside: Option<(u64, f64)>,
}

impl Channel {
    pub(super) fn new(outliers: Outliers) -> Self {
        Self { outliers, ..Self::default() }
    }

    /// Take a sample in; those that are found to stand out by it, by index, go to `found`.
    pub(super) fn push(&mut self, value: f64, found: &mut Vec<u64>) {
        let value = if value.abs() <= f64::from(f32::MAX) { value } else { f64::NAN };
        if self.offset.is_none() && value.is_finite() {
            self.offset = Some(f64::from(value as f32));
        }
        let before = self.held.last().copied().unwrap_or(f64::NAN);
        self.held.push(if value.is_finite() { value } else { before });
        self.runs.add(self.base + self.values.len() as u64, value);
        self.values.push(value);
        let received = self.base + self.values.len() as u64;
        if received.is_multiple_of(NOISE_BLOCK) && self.values.len() as u64 >= NOISE_BLOCK {
            let block = &self.values[self.values.len() - NOISE_BLOCK as usize..];
            self.told.noise += series_noise(block, &mut self.scratch);
            self.told.deviation += deviation(block);
            self.told.rounding = self.told.rounding.max(rounding(block));
            self.told.blocks += 1;
        }
        match self.outliers {
            Outliers::LeaveOut => self.judge(found),
            Outliers::Keep => self.judged = received,
        }
    }

    /// Judge what can be judged by now, sample by sample.
    fn judge(&mut self, found: &mut Vec<u64>) {
        let received = self.base + self.values.len() as u64;
        while received >= NOISE_FEWEST && self.judged < received {
            let index = self.judged;
            // Told from samples that are judged, but for the first few.
            let until = (index / NOISE_STEP * NOISE_STEP).max(NOISE_FEWEST);
            let noise = match self.beside {
                Some((of, noise)) if of == until => noise,
                // What stands out among the first is still in there: not an estimate to keep.
                _ if until > index => series_noise(&self.values[..self.at(until)], &mut self.scratch),
                _ => self.noise(until - 1, 0, until),
            };
            self.beside = Some((until, noise));
            match judge(&self.values, self.at(index), noise) {
                Verdict::Later => return,
                Verdict::Belongs => self.judged += 1,
                Verdict::StandOut(count) => {
                    self.judged += count as u64;
                    while self.outlying.front().is_some_and(|i| i + NOISE_BLOCK < self.judged) {
                        self.outlying.pop_front();
                    }
                    if self.outlying.len() + count <= MOST_OUTLYING {
                        self.outlying.extend(index..self.judged);
                        found.extend(index..self.judged);
                        self.remove(index, count);
                    }
                }
            }
        }
    }

    /// Let samples be missing.
    fn remove(&mut self, index: u64, count: usize) {
        let at = self.at(index);
        self.values[at..at + count].fill(f64::NAN);
        let mut held = if at > 0 { self.held[at - 1] } else { f64::NAN };
        if held.is_nan() {
            // They were the first: nothing has been computed from them.
            self.offset = None;
        }
        for (value, hold) in self.values[at..].iter().zip(&mut self.held[at..]) {
            held = if value.is_finite() { *value } else { held };
            *hold = held;
        }
        if self.offset.is_none() {
            self.offset = self.values.iter().find(|v| v.is_finite()).map(|v| f64::from(*v as f32));
        }
    }

    /// Noise and standard deviation of the samples, on average over blocks of 1,024, or of all while there are fewer, and the
    /// coarsest steps that they come in; `None` of too few.
    pub(super) fn told(&mut self) -> Option<(f64, f64, f64)> {
        if self.told.blocks > 0 {
            let blocks = self.told.blocks as f64;
            return Some((self.told.noise / blocks, self.told.deviation / blocks, self.told.rounding));
        }
        let all = (self.values.len() as u64 >= NOISE_FEWEST).then_some(&self.values)?;
        Some((series_noise(all, &mut self.scratch), deviation(all), rounding(all)))
    }

    /// First sample and length of the longest run of one value, of at least so many samples, that is no chance.
    pub(super) fn stuck(&self, least: u64) -> Option<(u64, u64)> {
        self.runs.stuck(least)
    }

    /// Forget the samples before `index`.
    pub(super) fn forget(&mut self, index: u64) {
        let count = (index.saturating_sub(self.base) as usize).min(self.values.len());
        self.values.drain(..count);
        self.held.drain(..count);
        self.base += count as u64;
    }

    pub(super) fn at(&self, index: u64) -> usize {
        (index - self.base) as usize
    }

    /// The samples `first..end` minus the offset; missing ones filled from those near them, of all that are in.
    pub(super) fn copy(&self, first: u64, end: u64, offset: f64, out: &mut [f32]) {
        for (i, o) in (self.at(first)..self.at(end)).zip(out) {
            let value = if self.values[i].is_finite() { self.values[i] } else { self.fill(i) };
            *o = (value - offset) as f32;
        }
    }

    /// Whether the samples before `end` are judged, and no missing one among them would be filled otherwise with more
    /// samples in.
    pub(super) fn is_settled(&self, end: u64) -> bool {
        if self.judged < end {
            return false;
        }
        // Filled from what is judged: a sample that stands out fills none.
        let last = self.at(self.judged).saturating_sub(REACH);
        self.values[last.min(self.at(end))..self.at(end)].iter().all(|v| v.is_finite())
    }

    pub(super) fn fill(&self, i: usize) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for j in i.saturating_sub(REACH)..(i + REACH + 1).min(self.values.len()) {
            if self.values[j].is_finite() {
                let weight = 1.0 / (j.abs_diff(i).pow(2) as f64);
                sum += weight * self.values[j];
                weights += weight;
            }
        }
        match self.held[i] {
            _ if weights > 0.0 => sum / weights,
            held if held.is_finite() => held,
            _ => self.offset.unwrap_or(0.0),
        }
    }

    /// The noise at sample `i` when the samples up to `known` are in: from the block of 1024 that ends at
    /// `i + ahead + 1` rounded down to a multiple of 16, but not before the 32nd sample.
    pub(super) fn noise(&mut self, i: u64, ahead: u64, known: u64) -> f64 {
        let end = (i + ahead + 1).min(known) / NOISE_STEP * NOISE_STEP;
        let end = end.max(NOISE_FEWEST.min(known));
        if let Ok(k) = self.noises.binary_search_by_key(&end, |n| n.0) {
            return self.noises[k].1;
        }
        let first = end.saturating_sub(NOISE_BLOCK).max(self.base);
        let block = self.at(first)..self.at(end);
        let noise = series_noise(&self.values[block], &mut self.scratch);
        // An estimate that does not end where the rule puts it belongs to the flush alone: not kept.
        if end.is_multiple_of(NOISE_STEP) && self.noises.back().is_none_or(|n| n.0 < end) {
            self.noises.push_back((end, noise));
            if self.noises.len() > 4096 {
                self.noises.pop_front();
            }
        }
        noise
    }
}

/// Sums over blocks that follow each other, whatever is computed of them: a run that goes on later tells the same.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    noise: f64,
    deviation: f64,
    rounding: f64,
    blocks: u64,
}

/// Standard deviation of the samples that are there.
fn deviation(samples: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in samples.iter().filter(|v| v.is_finite()) {
        count += 1.0;
        let step = value - mean;
        mean += step / count;
        squares += step * (value - mean);
    }
    if count > 0.0 { (squares / count).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_is_told_block_by_block_and_a_short_one_whole() {
        let told = |samples: usize| {
            let mut channel = Channel::new(Outliers::LeaveOut);
            // Steps of 10 from one block to the next, which no block shows.
            for i in 0..samples {
                channel.push((i / 1024) as f64 * 10.0 + (i % 2) as f64, &mut Vec::new());
                if i % 500 == 0 {
                    channel.forget((i as u64).saturating_sub(1600));
                }
            }
            channel.told()
        };
        assert_eq!(told(20), None);
        for samples in [64, 1000, 1024, 5000] {
            let (noise, deviation, rounding) = told(samples).unwrap_or_default();
            assert_eq!(rounding, 0.0);
            assert!((deviation - 0.5).abs() < 1e-9, "{samples}: {deviation}");
            // Fourth differences of 0, 1, 0, 1, ... are 8.
            assert!((noise - 8.0 / 0.674_489_750_196_081_7 / 70f64.sqrt()).abs() < 1e-9, "{samples}: {noise}");
        }
    }
}
