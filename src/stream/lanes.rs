//! Plans with their buffers, and the worker threads that run them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use ndarray::{Array2, ArrayD, Axis};

use super::drawn::Drawn;
use super::engine::Planner;
use super::error::StreamError;
use crate::backend::{Plan, tensor_shape};

/// Called by a worker that is done with a tile, for the thread that waits for frames at the same time.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// Which tile of which map a lane computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// Maps started before this one.
    pub(crate) map: u64,
    /// Number of the tile in the grid.
    pub(crate) tile: usize,
}

/// One plan and the tensors it reads and writes, shaped for one tile.
pub(crate) struct Lane {
    plan: Box<dyn Plan>,
    /// Empty where the plan asks for rows.
    inputs: Vec<ArrayD<f32>>,
    outputs: Vec<ArrayD<f32>>,
    /// Where the maps among the inputs come from, for images. Boxed, as lanes are passed between threads.
    pub(crate) drawn: Box<Drawn>,
    worker: usize,
    /// What it computes, or computed last.
    pub(crate) job: Job,
}

impl Lane {
    /// Bind the model to one tile shape and allocate its tensors.
    pub(crate) fn new(planner: &dyn Planner, tile: &[usize]) -> Result<Self, StreamError> {
        Ok(Self::with(planner.prepare(tile)?, planner, tile))
    }

    /// The same for tiles of images, whose maps are drawn from frames and fields.
    pub(crate) fn of_images(planner: &dyn Planner, tile: &[usize]) -> Result<Self, StreamError> {
        Ok(Self::with(planner.prepare_by_rows(tile)?, planner, tile))
    }

    fn with(plan: Box<dyn Plan>, planner: &dyn Planner, tile: &[usize]) -> Self {
        let contract = planner.contract();
        let input = |(i, input)| {
            let shape = if plan.by_rows().contains(&i) { vec![0] } else { tensor_shape(contract, input, tile) };
            ArrayD::zeros(shape)
        };
        let inputs = contract.inputs.iter().enumerate().map(input).collect();
        let shape: Vec<usize> = std::iter::once(1).chain(tile.iter().copied()).collect();
        let outputs = contract.outputs.iter().map(|_| ArrayD::zeros(shape.clone())).collect();
        Self { plan, inputs, outputs, drawn: Box::default(), worker: 0, job: Job::default() }
    }

    /// Banks that were left out because the tile is too small for them.
    pub(crate) fn left_out(&self) -> &[String] {
        self.plan.dropped()
    }

    /// The values of input `i`, row-major.
    pub(crate) fn input(&mut self, i: usize) -> &mut [f32] {
        self.inputs[i].as_slice_mut().expect("allocated in standard layout")
    }

    /// The values of output `i`, row-major.
    pub(crate) fn output(&self, i: usize) -> &[f32] {
        self.outputs[i].as_slice().expect("allocated in standard layout")
    }

    /// Put `maps`, axes (y, x) of the tile's size, in the outputs' place: where a tile is the whole frame, they are
    /// computed where they stay.
    pub(crate) fn lend(&mut self, maps: Vec<Array2<f32>>) {
        self.outputs = maps.into_iter().map(|map| map.insert_axis(Axis(0)).into_dyn()).collect();
    }

    /// The maps that were lent, computed.
    pub(crate) fn give_back(&mut self) -> Vec<Array2<f32>> {
        let lent = self.outputs.drain(..).map(|map| map.index_axis_move(Axis(0), 0).into_dimensionality());
        lent.map(|map| map.expect("two axes were lent")).collect()
    }

    /// Compute the tile whose inputs were filled in, and let go of the frames that it is drawn from.
    pub(crate) fn run(&mut self) -> Result<(), StreamError> {
        let Self { plan, inputs, outputs, drawn, .. } = self;
        for i in drawn.maps().filter(|i| !plan.by_rows().contains(i)) {
            drawn.fill(i, inputs[i].as_slice_mut().expect("allocated in standard layout"));
        }
        let inputs: Vec<_> = inputs.iter().map(|a| a.view()).collect();
        let mut outputs: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
        let rows = |input: usize, plane: usize, at: [usize; 2], out: &mut [f32]| drawn.row(input, plane, at, out);
        let result = plan.run_by_rows(&inputs, &rows, &mut outputs);
        self.drawn.frames.clear();
        Ok(result?)
    }
}

/// A lane that has run, and how that went.
pub(crate) type Done = (Lane, Result<(), StreamError>);

/// Lanes for tiles of one shape: one that runs on the calling thread, or several with a thread each.
pub(crate) struct Lanes {
    idle: Vec<Lane>,
    workers: Vec<(SyncSender<Lane>, JoinHandle<()>)>,
    done: Receiver<Done>,
    /// What ran on the calling thread and was not taken yet.
    own: VecDeque<Done>,
    left_out: Vec<String>,
    computed: f64,
}

impl Lanes {
    /// `count` lanes (at least 1) for one tile shape; `fixed` writes what stays the same.
    pub(crate) fn new(
        planner: &dyn Planner,
        tile: &[usize],
        count: usize,
        wake: &Wake,
        mut fixed: impl FnMut(&mut Lane),
    ) -> Result<Self, StreamError> {
        let (sender, done) = channel();
        let mut lanes = Self {
            idle: Vec::with_capacity(count.max(1)),
            workers: Vec::new(),
            done,
            own: VecDeque::new(),
            left_out: Vec::new(),
            computed: 1.0,
        };
        for worker in 0..count.max(1) {
            let mut lane = Lane::of_images(planner, tile)?;
            lane.worker = worker;
            fixed(&mut lane);
            lanes.left_out = lane.left_out().to_vec();
            lanes.computed = lane.plan.computed();
            lanes.idle.push(lane);
            if count > 1 {
                lanes.workers.push(spawn(worker, sender.clone(), Arc::clone(wake))?);
            }
        }
        Ok(lanes)
    }

    /// Banks that were left out because the tile is too small for them.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Pixels computed for each one of a tile.
    pub(crate) fn computed(&self) -> f64 {
        self.computed
    }

    /// A lane that has nothing to do.
    pub(crate) fn idle(&mut self) -> Option<Lane> {
        self.idle.pop()
    }

    /// Run a lane whose inputs were filled in; it comes back from [`take`](Self::take).
    pub(crate) fn start(&mut self, mut lane: Lane) -> Result<(), StreamError> {
        match self.workers.get(lane.worker) {
            Some((jobs, _)) => jobs.send(lane).map_err(|_| StreamError::WorkerPanicked),
            None => {
                let result = lane.run();
                self.own.push_back((lane, result));
                Ok(())
            }
        }
    }

    /// A lane that has run. `wait` waits for one, which a caller asks for only while one runs.
    pub(crate) fn take(&mut self, wait: bool) -> Result<Option<Done>, StreamError> {
        if let Some(done) = self.own.pop_front() {
            return Ok(Some(done));
        }
        if wait {
            return self.done.recv().map(Some).map_err(|_| StreamError::WorkerPanicked);
        }
        Ok(self.done.try_recv().ok())
    }

    /// Give a lane back once its outputs were read.
    pub(crate) fn put_back(&mut self, lane: Lane) {
        self.idle.push(lane);
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for (jobs, thread) in self.workers.drain(..) {
            drop(jobs);
            // A worker catches its plan's panics, so it ends when its jobs do.
            let _ = thread.join();
        }
    }
}

fn spawn(worker: usize, done: Sender<Done>, wake: Wake) -> Result<(SyncSender<Lane>, JoinHandle<()>), StreamError> {
    let (sender, jobs) = sync_channel::<Lane>(1);
    let body = move || {
        for mut lane in jobs {
            let result = catch_unwind(AssertUnwindSafe(|| lane.run()));
            let result = result.unwrap_or(Err(StreamError::WorkerPanicked));
            if done.send((lane, result)).is_err() {
                break;
            }
            wake();
        }
    };
    let thread = thread::Builder::new().name(format!("tile-{worker}")).spawn(body).map_err(StreamError::Thread)?;
    Ok((sender, thread))
}
