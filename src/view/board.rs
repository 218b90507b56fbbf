//! What the page shows: the newest of everything.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::probe::Probes;
use super::slot::{Slot, locked};
use super::trace::{Line, Trace};
use crate::source::{Faults, Frame, Samples};
use crate::stream::{Map, SampleBlock};
use crate::units::Spacing;

/// How long a picture stays at least: more a second than a screen shows are not drawn.
const BRIEFEST: Duration = Duration::from_millis(30);
/// Channels of a series that are shown.
const CHANNELS: usize = 4;
/// And where no page is open: one that opens finds something at once.
const UNSEEN: Duration = Duration::from_millis(500);

/// One output of the model, in words.
#[derive(Clone, Debug, Serialize)]
pub struct AboutOutput {
    /// `lambda`.
    pub name: String,
    /// `diffusivity`.
    pub quantity: String,
    /// Its unit as it is written for people; empty for pure numbers.
    pub unit: String,
    /// Whether its values are shown on a logarithmic scale.
    pub log_scale: bool,
}

/// What is shown, in words.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// Name of the model.
    pub model: String,
    /// Its equation.
    pub equation: String,
    /// What the run reads.
    pub input: String,
    /// Unit of the recording's values; empty where none was stated.
    pub input_unit: String,
    /// Rows and columns of frames and maps; of a series nothing.
    pub shape: [usize; 2],
    /// Channels of a series; of images none.
    pub channels: Vec<String>,
    /// Samples that a series' values lag.
    pub delay: usize,
    /// Pixel size and time step.
    pub spacing: Spacing,
    /// The outputs in the contract's order.
    pub outputs: Vec<AboutOutput>,
    /// Maps (samples) that will come, where that is known.
    pub maps: Option<u64>,
}

/// Where the stream stands, for the page.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Status {
    /// Maps so far.
    pub(super) number: u64,
    frame: u64,
    time: f64,
    read: u64,
    lost: u64,
    queued: usize,
    latency_ms: f64,
    compute_ms: f64,
    noise: Option<f64>,
    /// `waiting` for the first map, `running`, `ended`.
    state: &'static str,
    message: String,
    /// What a live series went through, by name.
    faults: Vec<(&'static str, u64)>,
}

/// Values of one moment.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) number: u64,
    pub(super) frame: u64,
    pub(super) time: Option<f64>,
    pub(super) maps: Vec<Vec<f32>>,
}

/// What the page shows.
#[derive(Debug)]
pub struct Board {
    pub(super) about: About,
    pub(super) maps: Slot<Picture>,
    pub(super) input: Slot<Picture>,
    /// Of a series: the channels of the input, then those of each output.
    pub(super) trace: Mutex<Trace>,
    faults: OnceLock<Arc<Faults>>,
    pub(super) probes: Mutex<Probes>,
    pub(super) status: watch::Sender<Status>,
    pub(super) metrics: Metrics,
    maps_drawn: Mutex<Option<Instant>>,
    input_drawn: Mutex<Option<Instant>>,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new(about: About) -> Arc<Self> {
        let waiting = Status { state: "waiting", ..Status::default() };
        let lines = about.channels.len().min(CHANNELS) * (1 + about.outputs.len());
        let metrics = Metrics::new(!about.channels.is_empty());
        Arc::new(Self {
            about,
            maps: Slot::default(),
            input: Slot::default(),
            trace: Mutex::new(Trace { lines: (0..lines).map(|_| Line::default()).collect() }),
            faults: OnceLock::new(),
            probes: Mutex::default(),
            status: watch::Sender::new(waiting),
            metrics,
            maps_drawn: Mutex::default(),
            input_drawn: Mutex::default(),
        })
    }

    /// Show the maps of a window. Waits for no page.
    pub fn map(&self, map: &Map<'_>) {
        let progress = &map.progress;
        self.metrics.map(progress, map.statistics.noise);
        locked(&self.probes).add(progress.computed, map.time, map.outputs);
        self.draw(&self.maps, &self.maps_drawn, |picture| {
            (picture.number, picture.frame, picture.time) = (progress.computed, map.frame, Some(map.time));
            picture.maps.resize_with(map.outputs.len(), Vec::new);
            for (to, from) in picture.maps.iter_mut().zip(map.outputs) {
                to.clear();
                to.extend(from);
            }
        });
        self.status.send_modify(|status| {
            *status = Status {
                number: progress.computed,
                frame: map.frame,
                time: map.time,
                read: progress.read,
                lost: progress.lost,
                queued: progress.queued,
                latency_ms: progress.latency_ms,
                compute_ms: progress.compute_ms,
                noise: Some(map.statistics.noise).filter(|n| n.is_finite()),
                state: "running",
                message: String::new(),
                faults: Vec::new(),
            };
        });
    }

    /// Show samples as they come out of the source. Waits for no page, but for the moment that one copies values.
    pub fn samples(&self, block: &Samples) {
        let mut trace = locked(&self.trace);
        let channels = self.about.channels.len().max(1);
        for (c, line) in trace.lines.iter_mut().enumerate().take(channels.min(CHANNELS)) {
            // Lost samples in between.
            while line.len() < block.first {
                line.push(f64::NAN);
            }
            block.values.iter().skip(c).step_by(channels).for_each(|value| line.push(*value));
        }
        let read = trace.len();
        drop(trace);
        let mut drawn = locked(&self.input_drawn);
        if drawn.is_none_or(|at| at.elapsed() >= BRIEFEST) {
            *drawn = Some(Instant::now());
            self.status.send_modify(|status| status.read = read);
        }
    }

    /// Show a block of a series' values. Waits for no page, but for the moment that one copies values.
    pub fn block(&self, block: &SampleBlock<'_>) {
        let progress = &block.progress;
        self.metrics.block(progress);
        let mut trace = locked(&self.trace);
        let shown = self.about.channels.len().clamp(1, CHANNELS);
        for (k, output) in block.outputs.iter().enumerate() {
            for (c, row) in output.rows().into_iter().enumerate().take(shown) {
                let Some(line) = trace.lines.get_mut((1 + k) * shown + c) else { continue };
                // A run that goes on begins behind what the earlier one gave.
                while line.len() < block.first {
                    line.push(f64::NAN);
                }
                row.iter().for_each(|value| line.push(f64::from(*value)));
            }
        }
        let read = trace.len();
        drop(trace);
        let last = progress.computed.saturating_sub(1);
        let step = self.about.spacing.t.as_ref().map_or(1.0, |t| t.value);
        let faults = self.faults.get().map(|faults| faults.told().map(|(name, count, _)| (name, count)).to_vec());
        self.status.send_modify(|status| {
            *status = Status {
                number: progress.computed,
                frame: last,
                time: last as f64 * step,
                read,
                lost: progress.lost,
                queued: progress.queued,
                latency_ms: progress.latency_ms,
                compute_ms: progress.compute_ms,
                noise: None,
                state: "running",
                message: String::new(),
                faults: faults.unwrap_or_default(),
            };
        });
    }

    /// Tell what a live series goes through.
    pub fn watch_faults(&self, faults: Arc<Faults>) {
        // Those of the first series stay.
        let _ = self.faults.set(faults);
    }

    /// Show a frame as it comes out of the source. Waits for no page.
    pub fn frame(&self, frame: &Frame) {
        self.draw(&self.input, &self.input_drawn, |picture| {
            (picture.number, picture.frame, picture.time) = (picture.number + 1, frame.index, frame.time);
            picture.maps.resize_with(1, Vec::new);
            let to = &mut picture.maps[0];
            to.clear();
            to.extend((0..frame.pixels.len()).map(|i| frame.pixels.get(i) as f32));
        });
    }

    /// The run has ended; `message` says how.
    pub fn ended(&self, message: &str) {
        self.status.send_modify(|status| {
            status.state = "ended";
            message.clone_into(&mut status.message);
        });
    }

    /// Pages that are open.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.metrics.pages.get()
    }

    fn draw(&self, slot: &Slot<Picture>, drawn: &Mutex<Option<Instant>>, draw: impl FnOnce(&mut Picture)) {
        let least = if self.pages() > 0 { BRIEFEST } else { UNSEEN };
        let mut drawn = locked(drawn);
        if drawn.is_some_and(|at| at.elapsed() < least) {
            return;
        }
        if slot.put(draw) {
            *drawn = Some(Instant::now());
        } else {
            self.metrics.not_shown.inc();
        }
    }
}
