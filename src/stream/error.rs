//! Why a stream ended early.

use super::bind::BindError;
use crate::backend::BackendError;
use crate::source::SourceError;

/// An error of the caller's own, from a sink.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a stream ended early: what, where, got, expected.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The input could not be read on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model could not be prepared or run.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A value that the model takes is missing, unknown or of the wrong shape.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The maps could not be written.
    #[error(transparent)]
    Sink(BoxError),
    /// Frames came faster than they were computed, under the policy to stop then.
    #[error("the queue is full: the input is faster than the model, and --on-full fail stops rather than lose a frame")]
    Overflow,
    /// A frame whose size is not the first one's.
    #[error("{source_name}, frame {index}: got {got:?} pixels (y, x), expected {expected:?} as in the frames before")]
    FrameShape {
        /// The input.
        source_name: String,
        /// The frame's index.
        index: u64,
        /// Its rows and columns.
        got: [usize; 2],
        /// The rows and columns of the frames before.
        expected: [usize; 2],
    },
    /// Frame or sample indices that do not grow.
    #[error("{source_name}: got frame {index} after frame {before}, expected a later one")]
    Order {
        /// The input.
        source_name: String,
        /// The index given.
        index: u64,
        /// The one before.
        before: u64,
    },
    /// A recording that is not the one that an interrupted stream has seen.
    #[error(
        "{source_name}: got {got}, expected {expected}, as the interrupted run saw it; without resuming it starts anew"
    )]
    OtherRecording {
        /// The input.
        source_name: String,
        /// What it has.
        got: String,
        /// What it should have.
        expected: String,
    },
    /// A block whose number of channels is not the first one's, or a gap too long to fill with missing samples.
    #[error("{source_name}, sample {index}: got {got}, expected {expected}")]
    Block {
        /// The input.
        source_name: String,
        /// Index of the block's first sample.
        index: u64,
        /// What came.
        got: String,
        /// What should have come.
        expected: String,
    },
    /// The contract contradicts itself.
    #[error("the model's contract: got {got}, expected {expected}")]
    Contract {
        /// What it says.
        got: String,
        /// What it may say.
        expected: String,
    },
    /// A thread could not be started.
    #[error("could not start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The capture thread panicked: a bug in a source.
    #[error("the capture thread panicked: a bug in the reader of this input")]
    CapturePanicked,
    /// A worker thread panicked: a bug in a backend.
    #[error("a worker thread panicked: a bug in the backend")]
    WorkerPanicked,
}
