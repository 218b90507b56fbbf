//! Where a run's maps and samples go.

use std::sync::Arc;

use anyhow::Result;
use mollifier::backend::BackendError;
use mollifier::sink::Kept;
use mollifier::source::{Part, Place, SourceError};
use mollifier::stream::{Map, MapSink, SampleBlock, SampleSink, StreamError};
use mollifier::view::Board;
use ndarray::Array2;
use serde::Deserialize;

use super::convergence::{self, Convergence, Point};
use super::failure::misuse;
use super::maptable::{self, MapTable};
use super::output::{Extras, Outputs};
use super::progress::ProgressLine;
use super::summary::Summary;

/// Takes what a stream gives: writes it, looks at it, shows it.
pub(crate) struct Writer {
    pub(crate) outputs: Option<Outputs>,
    pub(crate) summary: Summary,
    pub(crate) line: ProgressLine,
    pub(crate) board: Option<Arc<Board>>,
    pub(crate) table: Option<MapTable>,
    pub(crate) convergence: Option<Convergence>,
}

impl Writer {
    /// Say what failed in terms of the recording, and what can still be had of the run.
    pub(crate) fn explain(self, error: StreamError, input: &str, nouns: &str) -> anyhow::Error {
        let left = self.outputs.and_then(|o| o.give_up(nouns, way_on(&error)));
        match (error, left) {
            (StreamError::Backend(BackendError::TooSmall { what, got, expected }), _) => {
                let size = |s: &[usize]| s.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
                let unit = if got.len() == 1 { "samples" } else { "pixels" };
                let (got, expected) = (size(&got), size(&expected));
                misuse(format!(
                    "{input}: got {got} {unit}, expected at least {expected} for the smallest kernel of {what}"
                ))
            }
            (error, Some(left)) if !matches!(error, StreamError::Sink(_)) => {
                let message = format!("{error}; {left}");
                anyhow::Error::new(error).context(message)
            }
            (error, _) => error.into(),
        }
    }

    /// Take up what an interrupted run left; how many maps or samples there are.
    pub(crate) fn replay(&mut self, mut each: impl FnMut(&Kept<'_>)) -> Result<u64> {
        let Self { outputs, summary, convergence, .. } = self;
        let Some(outputs) = outputs else { return Ok(0) };
        outputs.replay(&mut |kept| {
            let slices: Vec<&[f32]> = kept.outputs.iter().map(Vec::as_slice).collect();
            summary.look_at(&slices);
            let point = kept.note.get(convergence::NAME).map(Point::deserialize);
            if let (Some(convergence), Some(Ok(point))) = (convergence.as_mut(), point) {
                convergence.recall(&slices, point);
            }
            each(kept);
        })
    }

    fn look_at(&mut self, outputs: &[Array2<f32>]) {
        let slices: Vec<&[f32]> = outputs.iter().filter_map(|a| a.as_slice()).collect();
        self.summary.look_at(&slices);
    }
}

/// What to do after a failure for the run to go on, where that is not said by the error itself.
fn way_on(error: &StreamError) -> Option<&'static str> {
    match error {
        // It would be met again.
        StreamError::Source(SourceError::Malformed { place: Place { part: Part::Line(_), .. }, .. }) => {
            Some("mend or remove that line: then --resume goes on from there")
        }
        StreamError::OtherRecording { .. } => None,
        _ => Some("--resume goes on from there"),
    }
}

impl MapSink for Writer {
    fn map(&mut self, map: &Map<'_>) -> Result<(), mollifier::stream::BoxError> {
        let slices: Vec<&[f32]> = map.outputs.iter().filter_map(|a| a.as_slice()).collect();
        let point = self.convergence.as_mut().map(|c| c.look_at(map.frame, &slices));
        if let Some(outputs) = &mut self.outputs {
            let mut extras = Extras::default();
            if let Some(table) = &mut self.table {
                extras.row(maptable::NAME, table.row(outputs.written(), map));
            }
            if let Some(point) = point {
                extras.row(convergence::NAME, convergence::row(outputs.written(), &point));
                extras.field(convergence::NAME, serde_json::to_value(point)?);
            }
            outputs.map(map, extras)?;
        }
        self.look_at(map.outputs);
        if let Some(board) = &self.board {
            board.map(map);
        }
        self.line.show(&map.progress);
        Ok(())
    }
}

impl SampleSink for Writer {
    fn block(&mut self, block: &SampleBlock<'_>) -> Result<(), mollifier::stream::BoxError> {
        if let Some(outputs) = &mut self.outputs {
            outputs.block(block)?;
        }
        self.look_at(block.outputs);
        if let Some(board) = &self.board {
            board.block(block);
        }
        self.line.show(&block.progress);
        Ok(())
    }
}
