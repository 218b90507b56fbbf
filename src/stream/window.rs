//! The frames that one map is computed from.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::outliers::Outliers;
use super::statistics::FrameStatistics;
use super::validity::{Invalid, Saturation};
use crate::source::{Frame, Pixels};

/// A frame with what was found out about it on arrival.
#[derive(Debug)]
pub struct Prepared {
    /// The frame as it was measured.
    pub frame: Frame,
    /// When it came out of the source.
    pub arrived: Instant,
    /// Its invalid pixels and what stands in for them.
    pub invalid: Invalid,
    /// Its statistics.
    pub statistics: FrameStatistics,
}

impl Prepared {
    /// None yet, with buffers to be filled.
    fn empty() -> Arc<Self> {
        let (frame, invalid, statistics) = Default::default();
        Arc::new(Self { frame, arrived: Instant::now(), invalid, statistics })
    }

    /// Copy the tile at `origin` with this `shape`, axes (y, x), into `out`, as f32 of the values minus `offset`.
    /// The difference is taken in f64.
    pub(crate) fn copy_tile(&self, origin: [usize; 2], shape: [usize; 2], offset: f64, out: &mut [f32]) {
        match &self.frame.pixels {
            Pixels::U8(v) => copy_rows(v, self.frame.shape[1], origin, shape, offset, out),
            Pixels::U16(v) => copy_rows(v, self.frame.shape[1], origin, shape, offset, out),
            Pixels::F32(v) => copy_rows(v, self.frame.shape[1], origin, shape, offset, out),
            Pixels::F64(v) => copy_rows(v, self.frame.shape[1], origin, shape, offset, out),
        }
        self.each_invalid(origin, shape, |i, fill| out[i] = (fill - offset) as f32);
    }

    /// Write the validity of the tile at `origin` into `out`: 1, or 0 for an invalid pixel.
    pub(crate) fn copy_validity(&self, origin: [usize; 2], shape: [usize; 2], out: &mut [f32]) {
        out.fill(1.0);
        self.each_invalid(origin, shape, |i, _| out[i] = 0.0);
    }

    fn each_invalid(&self, origin: [usize; 2], shape: [usize; 2], mut then: impl FnMut(usize, f64)) {
        let columns = self.frame.shape[1];
        for (i, fill) in self.invalid.in_rows(origin[0], origin[0] + shape[0], columns) {
            let (row, column) = (i / columns - origin[0], i % columns);
            if (origin[1]..origin[1] + shape[1]).contains(&column) {
                then(row * shape[1] + column - origin[1], fill);
            }
        }
    }
}

fn copy_rows<T: Copy + Into<f64>>(
    values: &[T],
    columns: usize,
    origin: [usize; 2],
    shape: [usize; 2],
    offset: f64,
    out: &mut [f32],
) {
    for (row, out) in out.chunks_exact_mut(shape[1]).enumerate() {
        let start = (origin[0] + row) * columns + origin[1];
        for (o, &v) in out.iter_mut().zip(&values[start..start + shape[1]]) {
            *o = (v.into() - offset) as f32;
        }
    }
}

/// A ring of the last `size` frames received, raw.
///
/// A map belongs to every run of `size` frames received one after another, unless so many are missing between
/// them that they span more than `2 size - 1` indices: then the slope over time would rest on frames too far
/// apart, and the window is passed over and counted. Lost frames never shift anything: each frame carries its own
/// index and time.
#[derive(Debug)]
pub struct Window {
    frames: VecDeque<Arc<Prepared>>,
    size: usize,
    delay: usize,
    passed_over: u64,
    /// Whether frames that would make a window with those that are here were forgotten.
    torn: bool,
}

impl Window {
    /// A window of `size` frames (at least 1) whose map belongs to the frame `delay` (below `size`) before the newest.
    #[must_use]
    pub fn new(size: usize, delay: usize) -> Self {
        let size = size.max(1);
        Self {
            frames: VecDeque::with_capacity(size + 1),
            size,
            delay: delay.min(size - 1),
            passed_over: 0,
            torn: false,
        }
    }

    /// Let go of the oldest frame, once full: the next map does not need it.
    pub fn make_room(&mut self) -> Option<Arc<Prepared>> {
        if self.full() { self.frames.pop_front() } else { None }
    }

    /// Take in the next frame.
    ///
    /// `recycled` lends buffers: a frame that was let go of before and that nobody else holds.
    pub fn push(
        &mut self,
        frame: Frame,
        arrived: Instant,
        saturation: Saturation,
        outliers: Outliers,
        recycled: Option<Arc<Prepared>>,
    ) {
        self.make_room();
        let free = recycled.filter(|old| Arc::strong_count(old) == 1);
        let mut next = free.unwrap_or_else(Prepared::empty);
        if let Some(next) = Arc::get_mut(&mut next) {
            next.frame = frame;
            next.arrived = arrived;
            next.invalid.prepare(&next.frame, saturation, outliers, &mut next.statistics);
        }
        self.frames.push_back(next);
        self.torn &= !self.full();
        if self.torn || (self.full() && !self.within_reach()) {
            self.passed_over += 1;
        }
    }

    /// Forget all frames, as those that stood between them and the next cannot be had: the windows that would have
    /// needed both are passed over.
    pub fn tear(&mut self) {
        self.torn = !self.frames.is_empty() || self.size > 1;
        self.frames.clear();
    }

    /// Frames that a map needs.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether there are as many frames as a map needs.
    #[must_use]
    pub fn full(&self) -> bool {
        self.frames.len() == self.size
    }

    /// Whether the frames in the ring make a map.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.full() && self.within_reach()
    }

    /// How many windows were passed over because too many frames were missing between theirs.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The frame that the map belongs to, once the window is complete.
    #[must_use]
    pub fn reference(&self) -> Option<&Arc<Prepared>> {
        self.frames.get(self.size - 1 - self.delay)
    }

    /// The frames, oldest first.
    pub fn frames(&self) -> impl Iterator<Item = &Arc<Prepared>> {
        self.frames.iter()
    }

    /// Time of the reference frame since the recording's start, and the times of all frames relative to it, in
    /// the unit of `step`. They are the frames' own with `own_clock`, else their indices times `step`; a frame
    /// without a time of its own makes all of them so, as two clocks do not mix.
    pub fn times(&self, step: f64, own_clock: bool, relative: &mut Vec<f64>) -> f64 {
        let clocked = own_clock && self.frames.iter().all(|p| p.frame.time.is_some());
        let time = |f: &Frame| match f.time {
            Some(t) if clocked => t,
            _ => f.index as f64 * step,
        };
        let reference = self.reference().map_or(0.0, |p| time(&p.frame));
        relative.clear();
        relative.extend(self.frames.iter().map(|p| time(&p.frame) - reference));
        reference
    }

    fn within_reach(&self) -> bool {
        match (self.frames.front(), self.frames.back()) {
            (Some(a), Some(b)) => b.frame.index - a.frame.index < 2 * self.size as u64 - 1,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(index: u64) -> Frame {
        Frame { index, time: None, shape: [2, 3], pixels: Pixels::U8(vec![index as u8; 6]) }
    }

    fn complete_after(size: usize, delay: usize, indices: &[u64]) -> (Vec<u64>, u64) {
        let mut window = Window::new(size, delay);
        let mut maps = Vec::new();
        for &i in indices {
            let spare = window.make_room();
            window.push(frame(i), Instant::now(), Saturation::Auto, Outliers::Keep, spare);
            if window.complete() {
                maps.extend(window.reference().map(|p| p.frame.index));
            }
        }
        (maps, window.passed_over())
    }

    #[test]
    fn n_frames_give_n_minus_w_plus_one_maps() {
        assert_eq!(complete_after(5, 2, &[0, 1, 2, 3, 4, 5, 6]), (vec![2, 3, 4], 0));
        assert_eq!(complete_after(1, 0, &[0, 1, 2]), (vec![0, 1, 2], 0));
        assert_eq!(complete_after(5, 2, &[0, 1, 2, 3]), (vec![], 0));
    }

    #[test]
    fn a_lost_frame_leaves_the_others_at_their_index() {
        assert_eq!(complete_after(3, 1, &[0, 1, 3, 4, 5]), (vec![1, 3, 4], 0));
        // 0, 1, 20 and 1, 20, 21 span too much; 20, 21, 22 do not.
        assert_eq!(complete_after(3, 1, &[0, 1, 20, 21, 22]), (vec![21], 2));
    }

    #[test]
    fn times_come_from_the_index_or_from_the_frame() {
        let mut window = Window::new(3, 1);
        let mut relative = Vec::new();
        for i in [4, 5, 7] {
            window.push(frame(i), Instant::now(), Saturation::Auto, Outliers::Keep, None);
        }
        assert_eq!(window.times(0.5, true, &mut relative), 2.5);
        assert_eq!(relative, [-0.5, 0.0, 1.0]);
        for (i, t) in [(8, 100.0), (9, 101.5), (10, 102.0)] {
            window.push(Frame { time: Some(t), ..frame(i) }, Instant::now(), Saturation::Auto, Outliers::Keep, None);
        }
        assert_eq!(window.times(0.5, true, &mut relative), 101.5);
        assert_eq!(relative, [-1.5, 0.0, 0.5]);
        assert_eq!(window.times(0.5, false, &mut relative), 4.5);
    }

    #[test]
    fn a_tile_is_copied_with_its_holes_filled_and_marked() {
        let mut window = Window::new(1, 0);
        let pixels = Pixels::U8((0..12).map(|i| if i == 6 { 255 } else { 10 }).collect());
        window.push(
            Frame { index: 0, time: None, shape: [3, 4], pixels },
            Instant::now(),
            Saturation::Auto,
            Outliers::Keep,
            None,
        );
        let (mut u, mut valid) = ([0.0; 4], [0.0; 4]);
        let prepared = window.reference().expect("one frame is in");
        prepared.copy_tile([1, 1], [2, 2], 9.0, &mut u);
        prepared.copy_validity([1, 1], [2, 2], &mut valid);
        assert_eq!(u, [1.0; 4]);
        assert_eq!(valid, [1.0, 0.0, 1.0, 1.0]);
    }
}
