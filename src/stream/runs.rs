//! Runs of one value in a channel: a sensor that is stuck.
//!
//! What is computed from a value that does not move is sure of itself and wrong, and only the user knows whether the sensor
//! or the world stood still.

/// How probable a run may be, of samples that are equal to the one before as often as they are elsewhere in the channel, to
/// be told.
const CHANCE: f64 = 1e-6;

/// Looks at a channel's samples as they come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    value: Option<f64>,
    first: u64,
    length: u64,
    longest: (u64, u64),
    /// Samples with one before, and those among them that are equal to it.
    pairs: u64,
    equal: u64,
}

impl Runs {
    /// Take in sample `index`; a missing one ends a run.
    pub(super) fn add(&mut self, index: u64, value: f64) {
        let new = value.is_finite().then_some(value);
        let equal = new.is_some() && new == self.value;
        self.pairs += u64::from(new.is_some() && self.value.is_some());
        self.equal += u64::from(equal);
        if !equal {
            (self.first, self.length) = (index, 0);
        }
        self.value = new;
        self.length += u64::from(new.is_some());
        if self.length > self.longest.1 {
            self.longest = (self.first, self.length);
        }
    }

    /// First sample and length of the longest run, if it has at least `least` samples and is no chance: slow signals in
    /// coarse steps have long ones.
    pub(super) fn stuck(&self, least: u64) -> Option<(u64, u64)> {
        let (first, samples) = self.longest;
        if samples < least.max(2) {
            return None;
        }
        let within = samples - 1;
        let share = (self.equal - within + 1) as f64 / (self.pairs - within + 2) as f64;
        let chance = (self.pairs as f64).ln() + within as f64 * share.ln();
        (chance < CHANCE.ln()).then_some((first, samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuck(values: impl IntoIterator<Item = f64>, least: u64) -> Option<(u64, u64)> {
        let mut runs = Runs::default();
        values.into_iter().enumerate().for_each(|(i, value)| runs.add(i as u64, value));
        runs.stuck(least)
    }

    /// Whole numbers of a slow wave with some noise.
    fn slow(i: usize, steps: f64) -> f64 {
        let noise = ((i * 7919 + 13) % 101) as f64 / 101.0 - 0.5;
        (steps * (i as f64 / 900.0).sin() + noise).round()
    }

    #[test]
    fn a_sensor_that_is_stuck_is_found() {
        let value = |i: usize| if (400..700).contains(&i) { 3.0 } else { (i as f64 * 0.37).sin() };
        assert_eq!(stuck((0..2000).map(value), 145), Some((400, 300)));
        assert_eq!(stuck((0..2000).map(value), 301), None, "too short to matter");
        // To the end, in whole numbers that are often equal anyway.
        let value = |i: usize| if i >= 5000 { 7.0 } else { slow(i, 40.0) };
        assert_eq!(stuck((0..6000).map(value), 145).map(|s| s.1 >= 1000), Some(true));
    }

    #[test]
    fn a_missing_sample_ends_a_run() {
        let value = |i: usize| if i == 200 { f64::NAN } else { 1.0 };
        assert_eq!(stuck((0..400).map(value), 2).map(|s| s.1), None, "of nothing but one value");
        let value = |i: usize| {
            if i == 450 {
                f64::NAN
            } else if i >= 300 {
                1.0
            } else {
                (i as f64).sin()
            }
        };
        assert_eq!(stuck((0..600).map(value), 100), Some((300, 150)));
    }

    #[test]
    fn slow_signals_in_coarse_steps_are_not() {
        assert_eq!(stuck((0..20_000).map(|i| slow(i, 0.4)), 145), None);
        assert_eq!(stuck((0..20_000).map(|i| slow(i, 8.0)), 145), None);
        assert_eq!(stuck([], 2), None);
    }
}
