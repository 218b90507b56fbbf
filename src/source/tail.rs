//! A text file that is still being written, as a stream of bytes that waits at the file's end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Follow;

/// How often a file that has not grown is looked at, as with other [growing inputs](super::follow).
const POLL: std::time::Duration = std::time::Duration::from_millis(10);

/// Gives what a file holds, and what it grows by. Its readers see whole lines: a last one without an end waits.
///
/// Where nothing has come for as long as it may take the file is taken as it stands, and such a line is given an end.
/// Where the user ends the wait instead it has none, so that a reader can leave it out: half a number is another number.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Bytes read so far.
    at: u64,
    follow: Follow,
    heard: Instant,
    /// What has been read behind the last line end, and not been given yet.
    partial: Vec<u8>,
    /// Whole lines that are to be given, from `given` on.
    lines: Vec<u8>,
    given: usize,
}

impl Tail {
    pub(super) fn open(path: &Path, follow: Follow) -> io::Result<Self> {
        let file = Some(File::open(path)?);
        let heard = Instant::now();
        Ok(Self { path: path.to_owned(), file, at: 0, follow, heard, partial: Vec::new(), lines: Vec::new(), given: 0 })
    }

    /// Read on; what fails on the way to a drive that has gone counts as nothing new.
    fn grown(&mut self) -> io::Result<usize> {
        const CHUNK: usize = 1 << 16;
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().filter(|mut f| f.seek(SeekFrom::Start(self.at)).is_ok());
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        let start = self.partial.len();
        self.partial.resize(start + CHUNK, 0);
        let read = file.read(&mut self.partial[start..]);
        self.partial.truncate(start + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                // By name: a program that starts anew puts another file there.
                if std::fs::metadata(&self.path).is_ok_and(|now| now.len() < self.at) {
                    let text = format!("{} bytes have gone: the file was written anew", self.at);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                Ok(0)
            }
            Ok(count) => {
                self.at += count as u64;
                Ok(count)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(_) => {
                self.file = None;
                Ok(0)
            }
        }
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.lines.len() {
            if self.grown()? > 0 {
                self.heard = Instant::now();
                if let Some(end) = self.partial.iter().rposition(|b| *b == b'\n') {
                    self.lines.clear();
                    self.lines.extend(self.partial.drain(..=end));
                    self.given = 0;
                } else if self.partial.len() > super::text::MAX_LINE {
                    // No text: the reader of lines says so.
                    (self.lines, self.given) = (std::mem::take(&mut self.partial), 0);
                }
                continue;
            }
            let stopped = self.follow.stop.load(Ordering::Acquire);
            if stopped || self.follow.over(self.heard) {
                if self.partial.is_empty() {
                    return Ok(0);
                }
                if !stopped {
                    self.partial.push(b'\n');
                }
                (self.lines, self.given) = (std::mem::take(&mut self.partial), 0);
                continue;
            }
            std::thread::sleep(POLL);
        }
        let count = buffer.len().min(self.lines.len() - self.given);
        buffer[..count].copy_from_slice(&self.lines[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}
