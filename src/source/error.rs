//! What can be wrong with an input, and where in it.

use core::fmt;
use std::io;

/// A place in an input, as a message names it: `movie.tif, page 7 of 10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The input as the user named it (a path, or `standard input`).
    pub input: String,
    /// The part of it.
    pub part: Part,
}

/// A part of an input, counted the way its format does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// A page of a TIFF file, from 1, and how many there should be.
    Page {
        /// Number of the page, from 1.
        page: u64,
        /// Pages that there should be, where the file says.
        of: Option<u64>,
    },
    /// A frame, from 0, and how many there should be.
    Frame {
        /// Index of the frame, from 0.
        index: u64,
        /// Frames that there should be, where the input says.
        of: Option<u64>,
    },
    /// A line of a text file, from 1.
    Line(u64),
    /// A named array inside an archive.
    Array(String),
}

impl Place {
    /// The whole of `input`.
    pub(super) fn whole(input: &str) -> Self {
        Self { input: input.to_owned(), part: Part::Whole }
    }

    /// One part of `input`.
    pub(super) fn part(input: &str, part: Part) -> Self {
        Self { input: input.to_owned(), part }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.input)?;
        match &self.part {
            Part::Whole => Ok(()),
            Part::Page { page, of: Some(of) } => write!(f, ", page {page} of {of}"),
            Part::Page { page, of: None } => write!(f, ", page {page}"),
            Part::Frame { index, of: Some(of) } => write!(f, ", frame {index} of {of} (from 0)"),
            Part::Frame { index, of: None } => write!(f, ", frame {index} (from 0)"),
            Part::Line(line) => write!(f, ", line {line}"),
            Part::Array(name) => write!(f, ", array {name}"),
        }
    }
}

/// An input that could not be opened or read: one line that says what, where, got, expected.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system refused.
    #[error("{place}: {source}")]
    Io {
        /// Where.
        place: Place,
        /// What the system said.
        source: io::Error,
    },
    /// The input contradicts its own format: cut off, damaged, a row that is no row.
    #[error("{place}: got {got}, expected {expected}")]
    Malformed {
        /// Where.
        place: Place,
        /// What was found.
        got: String,
        /// What belongs there.
        expected: String,
    },
    /// A frame of another shape or type than the frames before it.
    #[error("{place}: got {got}, expected {expected} as in the first frame")]
    Changed {
        /// Where.
        place: Place,
        /// Type and shape of this frame, (y, x).
        got: String,
        /// Type and shape of the first frame, (y, x).
        expected: String,
    },
    /// Sound as far as anybody can tell, but nothing that this version reads.
    #[error("{place}: unsupported: got {got}, expected {expected}")]
    Unsupported {
        /// Where.
        place: Place,
        /// What was found.
        got: String,
        /// What is read, or what to do about it.
        expected: String,
    },
    /// More than is allowed to be allocated.
    #[error("{place}: over the limit: got {got}, expected {expected}")]
    OverLimit {
        /// Where.
        place: Place,
        /// What the input asks for.
        got: String,
        /// The limit, and what to do about it.
        expected: String,
    },
    /// The input and the options or the model do not fit each other.
    #[error("{place}: got {got}, expected {expected}")]
    Misused {
        /// Where.
        place: Place,
        /// What was given.
        got: String,
        /// What would fit.
        expected: String,
    },
}

impl SourceError {
    /// Whether the caller should change the options or the choice of model, not the file (exit code 2).
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(self, Self::Misused { .. })
    }

    /// Whether it may be over when the input is looked at again: nothing there yet, or half of it.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Malformed { .. })
    }

    /// Whether it is one row that is none, and the next may be.
    pub(super) fn may_pass_over(&self) -> bool {
        matches!(self, Self::Malformed { .. })
    }

    /// Where in the input it happened.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::Io { place, .. }
            | Self::Malformed { place, .. }
            | Self::Changed { place, .. }
            | Self::Unsupported { place, .. }
            | Self::OverLimit { place, .. }
            | Self::Misused { place, .. } => place,
        }
    }

    pub(super) fn io(place: Place) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { place, source }
    }

    pub(super) fn malformed(place: Place, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Malformed { place, got: got.into(), expected: expected.into() }
    }

    pub(super) fn unsupported(place: Place, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Unsupported { place, got: got.into(), expected: expected.into() }
    }

    pub(super) fn over_limit(place: Place, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::OverLimit { place, got: got.into(), expected: expected.into() }
    }

    pub(super) fn misused(place: Place, got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Misused { place, got: got.into(), expected: expected.into() }
    }
}
