//! Localisation tables (ThunderSTORM and its relatives, rapidSTORM, Picasso) drawn as density maps.
//!
//! One file for each concern: the pixels of a map (`grid`), counts and what is drawn of them (`density`), rows of text
//! (`table`) and of HDF5 (`picasso`), a text that is still being written (`tail`), what is in each map (`tally`).

mod density;
mod grid;
mod picasso;
mod table;
mod tail;
mod tally;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

pub use grid::{Region, RegionError};
pub use tally::{Count, Tally};

use self::density::Density;
use self::grid::Grid;
use self::picasso::PicassoRows;
use self::table::TableRows;
use self::tail::Tail;
use super::{FrameInfo, FrameSource, OpenOptions, Place, SourceError};
use crate::source::{Frame, Pixels};
use crate::units::{Dimension, Spacing, Step, dimension};

/// Localisations of a stream that are held in memory, 24 bytes each.
const MAX_LOCALISATIONS: usize = 1 << 28;

/// Camera frames that there may be: double precision counts them one by one.
const MOST_FRAMES: f64 = 9e15;

/// One localisation.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// (y, x) in pixels of the map from the table's origin.
    position: [f64; 2],
    /// Camera frame that it was seen in; 0 where nobody asked.
    frame: u64,
}

/// The rows of a table in the table's order.
trait Rows: Send {
    /// The next row; `None` behind the last, or where nothing more will come.
    fn next(&mut self) -> Result<Option<Row>, SourceError>;
    /// What a user should know of the rows so far, once.
    fn notes(&mut self) -> Vec<String>;
}

/// Density maps, axes (y, x), made from a table of localisations: one of the whole table, or with
/// [`every`](OpenOptions::every) a growing one for each so many camera frames.
///
/// A value is the number of localisations so far in that pixel's area (localisations a pixel, single precision), blurred
/// by a Gaussian whose taps are its integrals over the pixels; the border reflects, so that the sum stays the
/// number of localisations and the border is not darker. Pixel edges lie at multiples of the pixel size. The map shows
/// the field of view of the options; else, for a growing map of a Picasso table, the camera's; else the positions in
/// the table. Both axes have the pixel size of the options as their spacing. Intensities and uncertainties in the table
/// are not looked at.
///
/// Blocks of camera frames are counted from the first row's. A map is drawn when a row of a later block comes, and at
/// the end; blocks without a row give none. A row of an earlier block than the one before goes into the next map.
pub(super) struct LocalisationSource {
    info: FrameInfo,
    rows: Box<dyn Rows>,
    density: Density,
    every: Option<u64>,
    /// The first camera frame, and the one behind the block that is being filled.
    block: Option<(u64, u64)>,
    /// The first row of the next block.
    ahead: Option<Row>,
    count: Count,
    /// What is in the maps; `None` where it was told before the first.
    tally: Option<Arc<Tally>>,
    next: u64,
    /// Maps before this one are not drawn.
    wanted: u64,
    live: bool,
    ended: bool,
}

impl LocalisationSource {
    /// The table in the text file at `path`, for messages called `name`.
    pub(super) fn open(path: &Path, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let live = options.follow.is_some();
        let rows = || -> Result<Box<dyn Rows>, SourceError> {
            Ok(match &options.follow {
                Some(follow) => {
                    let tail = Tail::new(path.to_owned(), follow.clone());
                    Box::new(TableRows::new(tail, name, options, true)?)
                }
                None => {
                    let file = File::open(path).map_err(SourceError::io(Place::whole(name)))?;
                    Box::new(TableRows::new(BufReader::new(file), name, options, false)?)
                }
            })
        };
        match &options.region {
            Some(region) => Self::new(rows()?, Grid::of(region, name, options)?, name, options),
            None if live => Err(no_field_of_view(name)),
            // Read twice, so that it need not be kept.
            None => Self::around(rows()?, rows()?, name, options),
        }
    }

    /// A table in a stream of text.
    pub(super) fn new_stream(
        reader: impl Read + Send + 'static,
        name: &str,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let mut rows = TableRows::new(reader, name, options, true)?;
        if let Some(region) = &options.region {
            return Self::new(Box::new(rows), Grid::of(region, name, options)?, name, options);
        }
        let mut kept = Vec::new();
        while let Some(row) = rows.next()? {
            if kept.len() == MAX_LOCALISATIONS {
                let got = format!("more than {MAX_LOCALISATIONS} localisations");
                let expected = "a smaller table, a file, or its field of view (--region)";
                return Err(SourceError::over_limit(Place::whole(name), got, expected));
            }
            kept.push(row);
        }
        let kept = Kept { rows: kept.into(), next: 0, notes: rows.notes() };
        let again = Kept { rows: Arc::clone(&kept.rows), ..Kept::default() };
        Self::around(Box::new(kept), Box::new(again), name, options)
    }

    /// Picasso's HDF5 file at `path`, for messages called `name`.
    pub(super) fn picasso(path: &Path, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let rows = || PicassoRows::open(path, name, options);
        let first = match &options.follow {
            Some(follow) => follow.retry(rows)?,
            None => rows()?,
        };
        match (&options.region, options.every) {
            (Some(region), _) => Self::new(Box::new(first), Grid::of(region, name, options)?, name, options),
            (None, Some(_)) => {
                let region = first.field_of_view()?;
                Self::new(Box::new(first), Grid::of(&region, name, options)?, name, options)
            }
            (None, None) => Self::around(Box::new(first), Box::new(rows()?), name, options),
        }
    }

    /// The map that holds all of `rows`, which are read twice.
    fn around(
        mut rows: Box<dyn Rows>,
        again: Box<dyn Rows>,
        name: &str,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        let mut count = 0_u64;
        while let Some(row) = rows.next()? {
            for axis in 0..2 {
                low[axis] = low[axis].min(row.position[axis]);
                high[axis] = high[axis].max(row.position[axis]);
            }
            count += 1;
        }
        if count == 0 {
            return Err(empty(name));
        }
        let mut source = Self::new(again, Grid::around(low, high, name, options)?, name, options)?;
        if options.every.is_none() {
            // Known already; nothing is left to be told later.
            let shape = source.info.shape;
            source.info.warnings = vec![format!("{count} localisations were {}", drawn(shape, options))];
            source.info.warnings.extend(rows.notes());
            source.tally = None;
        }
        Ok(source)
    }

    fn new(rows: Box<dyn Rows>, grid: Grid, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let density = Density::new(grid, name, options)?;
        let pixel = Some(options.pixel_size.clone());
        let spacing = Spacing { t: None, y: pixel.clone(), x: pixel };
        let shape = density.shape();
        let when = match options.every {
            None => String::new(),
            Some(1) => ", a map after every camera frame".to_owned(),
            Some(n) => format!(", a map after every {n} camera frames"),
        };
        let info = FrameInfo {
            name: name.to_owned(),
            shape,
            // Of a growing map also for a finished table: what is written does not depend on whether it is.
            count: options.every.is_none().then_some(1),
            spacing,
            rendered: true,
            warnings: vec![format!("localisations are {}{when}", drawn(shape, options))],
        };
        Ok(Self {
            info,
            rows,
            density,
            every: options.every,
            block: None,
            ahead: None,
            count: Count::default(),
            tally: Some(Arc::default()),
            next: 0,
            wanted: 0,
            live: options.follow.is_some(),
            ended: false,
        })
    }

    /// Count the rows up to the end of a block; false where none is left.
    fn fill_block(&mut self) -> Result<bool, SourceError> {
        let mut any = false;
        while !self.ended {
            let row = match self.ahead.take() {
                Some(row) => row,
                None => match self.rows.next()? {
                    Some(row) => row,
                    None => {
                        self.ended = true;
                        break;
                    }
                },
            };
            if let Some(every) = self.every {
                let (first, end) = *self.block.get_or_insert((row.frame, row.frame.saturating_add(every)));
                if row.frame >= end {
                    let whole = (row.frame - first) / every + 1;
                    self.block = Some((first, first.saturating_add(whole.saturating_mul(every))));
                    self.ahead = Some(row);
                    if any {
                        break;
                    }
                    continue;
                }
                self.count.late += u64::from(row.frame < end.saturating_sub(every));
                self.count.camera_frames = self.count.camera_frames.max(row.frame.saturating_sub(first) + 1);
            }
            any = true;
            match self.density.count(row.position) {
                true => self.count.localisations += 1,
                false => self.count.outside += 1,
            }
        }
        Ok(any)
    }

    /// An error where a table that has ended has nothing in the map.
    fn check_end(&self) -> Result<(), SourceError> {
        let name = &self.info.name;
        match (self.count.localisations, self.count.outside) {
            // The user may have ended the wait before anything came.
            _ if self.live => Ok(()),
            (0, 0) => Err(empty(name)),
            (0, outside) => {
                let got = format!("{outside} localisations, none of them in the field of view");
                Err(SourceError::misused(Place::whole(name), got, "some: look at --region and the table's units"))
            }
            _ => Ok(()),
        }
    }
}

impl FrameSource for LocalisationSource {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<super::Read, SourceError> {
        loop {
            let any = self.fill_block()?;
            if self.ended {
                let notes = self.rows.notes();
                if let Some(tally) = &self.tally {
                    tally.note(notes);
                }
                self.check_end()?;
            }
            if !any {
                return Ok(super::Read::End);
            }
            let index = self.next;
            self.next += 1;
            if index < self.wanted {
                continue;
            }
            if let Some(tally) = &self.tally {
                tally.add(index, self.count);
            }
            frame.index = index;
            frame.time = self.every.map(|_| self.count.camera_frames as f64);
            frame.shape = self.info.shape;
            let mut map = match std::mem::take(&mut frame.pixels) {
                Pixels::F32(map) => map,
                _ => Vec::new(),
            };
            self.density.draw(&mut map);
            frame.pixels = Pixels::F32(map);
            return Ok(super::Read::Filled);
        }
    }

    /// Rows are counted all the same, and nothing is drawn of them.
    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        self.wanted = index;
        Ok(())
    }

    fn tally(&self) -> Option<Arc<Tally>> {
        self.tally.clone()
    }
}

/// Rows in memory.
#[derive(Default)]
struct Kept {
    rows: Arc<[Row]>,
    next: usize,
    notes: Vec<String>,
}

impl Rows for Kept {
    fn next(&mut self) -> Result<Option<Row>, SourceError> {
        let row = self.rows.get(self.next).copied();
        self.next += 1;
        Ok(row)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

/// The error for a text that is still being written: nobody knows how far its positions will reach.
pub(super) fn no_field_of_view(name: &str) -> SourceError {
    let got = "a table that is still being written, which does not say how large the field of view is";
    let expected = "it: the camera's pixels times their size, such as --region y=0um:54.8um,x=0um:54.8um";
    SourceError::misused(Place::whole(name), got, expected)
}

fn empty(name: &str) -> SourceError {
    SourceError::malformed(Place::whole(name), "a table without rows", "localisations")
}

/// How a map of `shape` is drawn, in words.
fn drawn([rows, columns]: [usize; 2], options: &OpenOptions) -> String {
    let blur = options.blur.as_ref().map_or(String::new(), |blur| format!(", blurred by a Gaussian of {blur}"));
    format!("drawn as {rows}x{columns} (y, x) pixels of {}{blur}", options.pixel_size)
}

/// The canonical unit of an option that must be a length.
fn length<'a>(step: &'a Step, what: &str, name: &str) -> Result<&'a str, SourceError> {
    match step.unit.as_deref() {
        Some(unit) if dimension(unit) == Ok(Dimension::Length) => Ok(unit),
        _ => Err(SourceError::misused(Place::whole(name), format!("a {what} of {step}"), "a length such as 50nm")),
    }
}
