//! Where the pixels of a density map lie.

use core::str::FromStr;

use super::super::{OpenOptions, Place, SourceError};
use super::length;
use crate::units::{Dimension, Step, canonical_unit, convert, dimension};

/// Pixels of the largest map that is drawn: 8192 x 8192.
const MAX_PIXELS: u64 = 1 << 26;
/// Pixels that a length may be off by its rounding.
const ROUNDING: f64 = 1e-6;

/// The field of view that a density map shows, in nanometres from the table's origin.
///
/// As text it is `y=0um:54.8um,x=0um:54.8um`, from the first bound up to the second; a bound without a unit has the
/// other one's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// From and to along y.
    pub y: [f64; 2],
    /// From and to along x.
    pub x: [f64; 2],
}

/// A text that is no [`Region`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field of view: got `{0}`, expected lengths from and to along both axes, such as y=0um:54.8um,x=0um:54.8um")]
pub struct RegionError(String);

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let refused = || RegionError(text.to_owned());
        let (mut y, mut x) = (None, None);
        for part in text.split(',') {
            let (axis, bounds) = part.split_once('=').ok_or_else(refused)?;
            let place = match axis.trim() {
                "y" => &mut y,
                "x" => &mut x,
                _ => return Err(refused()),
            };
            if place.replace(bounds_of(bounds).ok_or_else(refused)?).is_some() {
                return Err(refused());
            }
        }
        Ok(Self { y: y.ok_or_else(refused)?, x: x.ok_or_else(refused)? })
    }
}

/// `0um:54.8um` in nanometres.
fn bounds_of(text: &str) -> Option<[f64; 2]> {
    let (from, to) = text.split_once(':')?;
    let split = |bound: &str| {
        let bound = bound.trim().to_owned();
        // Units begin with a letter or the micro sign; an exponent is no unit.
        let at = bound.char_indices().find(|(i, c)| {
            let exponent =
                matches!(c, 'e' | 'E') && bound[i + 1..].starts_with(|c: char| c.is_ascii_digit() || c == '-');
            !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+') || exponent)
        });
        let (number, unit) = bound.split_at(at.map_or(bound.len(), |(i, _)| i));
        Some((number.parse::<f64>().ok()?, unit.trim().to_owned()))
    };
    let (from, to) = (split(from)?, split(to)?);
    let nanometres = |(value, unit): &(f64, String), other: &str| {
        let unit = canonical_unit(if unit.is_empty() { other } else { unit }).ok()??;
        (dimension(unit) == Ok(Dimension::Length)).then(|| convert(*value, unit, "nm").ok())?
    };
    let bounds = [nanometres(&from, &to.1)?, nanometres(&to, &from.1)?];
    (bounds.iter().all(|b| b.is_finite()) && bounds[0] < bounds[1]).then_some(bounds)
}

/// The pixels of a map: (0, 0) begins at `origin`, whole pixels from the table's origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    origin: [f64; 2],
    pub(super) shape: [usize; 2],
}

impl Grid {
    /// The smallest grid that holds everything from `low` up to `high`, both included, (y, x) in pixels.
    pub(super) fn around(
        low: [f64; 2],
        high: [f64; 2],
        name: &str,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let origin = low.map(f64::floor);
        let extent = [0, 1].map(|axis| high[axis].floor() - origin[axis] + 1.0);
        Self::new(origin, extent, "positions that span", name, options)
    }

    /// The smallest grid that holds a field of view.
    pub(super) fn of(region: &Region, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let pixel = nanometres(&options.pixel_size, name)?;
        let bounds = [region.y, region.x].map(|b| b.map(|v| v / pixel));
        let origin = bounds.map(|[from, _]| (from + ROUNDING).floor());
        let extent = [0, 1].map(|axis| (bounds[axis][1] - ROUNDING).ceil() - origin[axis]);
        Self::new(origin, extent.map(|n| n.max(1.0)), "a field of view of", name, options)
    }

    fn new(
        origin: [f64; 2],
        extent: [f64; 2],
        what: &str,
        name: &str,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let limit = MAX_PIXELS.min(options.max_pixels as u64) as f64;
        let pixel = &options.pixel_size;
        let pixels = extent[0] * extent[1];
        if pixels.is_nan() || pixels > limit {
            let unit = pixel.unit.as_deref().unwrap_or_default();
            let size = extent.map(|n| n * pixel.value);
            let wanted = pixel.value * (pixels / limit).sqrt();
            // Two digits, rounded up.
            let digit = 10f64.powf(wanted.log10().floor() - 1.0);
            let wanted = (wanted / digit * 1.02).ceil() * digit;
            let got = format!(
                "{what} {:.4e} x {:.4e} {unit} (y, x): {:.0}x{:.0} pixels of {pixel}",
                size[0], size[1], extent[0], extent[1]
            );
            let expected =
                format!("at most {limit:.0} pixels: remove outliers from the table or use --pixel-size {wanted}{unit}");
            return Err(SourceError::over_limit(Place::whole(name), got, expected));
        }
        // Both at least 1 and their product bounded: the conversions keep the values.
        Ok(Self { origin, shape: extent.map(|n| n as usize) })
    }

    /// The pixel that holds a position, (y, x) in pixels from the table's origin; `None` outside.
    pub(super) fn pixel(&self, position: [f64; 2]) -> Option<usize> {
        let [y, x] = [0, 1].map(|axis| {
            let place = position[axis].floor() - self.origin[axis];
            (0.0..self.shape[axis] as f64).contains(&place).then_some(place as usize)
        });
        Some(y? * self.shape[1] + x?)
    }
}

/// A pixel size in nanometres.
fn nanometres(pixel: &Step, name: &str) -> Result<f64, SourceError> {
    let unit = length(pixel, "pixel size", name)?;
    convert(pixel.value, unit, "nm").map_err(|e| SourceError::misused(Place::whole(name), e.to_string(), "a length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn a_field_of_view_is_read() {
        let region = |text: &str| text.parse::<Region>().map(|r| (r.y, r.x)).ok();
        assert_eq!(region("y=0um:54.8um,x=1um:2um"), Some(([0.0, 54_800.0], [1000.0, 2000.0])));
        assert_eq!(region("x=-1e3:2e3nm, y=0 : 5 \u{b5}m"), Some(([0.0, 5000.0], [-1000.0, 2000.0])));
        for text in ["", "y=0um:1um", "y=0:1,x=0:1", "y=1um:1um,x=0um:1um", "y=0s:1s,x=0um:1um", "y=0um:1um,y=0um:1um"]
        {
            assert!(region(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_field_of_view_is_widened_to_whole_pixels() {
        let grid = |text: &str, size: &str| {
            let options = OpenOptions { pixel_size: size.parse().expect("a length"), ..OpenOptions::new(Kind::Fields) };
            Grid::of(&text.parse().expect("a field of view"), "t", &options)
        };
        // Neither 0.3 um nor 0.1 um is a binary fraction.
        let exact = grid("y=0.3um:0.9um,x=0um:40um", "0.1um").expect("a grid");
        assert_eq!((exact.origin, exact.shape), ([3.0, 0.0], [6, 400]));
        let wide = grid("y=-10nm:101nm,x=60nm:61nm", "50nm").expect("a grid");
        assert_eq!((wide.origin, wide.shape), ([-1.0, 1.0], [4, 1]));
        assert_eq!(wide.pixel([-0.5, 1.9]), Some(0));
        assert_eq!(wide.pixel([2.99, 1.0]), Some(3));
        for outside in [[-1.01, 1.0], [3.0, 1.0], [0.0, 0.99], [0.0, 2.0], [f64::NAN, 1.0]] {
            assert_eq!(wide.pixel(outside), None);
        }
        assert!(grid("y=0um:1mm,x=0um:1mm", "50nm").expect_err("too large").to_string().contains("--pixel-size"));
    }
}
