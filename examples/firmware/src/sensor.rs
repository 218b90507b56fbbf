//! The sensor itself, the same on every machine.

use core::fmt;

use mollifier::kernel::{Family, KernelError};
use mollifier::operator::SeriesFilter;

/// Hourly air temperatures at Seattle, tenths of a degree Fahrenheit, one a line: 720 hours from 16 June 2010
/// (measured; public-domain record of NOAA, by way of the package vega-datasets).
pub(crate) const TRACE: &str = include_str!("../trace.txt");

/// Degrees a count.
const SCALE: f32 = 0.1;
/// Hours between readings.
const STEP: f64 = 1.0;
/// Rate at which the ground would cool towards 0 degrees by itself, one over hours.
const A: f64 = -0.1;
/// Taps: the output lags by half of them.
const TAPS: usize = 9;

/// Turns counts into heating, in degrees an hour.
pub(crate) struct Sensor {
    filter: SeriesFilter<TAPS>,
    taken: u32,
}

/// The heating at one reading; as text its index and the number in the fewest digits that give it back exactly.
pub(crate) struct Heating {
    index: u32,
    lambda: f32,
}

impl Sensor {
    /// Compute the taps: the only step that asks for memory.
    pub(crate) fn new() -> Result<Self, KernelError> {
        let filter = SeriesFilter::new(Family::Poly(4), 3, &[(1.0 / STEP, 1), (-A, 0)])?;
        Ok(Self { filter, taken: 0 })
    }

    /// Take in the next count; the same number of steps each time, without asking for memory.
    pub(crate) fn push(&mut self, count: u16) -> Option<Heating> {
        let index = self.taken;
        self.taken += 1;
        let lambda = self.filter.push(f32::from(count) * SCALE)?;
        Some(Heating { index: index - SeriesFilter::<TAPS>::DELAY as u32, lambda })
    }

    /// Readings that are missing: the filter starts over behind them.
    #[cfg_attr(not(target_os = "none"), allow(dead_code))]
    pub(crate) fn skip(&mut self, lost: u16) {
        self.taken += u32::from(lost);
        self.filter.push(f32::NAN);
    }
}

impl fmt::Display for Heating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.index, self.lambda)
    }
}

/// The count that a line of the recording holds.
pub(crate) fn count(line: &str) -> u16 {
    line.parse().expect("the recording is whole numbers")
}
