//! The bytes of a text file that is still being written.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Instant;

use super::super::follow::Follow;

/// Bytes before those that are to be read that have to be the same as before.
const KNOWN: usize = 64;

/// Gives a file's bytes as they come, and its end when the recording is over.
///
/// The file is opened anew for whatever comes, so that one that is written again as a whole (longer, under the same
/// name) is read on where it was left; one that has become another file is an error.
pub(super) struct Tail {
    path: PathBuf,
    follow: Follow,
    offset: u64,
    /// The last bytes before the offset.
    known: Vec<u8>,
}

impl Tail {
    pub(super) fn new(path: PathBuf, follow: Follow) -> Self {
        Self { path, follow, offset: 0, known: Vec::new() }
    }

    /// What is there behind the offset; nothing where it has not come yet.
    fn more(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if fs::metadata(&self.path)?.len() <= self.offset {
            return Ok(0);
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset - self.known.len() as u64))?;
        let mut before = vec![0; self.known.len()];
        file.read_exact(&mut before)?;
        if before != self.known {
            let message = "what was read of the table before is not there any more; expected one that only grows";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let count = file.read(buffer)?;
        self.known.extend(&buffer[..count]);
        self.known.drain(..self.known.len().saturating_sub(KNOWN));
        self.offset += count as u64;
        Ok(count)
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let asked = Instant::now();
        loop {
            match self.more(buffer) {
                Ok(0) => {}
                Ok(count) => return Ok(count),
                Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(e),
                // Not there for a moment: written anew, or on a drive that has gone.
                Err(_) => {}
            }
            if self.follow.over(asked) {
                return Ok(0);
            }
            self.follow.pause();
        }
    }
}
