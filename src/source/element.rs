//! Element types as files store them, and how they become pixels without loss.

use core::cell::Cell;
use core::mem;
use std::io::{self, Read};

use super::{Place, SourceError};
use crate::source::Pixels;

/// Bytes that are read and converted at a time: a frame need not be in memory twice. Whole values of every type.
const PORTION: usize = 1 << 18;

/// Byte order of stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Endian {
    pub(super) const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };
}

/// A stored element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Element {
    /// Bytes of one value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Replace `pixels` by the values in `bytes`, reusing its buffer where the type fits; see [`append`](Self::append).
    ///
    /// # Errors
    /// As there.
    pub(super) fn decode(
        self,
        bytes: &[u8],
        endian: Endian,
        pixels: &mut Pixels,
        place: impl FnOnce() -> Place,
    ) -> Result<(), SourceError> {
        pixels.clear();
        self.append(bytes, endian, pixels, bytes.len() / self.size(), place)
    }

    /// Replace `pixels` by the next `bytes` bytes of `reader`, as [`decode`](Self::decode) does, through the buffer `portion`.
    /// Gives the bytes there were: where they are fewer, what is in `pixels` is no frame.
    ///
    /// # Errors
    /// Those of the reader, and as [`append`](Self::append).
    pub(super) fn read(
        self,
        reader: &mut impl Read,
        bytes: usize,
        endian: Endian,
        portion: &mut Vec<u8>,
        pixels: &mut Pixels,
        place: impl Fn() -> Place,
    ) -> Result<usize, SourceError> {
        pixels.clear();
        let mut got = 0;
        while got < bytes {
            let wanted = PORTION.min(bytes - got);
            portion.resize(wanted, 0);
            let filled = fill(reader, portion).map_err(SourceError::io(place()))?;
            got += filled;
            if filled < wanted {
                break;
            }
            self.append(portion, endian, pixels, bytes / self.size(), &place)?;
        }
        Ok(got)
    }

    /// Append the values in `bytes` to `pixels`, which become of another type where they are of another; in the end there
    /// will be `total`.
    ///
    /// u8 and bool stay u8, u16 stays u16; i8, i16 and f16 become f32, 32-bit integers f64: all exact. A 64-bit
    /// integer becomes f64 where that is exact.
    ///
    /// # Errors
    /// A 64-bit integer that f64 cannot hold.
    pub(super) fn append(
        self,
        bytes: &[u8],
        endian: Endian,
        pixels: &mut Pixels,
        total: usize,
        place: impl FnOnce() -> Place,
    ) -> Result<(), SourceError> {
        macro_rules! refill {
            ($variant:ident, $stored:ty, $convert:expr) => {{
                let mut out = match mem::replace(pixels, Pixels::U8(Vec::new())) {
                    Pixels::$variant(out) => out,
                    _ => Vec::new(),
                };
                out.reserve_exact(total.saturating_sub(out.len()));
                let (chunks, _) = bytes.as_chunks::<{ size_of::<$stored>() }>();
                let convert = $convert;
                match endian {
                    Endian::Little => out.extend(chunks.iter().map(|c| convert(<$stored>::from_le_bytes(*c)))),
                    Endian::Big => out.extend(chunks.iter().map(|c| convert(<$stored>::from_be_bytes(*c)))),
                }
                *pixels = Pixels::$variant(out);
            }};
        }
        match self {
            Self::U8 => refill!(U8, u8, |v| v),
            Self::Bool => refill!(U8, u8, |v| u8::from(v != 0)),
            Self::U16 => refill!(U16, u16, |v| v),
            Self::I8 => refill!(F32, i8, f32::from),
            Self::I16 => refill!(F32, i16, f32::from),
            Self::F16 => refill!(F32, u16, half_to_single),
            Self::F32 => refill!(F32, f32, |v| v),
            Self::U32 => refill!(F64, u32, f64::from),
            Self::I32 => refill!(F64, i32, f64::from),
            Self::F64 => refill!(F64, f64, |v| v),
            Self::U64 => {
                let inexact = Cell::new(None);
                refill!(F64, u64, |v: u64| {
                    let f = v as f64;
                    if f as u128 != u128::from(v) {
                        inexact.set(Some(i128::from(v)));
                    }
                    f
                });
                exact(inexact.get(), place)?;
            }
            Self::I64 => {
                let inexact = Cell::new(None);
                refill!(F64, i64, |v: i64| {
                    let f = v as f64;
                    if f as i128 != i128::from(v) {
                        inexact.set(Some(i128::from(v)));
                    }
                    f
                });
                exact(inexact.get(), place)?;
            }
        }
        Ok(())
    }
}

/// Fill `buffer`, or say how many bytes there were.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn exact(inexact: Option<i128>, place: impl FnOnce() -> Place) -> Result<(), SourceError> {
    match inexact {
        None => Ok(()),
        Some(value) => {
            let got = format!("the 64-bit integer {value}");
            Err(SourceError::unsupported(place(), got, "values that double precision holds exactly"))
        }
    }
}

/// IEEE 754 half precision, given by its bits.
fn half_to_single(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// Type and shape as errors show them: `u16 512x640 (y, x)`.
pub(super) fn describe(type_name: &str, [rows, columns]: [usize; 2]) -> String {
    format!("{type_name} {rows}x{columns} (y, x)")
}

/// Replace interleaved samples, (y, x, sample), by one value a pixel.
///
/// Two samples are grey and alpha, three and more are red, green, blue and others: the luminance of ITU-R BT.601,
/// 0.299 R + 0.587 G + 0.114 B, rounded in integer types so that grey stored as colour keeps its value and a
/// saturated pixel stays one. Alpha and further samples are ignored.
pub(super) fn to_luminance(pixels: &mut Pixels, samples: usize) {
    macro_rules! compact {
        ($values:ident, $luminance:expr) => {{
            let count = $values.len() / samples;
            for i in 0..count {
                let at = i * samples;
                $values[i] = match samples {
                    2 => $values[at],
                    _ => $luminance($values[at], $values[at + 1], $values[at + 2]),
                };
            }
            $values.truncate(count);
        }};
    }
    // At most 255 (or 65,535) since the weights add up to 1000: the narrowing keeps the value.
    let whole = |r: u32, g: u32, b: u32| (299 * r + 587 * g + 114 * b + 500) / 1000;
    let real = |r: f64, g: f64, b: f64| 0.299 * r + 0.587 * g + 0.114 * b;
    if samples < 2 {
        return;
    }
    match pixels {
        Pixels::U8(v) => compact!(v, |r: u8, g: u8, b: u8| whole(r.into(), g.into(), b.into()) as u8),
        Pixels::U16(v) => compact!(v, |r: u16, g: u16, b: u16| whole(r.into(), g.into(), b.into()) as u16),
        Pixels::F32(v) => compact!(v, |r: f32, g: f32, b: f32| real(r.into(), g.into(), b.into()) as f32),
        Pixels::F64(v) => compact!(v, real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(element: Element, bytes: &[u8], endian: Endian) -> Result<Pixels, SourceError> {
        let mut pixels = Pixels::U8(Vec::new());
        element.decode(bytes, endian, &mut pixels, || Place::whole("a"))?;
        Ok(pixels)
    }

    #[test]
    fn every_type_keeps_its_values() -> Result<(), SourceError> {
        use Endian::{Big, Little};
        assert_eq!(decode(Element::Bool, &[0, 1, 7], Little)?, Pixels::U8(vec![0, 1, 1]));
        assert_eq!(decode(Element::U16, &[1, 2, 255, 255], Little)?, Pixels::U16(vec![513, 65535]));
        assert_eq!(decode(Element::U16, &[1, 2, 255, 255], Big)?, Pixels::U16(vec![258, 65535]));
        assert_eq!(decode(Element::I16, &(-5i16).to_be_bytes(), Big)?, Pixels::F32(vec![-5.0]));
        assert_eq!(decode(Element::U32, &u32::MAX.to_le_bytes(), Little)?, Pixels::F64(vec![4294967295.0]));
        assert_eq!(decode(Element::F64, &0.1f64.to_be_bytes(), Big)?, Pixels::F64(vec![0.1]));
        assert_eq!(decode(Element::I64, &(-7i64).to_le_bytes(), Little)?, Pixels::F64(vec![-7.0]));
        let error = decode(Element::I64, &i64::MAX.to_le_bytes(), Little).expect_err("inexact");
        assert!(error.to_string().contains("9223372036854775807"), "{error}");
        let error = decode(Element::U64, &u64::MAX.to_le_bytes(), Little).expect_err("inexact");
        assert!(error.to_string().contains("18446744073709551615"), "{error}");
        Ok(())
    }

    #[test]
    fn half_precision_follows_ieee_754() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_5e-8), (0x3555, 0.333_251_95)]
        {
            assert_eq!(half_to_single(bits), value);
        }
        assert!(half_to_single(0x7e00).is_nan());
        assert_eq!(half_to_single(0xfc00), f32::NEG_INFINITY);
    }

    proptest! {
        #[test]
        fn grey_stored_as_colour_keeps_its_value(values in prop::collection::vec(any::<u16>(), 1..50), alpha in any::<u16>(), samples in 2usize..5) {
            let stored = values.iter().flat_map(|v| (0..samples).map(move |s| if s == samples - 1 && samples != 3 { alpha } else { *v }));
            let mut wide = Pixels::U16(stored.clone().collect());
            to_luminance(&mut wide, samples);
            prop_assert_eq!(wide, Pixels::U16(values.clone()));
            let mut narrow = Pixels::U8(stored.map(|v| v as u8).collect());
            to_luminance(&mut narrow, samples);
            prop_assert_eq!(narrow, Pixels::U8(values.iter().map(|v| *v as u8).collect()));
        }
    }
}
