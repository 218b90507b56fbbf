//! The pipeline for signals: source, queue, blocks with one-sided ends, plan, sink. Each channel by itself.
//!
//! Blocks lie on a fixed grid of sample indices, whatever the blocks of the source: a tile of `reach + hop + delay`
//! samples ends at every multiple of `hop` from the first full one on, and gives out the samples that are older
//! than the delay. So the result cannot depend on how the samples arrived. At the end one last tile, one-sided at
//! the recording's end, gives out the rest; a series shorter than a tile gets a plan of its own length.
//!
//! A [live](SeriesOptions::live) series does not wait for a tile to fill: where no more samples wait, short tiles in
//! between give out what is older than the delay. A sample's outputs are the same in whichever tile it lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::bind::{Feed, Givens, bind};
use super::capture::{Capture, Captured};
use super::channel::{Channel, NOISE_BLOCK, NOISE_FEWEST, NOISE_STEP};
use super::engine::Planner;
use super::error::{BoxError, StreamError};
use super::lanes::Lane;
use super::losses::Losses;
use super::mark::{SampleMark, mix};
use super::metrics::{Progress, Report, Stuck, milliseconds};
use super::outliers::Outliers;
use super::queue::{Consumer, OnFull, Pop, bounded};
use crate::source::{Read, SampleSource, Samples};

/// How long the computing thread waits for samples before it looks at the stop flag.
const PATIENCE: Duration = Duration::from_millis(100);
/// Samples that a short tile of a live series gives out, and how long after the last block at the earliest: each
/// block is a line in the journal.
const SHORT_HOP: usize = 8;
const BRIEFEST: Duration = Duration::from_millis(50);
/// Samples after which no channel finds one to stand out any more.
const OUTLYING_KNOWN: u64 = 64;
/// Longest gap that is filled with missing samples.
const LONGEST_GAP: u64 = 10_000_000;

/// How a stream of samples is run.
#[derive(Clone, Debug)]
pub struct SeriesOptions {
    /// What the user gave besides the recording.
    pub givens: Givens,
    /// Samples given out at a time: the lag of an output is at most the delay plus this, where the series is not
    /// [`live`](Self::live).
    pub hop: usize,
    /// Give every sample out as soon as it is older than the delay and no more samples wait, at most 20 times a second.
    /// On our own operators the outputs are the same, bit for bit.
    pub live: bool,
    /// Blocks that the queue between source and model holds.
    pub queue: usize,
    /// What happens when it is full.
    pub on_full: OnFull,
    /// Whether samples that stand out from those around them are left out.
    pub outliers: Outliers,
    /// Raised from outside (Ctrl-C) to end the stream; the samples received until then are still given out.
    pub stop: Arc<AtomicBool>,
    /// The last mark of an earlier stream of the same recording: this one goes on behind it.
    pub before: Option<SampleMark>,
}

impl Default for SeriesOptions {
    fn default() -> Self {
        Self {
            givens: Givens { spacing: vec![1.0], ..Givens::default() },
            hop: 256,
            live: false,
            queue: 64,
            on_full: OnFull::Block,
            outliers: Outliers::LeaveOut,
            stop: Arc::default(),
            before: None,
        }
    }
}

/// Consecutive samples of all outputs.
#[derive(Debug)]
pub struct SampleBlock<'a> {
    /// Index of the first sample.
    pub first: u64,
    /// One array for each of the contract's outputs, axes (channel, sample).
    pub outputs: &'a [Array2<f32>],
    /// Where the stream stands.
    pub progress: Progress,
    /// What a later stream needs to go on behind this block; `None` at the end, where samples are computed one-sided
    /// that would be computed otherwise with more behind them.
    pub mark: Option<SampleMark>,
}

/// Where samples go.
pub trait SampleSink {
    /// Take one block; blocks come in order and without gaps.
    ///
    /// # Errors
    /// Whatever keeps the sink from taking it ends the stream.
    fn block(&mut self, block: &SampleBlock<'_>) -> Result<(), BoxError>;
}

impl<F: FnMut(&SampleBlock<'_>) -> Result<(), BoxError>> SampleSink for F {
    fn block(&mut self, block: &SampleBlock<'_>) -> Result<(), BoxError> {
        self(block)
    }
}

/// Run `source` through the model and hand one output sample for each input sample to `sink`.
///
/// With [`before`](SeriesOptions::before) the source is that of the earlier stream from its start: it is read again,
/// nothing is computed again, and what follows is the same bit for bit as without an interruption.
///
/// # Errors
/// The first thing that went wrong; blocks handed over before are good.
pub fn run_series(
    planner: &dyn Planner,
    mut source: Box<dyn SampleSource>,
    options: &SeriesOptions,
    sink: &mut dyn SampleSink,
) -> Result<Report, StreamError> {
    let info = source.info();
    let (name, channels) = (info.name.clone(), info.channels.len().max(1));
    let mut pipeline = Pipeline::new(planner, name, channels, options)?;
    let (producer, consumer) = bounded(options.queue, options.on_full, Arc::clone(&options.stop));
    pipeline.catch_up(source.as_mut(), sink)?;
    let capture = Capture::spawn(producer, move |block: &mut Samples| source.read(block))?;
    let result = pipeline.consume(consumer, sink);
    // A source that fails after a few samples is why they are too few.
    capture.finish().and(result)?;
    Ok(pipeline.into_report())
}

struct Pipeline<'a> {
    planner: &'a dyn Planner,
    options: &'a SeriesOptions,
    name: String,
    feeds: Vec<Feed>,
    channels: Vec<Channel>,
    lane: Option<Lane>,
    /// The short tile of a live series, and when the last block was given out.
    short: Option<Lane>,
    given_at: Option<Instant>,
    /// Samples of a tile; samples that its outputs need to the left; samples that an output lags.
    tile: usize,
    reach: usize,
    /// How many samples behind a sample's own its noise is estimated from: as many as the widest bank needs. What an
    /// output weighs by the noise around it lies within the rest of its reach, so that it never needs more samples
    /// than the delay.
    ahead: usize,
    /// The fewest samples that a tile may have.
    fewest: usize,
    delay: usize,
    hop: usize,
    align: usize,
    received: u64,
    given_out: u64,
    next_end: u64,
    /// First sample behind the last gap, and the hash of all from there on.
    hashed_from: u64,
    hash: u64,
    /// How long the newest block waited in the queue, and handing over the last one took.
    waited: Duration,
    wrote: Duration,
    losses: Losses,
    /// The newest samples that stood out in any channel.
    outlying: Vec<u64>,
    report: Report,
}

impl<'a> Pipeline<'a> {
    fn new(
        planner: &'a dyn Planner,
        name: String,
        channels: usize,
        options: &'a SeriesOptions,
    ) -> Result<Self, StreamError> {
        let contract = planner.contract();
        let feeds = bind(contract, &options.givens, None)?;
        if let Some(i) = feeds.iter().position(|f| matches!(f, Feed::PhiLow | Feed::PhiHigh)) {
            let got = format!("input {} of a model for series", contract.inputs[i].name);
            let expected = "phase levels for images only".into();
            return Err(StreamError::Contract { got, expected });
        }
        let first = |values: &[usize]| values.first().copied().unwrap_or(0);
        let reach = first(&contract.halo);
        let delay = contract.delay.max(reach);
        let align = first(&contract.alignment).max(1);
        let radii = contract.banks.iter().flat_map(|bank| &bank.radius);
        let ahead = radii.copied().max().unwrap_or(0).min(delay);
        let hop = options.hop.max(1).next_multiple_of(align);
        let fewest = first(&contract.min_size).max(NOISE_FEWEST as usize);
        let tile = (reach + hop + delay).max(fewest).next_multiple_of(align);
        let report = Report {
            queue_capacity: options.queue.max(1),
            tile: vec![tile],
            tiles: 1,
            computed_per_kept: tile as f64 / (tile - reach - delay) as f64,
            ..Report::default()
        };
        let channels = (0..channels).map(|_| Channel::new(options.outliers)).collect();
        Ok(Self {
            planner,
            options,
            name,
            feeds,
            channels,
            lane: None,
            short: None,
            given_at: None,
            tile,
            reach,
            ahead,
            fewest,
            delay,
            hop,
            align,
            received: 0,
            given_out: 0,
            next_end: tile as u64,
            hashed_from: 0,
            hash: 0,
            waited: Duration::ZERO,
            wrote: Duration::ZERO,
            losses: Losses::new(0),
            outlying: Vec::new(),
            report,
        })
    }

    fn consume(
        &mut self,
        mut blocks: Consumer<Captured<Samples>>,
        sink: &mut dyn SampleSink,
    ) -> Result<(), StreamError> {
        let stop = Arc::clone(&self.options.stop);
        let mut arrived = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let captured = match blocks.pop(if self.options.live { BRIEFEST } else { PATIENCE }) {
                Pop::Item(captured) => captured,
                Pop::Empty => {
                    self.give_out_early(arrived, sink)?;
                    continue;
                }
                Pop::Closed => break,
            };
            arrived = captured.at;
            self.waited = arrived.elapsed();
            self.report.most_queued = self.report.most_queued.max(blocks.depth() + 1);
            let queued = blocks.depth();
            self.take_in(&captured.item, &mut |p| p.advance(queued, arrived, sink))?;
            blocks.recycle(captured);
            if queued == 0 {
                self.give_out_early(arrived, sink)?;
            }
        }
        self.report.interrupted = stop.load(Ordering::Acquire);
        self.report.dropped_by_queue = blocks.dropped();
        self.report.left_in_queue = blocks.depth() as u64;
        self.losses.tell(self.report.dropped_by_queue, true);
        self.flush(blocks.depth(), arrived, sink)
    }

    /// Read on to where an earlier stream stood, and see whether the samples are the same.
    fn catch_up(&mut self, source: &mut dyn SampleSource, sink: &mut dyn SampleSink) -> Result<(), StreamError> {
        let Some(before) = self.options.before else { return Ok(()) };
        let mut block = Samples::default();
        let other = |p: &Self, got: String, expected: String| StreamError::OtherRecording {
            source_name: p.name.clone(),
            got,
            expected,
        };
        while self.received < before.received {
            if source.read(&mut block)? == Read::End {
                let expected = format!("at least {}", before.received);
                return Err(other(self, format!("{} samples", self.received), expected));
            }
            self.take_in(&block, &mut |p| {
                if p.received == before.received && p.hash != before.hash {
                    let got = format!("other values in samples {} to {}", before.hashed_from, before.received - 1);
                    return Err(other(p, got, "the same".into()));
                }
                p.advance(0, Instant::now(), sink)
            })?;
        }
        Ok(())
    }

    /// Append a block sample by sample, so that `advance` sees every tile's end whatever the block's length.
    fn take_in(
        &mut self,
        block: &Samples,
        advance: &mut dyn FnMut(&mut Self) -> Result<(), StreamError>,
    ) -> Result<(), StreamError> {
        let count = self.channels.len();
        let wrong = |p: &Self, got: String, expected: String| StreamError::Block {
            source_name: p.name.clone(),
            index: block.first,
            got,
            expected,
        };
        if block.channels != count || !block.values.len().is_multiple_of(count) {
            let got = format!("{} values of {} channels", block.values.len(), block.channels);
            return Err(wrong(self, got, format!("{count} channels as in the samples before")));
        }
        if block.first < self.received {
            return Err(StreamError::Order {
                source_name: self.name.clone(),
                index: block.first,
                before: self.received.saturating_sub(1),
            });
        }
        let gap = block.first - self.received;
        if gap > LONGEST_GAP {
            let got = format!("{gap} lost samples before it");
            return Err(wrong(self, got, format!("at most {LONGEST_GAP}")));
        }
        if gap > 0 {
            self.report.lost.add(self.received, block.first);
            self.losses.add(self.received, block.first);
        }
        self.losses.tell(self.report.dropped_by_queue, false);
        let missing = vec![f64::NAN; count];
        for _ in 0..gap {
            self.append(&missing);
            (self.hashed_from, self.hash) = (self.received, 0);
            advance(self)?;
        }
        for sample in block.values.chunks_exact(count) {
            self.report.read += 1;
            self.append(sample);
            advance(self)?;
        }
        Ok(())
    }

    fn append(&mut self, sample: &[f64]) {
        let mut invalid = 0;
        let first_new = self.outlying.len();
        for (channel, &value) in self.channels.iter_mut().zip(sample) {
            invalid += u64::from(!value.is_finite() || value.abs() > f64::from(f32::MAX));
            channel.push(value, &mut self.outlying);
        }
        self.count_outlying(first_new);
        // Hashed from where the earlier stream did: what it lost before that is no matter.
        if self.options.before.is_some_and(|before| self.received == before.hashed_from) {
            (self.hashed_from, self.hash) = (self.received, 0);
        }
        self.hash = sample.iter().fold(self.hash, |hash, v| mix(hash, v.to_bits()));
        self.received += 1;
        self.report.values += sample.len() as u64;
        self.report.invalid_values += invalid;
        self.report.invalid_frames += u64::from(invalid > 0);
    }

    /// Count what has just been found to stand out, from the entry `first_new` on.
    fn count_outlying(&mut self, first_new: usize) {
        let found = self.outlying.len() - first_new;
        if found == 0 {
            return;
        }
        self.report.outlying_values += found as u64;
        self.report.invalid_values += found as u64;
        let (known, new) = self.outlying.split_at(first_new);
        let mut new = new.to_vec();
        new.sort_unstable();
        new.dedup();
        let samples = new.iter().filter(|i| !known.contains(i)).count() as u64;
        self.report.outlying_frames += samples;
        self.report.invalid_frames += samples;
        // Another channel may find the same sample a little later.
        let old = self.received.saturating_sub(OUTLYING_KNOWN);
        self.outlying.retain(|i| *i >= old);
    }

    fn advance(&mut self, queued: usize, arrived: Instant, sink: &mut dyn SampleSink) -> Result<(), StreamError> {
        if self.received < self.next_end || !self.is_settled(self.next_end) {
            return Ok(());
        }
        self.next_tile(queued, arrived, sink)
    }

    /// Whether the samples before `end` are what they will be with more samples in.
    fn is_settled(&self, end: u64) -> bool {
        self.channels.iter().all(|channel| channel.is_settled(end))
    }

    fn next_tile(&mut self, queued: usize, arrived: Instant, sink: &mut dyn SampleSink) -> Result<(), StreamError> {
        let mut lane = match self.lane.take() {
            Some(lane) => lane,
            None => self.bind(self.tile)?,
        };
        let first = self.next_end - self.tile as u64;
        let until = self.next_end - self.delay as u64;
        self.compute(&mut lane, first, self.next_end, until, queued, arrived, sink)?;
        self.lane = Some(lane);
        self.next_end += self.hop as u64;

        // The last tile may start up to a hop before the next one would, and its noise reaches a block further back.
        let back = (self.tile + self.hop + self.align) as u64 + NOISE_BLOCK + NOISE_STEP;
        let needed = self.next_end.saturating_sub(back);
        let slack = self.tile as u64 + NOISE_BLOCK;
        for channel in &mut self.channels {
            if needed > channel.base + slack {
                channel.forget(needed);
            }
        }
        Ok(())
    }

    /// Give out what is older than the delay although the next tile is not full yet.
    fn give_out_early(&mut self, arrived: Instant, sink: &mut dyn SampleSink) -> Result<(), StreamError> {
        let (delay, align) = (self.delay as u64, self.align as u64);
        let len = (self.reach + SHORT_HOP + self.delay).max(self.fewest).next_multiple_of(self.align);
        if !self.options.live || self.given_at.is_some_and(|at| at.elapsed() < BRIEFEST) || len >= self.tile {
            return Ok(());
        }
        if self.received < len as u64 {
            // A tile from the start on, as long as it is by now: a plan of its own each time, while there are few.
            let end = self.received / align * align;
            if end >= self.fewest as u64 && end > self.given_out + delay && self.is_settled(end) {
                let mut lane = self.bind(end as usize)?;
                self.compute(&mut lane, 0, end, end - delay, 0, arrived, sink)?;
            }
            return Ok(());
        }
        loop {
            let end = self.received.min(self.given_out + SHORT_HOP as u64 + delay).max(len as u64) / align * align;
            if end > self.received || end <= self.given_out + delay || !self.is_settled(end) {
                return Ok(());
            }
            let mut lane = match self.short.take() {
                Some(lane) => lane,
                None => self.bind(len)?,
            };
            self.compute(&mut lane, end - len as u64, end, end - delay, 0, arrived, sink)?;
            self.short = Some(lane);
        }
    }

    /// What was counted, with noise and standard deviation of the channel whose noise is strongest against its signal.
    fn into_report(mut self) -> Report {
        let told = self.channels.iter_mut().filter_map(Channel::told);
        let worst = told.max_by(|a, b| (a.0 * b.1).total_cmp(&(b.0 * a.1)));
        let radii = self.planner.contract().banks.iter().flat_map(|bank| &bank.radius);
        let least = 2 * radii.copied().max().unwrap_or(0) as u64 + 1;
        let several = self.channels.len() > 1;
        let runs = self.channels.iter().enumerate();
        let stuck = runs.filter_map(|(channel, c)| {
            let (first, samples) = c.stuck(least)?;
            Some(Stuck { channel: several.then_some(channel), first, samples })
        });
        let mut report = self.report;
        report.stuck = stuck.max_by_key(|s| s.samples);
        if let Some((noise, deviation, rounding)) = worst {
            report.rounding = rounding;
            report.noise_sum = noise * report.computed as f64;
            report.contrast_sum = deviation * report.computed as f64;
        }
        report
    }

    /// Give out what is left when no more samples come.
    fn flush(&mut self, queued: usize, arrived: Instant, sink: &mut dyn SampleSink) -> Result<(), StreamError> {
        if self.received >= self.next_end {
            self.next_tile(queued, arrived, sink)?;
        }
        let end = self.received;
        if self.given_out >= end {
            return Ok(());
        }
        let first = end.saturating_sub(self.tile as u64) / self.align as u64 * self.align as u64;
        let len = (end - first) as usize;
        let mut lane = match self.lane.take() {
            Some(lane) if len == self.tile => lane,
            _ => self.bind(len)?,
        };
        self.compute(&mut lane, first, end, end, queued, arrived, sink)
    }

    fn bind(&mut self, len: usize) -> Result<Lane, StreamError> {
        let mut lane = Lane::new(self.planner, &[len])?;
        for (i, feed) in self.feeds.iter().enumerate() {
            match feed {
                Feed::Number(v) => lane.input(i).fill(*v),
                Feed::Spacing => {
                    let step = self.options.givens.spacing.first().copied().unwrap_or(1.0);
                    lane.input(i).fill(step as f32);
                }
                _ => {}
            }
        }
        self.report.banks_left_out = lane.left_out().to_vec();
        Ok(lane)
    }

    /// Compute the tile `first..end` of every channel and hand over its outputs from what was given out to `until`.
    #[expect(clippy::too_many_arguments, reason = "one call's whole context, named at the two places of use")]
    fn compute(
        &mut self,
        lane: &mut Lane,
        first: u64,
        end: u64,
        until: u64,
        queued: usize,
        arrived: Instant,
        sink: &mut dyn SampleSink,
    ) -> Result<(), StreamError> {
        if let Some(before) = self.options.before {
            if until <= before.given_out {
                self.given_out = until;
                return Ok(());
            }
            // A live series may have ended between two tiles.
            self.given_out = self.given_out.max(before.given_out);
        }
        let start = Instant::now();
        let keep = (self.given_out - first) as usize..(until - first) as usize;
        let outputs = self.planner.contract().outputs.len();
        let mut given = vec![Array2::zeros((self.channels.len(), keep.len())); outputs];
        for (c, channel) in self.channels.iter_mut().enumerate() {
            fill(&self.feeds, channel, lane, first, end, self.given_out, self.ahead as u64);
            lane.run()?;
            for (k, out) in given.iter_mut().enumerate() {
                out.row_mut(c).iter_mut().zip(&lane.output(k)[keep.clone()]).for_each(|(o, v)| *o = *v);
            }
        }
        let compute = start.elapsed();
        self.report.queueing.add(self.waited);
        self.report.compute.add(compute);
        let from = self.given_out;
        self.given_out = until;
        self.report.computed = until;
        let progress = Progress {
            read: self.report.read,
            computed: until,
            lost: self.report.lost.count,
            dropped_by_queue: self.report.dropped_by_queue,
            repeated: 0,
            windows_passed_over: 0,
            queued,
            latency_ms: milliseconds(arrived.elapsed()),
            queue_ms: milliseconds(self.waited),
            compute_ms: milliseconds(compute),
            write_ms: milliseconds(self.wrote),
        };
        let mark =
            SampleMark { given_out: until, received: self.received, hashed_from: self.hashed_from, hash: self.hash };
        // At the end samples are given out that are no older than the delay, or fill others from one side.
        let mark = (until + self.delay as u64 == end && self.is_settled(end)).then_some(mark);
        let block = SampleBlock { first: from, outputs: &given, progress, mark };
        let start = Instant::now();
        sink.block(&block).map_err(StreamError::Sink)?;
        self.wrote = start.elapsed();
        self.report.writing.add(self.wrote);
        self.given_at = Some(Instant::now());
        self.report.latency.add(arrived.elapsed());
        Ok(())
    }
}

/// Fill the inputs of a lane with the samples `first..end` of one channel; `from` is the first sample given out.
fn fill(feeds: &[Feed], channel: &mut Channel, lane: &mut Lane, first: u64, end: u64, from: u64, ahead: u64) {
    // Subtracted for every model: one that has no input for it does not depend on it.
    let given = feeds.iter().find_map(|f| if let Feed::Offset(given) = f { *given } else { None });
    let offset = given.map(|o| f64::from(o as f32)).or(channel.offset).unwrap_or(0.0);
    for (i, feed) in feeds.iter().enumerate() {
        let out = lane.input(i);
        match feed {
            Feed::Recording => channel.copy(first, end, offset, out),
            Feed::Valid => {
                let values = &channel.values[channel.at(first)..channel.at(end)];
                out.iter_mut().zip(values).for_each(|(o, v)| *o = f32::from(u8::from(v.is_finite())));
            }
            // A scalar noise is that of the first sample given out.
            Feed::Noise if out.len() == 1 => out[0] = channel.noise(from, ahead, end) as f32,
            Feed::Noise => {
                for (j, o) in (first..end).zip(out) {
                    *o = channel.noise(j, ahead, end) as f32;
                }
            }
            Feed::Offset(_) => out.fill(offset as f32),
            Feed::Time => out.fill(0.0),
            Feed::Number(_) | Feed::Spacing | Feed::Field(_) | Feed::PhiLow | Feed::PhiHigh => {}
        }
    }
}
