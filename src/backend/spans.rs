//! How an axis is cut into parts of one length that overlap, so that what is computed by parts equals the whole.

use std::ops::Range;

/// One tile along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// First sample of the tile, a multiple of the alignment.
    pub origin: usize,
    /// Samples of the frame that this tile's outputs are kept for.
    pub keep: Range<usize>,
}

/// Cut an axis of `len` samples into tiles of equal length: the length and the tiles, in order.
///
/// A tile is at most `max` long where `halo`, `align` and `min` allow it. Tiles never leave the axis: the last one
/// ends where the axis does. A kept output is at least `halo` from its tile's ends, unless that end is the
/// axis's own; so a model whose outputs reach no further computes the same value as on the whole axis. Origins
/// are multiples of `align`. A tile is never shorter than `min`, where the axis is not, so that every radius
/// that fits the axis fits the tile.
#[must_use]
pub fn split_axis(len: usize, max: usize, halo: usize, align: usize, min: usize) -> (usize, Vec<Span>) {
    let whole = || (len, vec![Span { origin: 0, keep: 0..len }]);
    let align = align.max(1);
    let shortest = (2 * halo + align).max(min).max(1);
    if len <= max || len <= shortest {
        return whole();
    }
    // Lengths congruent to the axis modulo the alignment keep the last origin aligned.
    let longest = len - (len - max.max(shortest)).div_ceil(align) * align;
    let longest = if longest < shortest { longest + align } else { longest };
    if longest >= len {
        return whole();
    }
    let step = |tile: usize| (tile - 2 * halo) / align * align;
    let count = |tile: usize| 1 + (len - tile).div_ceil(step(tile));
    // The shortest tile that needs no more tiles than the longest: equal work, less overlap.
    let most = count(longest);
    let even = (len + 2 * halo * (most - 1)).div_ceil(most).max(shortest).min(longest);
    let mut tile = len - (len - even) / align * align;
    while tile < longest && count(tile) > most {
        tile += align;
    }

    let tiles = count(tile);
    let origin = |k: usize| {
        if k + 1 == tiles { len - tile } else { k * step(tile) }
    };
    // Between two tiles any cut in the region that both compute correctly will do; take its middle.
    let cut = |k: usize| (origin(k + 1) + halo + origin(k) + tile - halo) / 2;
    let spans = (0..tiles)
        .map(|k| Span {
            origin: origin(k),
            keep: if k == 0 { 0 } else { cut(k - 1) }..if k + 1 == tiles { len } else { cut(k) },
        })
        .collect();
    (tile, spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_axis_is_one_tile() {
        assert_eq!(split_axis(100, 128, 10, 1, 30), (100, vec![Span { origin: 0, keep: 0..100 }]));
        assert_eq!(split_axis(100, 32, 60, 1, 30).1.len(), 1, "the halo leaves no room");
    }

    #[test]
    fn two_tiles_share_the_work() {
        let (tile, spans) = split_axis(640, 512, 64, 1, 129);
        assert_eq!((tile, spans.len()), (384, 2));
        assert_eq!(spans[1], Span { origin: 256, keep: 320..640 });
    }

    proptest! {
        #[test]
        fn coverage_is_exact(
            len in 1usize..3000, max in 1usize..700, halo in 0usize..80, align in 0usize..9, min in 0usize..300,
        ) {
            let (tile, spans) = split_axis(len, max, halo, align, min);
            prop_assert!(tile <= len && tile >= min.min(len));
            let mut next = 0;
            for span in &spans {
                prop_assert_eq!(span.keep.start, next);
                prop_assert!(span.keep.end > span.keep.start);
                next = span.keep.end;
                let end = span.origin + tile;
                prop_assert!(end <= len);
                prop_assert_eq!(span.origin % align.max(1), 0);
                prop_assert!(span.origin == 0 || span.keep.start >= span.origin + halo);
                prop_assert!(end == len || span.keep.end + halo <= end);
            }
            prop_assert_eq!(next, len);
            let shortest = (2 * halo + align.max(1)).max(min).max(1);
            prop_assert!(tile <= max.max(shortest + align) || spans.len() == 1);
        }
    }
}
