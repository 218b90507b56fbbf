//! PNG: a picture of the last map, or a plot of the series, drawn when the run is complete.

use std::io;
use std::path::Path;

use super::canvas::Canvas;
use super::part::{Block, Part, Site, Start, Writer};
use super::picture::{Shown, draw_map, drawn_size, resample};
use super::plot::{Envelope, draw_series};
use super::{MapInfo, SeriesInfo, SinkError};

/// Writes `NAME.png` of maps: keeps the last one, no larger than it will be drawn.
pub(super) struct PictureWriter {
    part: Part,
    info: MapInfo,
    last: Vec<f32>,
    /// Rows and columns of what is kept.
    shape: [usize; 2],
    frame: u64,
    time: f64,
    maps: u64,
}

impl PictureWriter {
    pub(super) fn maps(dir: &Path, info: &MapInfo, start: Start) -> Result<Self, SinkError> {
        let part = Part::open(dir, &info.name, "png", start)?;
        let drawn = drawn_size(info.shape, info.spacing.y.as_ref(), info.spacing.x.as_ref()).map(|n| n as usize);
        let shape = if drawn[0] * drawn[1] < info.shape[0] * info.shape[1] { drawn } else { info.shape };
        Ok(Self { part, info: info.clone(), last: Vec::new(), shape, frame: 0, time: 0.0, maps: 0 })
    }
}

impl Writer for PictureWriter {
    fn write(&mut self, block: &Block<'_>) -> io::Result<()> {
        self.last.clear();
        if self.shape == self.info.shape {
            self.last.extend(block.values);
        } else {
            resample(block.values, self.info.shape, self.shape, &mut self.last);
        }
        (self.frame, self.time) = (block.frame, block.time);
        self.maps += 1;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let Self { shape, frame, time, maps, .. } = *self;
        let shown = Shown { values: &self.last, shape, frame, time, maps };
        save(&mut self.part, &draw_map(&self.info, &shown))
    }

    fn site(&mut self) -> &mut dyn Site {
        &mut self.part
    }
}

/// Writes `NAME.png` of a series: keeps its envelope.
pub(super) struct PlotWriter {
    part: Part,
    info: SeriesInfo,
    channels: Vec<Envelope>,
}

impl PlotWriter {
    pub(super) fn series(dir: &Path, info: &SeriesInfo, start: Start) -> Result<Self, SinkError> {
        let part = Part::open(dir, &info.name, "png", start)?;
        let channels = (0..info.channels.max(1)).map(|_| Envelope::new()).collect();
        Ok(Self { part, info: info.clone(), channels })
    }
}

impl Writer for PlotWriter {
    fn write(&mut self, block: &Block<'_>) -> io::Result<()> {
        for sample in block.values.chunks(self.channels.len()) {
            self.channels.iter_mut().zip(sample).for_each(|(c, v)| c.push(*v));
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        save(&mut self.part, &draw_series(&self.info, &self.channels))
    }

    fn site(&mut self) -> &mut dyn Site {
        &mut self.part
    }
}

fn save(part: &mut Part, canvas: &Canvas) -> io::Result<()> {
    part.append(&canvas.png()?)?;
    part.sync()
}
