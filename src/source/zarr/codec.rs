//! How the bytes of a chunk are stored: compressions and checksums.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use serde_json::Value;

use super::blosc;

/// One step from stored bytes to those of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Zlib,
    Zstd,
    Blosc,
    Lz4,
    Crc32c,
}

/// Bytes of a CRC-32C.
const SUM: usize = 4;

impl Codec {
    /// The codec of this name, in Zarr 3 or numcodecs.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("numcodecs.").unwrap_or(name) {
            "gzip" => Self::Gzip,
            "zlib" => Self::Zlib,
            "zstd" => Self::Zstd,
            "blosc" => Self::Blosc,
            "lz4" => Self::Lz4,
            "crc32c" => Self::Crc32c,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
            Self::Blosc => "Blosc",
            Self::Lz4 => "LZ4",
            Self::Crc32c => "CRC-32C",
        }
    }

    fn decode(self, bytes: Vec<u8>, size: Size) -> Result<Vec<u8>, String> {
        let damaged = |e: std::io::Error| format!("damaged {} data ({e})", self.name());
        match self {
            Self::Gzip => read_all(MultiGzDecoder::new(bytes.as_slice()), size.most()).map_err(damaged),
            Self::Zlib => read_all(ZlibDecoder::new(bytes.as_slice()), size.most()).map_err(damaged),
            Self::Zstd => inflate_zstd(&bytes, size.most()).map_err(damaged),
            Self::Blosc => match size {
                Size::Exactly(size) => blosc::decode(&bytes, size),
                Size::AtMost(_) => Err("a Blosc container around further codecs, which is not read".to_owned()),
            },
            Self::Lz4 => {
                let (length, packed) = bytes.split_first_chunk().ok_or("LZ4 data that ends early")?;
                let length = u32::from_le_bytes(*length) as usize;
                if length > size.most() {
                    return Err(format!("LZ4 data of {length} bytes"));
                }
                let mut out = vec![0; length];
                match lz4_flex::block::decompress_into(packed, &mut out) {
                    Ok(n) if n == length => Ok(out),
                    _ => Err("damaged LZ4 data".to_owned()),
                }
            }
            Self::Crc32c => unsealed(bytes),
        }
    }
}

/// What is known of a step's output.
#[derive(Clone, Copy)]
enum Size {
    Exactly(usize),
    AtMost(usize),
}

impl Size {
    fn most(self) -> usize {
        match self {
            Self::Exactly(size) | Self::AtMost(size) => size,
        }
    }
}

/// The bytes before a CRC-32C that fits them.
pub(super) fn unsealed(mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let (data, sum) = bytes.split_last_chunk::<SUM>().ok_or("bytes without their checksum")?;
    if crc32c::crc32c(data) != u32::from_le_bytes(*sum) {
        return Err("bytes that do not fit their checksum (CRC-32C)".to_owned());
    }
    bytes.truncate(bytes.len() - SUM);
    Ok(bytes)
}

/// Undo `codecs`, which were applied in this order, down to `size` bytes.
///
/// # Errors
/// In words, what is damaged.
pub(super) fn decode(codecs: &[Codec], bytes: Vec<u8>, size: usize) -> Result<Vec<u8>, String> {
    let mut bytes = bytes;
    for (at, codec) in codecs.iter().enumerate().rev() {
        // What further codecs made of the values is not much larger than those.
        let inner = &codecs[..at];
        let sealed = SUM * inner.len();
        let fixed = inner.iter().all(|c| *c == Codec::Crc32c);
        let size = if fixed { Size::Exactly(size + sealed) } else { Size::AtMost(size + size / 8 + 4096 + sealed) };
        bytes = codec.decode(bytes, size)?;
    }
    if bytes.len() == size { Ok(bytes) } else { Err(format!("a chunk of {} bytes", bytes.len())) }
}

/// Everything that comes, but no more than one byte beyond `most`.
fn read_all(reader: impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(most as u64 + 1).read_to_end(&mut out)?;
    Ok(out)
}

pub(super) fn inflate_zlib(bytes: &[u8], most: usize) -> std::io::Result<Vec<u8>> {
    read_all(ZlibDecoder::new(bytes), most)
}

/// The frames of Zstandard data, one after the other.
pub(super) fn inflate_zstd(mut bytes: &[u8], most: usize) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut decoder = FrameDecoder::new();
    // A frame that states its size is its own window.
    decoder.set_max_window_size((most as u64).max(ruzstd::decoding::DEFAULT_MAX_WINDOW_SIZE));
    while !bytes.is_empty() && out.len() <= most {
        let frame = StreamingDecoder::new_with_decoder(&mut bytes, &mut decoder).map_err(std::io::Error::other)?;
        frame.take((most - out.len()) as u64 + 1).read_to_end(&mut out)?;
        if decoder.get_checksum_from_data().is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum)) {
            return Err(std::io::Error::other("its checksum does not fit"));
        }
    }
    Ok(out)
}

/// The codecs in a list of Zarr 3, from `{"name": ..}` or plain names.
pub(super) fn name_of(codec: &Value) -> &str {
    codec.as_str().or_else(|| codec["name"].as_str()).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it is encoded")
    }

    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    #[test]
    fn steps_are_undone_from_the_last() {
        let values: Vec<u8> = (0..200).collect();
        let stored = sealed(gzip(&sealed(values.clone())));
        let codecs = [Codec::Crc32c, Codec::Gzip, Codec::Crc32c];
        assert_eq!(decode(&codecs, stored.clone(), 200), Ok(values));
        assert!(decode(&codecs, stored.clone(), 199).is_err());
        assert!(decode(&codecs[..2], stored, 200).is_err());
    }

    #[test]
    fn a_bomb_is_stopped() {
        let bomb = gzip(&vec![0; 1 << 24]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(decode(&[Codec::Gzip], bomb, 1000), Err("a chunk of 1001 bytes".to_owned()));
        let length = [0xff; 4];
        assert!(decode(&[Codec::Lz4], length.to_vec(), 1000).is_err_and(|e| e.contains("4294967295")));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100), size in 0usize..300) {
            for codec in [Codec::Gzip, Codec::Zlib, Codec::Zstd, Codec::Blosc, Codec::Lz4, Codec::Crc32c] {
                let _ = decode(&[codec], bytes.clone(), size);
            }
            let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
            frame.extend(&bytes);
            let _ = decode(&[Codec::Zstd], frame, size);
        }
    }
}
