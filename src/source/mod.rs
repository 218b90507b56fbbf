//! Recordings and live inputs as frames or samples; one file for each format.

use crate::stream::{Frame, Samples};
use crate::units::Spacing;

/// What a source knows of its frames before the first one is read.
#[derive(Clone, Debug)]
pub struct FrameInfo {
    /// What was opened, as the user named it (a path, or `-`).
    pub name: String,
    /// Rows and columns of every frame.
    pub shape: [usize; 2],
    /// Frames in all, where the input tells (a live stream does not).
    pub count: Option<u64>,
    /// Pixel size and frame interval that the file itself states.
    pub spacing: Spacing,
    /// Things a user should know (alpha ignored, unit not understood), each one sentence.
    pub warnings: Vec<String>,
}

/// What a source knows of its samples before the first one is read.
#[derive(Clone, Debug)]
pub struct SeriesInfo {
    /// What was opened, as the user named it (a path, or `-`).
    pub name: String,
    /// Channel names in order; one entry for a plain series.
    pub channels: Vec<String>,
    /// Samples in all, where the input tells.
    pub count: Option<u64>,
    /// The sampling interval that the file itself states (`t`).
    pub spacing: Spacing,
    /// Things a user should know, each one sentence.
    pub warnings: Vec<String>,
}

/// Whether a read gave something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The buffer was filled.
    Filled,
    /// There is nothing more.
    End,
}

/// A recording or live input of images.
pub trait FrameSource: Send {
    /// What is known before the first frame.
    fn info(&self) -> &FrameInfo;
    /// Read the next frame into `frame`, reusing its buffer where the type fits.
    ///
    /// # Errors
    /// A truncated, changed or unreadable frame; the error names the file and the frame's index.
    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError>;
}

/// A recording or live input of samples.
pub trait SampleSource: Send {
    /// What is known before the first sample.
    fn info(&self) -> &SeriesInfo;
    /// Read the next block of at least one sample into `block`, reusing its buffer.
    ///
    /// # Errors
    /// An unreadable row; the error names the file and the line.
    fn read(&mut self, block: &mut Samples) -> Result<Read, SourceError>;
}

/// An input that could not be opened or read: what, where, got, expected.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Placeholder.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
