//! What a source hands to the stream: raw frames or blocks of samples, with their place in the recording.

/// Pixel values as the instrument wrote them, row by row, axes (y, x).
///
/// They stay in their own type until the window is assembled, so that a reference value can be subtracted in
/// f64 before anything is rounded to f32, and so that a ring of raw frames costs no more than the camera's.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Unsigned 8-bit counts.
    U8(Vec<u8>),
    /// Unsigned 16-bit counts.
    U16(Vec<u16>),
    /// Single precision values.
    F32(Vec<f32>),
    /// Double precision values.
    F64(Vec<f64>),
}

impl Pixels {
    /// Number of pixels.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Whether there are no pixels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Remove all pixels; their memory stays.
    pub fn clear(&mut self) {
        match self {
            Self::U8(v) => v.clear(),
            Self::U16(v) => v.clear(),
            Self::F32(v) => v.clear(),
            Self::F64(v) => v.clear(),
        }
    }

    /// The value of pixel `i` (row-major) in double precision.
    ///
    /// # Panics
    /// If `i` is not below [`len`](Self::len).
    #[must_use]
    pub fn get(&self, i: usize) -> f64 {
        match self {
            Self::U8(v) => f64::from(v[i]),
            Self::U16(v) => f64::from(v[i]),
            Self::F32(v) => f64::from(v[i]),
            Self::F64(v) => v[i],
        }
    }

    /// The value a saturated detector gives in this type: the largest integer, none for floating point.
    #[must_use]
    pub fn saturation(&self) -> Option<f64> {
        match self {
            Self::U8(_) => Some(f64::from(u8::MAX)),
            Self::U16(_) => Some(f64::from(u16::MAX)),
            Self::F32(_) | Self::F64(_) => None,
        }
    }

    /// Name of the element type as users and NumPy write it: `u8`, `u16`, `f32`, `f64`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::U16(_) => "u16",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
        }
    }
}

impl Default for Pixels {
    /// No pixels, nothing allocated.
    fn default() -> Self {
        Self::U8(Vec::new())
    }
}

/// One measured image, axes (y, x). The default is an empty frame whose buffer a source fills.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Position in the recording, counting lost frames: a gap in the indices is a loss.
    pub index: u64,
    /// Time since the recording's first frame, in the unit of the recording's time step, where the source
    /// knows it; `None` means index times the step.
    pub time: Option<f64>,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Values, `shape[0] * shape[1]` of them.
    pub pixels: Pixels,
}

/// A block of consecutive samples of one or more channels, axes (sample, channel) in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Index in the recording of the block's first sample.
    pub first: u64,
    /// Channels a sample.
    pub channels: usize,
    /// Values, a missing one as NaN; the length is a multiple of `channels`.
    pub values: Vec<f64>,
}
