//! Localisation tables (ThunderSTORM and its relatives, Picasso) drawn as a density map.

mod picasso;

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use super::text::{Lines, Separator};
use super::{FrameInfo, FrameSource, OpenOptions, Part, Place, SourceError};
use crate::source::{Frame, Pixels};
use crate::units::{Dimension, Spacing, Step, canonical_unit, convert, dimension};

/// Pixels of the largest map that is drawn: 8192 x 8192.
const MAX_PIXELS: u64 = 1 << 26;
/// Localisations that are held in memory, 16 bytes each.
const MAX_LOCALISATIONS: usize = 1 << 28;

/// One density map, axes (y, x), made from a table of localisations.
///
/// A value is the number of localisations in that pixel's area (localisations a pixel, single precision), blurred
/// by a Gaussian whose taps are its integrals over the pixels; the border reflects, so that the sum stays the
/// number of localisations and the border is not darker. Pixel (0, 0) begins at the largest multiples of the
/// pixel size not above the smallest y and x; the map reaches to the largest ones. Both axes have the pixel size
/// of the options as their spacing. Frames, intensities and uncertainties in the table are not looked at.
pub(super) struct LocalisationSource {
    info: FrameInfo,
    map: Option<Vec<f32>>,
}

impl LocalisationSource {
    pub(super) fn new(reader: impl Read, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        Self::drawn(Table::read(reader, name, options)?, name, options)
    }

    /// Picasso's HDF5 file at `path`, for messages called `name`.
    pub(super) fn picasso(path: &Path, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        Self::drawn(picasso::read(path, name, options)?, name, options)
    }

    fn drawn(table: Table, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let (map, shape, mut warnings) = draw(&table, name, options)?;
        warnings.extend(table.warnings);
        let pixel = Some(options.pixel_size.clone());
        let spacing = Spacing { t: None, y: pixel.clone(), x: pixel };
        let info = FrameInfo { name: name.to_owned(), shape, count: Some(1), spacing, rendered: true, warnings };
        Ok(Self { info, map: Some(map) })
    }
}

impl FrameSource for LocalisationSource {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<super::Read, SourceError> {
        let Some(map) = self.map.take() else {
            return Ok(super::Read::End);
        };
        *frame = Frame { index: 0, time: None, shape: self.info.shape, pixels: Pixels::F32(map) };
        Ok(super::Read::Filled)
    }
}

/// Positions in pixels of the map to be drawn, still from the table's origin.
#[derive(Debug)]
struct Table {
    /// (y, x) in pixels.
    positions: Vec<[f64; 2]>,
    warnings: Vec<String>,
}

impl Table {
    fn read(reader: impl Read, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let mut lines = Lines::new(reader, name);
        let Some(header) = lines.next()? else {
            return Err(SourceError::malformed(Place::whole(name), "no rows", "a table of localisations"));
        };
        let (separator, names) = header_names(header);
        let columns = [position_column(&names, "y"), position_column(&names, "x")];
        let [Some((y, y_unit)), Some((x, x_unit))] = columns else {
            let names: Vec<String> = names.iter().take(20).map(|n| short(n)).collect();
            let got = format!("the columns {}", names.join(", "));
            return Err(SourceError::malformed(lines.place(), got, "columns such as `x [nm]` and `y [nm]`"));
        };
        let scale = |axis: &str, unit: &str| -> Result<f64, SourceError> {
            let refused = |got: String| {
                SourceError::unsupported(lines.place(), got, "positions with a unit of length, such as `x [nm]`")
            };
            let unit = match canonical_unit(unit) {
                Ok(Some(unit)) if dimension(unit) == Ok(Dimension::Length) => unit,
                Ok(None) => {
                    return Err(refused(format!("column {axis} in pixels or without a unit")));
                }
                _ => return Err(refused(format!("column {axis} in `{unit}`"))),
            };
            let pixel = length(&options.pixel_size, "pixel size", name)?;
            convert(1.0, unit, pixel).map(|one| one / options.pixel_size.value).map_err(|e| refused(e.to_string()))
        };
        let scales = [scale("y", &y_unit)?, scale("x", &x_unit)?];
        let channel = names.iter().position(|n| n.eq_ignore_ascii_case("channel"));

        let mut table = Self { positions: Vec::new(), warnings: Vec::new() };
        let mut channels: Vec<String> = Vec::new();
        let mut after_blank = false;
        while let Some(line) = lines.next()? {
            if line.trim_matches(|c: char| c.is_whitespace() || c == '\0').is_empty() {
                after_blank = true;
                continue;
            }
            let mut fields = Vec::new();
            separator.split(line, &mut fields);
            let coordinate = |column: usize| fields.get(column).and_then(|f| separator.number(f));
            let (Some(at_y), Some(at_x)) = (coordinate(y), coordinate(x)) else {
                let bad = if coordinate(y).is_none() { y } else { x };
                let got = fields.get(bad).map_or("too few columns".to_owned(), |f| format!("`{f}`"));
                if after_blank {
                    // Zeiss appends a block of settings behind an empty line.
                    if let Part::Line(line) = lines.place().part {
                        table.warnings.push(format!("the text from line {line} on is no table and was left out"));
                    }
                    break;
                }
                let expected = format!("a number in column `{}`", names[bad]);
                return Err(SourceError::malformed(lines.place(), got, expected));
            };
            if let Some(channel) = channel.and_then(|c| fields.get(c))
                && !channels.iter().any(|known| known == channel)
            {
                channels.push(channel.to_string());
            }
            if table.positions.len() == MAX_LOCALISATIONS {
                let got = format!("more than {MAX_LOCALISATIONS} localisations");
                return Err(SourceError::over_limit(lines.place(), got, "a smaller table"));
            }
            table.positions.push([at_y * scales[0], at_x * scales[1]]);
        }
        if table.positions.is_empty() {
            return Err(SourceError::malformed(Place::whole(name), "a table without rows", "localisations"));
        }
        if channels.len() > 1 {
            table.warnings.push(format!("the table's {} channels are drawn into one map", channels.len()));
        }
        Ok(table)
    }
}

/// A column's name in quotes, cut where it is none: some programs write a whole XML element as their first line.
fn short(name: &str) -> String {
    match name.char_indices().nth(40) {
        Some((end, _)) => format!("`{}...`", &name[..end]),
        None => format!("`{name}`"),
    }
}

/// The canonical unit of an option that must be a length.
fn length<'a>(step: &'a Step, what: &str, name: &str) -> Result<&'a str, SourceError> {
    match step.unit.as_deref() {
        Some(unit) if dimension(unit) == Ok(Dimension::Length) => Ok(unit),
        _ => Err(SourceError::misused(Place::whole(name), format!("a {what} of {step}"), "a length such as 50nm")),
    }
}

/// Names of the columns. A header that was quoted twice, as a whole and each name (seen in exports that went
/// through a spreadsheet), is split again.
fn header_names(line: &str) -> (Separator, Vec<String>) {
    let split = |line: &str| {
        let separator = Separator::of(line);
        let mut fields: Vec<Cow<'_, str>> = Vec::new();
        separator.split(line, &mut fields);
        (separator, fields.into_iter().map(Cow::into_owned).collect::<Vec<_>>())
    };
    let (separator, names) = split(line.trim_start_matches('#'));
    match names.as_slice() {
        [only] if only.contains([',', ';', '\t']) => split(only),
        _ => (separator, names),
    }
}

/// The column of positions along `axis`, and its unit as written: `x [nm]`, `X (nm)`, `x_nm`, `Position X [nm]`.
fn position_column(names: &[String], axis: &str) -> Option<(usize, String)> {
    names.iter().enumerate().find_map(|(column, name)| {
        let name = name.trim().trim_matches('"');
        let (quantity, unit) = match name.split_once(['[', '(']) {
            Some((quantity, unit)) => (quantity, unit.trim_end_matches([']', ')'])),
            None => name.split_once('_').unwrap_or((name, "")),
        };
        let quantity = quantity.trim().to_lowercase();
        let quantity = quantity.strip_prefix("position").unwrap_or(&quantity).trim_matches([' ', '_']);
        (quantity == axis).then(|| (column, unit.trim().to_owned()))
    })
}

type Map = (Vec<f32>, [usize; 2], Vec<String>);

fn draw(table: &Table, name: &str, options: &OpenOptions) -> Result<Map, SourceError> {
    let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    for position in &table.positions {
        for axis in 0..2 {
            low[axis] = low[axis].min(position[axis]);
            high[axis] = high[axis].max(position[axis]);
        }
    }
    let origin = low.map(f64::floor);
    let extent = [0, 1].map(|axis| high[axis].floor() - origin[axis] + 1.0);
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
            "positions that span {:.4e} x {:.4e} {unit} (y, x): {:.0}x{:.0} pixels of {pixel}",
            size[0], size[1], extent[0], extent[1]
        );
        let expected =
            format!("at most {limit:.0} pixels: remove outliers from the table or use --pixel-size {wanted}{unit}");
        return Err(SourceError::over_limit(Place::whole(name), got, expected));
    }
    // Both at least 1 and their product bounded: the conversions keep the values.
    let shape = extent.map(|n| n as usize);
    let mut map = vec![0f32; shape[0] * shape[1]];
    for position in &table.positions {
        let [y, x] = [0, 1].map(|axis| (position[axis].floor() - origin[axis]) as usize);
        map[y * shape[1] + x] += 1.0;
    }
    let warnings = vec![format!(
        "{} localisations were drawn as {} pixels of {pixel}{}",
        table.positions.len(),
        format_args!("{}x{} (y, x)", shape[0], shape[1]),
        options.blur.as_ref().map_or(String::new(), |blur| format!(", blurred by a Gaussian of {blur}"))
    )];
    if let Some(blur) = &options.blur {
        let unit = length(blur, "blur", name)?;
        let pixel_unit = length(pixel, "pixel size", name)?;
        // Both are lengths, so the conversion is defined.
        let sigma = convert(blur.value, unit, pixel_unit).unwrap_or(blur.value) / pixel.value;
        if sigma > 1000.0 {
            let got = format!("a blur of {blur}, {sigma:.0} pixels");
            return Err(SourceError::misused(Place::whole(name), got, "at most 1000 pixels"));
        }
        let taps = gaussian_taps(sigma);
        blur_axis(&mut map, shape, 1, &taps);
        blur_axis(&mut map, shape, 0, &taps);
    }
    Ok((map, shape, warnings))
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
    fn headers_of_several_programs_are_understood() {
        let columns = |line: &str| {
            let (separator, names) = header_names(line);
            (separator, position_column(&names, "y"), position_column(&names, "x"))
        };
        let at = |y: usize, x: usize, unit: &str| (Some((y, unit.to_owned())), Some((x, unit.to_owned())));
        for (line, separator, (y, x)) in [
            ("\"id\",\"frame\",\"x [nm]\",\"y [nm]\"", Separator::Comma, at(3, 2, "nm")),
            ("\"id,\"\"frame\"\",\"\"x [nm]\"\",\"\"y [nm]\"\"\"", Separator::Comma, at(3, 2, "nm")),
            ("Channel,Frame,X (nm),Y (nm),Z (nm)", Separator::Comma, at(3, 2, "nm")),
            ("frame;x_nm;y_nm", Separator::Semicolon, at(2, 1, "nm")),
            ("Index\tPosition X [nm]\tPosition Y [nm]", Separator::Tab, at(2, 1, "nm")),
            ("x [\u{b5}m],y [\u{b5}m],x_err", Separator::Comma, at(1, 0, "\u{b5}m")),
            ("x,y", Separator::Comma, at(1, 0, "")),
        ] {
            assert_eq!(columns(line), (separator, y, x), "{line}");
        }
        assert_eq!(columns("a,sigma [nm]").1, None);
    }

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
