//! Replays a recording at a stated rate, as the instrument gave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::source::{Frame, Samples};
use crate::source::{FrameInfo, FrameSource, Read, SampleSource, SeriesInfo, SourceError};

/// Longest sleep before the stop flag is looked at again.
const NAP: Duration = Duration::from_millis(50);

/// A source that gives what another one does, but no faster than `hertz` frames (or samples) a second.
///
/// Delays do not add up: frame n comes n / `hertz` seconds after the first, or at once where that is past. Samples
/// come one by one where they are not due together, whatever the blocks of the source.
pub struct Paced<S> {
    source: S,
    hertz: f64,
    stop: Arc<AtomicBool>,
    start: Option<Instant>,
    given: u64,
    /// Samples that are not due yet, from `taken` on.
    held: Samples,
    taken: usize,
}

impl<S> Paced<S> {
    /// Pace `source` at `hertz` (above zero); raising `stop` ends a wait.
    pub fn new(source: S, hertz: f64, stop: Arc<AtomicBool>) -> Self {
        Self { source, hertz, stop, start: None, given: 0, held: Samples::default(), taken: 0 }
    }

    fn wait(&mut self, upcoming: u64) {
        let start = *self.start.get_or_insert_with(Instant::now);
        let seconds = (self.given + upcoming) as f64 / self.hertz;
        self.given += upcoming;
        let Ok(offset) = Duration::try_from_secs_f64(seconds) else {
            return;
        };
        while !self.stop.load(Ordering::Acquire) {
            match offset.checked_sub(start.elapsed()) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(NAP)),
                _ => break,
            }
        }
    }
}

impl FrameSource for Paced<Box<dyn FrameSource>> {
    fn info(&self) -> &FrameInfo {
        self.source.info()
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let read = self.source.read(frame)?;
        if read == Read::Filled {
            self.wait(u64::from(self.start.is_some()));
        }
        Ok(read)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        self.source.skip_to(index)
    }
}

impl SampleSource for Paced<Box<dyn SampleSource>> {
    fn info(&self) -> &SeriesInfo {
        self.source.info()
    }

    fn read(&mut self, block: &mut Samples) -> Result<Read, SourceError> {
        let channels = self.held.channels.max(1);
        if self.taken * channels == self.held.values.len() {
            self.taken = 0;
            if self.source.read(&mut self.held)? == Read::End {
                self.held.values.clear();
                return Ok(Read::End);
            }
        }
        self.wait(u64::from(self.start.is_some()));
        let channels = self.held.channels.max(1);
        let here = self.held.values.len() / channels;
        let passed = self.start.map_or(0.0, |start| start.elapsed().as_secs_f64());
        // The one that was waited for, and what is due besides.
        let due = (passed * self.hertz) as u64;
        let more = (due.saturating_sub(self.given) as usize).min(here - self.taken - 1);
        self.given += more as u64;
        block.first = self.held.first + self.taken as u64;
        block.channels = self.held.channels;
        block.values.clear();
        block.values.extend_from_slice(&self.held.values[self.taken * channels..(self.taken + 1 + more) * channels]);
        self.taken += 1 + more;
        Ok(Read::Filled)
    }
}
