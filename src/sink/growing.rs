//! A file that is appended to, and that can be gone through again to see that everything is there.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::part::push_f32;

/// Values that are written at a time.
const PIECE: usize = 1 << 16;

/// A file that grows.
pub(super) struct Growing {
    file: File,
    len: u64,
    replayed: bool,
    found: Vec<u8>,
}

impl Growing {
    /// Start with an empty file, or with what is there, which is `replayed` until [`go_on`](Self::go_on): what is
    /// appended is compared with it.
    pub(super) fn open(path: &Path, replayed: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(!replayed).open(path)?;
        Ok(Self { file, len: 0, replayed, found: Vec::new() })
    }

    /// Read `count` bytes at `offset` of the file at `path`.
    pub(super) fn read(path: &Path, offset: u64, count: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(io::ErrorKind::UnexpectedEof.into()),
            file => file?,
        };
        Self { file, len: offset, replayed: true, found: Vec::new() }.peek(count, bytes)
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Append bytes. In a part that is replayed they are there already, or are put right.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.replayed {
            self.put_right(bytes)?;
        } else {
            self.file.write_all(bytes)?;
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Append values as little-endian float32, piece by piece: a map is large, and every output of every format would keep
    /// its bytes.
    pub(super) fn append_values(&mut self, values: &[f32]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(4 * PIECE.min(values.len()));
        for piece in values.chunks(PIECE) {
            bytes.clear();
            push_f32(&mut bytes, piece);
            self.append(&bytes)?;
        }
        Ok(())
    }

    fn put_right(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut found = std::mem::take(&mut self.found);
        let wrong = match self.peek(bytes.len(), &mut found) {
            Ok(()) => {
                let differs = |(a, b): (&u8, &u8)| a != b;
                let first = found.iter().zip(bytes).position(differs);
                let last = found.iter().zip(bytes).rposition(differs);
                first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => 0..bytes.len(),
            Err(e) => return Err(e),
        };
        self.found = found;
        if !wrong.is_empty() {
            self.file.seek(SeekFrom::Start(self.len + wrong.start as u64))?;
            self.file.write_all(&bytes[wrong])?;
        }
        Ok(())
    }

    /// The `count` bytes that come next in a part that is replayed.
    pub(super) fn peek(&mut self, count: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        // Looked at before memory is taken: what is announced need not be there.
        if self.file.metadata()?.len().saturating_sub(self.len) < count as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.resize(count, 0);
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.read_exact(bytes)
    }

    /// The `count` lines that come next in a part that is replayed.
    pub(super) fn peek_rows(&mut self, count: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        self.file.seek(SeekFrom::Start(self.len))?;
        let mut reader = BufReader::with_capacity(1 << 16, &self.file);
        for _ in 0..count {
            reader.read_until(b'\n', bytes)?;
            if bytes.last() != Some(&b'\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Replace bytes that were written before.
    pub(super) fn patch(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        self.file.seek(SeekFrom::Start(self.len))?;
        Ok(())
    }

    /// What was replayed stays, anything behind it goes, and what comes from now on is written.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        self.replayed = false;
        self.found = Vec::new();
        self.file.set_len(self.len)?;
        self.file.seek(SeekFrom::Start(self.len)).map(|_| ())
    }

    /// Wait until the device has it all.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
