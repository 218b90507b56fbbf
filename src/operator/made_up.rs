//! Values for the tests of this room.

use alloc::vec::Vec;

/// Numbers between -0.5 and 0.5, the same ones for every seed.
pub(super) fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}
