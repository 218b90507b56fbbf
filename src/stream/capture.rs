//! The capture thread: reads a source into the queue and does nothing else, so that a camera is never stalled by a
//! computation.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::StreamError;
use super::queue::{Producer, PushError};
use crate::source::{Read, SourceError};

/// How long a source that sits in a read is waited for once nothing more is wanted.
const PATIENCE: Duration = Duration::from_millis(300);

/// An item and when it came out of the source.
#[derive(Debug)]
pub(crate) struct Captured<T> {
    pub(crate) item: T,
    pub(crate) at: Instant,
}

/// A running capture thread.
pub(crate) struct Capture {
    thread: JoinHandle<Result<(), StreamError>>,
}

impl Capture {
    /// Read until the source ends, fails, or nothing more is wanted.
    pub(crate) fn spawn<T: Default + Send + 'static>(
        mut producer: Producer<Captured<T>>,
        mut read: impl FnMut(&mut T) -> Result<Read, SourceError> + Send + 'static,
    ) -> Result<Self, StreamError> {
        let body = move || {
            loop {
                producer.wait_for_room();
                if producer.stopped() {
                    break;
                }
                let mut item = producer.recycled().map(|c| c.item).unwrap_or_default();
                if read(&mut item)? == Read::End {
                    break;
                }
                match producer.push(Captured { item, at: Instant::now() }) {
                    Ok(()) => {}
                    Err(PushError::Stopped) => break,
                    Err(PushError::Overflow) => return Err(StreamError::Overflow),
                }
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("capture".into()).spawn(body).map_err(StreamError::Thread)?;
        Ok(Self { thread })
    }

    /// How the thread ended. One that sits in a read (standard input, a device) when nothing more is wanted is
    /// left behind: it ends with its read, or with the process.
    pub(crate) fn finish(self) -> Result<(), StreamError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.thread.is_finished() {
            if Instant::now() >= deadline {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.thread.join().unwrap_or(Err(StreamError::CapturePanicked))
    }
}
