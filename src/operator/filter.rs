//! A kernel over a series that arrives one sample at a time: the buffer is in the type, every push takes the same time.

use heapless::HistoryBuf;

use crate::kernel::{Family, Kernel, KernelError};

/// Sums that are carried side by side, so that none waits for another.
const LANES: usize = 8;

/// A sum of derivatives of the last `N` samples, `N` odd, for the sample in their middle.
///
/// It holds `2 N + 3` numbers and no pointer, never allocates, and computes the same `N` multiply-adds at every push:
/// fit for an interrupt's main loop. What is large and the same in all samples, as a sensor's offset, does not
/// cost accuracy: the samples are taken against the middle one.
///
/// Langevin forcing, `u_t = a u + lambda`, is the sum `lambda = u_t - a u`:
///
/// ```
/// use mollifier::kernel::Family;
/// use mollifier::operator::SeriesFilter;
///
/// let (step, a) = (0.01, 0.5);
/// let mut filter = SeriesFilter::<33>::new(Family::Poly(4), 3, &[(1.0 / step, 1), (-a, 0)])?;
/// let mut last = None;
/// for i in 0..100 {
///     // u_t = 0.5 u + 2 from u(0) = 0: u = 4 (exp(0.5 t) - 1).
///     let t = f64::from(i) * step;
///     last = filter.push((4.0 * ((0.5 * t).exp() - 1.0)) as f32);
/// }
/// let lambda = last.expect("a value after the first 33 samples");
/// assert!((lambda - 2.0).abs() < 1e-3);
/// # Ok::<(), mollifier::kernel::KernelError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SeriesFilter<const N: usize> {
    taps: [f32; N],
    /// Sum of the taps.
    sum: f32,
    gain: f32,
    past: HistoryBuf<f32, N>,
}

impl<const N: usize> SeriesFilter<N> {
    /// Samples by which an output lags the sample pushed with it.
    pub const DELAY: usize = N / 2;

    /// The sum of `coefficient` times the derivative of `order` over `terms`, each in units of sample steps, by
    /// interior taps that are exact on polynomials up to the degree `correction`.
    ///
    /// A derivative of order n with the samples `step` apart has the coefficient `1 / step^n`.
    ///
    /// # Errors
    /// Taps that do not exist; an even `N` has a radius too small for any.
    pub fn new(family: Family, correction: usize, terms: &[(f64, usize)]) -> Result<Self, KernelError> {
        if N.is_multiple_of(2) {
            return Err(KernelError::TooFewTaps { got: N, expected: N + 1 });
        }
        let mut taps = [0.0_f64; N];
        for (coefficient, order) in terms {
            let kernel = Kernel::with_correction(family, N / 2, *order, correction.max(*order))?;
            for (sum, tap) in taps.iter_mut().zip(kernel.taps()) {
                *sum += coefficient * tap;
            }
        }
        Ok(Self::from_taps(taps))
    }

    /// Taps that were computed elsewhere, the oldest sample's first.
    #[must_use]
    pub fn from_taps(taps: [f64; N]) -> Self {
        Self {
            taps: taps.map(|t| t as f32),
            sum: taps.iter().sum::<f64>() as f32,
            gain: libm::sqrt(taps.iter().map(|t| t * t).sum::<f64>()) as f32,
            past: HistoryBuf::new(),
        }
    }

    /// Take in the next sample; gives the sum at the sample [`DELAY`](Self::DELAY) before it.
    ///
    /// `None` until `N` samples are there. A sample that is not finite counts as missing: the next `N` samples give
    /// `None` again but for the last of them.
    pub fn push(&mut self, sample: f32) -> Option<f32> {
        if !sample.is_finite() {
            self.past.clear();
            return None;
        }
        self.past.write(sample);
        self.past.is_full().then(|| self.value())
    }

    /// The standard deviation of an output for white noise of standard deviation 1 in the samples.
    #[must_use]
    pub fn noise_gain(&self) -> f32 {
        self.gain
    }

    fn value(&self) -> f32 {
        let (old, new) = self.past.as_slices();
        let middle = old.get(N / 2).copied().unwrap_or_else(|| new[N / 2 - old.len()]);
        let (taps, rest) = self.taps.split_at(old.len());
        self.sum * middle + against(old, taps, middle) + against(new, rest, middle)
    }
}

/// The sum of taps times samples less `middle`.
fn against(samples: &[f32], taps: &[f32], middle: f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (samples, taps) = (samples.chunks_exact(LANES), taps.chunks_exact(LANES));
    let rest = samples.remainder().iter().zip(taps.remainder()).map(|(s, t)| t * (s - middle)).sum::<f32>();
    for (samples, taps) in samples.zip(taps) {
        for ((sum, sample), tap) in sums.iter_mut().zip(samples).zip(taps) {
            *sum += tap * (sample - middle);
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// By the definition, in double precision; `None` where the window does not fit.
    fn twin<const N: usize>(taps: &[f64], series: &[f32]) -> Vec<f64> {
        series.windows(N).map(|w| w.iter().zip(taps).map(|(s, t)| f64::from(*s) * t).sum()).collect()
    }

    fn taps<const N: usize>(terms: &[(f64, usize)]) -> Vec<f64> {
        let mut sum = alloc::vec![0.0; N];
        for (c, order) in terms {
            let kernel = Kernel::with_correction(Family::Poly(4), N / 2, *order, 3).expect("taps");
            sum.iter_mut().zip(kernel.taps()).for_each(|(s, t)| *s += c * t);
        }
        sum
    }

    fn agrees<const N: usize>(offset: f32) {
        let terms = [(1.0, 1), (-0.01, 0)];
        let mut filter = SeriesFilter::<N>::new(Family::Poly(4), 3, &terms).expect("taps");
        let series: Vec<f32> = (0..500).map(|i| offset + (i as f32 * 0.07).sin() + (i as f32 * 0.31).cos()).collect();
        let expected = twin::<N>(&taps::<N>(&terms), &series);
        let got: Vec<Option<f32>> = series.iter().map(|s| filter.push(*s)).collect();
        assert!(got[..N - 1].iter().all(Option::is_none));
        for (got, want) in got[N - 1..].iter().zip(&expected) {
            let got = f64::from(got.expect("a value"));
            assert!((got - want).abs() < 2e-6 * (1.0 + want.abs()), "{N} taps, offset {offset}: {got} for {want}");
        }
    }

    #[test]
    fn a_pushed_sample_gives_the_sum_by_the_definition() {
        agrees::<15>(0.0);
        agrees::<33>(0.0);
        agrees::<65>(0.0);
    }

    #[test]
    fn an_offset_does_not_cost_accuracy() {
        agrees::<33>(300.0);
        agrees::<65>(-3000.0);
    }

    #[test]
    fn a_missing_sample_starts_over() {
        let mut filter = SeriesFilter::<9>::new(Family::Poly(4), 2, &[(1.0, 1)]).expect("taps");
        let mut push = |range: core::ops::Range<usize>| range.map(|i| filter.push(i as f32)).collect::<Vec<_>>();
        assert!(push(0..20)[8..].iter().all(|v| (v.expect("a value") - 1.0).abs() < 1e-5));
        assert_eq!(filter.push(f32::NAN), None);
        let mut push = |range: core::ops::Range<usize>| range.map(|i| filter.push(i as f32)).collect::<Vec<_>>();
        let after = push(21..31);
        assert!(after[..8].iter().all(Option::is_none) && after[8].is_some());
    }

    #[test]
    fn the_gain_is_that_of_white_noise() {
        let filter = SeriesFilter::<33>::new(Family::Poly(4), 3, &[(1.0, 1)]).expect("taps");
        let exact: f64 = taps::<33>(&[(1.0, 1)]).iter().map(|t| t * t).sum();
        assert!((f64::from(filter.noise_gain()) / exact.sqrt() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn an_even_number_of_taps_is_refused() {
        assert!(SeriesFilter::<8>::new(Family::Poly(4), 2, &[(1.0, 1)]).is_err());
    }
}
