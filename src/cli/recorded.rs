//! The recording that was fitted, beside its fit.

use anyhow::Result;
use mollifier::model::{Fit, Kind};
use mollifier::source::{Frame, FrameSource, Input, Read, SampleSource, Samples, open};

use super::args::RunArgs;
use super::failure::misuse;
use super::input::open_options;

/// A recording with the samples of a fit's own grid, read as it is needed.
pub(crate) struct Recorded {
    name: String,
    source: Source,
    /// Values that were read, and how many of them were used.
    values: Vec<f64>,
    used: usize,
    /// Frames or samples used so far, and those that the fit had.
    count: usize,
    expected: usize,
}

enum Source {
    Series(Box<dyn SampleSource>, Samples),
    Frames(Box<dyn FrameSource>, Frame),
}

impl Source {
    fn nouns(&self) -> &'static str {
        match self {
            Self::Series(..) => "samples",
            Self::Frames(..) => "frames",
        }
    }
}

impl Recorded {
    pub(crate) fn open(args: &RunArgs, fit: &Fit) -> Result<Self> {
        let name = args.input();
        let axes = &fit.record.axes;
        let source = match open(&name, &open_options(args, fit.kind()))? {
            Input::Series(source) if fit.kind() == Kind::Series => {
                let channels = &source.info().channels;
                if channels.len() > 1 {
                    let list = channels.join(", ");
                    return Err(misuse(format!("{name}: got the columns {list}, expected one: choose with --column")));
                }
                Source::Series(source, Samples::default())
            }
            Input::Frames(source) if fit.kind() == Kind::Fields => {
                let [rows, columns] = source.info().shape;
                let [.., y, x] = &axes[..] else { unreachable!("images have the axes y and x") };
                if [rows, columns] != [y.samples, x.samples] {
                    return Err(misuse(format!(
                        "{name}: got frames of {rows} x {columns}, expected {} x {} as {} was fitted to",
                        y.samples, x.samples, fit.name
                    )));
                }
                Source::Frames(source, Frame::default())
            }
            Input::Series(_) => return Err(misuse(format!("{name}: got a series, expected images as {}", fit.name))),
            Input::Frames(_) => return Err(misuse(format!("{name}: got images, expected a series as {}", fit.name))),
        };
        let expected = axes.iter().find(|a| a.name == "t").map_or(1, |t| t.samples);
        let told = match &source {
            Source::Series(source, _) => source.info().count,
            Source::Frames(source, _) => source.info().count,
        };
        let this = Self { name, source, values: Vec::new(), used: 0, count: 0, expected };
        match told {
            Some(n) if n != expected as u64 => Err(this.other(&n.to_string())),
            _ => Ok(this),
        }
    }

    fn other(&self, got: &str) -> anyhow::Error {
        let (nouns, expected) = (self.source.nouns(), self.expected);
        misuse(format!("{}: got {got} {nouns}, expected {expected} as were fitted", self.name))
    }

    /// Read more; false where nothing is left.
    fn read(&mut self) -> Result<bool> {
        self.values.clear();
        self.used = 0;
        match &mut self.source {
            Source::Series(source, block) => {
                if source.read(block)? == Read::End {
                    return Ok(false);
                }
                self.values.extend_from_slice(&block.values);
                self.count += block.values.len();
            }
            Source::Frames(source, frame) => {
                if source.read(frame)? == Read::End {
                    return Ok(false);
                }
                if frame.index != self.count as u64 {
                    let (got, expected) = (frame.index, self.count);
                    return Err(misuse(format!("{}: got frame {got}, expected {expected}: one is missing", self.name)));
                }
                self.values.extend((0..frame.pixels.len()).map(|i| frame.pixels.get(i)));
                self.count += 1;
            }
        }
        Ok(true)
    }

    /// The next values less the field's, into `misfit`.
    pub(crate) fn minus(&mut self, field: &[f32], misfit: &mut Vec<f32>) -> Result<()> {
        misfit.clear();
        while misfit.len() < field.len() {
            if self.used == self.values.len() && !self.read()? {
                return Err(self.other(&self.count.to_string()));
            }
            let n = (self.values.len() - self.used).min(field.len() - misfit.len());
            let pairs = self.values[self.used..][..n].iter().zip(&field[misfit.len()..]);
            misfit.extend(pairs.map(|(u, f)| (u - f64::from(*f)) as f32));
            self.used += n;
        }
        Ok(())
    }

    /// Refuse a recording that goes on.
    pub(crate) fn ended(&mut self) -> Result<()> {
        if self.used < self.values.len() || self.read()? {
            return Err(self.other("more"));
        }
        Ok(())
    }
}
