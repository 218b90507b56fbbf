//! A stream that a program feeds and reads itself: frames are pushed in at one end, maps polled at the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::capture::Captured;
use super::engine::Planner;
use super::error::{BoxError, StreamError};
use super::fields::{FieldOptions, Map, MapSink, Pipeline, WindowStatistics};
use super::mark::Mark;
use super::metrics::{Progress, Report};
use super::queue::{Producer, PushError, bounded};
use crate::source::{Frame, Pixels};

/// Maps that wait to be polled before the computation pauses, which lets the queue of frames fill up.
const WAITING_MAPS: usize = 2;

/// Start a stream for frames of `shape` (y, x); it computes on a thread of its own.
///
/// `options.queue` and `options.on_full` say what happens to frames that are pushed faster than they are computed.
///
/// # Errors
/// A model that cannot be bound to this shape, or values that it does not take.
pub fn live(planner: &dyn Planner, shape: [usize; 2], options: FieldOptions) -> Result<(Inlet, Outlet), StreamError> {
    let stop = Arc::clone(&options.stop);
    let (producer, consumer) = bounded(options.queue, options.on_full, Arc::clone(&stop));
    let mut pipeline = Pipeline::new(planner, "the pushed frames".to_owned(), shape, None, &consumer.waker(), options)?;
    let (maps, received) = sync_channel(WAITING_MAPS);
    let (spent, spare) = channel();
    let body = move || {
        pipeline.consume(consumer, &mut Hand { maps, spare })?;
        Ok(pipeline.into_report())
    };
    let thread = thread::Builder::new().name("live".into()).spawn(body).map_err(StreamError::Thread)?;
    let outlet = Outlet { maps: Some(received), spent, current: None, thread: Some(thread), stop, report: None };
    Ok((Inlet { frames: producer, shape }, outlet))
}

/// Where frames go in. Dropping it ends the recording.
#[derive(Debug)]
pub struct Inlet {
    frames: Producer<Captured<Frame>>,
    shape: [usize; 2],
}

impl Inlet {
    /// Hand over the frame at `index` of the recording; a gap in the indices is a loss, which shifts nothing.
    ///
    /// `write` fills the pixels, axes (y, x); it is lent a buffer that was used before. `time` is the frame's own, in
    /// the unit of the time step; `None` means index times the step.
    ///
    /// # Errors
    /// A full queue, where [`OnFull::Fail`](super::OnFull::Fail) was asked for: the frame was not taken. A stream that
    /// has ended: the outlet says why.
    pub fn push(&mut self, index: u64, time: Option<f64>, write: impl FnOnce(&mut Pixels)) -> Result<(), PushError> {
        let mut frame = self.frames.recycled().map(|c| c.item).unwrap_or_default();
        write(&mut frame.pixels);
        (frame.index, frame.time, frame.shape) = (index, time, self.shape);
        self.frames.push(Captured { item: frame, at: Instant::now() })
    }
}

/// What is found at the outlet.
#[derive(Debug)]
pub enum Next<'a> {
    /// The maps of the next window; they stay until the next poll.
    Map(Map<'a>),
    /// None in the time given.
    Waiting,
    /// The inlet is closed and every map was taken.
    End(&'a Report),
}

/// Where maps come out. Dropping it ends the computation.
#[derive(Debug)]
pub struct Outlet {
    maps: Option<Receiver<Owned>>,
    spent: Sender<Owned>,
    current: Option<Owned>,
    thread: Option<JoinHandle<Result<Report, StreamError>>>,
    stop: Arc<AtomicBool>,
    report: Option<Report>,
}

impl Outlet {
    /// The maps that the last poll gave, until the next one.
    #[must_use]
    pub fn map(&self) -> Option<Map<'_>> {
        self.current.as_ref().map(Owned::borrow)
    }

    /// The next window's maps, in the order of the frames; waits for at most `timeout`.
    ///
    /// # Errors
    /// Once, what ended the stream early; maps given before are good.
    pub fn poll(&mut self, timeout: Duration) -> Result<Next<'_>, StreamError> {
        if let Some(old) = self.current.take() {
            // Gone with the computing thread, once that has ended.
            let _ = self.spent.send(old);
        }
        let Some(maps) = &self.maps else { return Ok(Next::End(self.report.get_or_insert_default())) };
        match maps.recv_timeout(timeout) {
            Ok(map) => Ok(Next::Map(self.current.insert(map).borrow())),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Waiting),
            Err(RecvTimeoutError::Disconnected) => {
                self.maps = None;
                let ended = self.thread.take().map_or(Ok(Ok(Report::default())), JoinHandle::join);
                let report = ended.unwrap_or(Err(StreamError::WorkerPanicked))?;
                Ok(Next::End(self.report.insert(report)))
            }
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A computation that waits to hand over a map sees that nobody takes it.
        self.maps = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One window's maps on their way from thread to thread.
#[derive(Debug)]
struct Owned {
    frame: u64,
    time: f64,
    outputs: Vec<Array2<f32>>,
    statistics: WindowStatistics,
    progress: Progress,
    mark: Mark,
}

impl Owned {
    fn borrow(&self) -> Map<'_> {
        let Self { frame, time, outputs, statistics, progress, mark } = self;
        Map { frame: *frame, time: *time, outputs, statistics: *statistics, progress: *progress, mark }
    }
}

/// The sink at the end of the computing thread.
struct Hand {
    maps: SyncSender<Owned>,
    spare: Receiver<Owned>,
}

impl MapSink for Hand {
    fn map(&mut self, map: &Map<'_>) -> Result<(), BoxError> {
        let mut outputs = self.spare.try_recv().map_or_else(|_| map.outputs.to_vec(), |old| old.outputs);
        outputs.iter_mut().zip(map.outputs).for_each(|(to, from)| to.assign(from));
        let (frame, time, statistics) = (map.frame, map.time, map.statistics);
        let owned = Owned { frame, time, outputs, statistics, progress: map.progress, mark: map.mark.clone() };
        self.maps.send(owned).map_err(|_| "nobody polls the maps any more".into())
    }
}
