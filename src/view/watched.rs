//! A source whose frames or samples the board sees as they come.

use std::sync::Arc;

use super::Board;
use crate::source::{Frame, FrameInfo, FrameSource, Read, SampleSource, Samples, SeriesInfo, SourceError};

/// Gives what another source does, and shows it.
pub struct Watched<S> {
    source: S,
    board: Arc<Board>,
}

impl<S> Watched<S> {
    /// Show the frames or samples of `source` on `board`.
    pub fn new(source: S, board: Arc<Board>) -> Self {
        Self { source, board }
    }
}

impl FrameSource for Watched<Box<dyn FrameSource>> {
    fn info(&self) -> &FrameInfo {
        self.source.info()
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let read = self.source.read(frame)?;
        if read == Read::Filled {
            self.board.frame(frame);
        }
        Ok(read)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        self.source.skip_to(index)
    }
}

impl SampleSource for Watched<Box<dyn SampleSource>> {
    fn info(&self) -> &SeriesInfo {
        self.source.info()
    }

    fn read(&mut self, block: &mut Samples) -> Result<Read, SourceError> {
        let read = self.source.read(block)?;
        if read == Read::Filled {
            self.board.samples(block);
        }
        Ok(read)
    }
}
