//! The pipeline for images: source, queue, window, tiles, plans, stitched maps, sink.
//!
//! With several threads the maps of several windows are computed at the same time, each thread on a tile of its own:
//! that costs no work, where cutting a frame into more tiles costs their overlap. Only a recording of fewer maps than
//! threads is cut for the sake of threads. Maps are handed over in the order of their frames either way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::bind::{Feed, Givens, bind};
use super::capture::{Capture, Captured};
use super::engine::Planner;
use super::error::{BoxError, StreamError};
use super::jumps::Jumps;
use super::lanes::{Job, Lane, Lanes, Wake};
use super::levels::phase_levels;
use super::losses::Losses;
use super::mark::{Before, Mark, fingerprint};
use super::metrics::{Progress, Report, milliseconds};
use super::outliers::{Outliers, is_blank};
use super::queue::{Consumer, OnFull, Pop, bounded};
use super::tiles::{Tile, TileGrid};
use super::validity::Saturation;
use super::window::{Prepared, Window};
use crate::backend::Tiling;
use crate::model::Contract;
use crate::source::{Frame, FrameSource, Read};

/// How long the computing thread waits for a frame before it looks at the stop flag.
const PATIENCE: Duration = Duration::from_millis(100);

/// Bytes of frames, of four a pixel, that wait for the model where the source can wait as well, the one that is being read
/// among them. One always may.
const WAITING: usize = 16 << 20;

/// A frame may come again, or late, by up to this many indices: it is passed over. One further back is a recording that
/// has started anew, of which nothing must go by unnoticed.
const LATEST: u64 = 64;

/// How a stream of images is run.
#[derive(Clone, Debug)]
pub struct FieldOptions {
    /// What the user gave besides the recording.
    pub givens: Givens,
    /// Whether frames that carry a time of their own are taken at it, rather than at index times the time step.
    /// Off where the user states another step than the recording does.
    pub own_clock: bool,
    /// Threads that compute; each has its own plan, and with more than one as many maps are in work at the same time.
    pub threads: usize,
    /// Largest tile, (y, x) in pixels; `None` chooses.
    pub max_tile: Option<[usize; 2]>,
    /// Frames that the queue between source and model holds at most; fewer large ones where the source waits.
    pub queue: usize,
    /// What happens when it is full.
    pub on_full: OnFull,
    /// From which value on a pixel counts as saturated.
    pub saturation: Saturation,
    /// Whether pixels that stand out from all around them are left out.
    pub outliers: Outliers,
    /// Raised from outside (Ctrl-C) to end the stream after the map in hand.
    pub stop: Arc<AtomicBool>,
    /// What earlier streams of the same recording have done: this one goes on behind their last map.
    pub before: Before,
}

impl Default for FieldOptions {
    fn default() -> Self {
        Self {
            givens: Givens::default(),
            own_clock: true,
            threads: 1,
            max_tile: None,
            queue: 8,
            on_full: OnFull::Block,
            saturation: Saturation::Auto,
            outliers: Outliers::LeaveOut,
            stop: Arc::default(),
            before: Before::default(),
        }
    }
}

/// The maps of one window.
#[derive(Debug)]
pub struct Map<'a> {
    /// Index of the frame that the maps belong to.
    pub frame: u64,
    /// Its time since the recording's start, in the unit of the time step.
    pub time: f64,
    /// One map for each of the contract's outputs, axes (y, x), the recording's size.
    pub outputs: &'a [Array2<f32>],
    /// What the window's frames said of themselves as a whole.
    pub statistics: WindowStatistics,
    /// Where the stream stands.
    pub progress: Progress,
    /// What a later stream needs to go on behind this map.
    pub mark: &'a Mark,
}

/// Statistics of a window as the model was told them, unless the user gave the number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowStatistics {
    /// What was subtracted from the recording, in its values.
    pub offset: f64,
    /// Standard deviation of the reference frame's values, noise included.
    pub contrast: f64,
    /// Standard deviation of the white noise as estimated, in the recording's values.
    pub noise: f64,
    /// The values of the phases -1 and +1 as estimated, for models that take them.
    pub levels: Option<(f64, f64)>,
}

/// Where maps go.
pub trait MapSink {
    /// Take one window's maps; they are valid during the call.
    ///
    /// # Errors
    /// Whatever keeps the sink from taking them ends the stream.
    fn map(&mut self, map: &Map<'_>) -> Result<(), BoxError>;
}

impl<F: FnMut(&Map<'_>) -> Result<(), BoxError>> MapSink for F {
    fn map(&mut self, map: &Map<'_>) -> Result<(), BoxError> {
        self(map)
    }
}

/// Run every window of `source` through the model and hand the maps to `sink`, in the order of the frames.
///
/// The source is read on a thread of its own; everything else but the plans runs on the calling one. N frames and
/// a window of W give N - W + 1 maps when none is lost. With [`before`](FieldOptions::before) the source is that of
/// the earlier stream from its start; the maps that are there are not computed again, and those that follow are the
/// same bit for bit as without an interruption.
///
/// # Errors
/// The first thing that went wrong; maps handed over before are good.
pub fn run_fields(
    planner: &dyn Planner,
    mut source: Box<dyn FrameSource>,
    options: &FieldOptions,
    sink: &mut dyn MapSink,
) -> Result<Report, StreamError> {
    let info = source.info();
    let (name, shape, count) = (info.name.clone(), info.shape, info.count);
    let queue = match options.on_full {
        // Nothing is lost by reading later.
        OnFull::Block => (WAITING / (4 * shape[0] * shape[1]).max(1)).max(1).min(options.queue),
        OnFull::Fail | OnFull::DropOldest => options.queue,
    };
    let options = FieldOptions { queue, ..options.clone() };
    let (producer, consumer) = bounded(queue, options.on_full, Arc::clone(&options.stop));
    let mut pipeline = Pipeline::new(planner, name, shape, count, &consumer.waker(), options)?;
    pipeline.catch_up(source.as_mut())?;
    let capture = Capture::spawn(producer, move |frame: &mut Frame| source.read(frame))?;
    let result = pipeline.consume(consumer, sink);
    let captured = capture.finish();
    result?;
    captured?;
    Ok(pipeline.into_report())
}

/// Everything between the queue and the sink.
pub(super) struct Pipeline {
    options: FieldOptions,
    name: String,
    shape: [usize; 2],
    feeds: Arc<[Feed]>,
    /// Frames that fell out of the window; tiles may still be computed from them.
    fallen: Vec<Arc<Prepared>>,
    /// Frames that were taken in without the buffers of an older one.
    prepared: usize,
    grid: TileGrid,
    lanes: Lanes,
    window: Window,
    /// Maps in work, in the order of their frames, and how many were handed over before them.
    pending: VecDeque<Pending>,
    delivered: u64,
    /// Maps that may be in work at the same time.
    most_pending: usize,
    /// Buffers of maps that were handed over.
    spare: Vec<Vec<Array2<f32>>>,
    /// What each output is where nothing tells it.
    blank: Vec<f32>,
    times: Vec<f64>,
    /// Frames taken in from the source so far, lost ones since the last mark, and the one read while catching up.
    taken: u64,
    lost: Vec<(u64, u64)>,
    ahead: Option<Frame>,
    /// How long the newest frame waited in the queue, and handing over the last map took.
    waited: Duration,
    wrote: Duration,
    losses: Losses,
    jumps: Jumps,
    report: Report,
}

impl Pipeline {
    /// Bind the model to a recording's frames of `shape` (y, x), `count` of them where that is known, for messages
    /// called `name`. `wake` is that of the queue of frames.
    pub(super) fn new(
        planner: &dyn Planner,
        name: String,
        shape: [usize; 2],
        count: Option<u64>,
        wake: &Wake,
        options: FieldOptions,
    ) -> Result<Self, StreamError> {
        let contract = planner.contract();
        check(contract)?;
        let feeds: Arc<[Feed]> = bind(contract, &options.givens, Some(shape))?.into();
        let threads = options.threads.max(1);
        let few = count.is_some_and(|frames| frames < (contract.window + threads) as u64);
        let grid = match options.max_tile {
            Some(max) => TileGrid::new(shape, contract, Tiling { largest: max, ..planner.tiling() }),
            None => TileGrid::for_threads(shape, contract, planner.tiling(), if few { threads } else { 1 }),
        };
        let most_pending = if few { 1 } else { threads };
        let lanes = Lanes::new(planner, &grid.tile, threads.min(most_pending * grid.tiles.len()), wake, |lane| {
            lane.drawn.feeds = Arc::clone(&feeds);
            lane.drawn.columns = grid.tile[1];
            for (i, feed) in feeds.iter().enumerate() {
                match feed {
                    Feed::Number(v) => lane.input(i).fill(*v),
                    Feed::Spacing => copy_f32(&options.givens.spacing, lane.input(i)),
                    _ => {}
                }
            }
        })?;
        let report = Report {
            queue_capacity: options.queue.max(1),
            tile: grid.tile.to_vec(),
            tiles: grid.tiles.len(),
            computed_per_kept: lanes.computed() * (grid.tiles.len() * grid.tile[0] * grid.tile[1]) as f64
                / (shape[0] * shape[1]) as f64,
            banks_left_out: lanes.left_out().to_vec(),
            ..options.before.report.clone()
        };
        let blank = contract.outputs.iter().map(|o| if o.name == "support" { 0.0 } else { f32::NAN }).collect();
        Ok(Self {
            options,
            name,
            shape,
            feeds,
            fallen: Vec::new(),
            prepared: 0,
            grid,
            lanes,
            window: Window::new(contract.window, contract.delay),
            pending: VecDeque::new(),
            delivered: 0,
            most_pending,
            spare: Vec::new(),
            blank,
            times: Vec::new(),
            taken: 0,
            lost: Vec::new(),
            ahead: None,
            waited: Duration::ZERO,
            wrote: Duration::ZERO,
            losses: Losses::new(report.dropped_by_queue),
            jumps: Jumps::default(),
            report,
        })
    }

    /// Compute until the queue is closed, the stop flag is raised, or something goes wrong.
    pub(super) fn consume(
        &mut self,
        mut frames: Consumer<Captured<Frame>>,
        sink: &mut dyn MapSink,
    ) -> Result<(), StreamError> {
        let stop = Arc::clone(&self.options.stop);
        let stopped = || stop.load(Ordering::Acquire);
        let [read, dropped, passed_over] =
            [self.report.read, self.report.dropped_by_queue, self.report.windows_passed_over];
        let mut before = self.options.before.newest();
        // The frame read while catching up did not pass the queue.
        let aside = u64::from(self.ahead.is_some());
        while !stopped() {
            let full = self.pending.len() >= self.most_pending;
            self.collect(full && self.in_hand())?;
            self.deliver(&frames, sink)?;
            if self.pending.len() >= self.most_pending || stopped() {
                continue;
            }
            // Before the source is given room for another frame, for which it would take memory else.
            let fallen = self.window.make_room();
            self.fallen.extend(fallen);
            self.recycle(&mut frames);
            let captured = match self.ahead.take() {
                Some(item) => Captured { item, at: Instant::now() },
                None => match frames.pop(PATIENCE) {
                    Pop::Item(captured) => captured,
                    Pop::Empty => continue,
                    Pop::Closed => break,
                },
            };
            self.check_frame(&captured.item, before)?;
            self.waited = captured.at.elapsed();
            let index = captured.item.index;
            self.taken += 1;
            if before.is_some_and(|before| index <= before) {
                self.report.repeated += 1;
                tracing::debug!(frame = index, "frame again, or late: passed over");
                frames.recycle(captured);
                continue;
            }
            let first = before.map_or(0, |b| b + 1);
            if first < index {
                self.lose(first, index);
            }
            before = Some(index);
            self.report.dropped_by_queue = dropped + frames.dropped();
            self.losses.tell(self.report.dropped_by_queue, false);
            self.report.read = read + self.taken + frames.dropped();
            self.report.most_queued = self.report.most_queued.max(frames.depth() + 1);

            if self.tells_nothing(&captured.item) {
                self.report.blank_frames += 1;
                self.lose(index, index + 1);
                frames.recycle(captured);
                continue;
            }
            let husk = self.husk();
            let FieldOptions { saturation, outliers, .. } = self.options;
            self.window.push(captured.item, captured.at, saturation, outliers, husk);
            self.count_invalid();
            if let Some(index) = self.jumping() {
                self.report.jumps += 1;
                self.report.first_jump.get_or_insert(index);
            }
            if let Some(index) = self.copying() {
                self.report.copies += 1;
                self.report.first_copy.get_or_insert(index);
            }
            self.report.windows_passed_over = passed_over + self.window.passed_over();
            if self.window.complete() {
                self.compute()?;
            }
        }
        while !self.pending.is_empty() {
            self.collect(self.in_hand())?;
            self.deliver(&frames, sink)?;
        }
        self.report.interrupted = stopped();
        self.report.read = read + frames.read() + aside;
        self.report.dropped_by_queue = dropped + frames.dropped();
        self.losses.tell(self.report.dropped_by_queue, true);
        self.report.left_in_queue = frames.depth() as u64;
        Ok(())
    }

    /// A frame that fell out of the window and that no tile is computed from, for its buffers. Until there are as many as
    /// may ever be held at once none is given, so that later ones cost no memory, however the threads run.
    fn husk(&mut self) -> Option<Arc<Prepared>> {
        if self.prepared < self.window.size() + self.most_pending {
            self.prepared += 1;
            return None;
        }
        let free = self.fallen.iter().position(|old| Arc::strong_count(old) == 1)?;
        Some(self.fallen.swap_remove(free))
    }

    /// Give the source the buffers of frames from which nothing is computed any more.
    fn recycle(&mut self, frames: &mut Consumer<Captured<Frame>>) {
        for old in self.fallen.iter_mut().filter_map(Arc::get_mut).filter(|old| !old.frame.pixels.is_empty()) {
            frames.recycle(Captured { item: std::mem::take(&mut old.frame), at: old.arrived });
        }
    }

    /// Fill the window with the frames that an earlier stream had in it, and see whether they are the same.
    pub(super) fn catch_up(&mut self, source: &mut dyn FrameSource) -> Result<(), StreamError> {
        let Some(last) = self.options.before.last.clone() else { return Ok(()) };
        let (Some(&(oldest, _)), Some(&(newest, _))) = (last.window.first(), last.window.last()) else { return Ok(()) };
        source.skip_to(oldest)?;
        // Its frames that are still to come, oldest first.
        let mut left = last.window.as_slice();
        while !left.is_empty() {
            let mut frame = Frame::default();
            if source.read(&mut frame)? == Read::End {
                let got = "fewer frames".into();
                return Err(self.other_recording(got, format!("frames up to index {newest}")));
            }
            self.check_frame(&frame, None)?;
            let index = frame.index;
            if index < left[0].0 {
                continue;
            }
            // The oldest may have been taken away meanwhile, but none between others.
            let passed = left.iter().take_while(|(i, _)| *i < index).count();
            if passed > 0 && left.len() < last.window.len() {
                return Err(self.other_recording(format!("no frame {}", left[0].0), "it".into()));
            }
            left = &left[passed..];
            let Some((&(expected, print), rest)) = left.split_first().filter(|(next, _)| next.0 == index) else {
                if left.is_empty() {
                    self.ahead = Some(frame);
                    break;
                }
                continue;
            };
            left = rest;
            self.window.push(frame, Instant::now(), self.options.saturation, self.options.outliers, None);
            self.jumping();
            if self.window.frames().last().is_none_or(|p| fingerprint(&p.statistics) != print) {
                return Err(self.other_recording(format!("another frame {expected}"), "the same".into()));
            }
        }
        if !self.window.full() {
            // The maps that would have needed what is gone cannot be had.
            self.window.tear();
        }
        Ok(())
    }

    fn other_recording(&self, got: String, expected: String) -> StreamError {
        StreamError::OtherRecording { source_name: self.name.clone(), got, expected }
    }

    /// What happened so far.
    pub(super) fn into_report(self) -> Report {
        self.report
    }

    fn check_frame(&self, frame: &Frame, before: Option<u64>) -> Result<(), StreamError> {
        if frame.shape != self.shape || frame.pixels.len() != self.shape[0] * self.shape[1] {
            return Err(StreamError::FrameShape {
                source_name: self.name.clone(),
                index: frame.index,
                got: frame.shape,
                expected: self.shape,
            });
        }
        match before {
            Some(before) if frame.index.saturating_add(LATEST) < before => {
                Err(StreamError::Order { source_name: self.name.clone(), index: frame.index, before })
            }
            _ => Ok(()),
        }
    }

    /// Note that the frames from `first` on up to `end` are lost.
    fn lose(&mut self, first: u64, end: u64) {
        self.report.lost.add(first, end);
        self.lost.push((first, end));
        self.losses.add(first, end);
    }

    /// Whether a frame is as good as lost to a window of several: of one value, it would be taken for a change in time.
    fn tells_nothing(&self, frame: &Frame) -> bool {
        self.window.size() > 1 && is_blank(&frame.pixels)
    }

    /// The index of a frame whose brightness jumps, if the newest one shows it.
    fn jumping(&mut self) -> Option<u64> {
        let newest = self.window.frames().last().filter(|_| self.window.size() > 1)?;
        self.jumps.add(newest.frame.index, newest.statistics.offset, newest.statistics.contrast)
    }

    /// The index of the newest frame, if it is an exact copy of the one before: noise never gives the same frame twice.
    fn copying(&self) -> Option<u64> {
        let mut last_two = self.window.frames().skip(self.window.frames().count().checked_sub(2)?);
        let (old, new) = (last_two.next()?, last_two.next()?);
        // Most frames differ as a whole already.
        let alike = fingerprint(&new.statistics) == fingerprint(&old.statistics);
        (alike && new.frame.pixels == old.frame.pixels).then_some(new.frame.index)
    }

    fn count_invalid(&mut self) {
        if let Some(newest) = self.window.frames().last() {
            let invalid = newest.invalid.count() as u64;
            self.report.values += newest.frame.pixels.len() as u64;
            self.report.invalid_values += invalid;
            self.report.invalid_frames += u64::from(invalid > 0);
            let outlying = newest.invalid.outlying() as u64;
            self.report.outlying_values += outlying;
            self.report.outlying_frames += u64::from(outlying > 0);
            self.report.limited_frames += u64::from(newest.statistics.limit.is_some());
            self.report.limit = newest.statistics.limit.or(self.report.limit);
        }
    }

    /// Start the tiles of the window's map.
    fn compute(&mut self) -> Result<(), StreamError> {
        let start = Instant::now();
        let time = self.window.times(self.options.givens.time_step, self.options.own_clock, &mut self.times);
        let (Some(reference), Some(newest)) = (self.window.reference(), self.window.frames().last()) else {
            return Ok(());
        };
        let maps = self.spare.pop();
        let maps = maps.unwrap_or_else(|| self.blank.iter().map(|_| Array2::zeros(self.shape)).collect());
        let feeds = Arc::clone(&self.feeds);
        let told = Told::new(&self.window, reference, &feeds);
        let mark = Mark {
            window: self.window.frames().map(|p| (p.frame.index, fingerprint(&p.statistics))).collect(),
            statistics: told.statistics,
            uniform: told.uniform,
            lost: std::mem::take(&mut self.lost),
            read: self.report.read,
            dropped_by_queue: self.report.dropped_by_queue,
            windows_passed_over: self.report.windows_passed_over,
            repeated: self.report.repeated,
            invalid_frames: self.report.invalid_frames,
            invalid_values: self.report.invalid_values,
            outlying_frames: self.report.outlying_frames,
            outlying_values: self.report.outlying_values,
            blank_frames: self.report.blank_frames,
            jumps: self.report.jumps,
            first_jump: self.report.first_jump,
            copies: self.report.copies,
            first_copy: self.report.first_copy,
            values: self.report.values,
        };
        self.pending.push_back(Pending {
            frame: reference.frame.index,
            time,
            arrived: newest.arrived,
            waited: self.waited,
            start,
            took: None,
            mark,
            left: if told.uniform { 0 } else { self.grid.tiles.len() },
            failure: None,
            maps,
        });
        if told.uniform {
            self.finish_uniform();
            return Ok(());
        }
        let map = self.delivered + self.pending.len() as u64 - 1;
        for tile in 0..self.grid.tiles.len() {
            let mut lane = loop {
                match self.lanes.idle() {
                    Some(lane) => break lane,
                    None => self.collect(true)?,
                }
            };
            told.fill(&self.times, &feeds, &mut lane);
            lane.drawn.frames.extend(self.window.frames().map(Arc::clone));
            lane.drawn.offset = told.statistics.offset;
            lane.drawn.origin = self.grid.tiles[tile].origin;
            lane.job = Job { map, tile };
            if self.grid.is_whole()
                && let Some(pending) = self.pending.back_mut()
            {
                lane.lend(std::mem::take(&mut pending.maps));
            }
            self.lanes.start(lane)?;
        }
        Ok(())
    }

    /// A map of one density has no phases: no value, no support.
    fn finish_uniform(&mut self) {
        if let Some(map) = self.pending.back_mut() {
            map.maps.iter_mut().zip(&self.blank).for_each(|(map, value)| map.fill(*value));
            map.took = Some(map.start.elapsed());
        }
    }

    /// Whether the oldest map has tiles that are not done.
    fn in_hand(&self) -> bool {
        self.pending.front().is_some_and(|map| map.left > 0)
    }

    /// Take in the tiles that are done; `wait` waits for one first, of which some must be running.
    fn collect(&mut self, mut wait: bool) -> Result<(), StreamError> {
        while let Some((mut lane, result)) = self.lanes.take(wait)? {
            wait = false;
            let Job { map, tile } = lane.job;
            let Some(map) = self.pending.get_mut((map - self.delivered) as usize) else { continue };
            if self.grid.is_whole() {
                map.maps = lane.give_back();
            }
            match result {
                Ok(()) if self.grid.is_whole() => {}
                Ok(()) => stitch(&self.grid.tiles[tile], self.grid.tile, &lane, &mut map.maps),
                Err(e) => map.failure = map.failure.take().or(Some(e)),
            }
            map.left -= 1;
            if map.left == 0 {
                map.took = Some(map.start.elapsed());
            }
            self.lanes.put_back(lane);
        }
        Ok(())
    }

    /// Hand over the maps that are complete and have none before them that is not.
    fn deliver(&mut self, frames: &Consumer<Captured<Frame>>, sink: &mut dyn MapSink) -> Result<(), StreamError> {
        while !self.pending.is_empty() && !self.in_hand() {
            let Some(map) = self.pending.pop_front() else { break };
            self.delivered += 1;
            if let Some(failure) = map.failure {
                return Err(failure);
            }
            let report = &mut self.report;
            let took = map.took.unwrap_or_default();
            report.queueing.add(map.waited);
            report.compute.add(took);
            report.computed += 1;
            report.noise_sum += map.mark.statistics.noise;
            report.contrast_sum += map.mark.statistics.contrast;
            report.uniform_maps += u64::from(map.mark.uniform);
            let progress = Progress {
                read: frames.read(),
                computed: report.computed,
                lost: report.lost.count,
                dropped_by_queue: report.dropped_by_queue,
                repeated: report.repeated,
                windows_passed_over: report.windows_passed_over,
                queued: frames.depth(),
                latency_ms: milliseconds(map.arrived.elapsed()),
                queue_ms: milliseconds(map.waited),
                compute_ms: milliseconds(took),
                write_ms: milliseconds(self.wrote),
            };
            let (frame, time, statistics) = (map.frame, map.time, map.mark.statistics);
            let given = Map { frame, time, outputs: &map.maps, statistics, progress, mark: &map.mark };
            let start = Instant::now();
            sink.map(&given).map_err(StreamError::Sink)?;
            self.wrote = start.elapsed();
            report.writing.add(self.wrote);
            report.latency.add(map.arrived.elapsed());
            tracing::debug!(
                frame,
                time,
                queued = progress.queued,
                latency_ms = milliseconds(map.arrived.elapsed()),
                queue_ms = progress.queue_ms,
                compute_ms = progress.compute_ms,
                write_ms = milliseconds(self.wrote),
                "map"
            );
            self.spare.push(map.maps);
        }
        Ok(())
    }
}

/// A map in work.
struct Pending {
    frame: u64,
    time: f64,
    arrived: Instant,
    /// How long its newest frame waited in the queue.
    waited: Duration,
    start: Instant,
    /// From the start to the last tile.
    took: Option<Duration>,
    mark: Mark,
    /// Tiles that are not done.
    left: usize,
    failure: Option<StreamError>,
    maps: Vec<Array2<f32>>,
}

fn check(contract: &Contract) -> Result<(), StreamError> {
    let wrong = |got: String, expected: &str| StreamError::Contract { got, expected: expected.into() };
    if contract.window == 0 || contract.delay >= contract.window {
        let got = format!("window {}, delay {}", contract.window, contract.delay);
        return Err(wrong(got, "a window of at least 1 and a delay below it"));
    }
    if contract.outputs.is_empty() {
        return Err(wrong("no outputs".into(), "at least one"));
    }
    Ok(())
}

/// What the model is told of a window as a whole.
struct Told {
    statistics: WindowStatistics,
    /// Whether the frame shows no two phases although the model asks for them.
    uniform: bool,
}

impl Told {
    fn new(window: &Window, reference: &Prepared, feeds: &[Feed]) -> Self {
        // Subtracted from every model's recording: one that has no input for it does not depend on it.
        let given = feeds.iter().find_map(|f| if let Feed::Offset(given) = f { *given } else { None });
        let offset = given.unwrap_or(reference.statistics.offset);
        let (sum, count) = window.frames().fold((0.0, 0.0), |(s, n), p| (s + p.statistics.noise, n + 1.0));
        let wanted = feeds.iter().any(|f| matches!(f, Feed::PhiLow | Feed::PhiHigh));
        let levels = wanted.then(|| phase_levels(&reference.frame, &reference.invalid, &mut Vec::new()));
        let uniform = wanted && levels.flatten().is_none();
        let levels = levels.flatten();
        // The offset is rounded first, so that what is subtracted here is exactly what the graph is told.
        let statistics = WindowStatistics {
            offset: f64::from(offset as f32),
            contrast: reference.statistics.contrast,
            noise: sum / count,
            levels,
        };
        Self { statistics, uniform }
    }

    /// Fill in those of a lane's inputs that are no maps.
    fn fill(&self, times: &[f64], feeds: &[Feed], lane: &mut Lane) {
        for (i, feed) in feeds.iter().enumerate() {
            let out = lane.input(i);
            match feed {
                Feed::Time => copy_f32(times, out),
                Feed::Noise => out.fill(self.statistics.noise as f32),
                Feed::Offset(_) => out.fill(self.statistics.offset as f32),
                Feed::PhiLow => out.fill(self.statistics.levels.unwrap_or_default().0 as f32),
                Feed::PhiHigh => out.fill(self.statistics.levels.unwrap_or_default().1 as f32),
                // Written once, when the lane was made, and drawn while it runs.
                Feed::Number(_) | Feed::Spacing | Feed::Recording | Feed::Valid | Feed::Field(_) => {}
            }
        }
    }
}

fn copy_f32(values: &[f64], out: &mut [f32]) {
    out.iter_mut().zip(values).for_each(|(o, v)| *o = *v as f32);
}

/// Copy what is kept of a tile's outputs to its place in the maps.
fn stitch(tile: &Tile, shape: [usize; 2], lane: &Lane, maps: &mut [Array2<f32>]) {
    let [rows, columns] = &tile.keep;
    for (k, map) in maps.iter_mut().enumerate() {
        let output = lane.output(k);
        let width = map.ncols();
        let map = map.as_slice_mut().expect("allocated in standard layout");
        for r in rows.clone() {
            let from = (r - tile.origin[0]) * shape[1] + columns.start - tile.origin[1];
            map[r * width + columns.start..r * width + columns.end]
                .copy_from_slice(&output[from..from + columns.len()]);
        }
    }
}
