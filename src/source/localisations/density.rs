//! Localisations counted in pixels, and the map that is drawn of them.

use super::super::{OpenOptions, Place, SourceError};
use super::grid::Grid;
use super::length;
use crate::units::convert;

/// Localisations in each pixel of a grid.
///
/// Counts are whole numbers, so that the sum does not depend on the order in which they come, and every map is drawn of
/// the counts anew: one drawn while a table grows is that of the same rows as a finished table, bit for bit.
pub(super) struct Density {
    grid: Grid,
    counts: Vec<u32>,
    /// Half of the kernel that maps are blurred with; empty where they are not.
    taps: Vec<f64>,
}

impl Density {
    pub(super) fn new(grid: Grid, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let mut taps = Vec::new();
        if let Some(blur) = &options.blur {
            let unit = length(blur, "blur", name)?;
            let pixel = &options.pixel_size;
            let pixel_unit = length(pixel, "pixel size", name)?;
            // Both are lengths, so the conversion is defined.
            let sigma = convert(blur.value, unit, pixel_unit).unwrap_or(blur.value) / pixel.value;
            if sigma > 1000.0 {
                let got = format!("a blur of {blur}, {sigma:.0} pixels");
                return Err(SourceError::misused(Place::whole(name), got, "at most 1000 pixels"));
            }
            taps = gaussian_taps(sigma);
        }
        Ok(Self { grid, counts: vec![0; grid.shape[0] * grid.shape[1]], taps })
    }

    pub(super) fn shape(&self) -> [usize; 2] {
        self.grid.shape
    }

    /// Count a localisation, (y, x) in pixels from the table's origin; false where it lies outside the map.
    pub(super) fn count(&mut self, position: [f64; 2]) -> bool {
        match self.grid.pixel(position) {
            Some(pixel) => {
                self.counts[pixel] = self.counts[pixel].saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// The map, axes (y, x): localisations a pixel, blurred.
    pub(super) fn draw(&self, map: &mut Vec<f32>) {
        map.clear();
        map.extend(self.counts.iter().map(|n| *n as f32));
        if !self.taps.is_empty() {
            blur_axis(map, self.grid.shape, 1, &self.taps);
            blur_axis(map, self.grid.shape, 0, &self.taps);
        }
    }
}

/// Half of a symmetric kernel: the integrals over pixels 0, 1, 2, ... of a Gaussian of `sigma` pixels, cut at
/// four sigma and scaled to the sum 1.
fn gaussian_taps(sigma: f64) -> Vec<f64> {
    let reach = (4.0 * sigma + 0.5).floor() as usize;
    let below = |x: f64| 0.5 * libm::erf(x / (sigma * core::f64::consts::SQRT_2));
    let mut taps: Vec<f64> = (0..=reach).map(|i| below(i as f64 + 0.5) - below(i as f64 - 0.5)).collect();
    let sum = taps[0] + 2.0 * taps[1..].iter().sum::<f64>();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps
}

/// Convolve along one axis; beyond the border the map is mirrored, border pixels repeated.
fn blur_axis(map: &mut [f32], shape: [usize; 2], axis: usize, taps: &[f64]) {
    let (length, stride) = if axis == 1 { (shape[1], 1) } else { (shape[0], shape[1]) };
    let other_stride = if axis == 1 { shape[1] } else { 1 };
    let mut line = vec![0f64; length];
    for other in 0..map.len() / length {
        let start = other * other_stride;
        for (i, value) in line.iter_mut().enumerate() {
            *value = f64::from(map[start + i * stride]);
        }
        for i in 0..length {
            let mut sum = taps[0] * line[i];
            for (distance, tap) in taps.iter().enumerate().skip(1) {
                sum += tap
                    * (line[mirror(i as isize - distance as isize, length)]
                        + line[mirror(i as isize + distance as isize, length)]);
            }
            map[start + i * stride] = sum as f32;
        }
    }
}

/// The index inside 0..length that a mirrored axis shows at `i`: ..., 1, 0, 0, 1, ..., n-1, n-1, ...
fn mirror(i: isize, length: usize) -> usize {
    let length = length as isize;
    let folded = i.rem_euclid(2 * length);
    (if folded < length { folded } else { 2 * length - 1 - folded }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mirrors_repeat_the_border() {
        let seen: Vec<usize> = (-4..7).map(|i| mirror(i, 3)).collect();
        assert_eq!(seen, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(mirror(-5, 1), 0);
    }

    proptest! {
        #[test]
        fn blurring_keeps_the_number_of_localisations(
            sigma in 0.05f64..4.0,
            counts in prop::collection::vec(0u8..9, 30),
        ) {
            let mut map: Vec<f32> = counts.iter().map(|c| f32::from(*c)).collect();
            let taps = gaussian_taps(sigma);
            blur_axis(&mut map, [5, 6], 1, &taps);
            blur_axis(&mut map, [5, 6], 0, &taps);
            let (before, after): (f64, f64) =
                (counts.iter().map(|c| f64::from(*c)).sum(), map.iter().map(|v| f64::from(*v)).sum());
            prop_assert!((before - after).abs() < 1e-4 * (1.0 + before));
            prop_assert!(map.iter().all(|v| *v >= 0.0));
        }
    }
}
