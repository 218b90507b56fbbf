//! Marked regions, whose means are kept map by map.

use std::collections::VecDeque;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::region::mean;

/// Regions at a time; a further one takes the place of the oldest.
const MOST: usize = 6;
/// Maps that a region's means are kept of.
const KEPT: usize = 4096;

/// A region of a map in pixels: first row and column, and the ones after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// First row.
    pub y0: usize,
    /// First column.
    pub x0: usize,
    /// The row after the last.
    pub y1: usize,
    /// The column after the last.
    pub x1: usize,
}

/// The means of one map.
#[derive(Clone, Debug)]
struct Point {
    number: u64,
    time: f64,
    /// One for each output.
    means: Vec<f64>,
}

#[derive(Debug)]
struct Probe {
    id: u64,
    area: Area,
    points: VecDeque<Point>,
}

/// All marked regions.
#[derive(Debug, Default)]
pub(super) struct Probes {
    next: u64,
    probes: Vec<Probe>,
}

/// What a page is told of a region.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    id: u64,
    area: Area,
    /// Numbers of the maps, and their times.
    numbers: Vec<u64>,
    times: Vec<f64>,
    /// Axes (output, map); where nothing is finite, null.
    means: Vec<Vec<Option<f64>>>,
}

impl Probes {
    /// Mark a region of maps of `shape` (y, x); `None` where it holds no pixel of them.
    pub(super) fn mark(&mut self, area: Area, shape: [usize; 2]) -> Option<u64> {
        let area = Area { y1: area.y1.min(shape[0]), x1: area.x1.min(shape[1]), ..area };
        if area.y0 >= area.y1 || area.x0 >= area.x1 {
            return None;
        }
        if self.probes.len() == MOST {
            self.probes.remove(0);
        }
        self.next += 1;
        self.probes.push(Probe { id: self.next, area, points: VecDeque::new() });
        Some(self.next)
    }

    pub(super) fn clear(&mut self) {
        self.probes.clear();
    }

    /// Take in the next map.
    pub(super) fn add(&mut self, number: u64, time: f64, maps: &[Array2<f32>]) {
        for probe in &mut self.probes {
            let Area { y0, x0, y1, x1 } = probe.area;
            let of = |map: &Array2<f32>| mean(map.slice(ndarray::s![y0..y1, x0..x1]).iter().copied());
            if probe.points.len() == KEPT {
                probe.points.pop_front();
            }
            probe.points.push_back(Point { number, time, means: maps.iter().map(of).collect() });
        }
    }

    /// The means of the maps behind number `since`.
    pub(super) fn told(&self, since: u64) -> Vec<Told> {
        let tell = |probe: &Probe| {
            let first = probe.points.partition_point(|p| p.number <= since);
            let points = || probe.points.range(first..);
            let outputs = points().map(|p| p.means.len()).max().unwrap_or(0);
            let finite = |v: f64| v.is_finite().then_some(v);
            Told {
                id: probe.id,
                area: probe.area,
                numbers: points().map(|p| p.number).collect(),
                times: points().map(|p| p.time).collect(),
                means: (0..outputs).map(|k| points().map(|p| finite(p.means[k])).collect()).collect(),
            }
        };
        self.probes.iter().map(tell).collect()
    }
}
