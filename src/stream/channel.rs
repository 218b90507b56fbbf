//! One channel of a series: the samples that are still needed, missing ones filled, and the noise in them.

use std::collections::VecDeque;

use super::noise::series_noise;

/// Samples that the noise is estimated from, the step at which it is estimated anew, and the fewest.
pub(super) const NOISE_BLOCK: u64 = 1024;
pub(super) const NOISE_STEP: u64 = 16;
pub(super) const NOISE_FEWEST: u64 = 32;
/// How far, in samples, a missing one is filled from its neighbours.
const REACH: usize = 3;

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
    pub(super) told: Told,
    scratch: Vec<f64>,
}

impl Channel {
    pub(super) fn push(&mut self, value: f64) {
        let value = if value.abs() <= f64::from(f32::MAX) { value } else { f64::NAN };
        if self.offset.is_none() && value.is_finite() {
            self.offset = Some(f64::from(value as f32));
        }
        let before = self.held.last().copied().unwrap_or(f64::NAN);
        self.held.push(if value.is_finite() { value } else { before });
        self.values.push(value);
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

    /// Whether no missing sample before `end` would be filled otherwise with more samples in.
    pub(super) fn is_settled(&self, end: u64) -> bool {
        let last = self.values.len().saturating_sub(REACH);
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
            self.told.add(noise, &self.values[self.at(first)..self.at(end)]);
            if self.noises.len() > 4096 {
                self.noises.pop_front();
            }
        }
        noise
    }
}

/// Noise and standard deviation of a channel's samples, on average over its blocks of the full length, or of the longest
/// block while there is none: of a shorter one the signal shows too little of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    noise: f64,
    deviation: f64,
    blocks: u64,
    len: usize,
}

impl Told {
    fn add(&mut self, noise: f64, block: &[f64]) {
        if block.len() < self.len {
            return;
        }
        if block.len() > self.len {
            *self = Self { len: block.len(), ..Self::default() };
        }
        self.noise += noise;
        self.deviation += deviation(block);
        self.blocks += 1;
    }

    /// Noise and standard deviation; `None` before the first block.
    pub(super) fn means(&self) -> Option<(f64, f64)> {
        (self.blocks > 0).then(|| (self.noise / self.blocks as f64, self.deviation / self.blocks as f64))
    }
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
    fn short_blocks_count_only_while_there_is_no_longer_one() {
        let ramp: Vec<f64> = (0..8).map(f64::from).collect();
        let mut told = Told::default();
        assert_eq!(told.means(), None);
        told.add(9.0, &ramp[..2]);
        assert_eq!(told.means(), Some((9.0, 0.5)));
        told.add(1.0, &ramp);
        told.add(9.0, &ramp[..2]);
        told.add(3.0, &[2.0, f64::NAN, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        let (noise, deviation) = told.means().unwrap_or_default();
        assert!((noise - 2.0).abs() < 1e-12 && (deviation - 5.25_f64.sqrt() / 2.0).abs() < 1e-12);
    }
}
