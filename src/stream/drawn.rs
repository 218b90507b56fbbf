//! The maps that a tile is computed from, drawn row by row from the frames of its window and from known fields.

use std::sync::Arc;

use super::bind::Feed;
use super::window::Prepared;

/// Where the maps among a tile's inputs come from.
///
/// Frames stay as the instrument wrote them until a row is wanted, so that a tile needs no copy of its inputs. They are
/// shared with the window, which may go on meanwhile.
#[derive(Default)]
pub(crate) struct Drawn {
    /// The window's, oldest first.
    pub(crate) frames: Vec<Arc<Prepared>>,
    /// Of all inputs, in the contract's order; none for series, which fill theirs themselves.
    pub(crate) feeds: Arc<[Feed]>,
    /// Subtracted from the recording.
    pub(crate) offset: f64,
    /// Row and column of the frame at which the tile begins, and its columns.
    pub(crate) origin: [usize; 2],
    pub(crate) columns: usize,
}

impl Drawn {
    /// The inputs that are maps, by number.
    pub(crate) fn maps(&self) -> impl Iterator<Item = usize> + '_ {
        let is_map = |i: &usize| matches!(self.feeds[*i], Feed::Recording | Feed::Valid | Feed::Field(_));
        (0..self.feeds.len()).filter(is_map)
    }

    /// Write row `y` of the tile from column `x` on, of one of an input's planes.
    pub(crate) fn row(&self, input: usize, plane: usize, [y, x]: [usize; 2], out: &mut [f32]) {
        let [top, left] = self.origin;
        let (origin, shape) = ([top + y, left + x], [1, out.len()]);
        match &self.feeds[input] {
            Feed::Recording => self.frames[plane].copy_tile(origin, shape, self.offset, out),
            Feed::Valid => self.frames[plane].copy_validity(origin, shape, out),
            Feed::Field(field) => {
                let row = field.row(origin[0]);
                let values = row.iter().skip(origin[1]);
                out.iter_mut().zip(values).for_each(|(o, v)| *o = *v);
            }
            Feed::Number(value) => out.fill(*value),
            // No maps.
            Feed::Time | Feed::Spacing | Feed::Noise | Feed::Offset(_) | Feed::PhiLow | Feed::PhiHigh => {}
        }
    }

    /// Write all of an input, plane by plane.
    pub(crate) fn fill(&self, input: usize, out: &mut [f32]) {
        let planes = if matches!(self.feeds[input], Feed::Field(_)) { 1 } else { self.frames.len() };
        let Some(rows) = (out.len() / planes.max(1)).checked_div(self.columns) else { return };
        for (i, out) in out.chunks_exact_mut(self.columns).enumerate() {
            self.row(input, i / rows, [i % rows, 0], out);
        }
    }
}
