//! The lines of a series as far back as the run goes, in steps that grow with their age.

use std::collections::VecDeque;

use serde::Deserialize;

/// Steps that each level keeps, and samples of a level's step in one step of the next.
const KEPT: usize = 4096;
const FACTOR: u64 = 4;
/// Levels: 4096 steps of 4^12 samples are more than any run has.
const LEVELS: usize = 13;
/// Most steps that are handed out at a time.
const MOST: u64 = KEPT as u64 / 2;

/// Lowest and highest value of a step, NaN where nothing is finite.
#[derive(Clone, Copy, Debug)]
struct Step {
    low: f64,
    high: f64,
}

impl Step {
    const NONE: Self = Self { low: f64::NAN, high: f64::NAN };

    /// `min` and `max` pass over NaN.
    fn with(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// Steps of one length, the newest last.
#[derive(Debug)]
struct Level {
    steps: VecDeque<Step>,
    /// Number of the step after the newest whole one.
    next: u64,
    /// The step that is not whole yet, and how many of the level below it has.
    open: Step,
    count: u64,
}

impl Level {
    fn push(&mut self, step: Step) {
        if self.steps.len() == KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
        self.next += 1;
    }

    /// A step; `open` is the one that is not whole yet.
    fn at(&self, number: u64, open: Step) -> Step {
        let first = self.next - self.steps.len() as u64;
        let kept = number.checked_sub(first).and_then(|i| self.steps.get(i as usize));
        kept.copied().unwrap_or(if number == self.next { open } else { Step::NONE })
    }
}

/// One line: every sample of an input's or output's channel.
#[derive(Debug)]
pub(super) struct Line {
    levels: Vec<Level>,
}

impl Default for Line {
    fn default() -> Self {
        let level = || Level { steps: VecDeque::new(), next: 0, open: Step::NONE, count: 0 };
        Self { levels: (0..LEVELS).map(|_| level()).collect() }
    }
}

impl Line {
    /// How many samples are in.
    pub(super) fn len(&self) -> u64 {
        self.levels[0].next
    }

    /// What is in of a level's step that is not whole yet: each level below has a part of it.
    fn open(&self, level: usize) -> Step {
        let parts = self.levels[1..=level].iter().filter(|l| l.count > 0);
        parts.fold(Step::NONE, |all, part| all.with(part.open))
    }

    /// Append the next sample.
    pub(super) fn push(&mut self, value: f64) {
        let value = if value.is_finite() { value } else { f64::NAN };
        let mut step = Step { low: value, high: value };
        self.levels[0].push(step);
        for level in &mut self.levels[1..] {
            level.open = if level.count == 0 { step } else { level.open.with(step) };
            level.count += 1;
            if level.count < FACTOR {
                return;
            }
            step = level.open;
            level.count = 0;
            level.push(step);
        }
    }
}

/// Which part of the series, and how fine at most.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    /// The sample after the last; the newest one where the line has not come that far.
    to: u64,
    /// How many samples back.
    span: u64,
    /// Most steps.
    most: u64,
}

impl Default for Part {
    fn default() -> Self {
        Self { to: u64::MAX, span: u64::MAX, most: 1000 }
    }
}

/// Lines over the same samples.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) lines: Vec<Line>,
}

/// A part of the lines: for each the lows and then the highs of all steps.
#[derive(Debug)]
pub(super) struct Drawn {
    /// Index of the first step's first sample, and samples of a step.
    pub(super) first: u64,
    pub(super) step: u64,
    pub(super) count: usize,
    pub(super) values: Vec<f64>,
}

impl Trace {
    /// The newest sample's index, plus one.
    pub(super) fn len(&self) -> u64 {
        self.lines.iter().map(Line::len).max().unwrap_or(0)
    }

    /// Draw a part of all lines.
    pub(super) fn draw(&self, part: &Part) -> Drawn {
        let to = part.to.min(self.len());
        let from = to - part.span.min(to);
        let most = part.most.clamp(2, MOST);
        let mut level = 0;
        let mut step = 1;
        // Finer steps may be too many, or so old that they are no longer kept.
        let oldest = |step: u64| (self.len() / step).saturating_sub(KEPT as u64 - 1) * step;
        while level + 1 < LEVELS && ((to - from).div_ceil(step) + 1 > most || from < oldest(step)) {
            level += 1;
            step *= FACTOR;
        }
        let numbers = from / step..to.div_ceil(step);
        let count = (numbers.end - numbers.start).min(KEPT as u64) as usize;
        let mut values = Vec::with_capacity(2 * count * self.lines.len());
        for line in &self.lines {
            let open = line.open(level);
            let steps = || numbers.clone().take(count).map(|n| line.levels[level].at(n, open));
            values.extend(steps().map(|s| s.low));
            values.extend(steps().map(|s| s.high));
        }
        Drawn { first: numbers.start * step, step, count, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace(samples: u64) -> Trace {
        let mut trace = Trace { lines: vec![Line::default(), Line::default()] };
        for i in 0..samples {
            trace.lines[0].push(i as f64);
            if i + 10 < samples {
                trace.lines[1].push(if i % 7 == 0 { f64::NAN } else { -(i as f64) });
            }
        }
        trace
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn every_step_holds_the_range_of_its_samples(
            samples in 0u64..60_000, to in 0u64..70_000, span in 0u64..70_000, most in 0u64..3000,
        ) {
            let drawn = trace(samples).draw(&Part { to, span, most });
            let Drawn { first, step, count, values } = drawn;
            let to = to.min(samples);
            let from = to.saturating_sub(span);
            prop_assert!(count as u64 <= most.clamp(2, MOST) + 1);
            prop_assert_eq!(values.len(), 4 * count);
            prop_assert!(first <= from && first + step * count as u64 >= to);
            for k in 0..count {
                let range = first + step * k as u64..(first + step * (k as u64 + 1)).min(samples);
                prop_assert_eq!(values[k], range.start as f64);
                prop_assert_eq!(values[count + k], (range.end - 1) as f64);
                let shown = values[2 * count + k];
                prop_assert!(shown.is_nan() || (-shown >= range.start as f64 && -shown < range.end as f64));
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let trace = trace(100_000);
        assert!(trace.lines[0].levels.iter().all(|l| l.steps.len() <= KEPT && l.steps.capacity() <= 2 * KEPT));
        let whole = trace.draw(&Part::default());
        assert_eq!((whole.first, whole.step), (0, 256));
        let newest = trace.draw(&Part { span: 500, ..Part::default() });
        assert_eq!((newest.first, newest.step, newest.count), (99_500, 1, 500));
        assert_eq!(newest.values[499], 99_999.0);
        assert!(newest.values[2 * 500 + 499].is_nan());
    }
}
