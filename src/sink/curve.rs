//! Curves over the rows of a table: one panel above the other, a common axis below.

use embedded_graphics::mono_font::iso_8859_1::{FONT_9X15, FONT_9X18_BOLD};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::text::Alignment;

use super::canvas::{Canvas, FAINT, Font, GRID, INK};
use super::scale::Range;

/// Rows that are drawn at most; when they are used up, every second one goes.
const MOST_ROWS: usize = 4096;
const WIDTH: i32 = 960;
const HEIGHT: i32 = 240;
const PLAIN: Font = Font { face: &FONT_9X15, zoom: 1 };
const BOLD: Font = Font { face: &FONT_9X18_BOLD, zoom: 1 };
/// Told apart also by those who see few colours, and by their place in the legend.
const COLOURS: [Rgb888; 3] =
    [Rgb888::new(0x1f, 0x5f, 0xa8), Rgb888::new(0xd5, 0x5e, 0x00), Rgb888::new(0x33, 0x33, 0x33)];

/// What is drawn of a table. Columns count from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveInfo {
    /// One line above everything.
    pub title: String,
    /// The column along the common axis, and what it is.
    pub along: (usize, String),
    /// The panels from the top.
    pub panels: Vec<PanelInfo>,
}

/// One panel.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelInfo {
    /// One line above it.
    pub title: String,
    /// The columns that are drawn, and what they are.
    pub columns: Vec<(usize, String)>,
    /// Whether the axis may be logarithmic.
    pub log_scale: bool,
}

/// Rows of a table to be drawn, in constant memory.
pub(super) struct Curves<'a> {
    info: &'a CurveInfo,
    /// Place along the axis, then the columns of all panels.
    rows: Vec<Vec<f64>>,
    stride: u64,
    seen: u64,
    /// The newest row, which is drawn whatever the stride.
    last: Option<Vec<f64>>,
}

impl<'a> Curves<'a> {
    pub(super) fn new(info: &'a CurveInfo) -> Self {
        Self { info, rows: Vec::new(), stride: 1, seen: 0, last: None }
    }

    /// Take the next row; a cell without a number has no value.
    pub(super) fn push(&mut self, row: &str) {
        let cells: Vec<f64> = row.split(',').map(|cell| cell.parse().unwrap_or(f64::NAN)).collect();
        let cell = |column: usize| cells.get(column).copied().unwrap_or(f64::NAN);
        let columns = self.info.panels.iter().flat_map(|p| &p.columns);
        let row: Vec<f64> = std::iter::once(self.info.along.0).chain(columns.map(|c| c.0)).map(cell).collect();
        if self.seen.is_multiple_of(self.stride) {
            if self.rows.len() == MOST_ROWS {
                let mut even = false;
                self.rows.retain(|_| {
                    even = !even;
                    even
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.rows.push(row.clone());
            }
        }
        self.seen += 1;
        self.last = Some(row);
    }

    /// The picture.
    pub(super) fn draw(&self) -> Canvas {
        let mut rows: Vec<&Vec<f64>> = self.rows.iter().collect();
        if let Some(last) = self.last.as_ref().filter(|last| rows.last().is_none_or(|r| r[0] != last[0])) {
            rows.push(last);
        }
        let mut first = 1;
        let panels: Vec<(usize, &PanelInfo, Option<Range>)> = self
            .info
            .panels
            .iter()
            .map(|panel| {
                let at = first;
                first += panel.columns.len();
                (at, panel, range(&rows, at..first, panel.log_scale))
            })
            .collect();
        let ticks = |range: &Option<Range>| range.map(|r| r.ticks(5)).unwrap_or_default();
        let labels = panels.iter().flat_map(|p| ticks(&p.2)).map(|t| PLAIN.width(&t.1)).max().unwrap_or(0);
        let (left, top, gap) = (24 + labels + 10, 64, 54);
        let bottom = top + panels.len() as i32 * (HEIGHT + gap) - gap;
        let mut canvas = Canvas::new((left + WIDTH + 28) as u32, (bottom + 62) as u32);
        canvas.text(&BOLD.fitting(&self.info.title, WIDTH), (left, 20), Alignment::Left, BOLD, INK);
        let end = rows.iter().map(|r| r[0]).filter(|x| x.is_finite()).fold(1.0, f64::max);
        let along = Range { low: 0.0, high: end, below: false, above: false, log: false };
        let column = |x: f64| left + (along.position(x) * f64::from(WIDTH - 1)).round() as i32;
        for (i, (at, panel, range)) in panels.iter().enumerate() {
            let y = top + i as i32 * (HEIGHT + gap);
            for (x, text) in along.ticks(8) {
                let x = column(x);
                canvas.line((x, y), (x, y + HEIGHT - 1), GRID, 1);
                if i + 1 == panels.len() {
                    canvas.line((x, bottom), (x, bottom + 4), INK, 1);
                    canvas.text(&text, (x, bottom + 15), Alignment::Center, PLAIN, INK);
                }
            }
            canvas.text(&panel.title, (left, y - 13), Alignment::Left, PLAIN, INK);
            let Some(range) = range else {
                let middle = (left + WIDTH / 2, y + HEIGHT / 2);
                canvas.text("no values", middle, Alignment::Center, PLAIN, FAINT);
                canvas.frame(left - 1, y - 1, WIDTH as u32 + 2, HEIGHT as u32 + 2, INK);
                continue;
            };
            let row = |value: f64| {
                y + HEIGHT - 1 - (range.position(value).clamp(0.0, 1.0) * f64::from(HEIGHT - 1)).round() as i32
            };
            for (value, text) in range.ticks(5) {
                canvas.line((left, row(value)), (left + WIDTH - 1, row(value)), GRID, 1);
                canvas.line((left - 5, row(value)), (left - 1, row(value)), INK, 1);
                canvas.text(&text, (left - 9, row(value)), Alignment::Right, PLAIN, INK);
            }
            let mut legend = left + WIDTH;
            for (k, (_, name)) in panel.columns.iter().enumerate().rev() {
                let colour = COLOURS[k % COLOURS.len()];
                let mut before: Option<(i32, i32)> = None;
                for values in rows.iter().filter(|r| r[0].is_finite()) {
                    let value = values[at + k];
                    let point =
                        (value.is_finite() && !(range.log && value <= 0.0)).then(|| (column(values[0]), row(value)));
                    if let Some((x, y)) = point {
                        canvas.line(before.unwrap_or((x, y)), (x, y), colour, 2);
                        if rows.len() <= 200 {
                            canvas.fill(x - 2, y - 2, 5, 5, colour);
                        }
                    }
                    before = point;
                }
                if panel.columns.len() > 1 {
                    legend -= PLAIN.width(name);
                    canvas.text(name, (legend, y - 13), Alignment::Left, PLAIN, colour);
                    canvas.fill(legend - 26, y - 14, 20, 3, colour);
                    legend -= 46;
                }
            }
            canvas.frame(left - 1, y - 1, WIDTH as u32 + 2, HEIGHT as u32 + 2, INK);
        }
        canvas.text(&self.info.along.1, (left + WIDTH / 2, bottom + 38), Alignment::Center, PLAIN, INK);
        canvas
    }
}

/// All values of some columns, with a little room at both ends.
fn range(rows: &[&Vec<f64>], columns: std::ops::Range<usize>, log_scale: bool) -> Option<Range> {
    let values: Vec<f32> = rows.iter().flat_map(|r| &r[columns.clone()]).map(|v| *v as f32).collect();
    let values: Vec<f32> = if log_scale { values.into_iter().filter(|v| *v > 0.0).collect() } else { values };
    let mut range = Range::of(&values, (0.0, 1.0), log_scale)?;
    if range.log {
        let room = (range.high / range.low).powf(0.06);
        (range.low, range.high) = (range.low / room, range.high * room);
    } else {
        let room = 0.06 * (range.high - range.low);
        (range.low, range.high) = (range.low - room, range.high + room);
    }
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_number_take_constant_memory_and_the_last_is_drawn() {
        let panel = PanelInfo { title: "a".into(), columns: vec![(1, "b".into())], log_scale: true };
        let info = CurveInfo { title: "t".into(), along: (0, "x".into()), panels: vec![panel] };
        let mut curves = Curves::new(&info);
        for i in 0..50_001 {
            curves.push(&format!("{i},{}", if i % 7 == 0 { String::new() } else { i.to_string() }));
        }
        assert!(curves.rows.len() <= MOST_ROWS);
        assert_eq!(curves.last, Some(vec![50_000.0, 50_000.0]));
        assert!(curves.draw().png().is_ok());
        assert!(Curves::new(&info).draw().png().is_ok());
    }
}
