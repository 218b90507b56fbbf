//! The plot of a series: one panel for each channel, axes, ticks and units.

use embedded_graphics::mono_font::iso_8859_1::{FONT_9X15, FONT_9X18_BOLD};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::text::Alignment;

use super::SeriesInfo;
use super::canvas::{Canvas, FAINT, Font, GRID, INK};
use super::picture::title;
use super::scale::{Range, readable};
use crate::units::pretty_unit;

/// Spans of samples that a series is gathered into; when they are used up, each takes twice as many.
const SPANS: usize = 4096;
/// Channels that are drawn.
const MOST_PANELS: usize = 8;
const PLOT_WIDTH: i32 = 960;
const PLAIN: Font = Font { face: &FONT_9X15, zoom: 1 };
const BOLD: Font = Font { face: &FONT_9X18_BOLD, zoom: 1 };
const LINE: Rgb888 = Rgb888::new(0x1f, 0x5f, 0xa8);

/// Least and greatest value of consecutive spans of samples: a series of any length in constant memory.
pub(super) struct Envelope {
    /// Samples of a span.
    width: u64,
    spans: Vec<(f32, f32)>,
    /// Samples of the last span so far.
    filled: u64,
}

impl Envelope {
    pub(super) fn new() -> Self {
        Self { width: 1, spans: Vec::new(), filled: 0 }
    }

    pub(super) fn push(&mut self, value: f32) {
        if self.spans.is_empty() || self.filled == self.width {
            if self.spans.len() == SPANS {
                self.spans = self.spans.chunks(2).map(|pair| pair.iter().copied().fold(NOTHING, join)).collect();
                self.width *= 2;
            }
            self.spans.push(NOTHING);
            self.filled = 0;
        }
        self.filled += 1;
        if let Some(span) = self.spans.last_mut() {
            *span = join(*span, (value, value));
        }
    }

    fn samples(&self) -> u64 {
        (self.spans.len() as u64).saturating_sub(1) * self.width + self.filled
    }
}

const NOTHING: (f32, f32) = (f32::NAN, f32::NAN);

/// `f32::min` and `max` pass over NaN.
fn join(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// Draw what was gathered of every channel.
pub(super) fn draw_series(info: &SeriesInfo, channels: &[Envelope]) -> Canvas {
    let shown = &channels[..channels.len().min(MOST_PANELS)];
    let panel = if shown.len() == 1 { 320 } else { 170 };
    let ranges: Vec<Option<Range>> = shown.iter().map(|c| value_range(info, c)).collect();
    let ticks = |range: &Option<Range>| range.map(|r| r.ticks(panel as usize / 55)).unwrap_or_default();
    let labels = ranges.iter().flat_map(ticks).map(|t| PLAIN.width(&t.1)).max().unwrap_or(0);
    let (gap, top) = if channels.len() > 1 { (26, 84) } else { (0, 62) };
    let left = 24 + labels + 10;
    let height = shown.len() as i32 * (panel + gap) - gap;
    let mut canvas = Canvas::new((left + PLOT_WIDTH + 28) as u32, (top + height + 62) as u32);

    let heading = BOLD.fitting(&title(&info.name, &info.quantity, info.unit.as_deref()), PLOT_WIDTH);
    canvas.text(&heading, (left, 24), Alignment::Left, BOLD, INK);
    let samples = channels.iter().map(Envelope::samples).max().unwrap_or(0);
    let mut note = format!("{samples} samples");
    if channels.len() > 1 {
        note += &format!(", {} channels", channels.len());
        if channels.len() > shown.len() {
            note += &format!(", the first {} shown", shown.len());
        }
    }
    if ranges.iter().flatten().any(|r| r.below || r.above) {
        note += ", extremes beyond the axis cut off";
    }
    canvas.text(&note, (left, 46), Alignment::Left, PLAIN, FAINT);

    let (step, unit) = info.step.as_ref().map_or((1.0, None), |s| (s.value, s.unit.as_deref()));
    let end = samples.saturating_sub(1).max(1) as f64 * step;
    let (factor, unit) = unit.map_or((1.0, None), |u| {
        let (factor, unit) = readable(end / 5.0, u);
        (factor, Some(unit))
    });
    let end = end * factor;
    let time = Range { low: 0.0, high: end, below: false, above: false, log: false };
    for (i, (channel, range)) in shown.iter().zip(&ranges).enumerate() {
        let y = top + i as i32 * (panel + gap);
        for (value, text) in time.ticks(8) {
            let x = left + (time.position(value) * f64::from(PLOT_WIDTH - 1)).round() as i32;
            canvas.line((x, y), (x, y + panel - 1), GRID, 1);
            if i + 1 == shown.len() {
                canvas.line((x, y + panel), (x, y + panel + 4), INK, 1);
                canvas.text(&text, (x, y + panel + 15), Alignment::Center, PLAIN, INK);
            }
        }
        for (value, text) in ticks(range) {
            let v = range.map_or(0.0, |r| r.position(value));
            let at = y + panel - 1 - (v * f64::from(panel - 1)).round() as i32;
            canvas.line((left, at), (left + PLOT_WIDTH - 1, at), GRID, 1);
            canvas.line((left - 5, at), (left - 1, at), INK, 1);
            canvas.text(&text, (left - 9, at), Alignment::Right, PLAIN, INK);
        }
        match range {
            Some(range) => curve(&mut canvas, channel, range, samples, (left, y), panel),
            None => {
                let middle = (left + PLOT_WIDTH / 2, y + panel / 2);
                canvas.text("no values", middle, Alignment::Center, PLAIN, FAINT);
            }
        }
        canvas.frame(left - 1, y - 1, PLOT_WIDTH as u32 + 2, panel as u32 + 2, INK);
        if channels.len() > 1 {
            let text = format!("channel {i}");
            canvas.text(&text, (left, y - 11), Alignment::Left, PLAIN, INK);
        }
    }
    let time = if info.start == 0.0 { "time" } else { "time since the first sample" };
    let axis = match unit {
        Some(unit) => format!("{time} ({})", pretty_unit(unit)),
        None if info.step.is_some() => time.to_owned(),
        None => "sample".to_owned(),
    };
    canvas.text(&axis, (left + PLOT_WIDTH / 2, top + height + 38), Alignment::Center, PLAIN, INK);
    canvas
}

/// All values, unless a few are so far off that the rest would be a flat line; a little room at both ends.
fn value_range(info: &SeriesInfo, channel: &Envelope) -> Option<Range> {
    let ends: Vec<f32> = channel.spans.iter().flat_map(|s| [s.0, s.1]).collect();
    let whole = Range::of(&ends, (0.0, 1.0), info.log_scale)?;
    let most = Range::of(&ends, (0.005, 0.995), info.log_scale)?;
    let mut range = if whole.high - whole.low > 4.0 * (most.high - most.low) { most } else { whole };
    if range.log {
        let room = (range.high / range.low).powf(0.06);
        (range.low, range.high) = (range.low / room, range.high * room);
    } else {
        let room = 0.06 * (range.high - range.low);
        (range.low, range.high) = (range.low - room, range.high + room);
    }
    Some(range)
}

/// The curve, cut at the panel's border and open where values are missing.
fn curve(canvas: &mut Canvas, channel: &Envelope, range: &Range, samples: u64, (left, top): (i32, i32), panel: i32) {
    let last = samples.saturating_sub(1).max(1) as f64;
    let row = |value: f32| {
        let position = range.position(f64::from(value)).clamp(0.0, 1.0);
        top + panel - 1 - (position * f64::from(panel - 1)).round() as i32
    };
    let mut before: Option<(i32, i32, i32)> = None;
    for (i, (low, high)) in channel.spans.iter().enumerate() {
        if !(low.is_finite() && high.is_finite()) {
            before = None;
            continue;
        }
        let middle = i as f64 * channel.width as f64 + (channel.width - 1) as f64 / 2.0;
        let x = left + (middle.min(last) / last * f64::from(PLOT_WIDTH - 1)).round() as i32;
        let (low, high) = (row(*low), row(*high));
        canvas.line((x, low), (x, high), LINE, 1);
        if let Some((bx, blow, bhigh)) = before {
            // Between the middles of the two spans: the nearest ends, so that no column grows.
            let from = if low < bhigh { bhigh } else { blow };
            let to = if low < bhigh { low } else { high };
            if low < bhigh || high > blow || bx + 1 < x {
                let thickness = if bx + 2 < x { 2 } else { 1 };
                canvas.line((bx, from), (x, to), LINE, thickness);
            }
        }
        before = Some((x, low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_keeps_extremes_in_constant_memory() {
        let mut envelope = Envelope::new();
        for i in 0..100_000_u32 {
            envelope.push(if i == 77_777 { 9.0 } else { (i % 5) as f32 });
        }
        assert!(envelope.spans.len() <= SPANS);
        assert_eq!(envelope.samples(), 100_000);
        let most = envelope.spans.iter().map(|s| s.1).fold(f32::NAN, f32::max);
        assert_eq!(most, 9.0);
        envelope.push(f32::NAN);
        assert_eq!(envelope.samples(), 100_001);
    }
}
