//! Regions of interest that the user names.

use std::ops::Range;
use std::str::FromStr;

use anyhow::Result;

use super::failure::misuse;

/// A rectangle of a map in pixels, as `NAME=y0:y1,x0:x1`: the bounds after the colons are the ones after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roi {
    pub(crate) name: String,
    y: Range<usize>,
    x: Range<usize>,
}

impl FromStr for Roi {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected NAME=y0:y1,x0:x1 in pixels, such as nucleus=40:120,35:90";
        let range = |text: &str| {
            let (from, to) = text.split_once(':')?;
            let range = from.trim().parse().ok()?..to.trim().parse().ok()?;
            (range.start < range.end).then_some(range)
        };
        let parts = text.split_once('=').and_then(|(name, area)| {
            let (y, x) = area.split_once(',')?;
            Some((name.trim(), range(y)?, range(x)?))
        });
        let (name, y, x) = parts.ok_or(expected)?;
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || !name.chars().all(plain) {
            return Err("expected a name of letters, digits, `_` and `-`".to_owned());
        }
        Ok(Self { name: name.to_owned(), y, x })
    }
}

impl std::fmt::Display for Roi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, y, x } = self;
        write!(f, "{name}={}:{},{}:{}", y.start, y.end, x.start, x.end)
    }
}

impl Roi {
    /// Refuse regions that a map of `shape` (y, x) does not hold, and names that come twice or are those of `outputs`.
    pub(crate) fn check(rois: &[Self], [rows, columns]: [usize; 2], outputs: &[&str], input: &str) -> Result<()> {
        for (i, roi) in rois.iter().enumerate() {
            if roi.y.end > rows || roi.x.end > columns {
                return Err(misuse(format!(
                    "--roi {roi}: got a region beyond {input}'s {rows} x {columns} (y, x) pixels"
                )));
            }
            if outputs.contains(&roi.name.as_str()) {
                let name = &roi.name;
                return Err(misuse(format!("--roi {name}: got the name of an output, expected another one")));
            }
            if rois[..i].iter().any(|r| r.name == roi.name) {
                return Err(misuse(format!("--roi {}: got the name twice, expected each once", roi.name)));
            }
        }
        Ok(())
    }

    /// What the region shows of a map of `columns` columns.
    ///
    /// The mean of `lambda` is weighted by `support` where there is one. Its standard deviation is the mean of those of
    /// the pixels, `std` (relative ones where `relative`), with the same weights: neighbours share their kernels, so
    /// that their errors go together, and whatever their correlation is the mean's error is no larger than that.
    pub(crate) fn mean(
        &self,
        lambda: &[f32],
        support: Option<&[f32]>,
        std: Option<&[f32]>,
        relative: bool,
        columns: usize,
    ) -> RoiMean {
        let (mut weights, mut sum, mut error, mut pixels) = (0.0, 0.0, 0.0, 0_u64);
        for row in self.y.clone() {
            for i in row * columns + self.x.start..row * columns + self.x.end {
                let (value, weight) = (f64::from(lambda[i]), support.map_or(1.0, |s| f64::from(s[i])));
                if !value.is_finite() || weight.is_nan() || weight <= 0.0 {
                    continue;
                }
                let std = std.map_or(f64::NAN, |s| f64::from(s[i]) * if relative { value.abs() } else { 1.0 });
                weights += weight;
                sum += weight * value;
                error += weight * std;
                pixels += 1;
            }
        }
        RoiMean { mean: sum / weights, std: error / weights, pixels }
    }
}

/// What a region shows of one map; NaN where nothing tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RoiMean {
    pub(crate) mean: f64,
    pub(crate) std: f64,
    /// Pixels with a value and some support.
    pub(crate) pixels: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read_and_held_against_the_map() {
        let roi: Roi = "nucleus=1:3, 0:2".parse().expect("a region");
        assert_eq!(roi.to_string(), "nucleus=1:3,0:2");
        for text in ["a", "a=1:2", "a=2:1,0:1", "=0:1,0:1", "a b=0:1,0:1", "a,b=0:1,0:1", "a=-1:2,0:1"] {
            assert!(text.parse::<Roi>().is_err(), "{text}");
        }
        assert!(Roi::check(std::slice::from_ref(&roi), [3, 2], &["lambda"], "u").is_ok());
        assert!(Roi::check(std::slice::from_ref(&roi), [2, 2], &["lambda"], "u").is_err());
        assert!(Roi::check(std::slice::from_ref(&roi), [3, 2], &["nucleus"], "u").is_err());
        assert!(Roi::check(&[roi.clone(), roi], [3, 2], &["lambda"], "u").is_err());
    }

    #[test]
    fn means_are_weighted_and_leave_out_what_is_missing() {
        let roi: Roi = "a=0:2,1:3".parse().expect("a region");
        let lambda = [9.0, 1.0, 2.0, 9.0, f32::NAN, 4.0];
        let support = [1.0, 0.5, 0.25, 1.0, 1.0, 0.25];
        let std = [9.0, 0.1, 0.2, 9.0, 9.0, 0.4];
        let got = roi.mean(&lambda, Some(&support), Some(&std), false, 3);
        assert_eq!((got.mean, got.pixels), (2.0, 3));
        assert!((got.std - 0.2).abs() < 1e-7);
        let got = roi.mean(&lambda, Some(&support), Some(&std), true, 3);
        // 0.5 * 0.1 + 0.25 * 0.4 + 0.25 * 1.6
        assert!((got.std - 0.55).abs() < 1e-7);
        assert!((roi.mean(&lambda, None, None, false, 3).mean - 7.0 / 3.0).abs() < 1e-12);
        assert_eq!(roi.mean(&lambda, Some(&[0.0; 6]), None, false, 3).pixels, 0);
    }
}
