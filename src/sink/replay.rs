//! Going on with what an interrupted run left.
//!
//! Every block that the journal speaks of is read back and held against its checksum: one of the formats has to have it
//! whole. All writers then get it as they did when it was computed, which takes them to where they were, and puts
//! right what a machine that lost its power had not written yet. The first block that nobody has is where the run
//! goes on.

use std::io;

use serde_json::Value;

use super::SinkError;
use super::journal::{Journal, Line};
use super::part::Block;
use super::set::{Kind, Output, OutputSet, checksum};

/// One block that an earlier run left.
#[derive(Debug)]
pub struct Kept<'a> {
    /// Number of the map, or index of the first sample.
    pub number: u64,
    /// Index of the frame that the map belongs to, or of the first sample.
    pub frame: u64,
    /// Its time in the unit of the time step; 0 for samples.
    pub time: f64,
    /// The values of each output: axes (y, x), or (sample, channel).
    pub outputs: &'a [Vec<f32>],
    /// What was noted with it.
    pub note: &'a Value,
}

impl OutputSet {
    /// Take up what an interrupted run left, block by block, where the set was made to
    /// [resume](super::Destination::resume); how many maps or samples there are.
    ///
    /// # Errors
    /// A disk that fails.
    pub fn replay(&mut self, each: &mut dyn FnMut(&Kept<'_>)) -> Result<u64, SinkError> {
        let noun = self.kind.nouns();
        let Self { journal, outputs, tables, complete, kind, .. } = self;
        let mut take = |journal: &mut Journal| -> io::Result<()> {
            let mut lines = journal.lines()?;
            lines.text()?;
            let mut end = lines.end;
            let mut values = vec![Vec::new(); outputs.len()];
            while let Some(line) = lines.block()? {
                let count = line.complete.saturating_sub(*complete);
                if count == 0
                    || tables.iter().any(|t| t.row(&line.note).is_none())
                    || (*kind == Kind::Maps && count > 1)
                    || !recall(outputs, &line, count, *kind, &mut values)?
                {
                    break;
                }
                let (number, frame, time) = (*complete, line.frame, f64::from_bits(line.time));
                for (output, values) in outputs.iter_mut().zip(&values) {
                    let block = Block { number, frame, time, values };
                    output.writers.iter_mut().try_for_each(|w| w.write(&block))?;
                }
                tables.iter_mut().try_for_each(|t| t.write(&line.note))?;
                each(&Kept { number, frame, time, outputs: &values, note: &line.note });
                *complete = line.complete;
                end = lines.end;
            }
            outputs.iter_mut().flat_map(|o| &mut o.writers).try_for_each(|w| w.site().go_on())?;
            tables.iter_mut().flat_map(|t| t.sites()).try_for_each(|s| s.go_on())?;
            journal.cut(end)
        };
        let result = take(journal);
        result.map_err(|e| SinkError::io("read back", self.journal.path(), e, self.complete, noun))?;
        Ok(self.complete)
    }
}

/// The values of a block of `count` maps or samples, from whichever format has them whole; false where none has.
fn recall(outputs: &mut [Output], line: &Line, count: u64, kind: Kind, values: &mut [Vec<f32>]) -> io::Result<bool> {
    for ((output, values), sum) in outputs.iter_mut().zip(values).zip(&line.sums) {
        let each = if kind == Kind::Maps { 1 } else { count as usize };
        let count = output.values.saturating_mul(each);
        let mut whole = false;
        for writer in &mut output.writers {
            whole = match writer.recall(count, values) {
                Ok(holds) => holds && values.len() == count && checksum(values) == *sum,
                Err(e) if matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => false,
                Err(e) => return Err(e),
            };
            if whole {
                break;
            }
        }
        if !whole {
            return Ok(false);
        }
    }
    Ok(line.sums.len() == outputs.len())
}
