//! Blosc containers, version 1 of the format, as Zarr writers have them: blocks of shuffled bytes, each compressed by
//! itself.
//!
//! Layout: c-blosc's README_CHUNK_FORMAT. Sizes are held against what the array says before anything is allocated.

use super::codec::{inflate_zlib, inflate_zstd};

const HEADER: usize = 16;
/// Flags of the header.
const SHUFFLED: u8 = 1;
const STORED: u8 = 2;
const BITS_SHUFFLED: u8 = 4;
const NOT_SPLIT: u8 = 16;
/// Elements of more bytes, and blocks of fewer elements, are not split into streams.
const MOST_STREAMS: usize = 16;
const SMALLEST_STREAM: usize = 128;
/// Farthest distance of a short BloscLZ match.
const NEAR: usize = 8191;

/// The `size` bytes that a container holds.
///
/// # Errors
/// In words, what is wrong with it.
pub(super) fn decode(bytes: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let short = || format!("a Blosc container of {} bytes that ends early", bytes.len());
    let word = |at: usize| -> Result<usize, String> {
        let word = bytes.get(at..at.saturating_add(4)).ok_or_else(short)?;
        Ok(word.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    };
    let (held, block, stored) = (word(4)?, word(8)?, word(12)?);
    let (flags, element) = (bytes[2], usize::from(bytes[3]).max(1));
    if held != size {
        return Err(format!("a Blosc container of {held} bytes of data"));
    }
    if stored > bytes.len() {
        return Err(short());
    }
    if flags & STORED != 0 {
        return Ok(bytes.get(HEADER..HEADER + size).ok_or_else(short)?.to_vec());
    }
    if size == 0 {
        return Ok(Vec::new());
    }
    if block == 0 {
        return Err("a Blosc container with blocks of no bytes".to_owned());
    }
    let block = block.min(size);
    let mut out = vec![0; size];
    let mut shuffled = vec![0; block];
    for (number, out) in out.chunks_mut(block).enumerate() {
        let mut at = word(HEADER + 4 * number)?;
        let whole = out.len() == block;
        let split = flags & NOT_SPLIT == 0 && whole && element <= MOST_STREAMS && block / element >= SMALLEST_STREAM;
        let streams = if split && block.is_multiple_of(element) { element } else { 1 };
        let mixed = flags & (SHUFFLED | BITS_SHUFFLED) != 0;
        let target = if mixed { &mut shuffled[..out.len()] } else { &mut *out };
        let length = target.len() / streams;
        for stream in target.chunks_mut(length) {
            let packed = word(at)?;
            at = at.saturating_add(4);
            let packed = bytes.get(at..at.saturating_add(packed)).ok_or_else(short)?;
            at += packed.len();
            if packed.len() == stream.len() {
                stream.copy_from_slice(packed);
            } else {
                decompress(flags >> 5, packed, stream)?;
            }
        }
        if flags & BITS_SHUFFLED != 0 {
            unshuffle_bits(&shuffled[..out.len()], out, element);
        } else if flags & SHUFFLED != 0 {
            unshuffle(&shuffled[..out.len()], out, element);
        }
    }
    Ok(out)
}

/// One stream, by the format's number of its compression.
fn decompress(format: u8, packed: &[u8], out: &mut [u8]) -> Result<(), String> {
    let (name, got) = match format {
        0 => ("BloscLZ", blosclz(packed, out)),
        1 => ("LZ4", lz4_flex::block::decompress_into(packed, out).ok()),
        3 => ("zlib", inflate_zlib(packed, out.len()).ok().map(|v| copy(&v, out))),
        4 => ("Zstandard", inflate_zstd(packed, out.len()).ok().map(|v| copy(&v, out))),
        2 => return Err("a Blosc container with Snappy inside, which is not read".to_owned()),
        other => return Err(format!("a Blosc container with the unknown compression {other}")),
    };
    match got {
        Some(length) if length == out.len() => Ok(()),
        _ => Err(format!("a Blosc container with damaged {name} data")),
    }
}

fn copy(values: &[u8], out: &mut [u8]) -> usize {
    let length = values.len().min(out.len());
    out[..length].copy_from_slice(&values[..length]);
    values.len()
}

/// BloscLZ: runs of literals and of repeated bytes. Gives how many bytes came; `None` where they are damaged.
fn blosclz(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut bytes = packed.iter().copied();
    // The first control byte is always one of literals; its upper bits say something else.
    let mut control = usize::from(bytes.next()?) & 31;
    let mut at = 0;
    loop {
        if control < 32 {
            let count = control + 1;
            for slot in out.get_mut(at..at + count)? {
                *slot = bytes.next()?;
            }
            at += count;
        } else {
            let mut length = (control >> 5) + 2;
            if length == 9 {
                loop {
                    let more = usize::from(bytes.next()?);
                    length += more;
                    if more < 255 {
                        break;
                    }
                }
            }
            let (high, low) = ((control & 31) << 8, usize::from(bytes.next()?));
            let distance = if low == 255 && high == 31 << 8 {
                let far = usize::from(bytes.next()?) << 8;
                far + usize::from(bytes.next()?) + NEAR + 1
            } else {
                high + low + 1
            };
            let from = at.checked_sub(distance)?;
            let end = at.checked_add(length).filter(|end| *end <= out.len())?;
            // Byte by byte: a match may reach into what it makes.
            for i in 0..end - at {
                out[at + i] = out[from + i];
            }
            at = end;
        }
        match bytes.next() {
            Some(next) => control = usize::from(next),
            None => return Some(at),
        }
    }
}

/// All first bytes, all second bytes, ... of elements, as elements; what is left over stays.
fn unshuffle(shuffled: &[u8], out: &mut [u8], element: usize) {
    let count = out.len() / element;
    let (elements, rest) = out.split_at_mut(count * element);
    for (byte, plane) in shuffled.chunks_exact(count.max(1)).take(element).enumerate() {
        for (slot, value) in elements.iter_mut().skip(byte).step_by(element).zip(plane) {
            *slot = *value;
        }
    }
    rest.copy_from_slice(&shuffled[count * element..]);
}

/// All first bits, all second bits, ... of elements, as elements. A block whose elements do not come in eights was left
/// as it was.
fn unshuffle_bits(shuffled: &[u8], out: &mut [u8], element: usize) {
    let count = out.len() / element;
    if !count.is_multiple_of(8) {
        out.copy_from_slice(shuffled);
        return;
    }
    let rows = count / 8;
    for byte in 0..element {
        for group in 0..rows {
            // Row k has bit k of eight elements.
            let mut columns = [0_u8; 8];
            for bit in 0..8 {
                let row = shuffled[(byte * 8 + bit) * rows + group];
                for (i, column) in columns.iter_mut().enumerate() {
                    *column |= (row >> i & 1) << bit;
                }
            }
            for (i, column) in columns.iter().enumerate() {
                out[(group * 8 + i) * element + byte] = *column;
            }
        }
    }
    out[count * element..].copy_from_slice(&shuffled[count * element..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blosclz_has_literals_near_and_far_matches() {
        let mut out = [0; 12];
        // Three literals, then a match of length 9 + 0 at distance 3, which reaches into itself.
        assert_eq!(blosclz(&[2, 1, 2, 3, 7 << 5, 0, 2], &mut out), Some(12));
        assert_eq!(out, [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
        assert_eq!(blosclz(&[2, 1, 2, 3, 7 << 5, 0, 3], &mut out), None);
        assert_eq!(blosclz(&[2, 1, 2], &mut out), None);
        assert_eq!(blosclz(&[2, 1, 2, 3, 7 << 5, 200, 2], &mut out), None);
        let mut far = vec![0; NEAR + 1 + 5];
        let mut packed = Vec::new();
        for chunk in (0..NEAR + 2).map(|i| (i % 251) as u8).collect::<Vec<_>>().chunks(32) {
            packed.push(chunk.len() as u8 - 1);
            packed.extend(chunk);
        }
        packed.extend([1 << 5 | 31, 255, 0, 1]);
        assert_eq!(blosclz(&packed, &mut far), Some(far.len() - 1));
        assert_eq!(far[NEAR + 2..NEAR + 5], [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn shuffling_and_back(values in prop::collection::vec(any::<u8>(), 0..200), element in 1usize..9) {
            let count = values.len() / element;
            let mut shuffled = values.clone();
            for i in 0..count {
                for byte in 0..element {
                    shuffled[byte * count + i] = values[i * element + byte];
                }
            }
            let mut out = vec![0; values.len()];
            unshuffle(&shuffled, &mut out, element);
            prop_assert_eq!(&out, &values);

            let mut shuffled = values.clone();
            if count % 8 == 0 {
                shuffled[..count * element].fill(0);
                for i in 0..count {
                    for bit in 0..8 * element {
                        let set = values[i * element + bit / 8] >> (bit % 8) & 1;
                        shuffled[bit * (count / 8) + i / 8] |= set << (i % 8);
                    }
                }
            }
            unshuffle_bits(&shuffled, &mut out, element);
            prop_assert_eq!(&out, &values);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 0usize..300, format in 0u8..8) {
            let _ = decode(&bytes, size);
            // A header that says what is wanted, so that its blocks are looked at.
            let mut container = vec![2, 1, format << 5 | bytes.first().copied().unwrap_or(0) & 23, 2];
            for word in [size, size / 2 + 1, 16 + bytes.len()] {
                container.extend((word as u32).to_le_bytes());
            }
            container.extend(&bytes);
            let _ = decode(&container, size);
        }
    }
}
