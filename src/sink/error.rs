//! Why an output could not be written.

use std::io;
use std::path::{Path, PathBuf};

use super::Format;

/// Why an output could not be written: what, where, got, expected.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A format that is none.
    #[error("output format: got `{got}`, expected one of tiff, npy, csv, png, zarr, zarr-0.4")]
    UnknownFormat {
        /// The name as given.
        got: String,
    },
    /// A format that does not hold such an output.
    #[error("output {name}: got the format {format} for {kind}, expected {expected}")]
    Unsupported {
        /// The output.
        name: String,
        /// The format.
        format: Format,
        /// What the output is.
        kind: &'static str,
        /// Formats that do.
        expected: &'static str,
    },
    /// An output whose name cannot be that of a file, or that another output has too.
    #[error("output name: got `{name}`, expected {expected}")]
    Name {
        /// The name.
        name: String,
        /// What a name has to be.
        expected: &'static str,
    },
    /// The output folder or a file in it cannot be made.
    #[error("cannot write to {}: {source}; expected a folder in which files can be made", path.display())]
    Create {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder stands where a file has to go.
    #[error("{}: got a folder, expected a file or nothing by that name", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// A file that no run wrote stands in an output's place.
    #[error("{}: got a file that no run of mollifier wrote, expected none by that name; give another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// An output would replace what the run reads.
    #[error("{}: got the run's own input in the place of its output, expected another folder", path.display())]
    Input {
        /// The input.
        path: PathBuf,
    },
    /// An earlier run's results, which cannot be had again.
    #[error("{}: got an earlier run's results, expected a folder without any (or --resume, where the earlier run was interrupted): what comes live cannot be computed again", path.display())]
    Earlier {
        /// The record or the journal of the earlier run.
        path: PathBuf,
    },
    /// Another run writes into the folder at this moment.
    #[error("{}: another run is writing into this folder; expected a folder of its own for each run", path.display())]
    Busy {
        /// The journal of the other run.
        path: PathBuf,
    },
    /// An earlier run that was another one.
    #[error("{}: the earlier run had {what} {expected}, this one has {got}; expected the same, or no --resume to start anew", path.display())]
    OtherRun {
        /// The journal of the interrupted run, or the record of a complete one.
        path: PathBuf,
        /// What differs.
        what: String,
        /// What this run has.
        got: String,
        /// What the earlier one had.
        expected: String,
    },
    /// A file of an interrupted run that is not there any more.
    #[error("{}: not there any more, though journal.jsonl beside it speaks of it; without --resume the run starts anew", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// No room is left.
    #[error("{}: no space left on the device; {}", path.display(), rest(*complete, noun))]
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// Maps or samples that are complete.
        complete: u64,
        /// `maps` or `samples`.
        noun: &'static str,
    },
    /// The system refused while a file was written, finished or renamed.
    #[error("cannot {action} {}: {source}; {}", path.display(), rest(*complete, noun))]
    Io {
        /// What was tried: `write`, `finish`, `rename`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// Maps or samples that are complete.
        complete: u64,
        /// `maps` or `samples`.
        noun: &'static str,
    },
    /// Values that do not fit what was announced: a bug in the caller.
    #[error("output {what}: got {got}, expected {expected}")]
    Mismatch {
        /// Which output or argument.
        what: String,
        /// What came.
        got: String,
        /// What was announced.
        expected: String,
    },
    /// A commit with nothing to commit.
    #[error("{}: got no {noun}, expected at least one to write", path.display())]
    Empty {
        /// The output folder.
        path: PathBuf,
        /// `map` or `sample`.
        noun: &'static str,
    },
    /// A write or commit after one that failed.
    #[error("{}: an earlier write failed, so that the .part files are not complete and cannot be committed", path.display())]
    Failed {
        /// The output folder.
        path: PathBuf,
    },
}

/// What can still be had, in words.
fn rest(complete: u64, noun: &str) -> String {
    match complete {
        0 => format!("no {noun} were complete"),
        1 => format!("the first of the {noun} is complete in the .part files beside it"),
        _ => format!("{complete} {noun} are complete in the .part files beside it"),
    }
}

impl SinkError {
    /// The error for what went wrong with a file while it was written.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error, complete: u64, noun: &'static str) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, complete, noun },
            _ => Self::Io { action, path, source, complete, noun },
        }
    }
}
