//! The picture of one map: colours, colour bar, scale bar, units.

use embedded_graphics::mono_font::iso_8859_1::{FONT_9X15, FONT_9X18_BOLD};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::text::Alignment;

use super::MapInfo;
use super::canvas::{Canvas, FAINT, Font, INK, MISSING};
use super::scale::{Range, number, readable, round_below};
use crate::units::{Step, pretty_unit};

/// The longer side of a picture is at least and at most this many pixels.
const SMALLEST: f64 = 400.0;
const LARGEST: f64 = 1600.0;
/// Pixels that are more elongated than this are drawn with this aspect.
const MOST_ELONGATED: f64 = 8.0;
/// From this longer side on, everything around the map is drawn twice as large: such a picture is looked at as a
/// whole, smaller than it is.
const LARGE: u32 = 1000;

/// Sizes of what stands around the map.
#[derive(Clone, Copy)]
struct Look {
    zoom: i32,
    plain: Font,
    bold: Font,
    margin: i32,
    bar_width: i32,
    bar_end: i32,
}

impl Look {
    fn new([height, width]: [u32; 2]) -> Self {
        let zoom = if height.max(width) >= LARGE { 2 } else { 1 };
        Self {
            zoom,
            plain: Font { face: &FONT_9X15, zoom },
            bold: Font { face: &FONT_9X18_BOLD, zoom },
            margin: 20 * zoom,
            bar_width: 22 * zoom,
            bar_end: 12 * zoom,
        }
    }
}

/// The map that a picture shows.
pub(super) struct Shown<'a> {
    /// As it was computed, or as it is drawn.
    pub(super) values: &'a [f32],
    /// Its rows and columns.
    pub(super) shape: [usize; 2],
    pub(super) frame: u64,
    pub(super) time: f64,
    /// Maps in the whole output, this one being the last.
    pub(super) maps: u64,
}

/// How values become colours.
struct Colors {
    range: Range,
    diverging: bool,
}

impl Colors {
    fn new(info: &MapInfo, values: &[f32]) -> Option<Self> {
        let mut range = Range::of(values, (0.02, 0.98), info.log_scale)?;
        if info.name == "support" {
            range = Range { low: 0.0, high: 1.0, below: false, above: false, log: false };
        }
        let (least, most) = (range.low.abs().min(range.high.abs()), range.low.abs().max(range.high.abs()));
        let diverging = !info.log_scale && range.low < 0.0 && range.high > 0.0 && least > 0.1 * most;
        if diverging {
            let beyond = |v: &f32| v.is_finite() && f64::from(v.abs()) > most;
            let below = values.iter().any(|v| beyond(v) && *v < 0.0);
            let above = values.iter().any(|v| beyond(v) && *v > 0.0);
            range = Range { low: -most, high: most, below, above, log: false };
        }
        Some(Self { range, diverging })
    }

    fn at(&self, position: f64) -> Rgb888 {
        let position = position.clamp(0.0, 1.0);
        let color = if self.diverging {
            colorous::RED_BLUE.eval_continuous(1.0 - position)
        } else {
            colorous::VIRIDIS.eval_continuous(position)
        };
        Rgb888::new(color.r, color.g, color.b)
    }

    fn of(&self, value: f32) -> Rgb888 {
        if value.is_finite() { self.at(self.range.position(f64::from(value))) } else { MISSING }
    }
}

/// Size of the drawn map, (y, x) in pixels of the picture.
pub(super) fn drawn_size(shape: [usize; 2], y: Option<&Step>, x: Option<&Step>) -> [u32; 2] {
    let ratio = match (y, x) {
        (Some(y), Some(x)) => (y.value / x.value).clamp(1.0 / MOST_ELONGATED, MOST_ELONGATED),
        _ => 1.0,
    };
    let height = shape[0] as f64 * ratio.max(1.0);
    let width = shape[1] as f64 * (1.0 / ratio).max(1.0);
    let longest = height.max(width).max(1.0);
    let factor = if longest < SMALLEST { (SMALLEST / longest).ceil() } else { (LARGEST / longest).min(1.0) };
    [height, width].map(|side| (side * factor).round().max(1.0) as u32)
}

/// The map with another number of pixels: the nearest value where it grows, the mean of what is there (NaN where
/// nothing is) where it shrinks. Appended to `out`.
pub(super) fn resample(values: &[f32], shape: [usize; 2], [height, width]: [usize; 2], out: &mut Vec<f32>) {
    let spans = |from: usize, to: usize| -> Vec<(usize, usize)> {
        let edge = |i: usize| i * from / to;
        (0..to).map(|i| (edge(i), edge(i + 1).max(edge(i) + 1))).collect()
    };
    let (rows, columns) = (spans(shape[0], height), spans(shape[1], width));
    out.reserve(height * width);
    for (y0, y1) in rows {
        for &(x0, x1) in &columns {
            let (mut sum, mut count) = (0.0_f64, 0_u32);
            for row in values.chunks_exact(shape[1]).take(y1).skip(y0) {
                for value in row[x0..x1].iter().filter(|v| v.is_finite()) {
                    sum += f64::from(*value);
                    count += 1;
                }
            }
            out.push(if count > 0 { (sum / f64::from(count)) as f32 } else { f32::NAN });
        }
    }
}

/// Draw a map, axes (y, x).
pub(super) fn draw_map(info: &MapInfo, shown: &Shown<'_>) -> Canvas {
    let drawn = drawn_size(info.shape, info.spacing.y.as_ref(), info.spacing.x.as_ref());
    let [height, width] = drawn;
    let look = Look::new(drawn);
    let Look { zoom, plain, bold, .. } = look;
    let colors = Colors::new(info, shown.values);
    let ticks = colors.as_ref().map(|c| c.range.ticks(6)).unwrap_or_default();
    let labels = ticks.iter().map(|t| plain.width(&t.1)).max().unwrap_or(0);

    let title = title(&info.name, &info.quantity, info.unit.as_deref());
    let subtitle = subtitle(info, shown);
    let texts = bold.width(&title).max(plain.width(&subtitle)).min(560 * zoom);
    let right = 18 * zoom + look.bar_width + 8 * zoom + labels;
    let inner = (width as i32 + right).max(texts);
    let body = (height as i32).max(180 * zoom);
    let (left, top) = (look.margin, look.margin + 50 * zoom);
    let mut canvas = Canvas::new((inner + 2 * look.margin) as u32, (top + body + 56 * zoom) as u32);
    canvas.text(&bold.fitting(&title, inner), (left, look.margin + 8 * zoom), Alignment::Left, bold, INK);
    canvas.text(&plain.fitting(&subtitle, inner), (left, look.margin + 30 * zoom), Alignment::Left, plain, FAINT);

    let mut small = Vec::new();
    resample(shown.values, shown.shape, drawn.map(|n| n as usize), &mut small);
    for (y, row) in (top..).zip(small.chunks_exact(width as usize)) {
        for (x, value) in (left..).zip(row) {
            canvas.set(x, y, colors.as_ref().map_or(MISSING, |c| c.of(*value)));
        }
    }
    canvas.frame(left - 1, top - 1, width + 2, height + 2, INK);
    if let Some(colors) = &colors {
        color_bar(&mut canvas, look, colors, &ticks, (left + width as i32 + 18 * zoom, top), body);
    }
    let below = top + height as i32 + 14 * zoom;
    let used = scale_bar(&mut canvas, look, info, width, (left, below));
    if shown.values.iter().any(|v| !v.is_finite()) {
        let text = "no value";
        let from = (left + width as i32 - plain.width(text)).max(left + used + 44 * zoom);
        let (x, y, side) = (from - 20 * zoom, below + 2 * zoom, 14 * zoom as u32);
        canvas.fill(x, y, side, side, MISSING);
        canvas.frame(x, y, side, side, FAINT);
        canvas.text(text, (from, below + 9 * zoom), Alignment::Left, plain, FAINT);
    }
    canvas
}

/// `lambda: diffusivity (µm²/s)`.
pub(super) fn title(name: &str, quantity: &str, unit: Option<&str>) -> String {
    let unit = unit.map(|u| format!(" ({})", pretty_unit(u))).unwrap_or_default();
    if quantity.is_empty() || quantity == name { format!("{name}{unit}") } else { format!("{name}: {quantity}{unit}") }
}

fn subtitle(info: &MapInfo, shown: &Shown<'_>) -> String {
    let unit = info.spacing.unit("t").map(|u| format!(" {}", pretty_unit(u))).unwrap_or_default();
    let time = if info.spacing.t.is_some() {
        format!(", t = {}{unit}", number(shown.time, 1e-4 * shown.time.abs()))
    } else {
        String::new()
    };
    let which = if shown.maps > 1 { format!(", last of {} maps", shown.maps) } else { String::new() };
    format!("frame {}{time}{which}", shown.frame)
}

/// The bar takes the body's height; triangles at its ends say that there are values beyond.
fn color_bar(
    canvas: &mut Canvas,
    look: Look,
    colors: &Colors,
    ticks: &[(f64, String)],
    (x, top): (i32, i32),
    body: i32,
) {
    let Look { zoom, plain, bar_width: wide, bar_end, .. } = look;
    let from = top + if colors.range.above { bar_end } else { 0 };
    let to = top + body - if colors.range.below { bar_end } else { 0 };
    let span = f64::from(to - from - 1);
    for y in from..to {
        canvas.fill(x, y, wide as u32, 1, colors.at(f64::from(to - 1 - y) / span));
    }
    canvas.frame(x - 1, from - 1, wide as u32 + 2, (to - from + 2) as u32, INK);
    if colors.range.above {
        canvas.triangle([(x, from - 2), (x + wide - 1, from - 2), (x + wide / 2, top)], colors.at(1.0));
        canvas.line((x - 1, from - 2), (x + wide / 2, top - 1), INK, 1);
        canvas.line((x + wide, from - 2), (x + wide / 2, top - 1), INK, 1);
    }
    if colors.range.below {
        let end = top + body - 1;
        canvas.triangle([(x, to + 1), (x + wide - 1, to + 1), (x + wide / 2, end)], colors.at(0.0));
        canvas.line((x - 1, to + 1), (x + wide / 2, end + 1), INK, 1);
        canvas.line((x + wide, to + 1), (x + wide / 2, end + 1), INK, 1);
    }
    let mut last = i32::MAX;
    for (value, text) in ticks {
        let y = to - 1 - (colors.range.position(*value) * span).round() as i32;
        // Ticks of a logarithmic bar may come close to each other.
        if last.saturating_sub(y) < 15 * zoom {
            continue;
        }
        last = y;
        canvas.fill(x + wide, y, 5 * zoom as u32, zoom as u32, INK);
        canvas.text(text, (x + wide + 8 * zoom, y), Alignment::Left, plain, INK);
    }
}

/// A bar of round length below the map; gives the width that it takes.
fn scale_bar(canvas: &mut Canvas, look: Look, info: &MapInfo, width: u32, (left, y): (i32, i32)) -> i32 {
    let Look { zoom, plain, .. } = look;
    let (pixel, unit) = match &info.spacing.x {
        Some(Step { value, unit: Some(unit) }) => {
            let (factor, unit) = readable(0.3 * value * info.shape[1] as f64, unit);
            (value * factor, pretty_unit(unit))
        }
        _ => (1.0, "px".to_owned()),
    };
    let whole = pixel * info.shape[1] as f64;
    let mut length = round_below(0.3 * whole);
    if unit == "px" {
        length = length.max(1.0);
    }
    let drawn = (length / whole * f64::from(width)).round().max(1.0) as u32;
    let text = format!("{} {unit}", number(length, length));
    canvas.fill(left, y + 6 * zoom, drawn, 5 * zoom as u32, INK);
    let gap = drawn as i32 + 10 * zoom;
    canvas.text(&text, (left + gap, y + 9 * zoom), Alignment::Left, plain, INK);
    gap + plain.width(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_a_size_to_look_at() {
        let step = |v: f64| Step { value: v, unit: None };
        assert_eq!(drawn_size([112, 112], None, None), [448, 448]);
        assert_eq!(drawn_size([1, 1], None, None), [400, 400]);
        assert_eq!(drawn_size([600, 800], None, None), [600, 800]);
        assert_eq!(drawn_size([2048, 4096], None, None), [800, 1600]);
        assert_eq!(drawn_size([100, 50], Some(&step(1.0)), Some(&step(2.0))), [400, 400]);
    }

    #[test]
    fn shrinking_takes_means_and_leaves_gaps_out() {
        let nan = f32::NAN;
        let resample = |values: &[f32], shape, drawn| {
            let mut out = Vec::new();
            resample(values, shape, drawn, &mut out);
            out
        };
        let small = resample(&[1.0, 3.0, nan, nan, 5.0, 7.0, nan, 2.0], [2, 4], [1, 2]);
        assert_eq!(small, [4.0, 2.0]);
        assert!(resample(&[nan; 4], [2, 2], [1, 1])[0].is_nan());
        assert_eq!(resample(&[1.0, 2.0], [1, 2], [2, 4]), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn only_values_of_both_signs_diverge() {
        let info = |log_scale| MapInfo {
            name: "residual".into(),
            quantity: String::new(),
            unit: None,
            shape: [1, 4],
            maps: None,
            start: 0.0,
            spacing: crate::units::Spacing::default(),
            log_scale,
            description: String::new(),
            recording: None,
            acquired: None,
        };
        let colors = |values: &[f32], log| Colors::new(&info(log), values).map(|c| (c.diverging, c.range.low));
        assert_eq!(colors(&[-1.0, 0.0, 2.0, 1.0], false), Some((true, -2.0)));
        assert_eq!(colors(&[-0.01, 0.5, 2.0, 1.0], false).map(|c| c.0), Some(false));
        assert_eq!(colors(&[0.1, 0.5, 2.0, 1.0], true).map(|c| c.0), Some(false));
        assert_eq!(colors(&[f32::NAN; 4], false), None);
    }
}
