//! How a frame is cut into tiles of one fixed shape, so that tiled equals whole.

use std::ops::Range;

use crate::backend::{Tiling, split_axis};
use crate::model::Contract;

/// Parts that an axis is cut into for the sake of threads, at most.
const MOST_PARTS: usize = 16;

/// One tile of a frame, axes (y, x).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Row and column of the tile's first pixel.
    pub origin: [usize; 2],
    /// Rows and columns of the frame that this tile's outputs are kept for.
    pub keep: [Range<usize>; 2],
}

/// The tiles of a frame: one fixed shape, every pixel kept from exactly one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileGrid {
    /// Rows and columns of every tile.
    pub tile: [usize; 2],
    /// The tiles, row by row.
    pub tiles: Vec<Tile>,
}

impl TileGrid {
    /// Cut frames of `shape` (y, x) for a model and an engine.
    #[must_use]
    pub fn new(shape: [usize; 2], contract: &Contract, tiling: Tiling) -> Self {
        let (halo, align) = (tiling.halo(contract), tiling.alignment(contract));
        let axis = |a: usize| {
            let least = contract.min_size.get(a).copied().unwrap_or(0);
            split_axis(shape[a], tiling.largest[a], halo[a], align[a], least)
        };
        let ((rows, down), (columns, across)) = (axis(0), axis(1));
        let tiles = down
            .iter()
            .flat_map(|y| {
                across.iter().map(|x| Tile { origin: [y.origin, x.origin], keep: [y.keep.clone(), x.keep.clone()] })
            })
            .collect();
        Self { tile: [rows, columns], tiles }
    }

    /// Whether one tile is the whole frame.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tiles.len() == 1
    }

    /// Cut frames so that `threads` workers are done soonest, with tiles no larger than the engine's largest or four
    /// halos, whichever is more. Overlap costs work, so a small frame may keep fewer tiles than threads.
    #[must_use]
    pub fn for_threads(shape: [usize; 2], contract: &Contract, tiling: Tiling, threads: usize) -> Self {
        let time = |grid: &Self| grid.tiles.len().div_ceil(threads.max(1)) * grid.tile[0] * grid.tile[1];
        let halo = tiling.halo(contract);
        let of = |largest: [usize; 2]| Self::new(shape, contract, Tiling { largest, ..tiling });
        let mut best = of([0, 1].map(|a| tiling.largest[a].max(4 * halo[a])));
        let parts = |n: usize, a: usize| (shape[a] + 2 * halo[a] * (n - 1)).div_ceil(n);
        let (limit, whole) = (best.tile, shape[0] * shape[1]);
        for down in 1..=threads.min(MOST_PARTS) {
            for across in 1..=(threads.min(MOST_PARTS) / down).max(1) {
                let max = [parts(down, 0).min(limit[0]), parts(across, 1).min(limit[1])];
                let grid = of(max);
                let work = |grid: &Self| grid.tiles.len() * grid.tile[0] * grid.tile[1];
                // A tenth of the time is not worth any work done twice; nor is any time worth twice the work.
                if 10 * time(&grid) < 9 * time(&best) && work(&grid) < 2 * whole {
                    best = grid;
                }
            }
        }
        best
    }
}
