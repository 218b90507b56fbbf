//! Frames whose brightness jumps: another exposure, a flickering lamp, a shutter half open.
//!
//! A law over several frames takes such a jump for a change of the field in time, and what comes out is wrong by orders of
//! magnitude with full support. A field's own mean changes evenly from frame to frame.

/// What a frame's mean may differ by, in standard deviations of the frame's values, beyond what it does beside.
const MEAN: f64 = 0.2;
/// By what factor its standard deviation may be off where those of the frames beside agree within [`ALIKE`].
const CONTRAST: f64 = 1.25;
const ALIKE: f64 = 1.1;
/// How often as far as the steps beside it a lasting step of the mean may go.
const STEPS: f64 = 3.0;

/// One frame as a whole.
#[derive(Clone, Copy, Debug)]
struct Whole {
    index: u64,
    mean: f64,
    contrast: f64,
}

/// Looks at frames as they come, four at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Jumps {
    last: [Option<Whole>; 3],
}

impl Jumps {
    /// Take in the next frame; the index of one that jumps, if it shows now.
    pub(super) fn add(&mut self, index: u64, mean: f64, contrast: f64) -> Option<u64> {
        let new = Whole { index, mean, contrast };
        let [first, second, third] = self.last;
        self.last = [second, third, Some(new)];
        let third = third?;
        if second.is_some_and(|second| stands_alone(second, third, new)) {
            return Some(third.index);
        }
        match (first, second) {
            // One of the four that stands alone makes two steps, which are told as one.
            (Some(first), Some(second))
                if is_step(first, second, third, new)
                    && !stands_alone(first, second, third)
                    && !stands_alone(second, third, new) =>
            {
                Some(third.index)
            }
            _ => None,
        }
    }
}

/// Whether a frame differs from both beside it.
fn stands_alone(before: Whole, frame: Whole, after: Whole) -> bool {
    let contrast = before.contrast.min(after.contrast);
    let off = (frame.mean - 0.5 * (before.mean + after.mean)).abs();
    let usual = (before.contrast * after.contrast).sqrt();
    let differs = |a: f64, b: f64, by: f64| a > by * b || b > by * a;
    off > MEAN * contrast + (before.mean - after.mean).abs()
        || (differs(frame.contrast, usual, CONTRAST) && !differs(before.contrast, after.contrast, ALIKE))
}

/// Whether the mean takes a step between the second and the third frame that lasts.
fn is_step(first: Whole, second: Whole, third: Whole, fourth: Whole) -> bool {
    let contrast = second.contrast.min(third.contrast);
    let beside = (second.mean - first.mean).abs().max((fourth.mean - third.mean).abs());
    (third.mean - second.mean).abs() > MEAN * contrast + STEPS * beside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Indices that are told, of frames of these means and standard deviations.
    fn told(frames: &[(f64, f64)]) -> Vec<u64> {
        let mut jumps = Jumps::default();
        let indices = frames.iter().enumerate();
        indices.filter_map(|(i, f)| jumps.add(i as u64, f.0, f.1)).collect()
    }

    fn changed(mut frames: Vec<(f64, f64)>, of: &[usize], change: impl Fn((f64, f64)) -> (f64, f64)) -> Vec<u64> {
        of.iter().for_each(|i| frames[*i] = change(frames[*i]));
        told(&frames)
    }

    #[test]
    fn even_changes_are_none_however_fast() {
        let decay: Vec<_> = (0..30).map(|t| (100.0 * (-0.3 * f64::from(t)).exp(), 5.0)).collect();
        let heated: Vec<_> =
            (0..30).map(|t| (if t < 10 { 20.0 } else { 20.0 + 7.0 * f64::from(t - 10) }, 3.0)).collect();
        let fading: Vec<_> = (0..30).map(|t| (0.0, 2.0 * (-0.5 * f64::from(t)).exp())).collect();
        for frames in [decay, heated, fading] {
            assert_eq!(told(&frames), [0; 0], "{frames:?}");
        }
    }

    #[test]
    fn another_exposure_is_told_once() {
        let steady = || (0..20).map(|t| (100.0 + 0.3 * f64::from(t), 10.0)).collect::<Vec<_>>();
        let centred = || (0..20).map(|_| (0.0, 10.0)).collect::<Vec<_>>();
        for factor in [0.5, 0.9, 1.1, 3.0] {
            assert_eq!(changed(steady(), &[7], |(m, c)| (factor * m, factor * c)), [7], "{factor}");
            let rest: Vec<usize> = (7..20).collect();
            assert_eq!(changed(steady(), &rest, |(m, c)| (factor * m, factor * c)), [7], "{factor}");
        }
        assert_eq!(changed(centred(), &[7], |(m, c)| (m, 1.5 * c)), [7]);
        assert_eq!(changed(steady(), &[5, 12], |(m, c)| (0.5 * m, 0.5 * c)), [5, 12]);
    }
}
