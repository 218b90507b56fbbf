//! Plans with their buffers, and the worker threads that run them over the tiles of a map.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use ndarray::ArrayD;

use super::engine::Planner;
use super::error::StreamError;
use crate::backend::{Plan, tensor_shape};

/// One plan and the tensors it reads and writes, shaped for one tile.
pub(crate) struct Lane {
    plan: Box<dyn Plan>,
    inputs: Vec<ArrayD<f32>>,
    outputs: Vec<ArrayD<f32>>,
    worker: usize,
    tile: usize,
}

impl Lane {
    /// Bind the model to one tile shape and allocate its tensors.
    pub(crate) fn new(planner: &dyn Planner, tile: &[usize]) -> Result<Self, StreamError> {
        let contract = planner.contract();
        let plan = planner.prepare(tile)?;
        let inputs = contract.inputs.iter().map(|i| ArrayD::zeros(tensor_shape(contract, i, tile))).collect();
        let shape: Vec<usize> = std::iter::once(1).chain(tile.iter().copied()).collect();
        let outputs = contract.outputs.iter().map(|_| ArrayD::zeros(shape.clone())).collect();
        Ok(Self { plan, inputs, outputs, worker: 0, tile: 0 })
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

    /// Compute the tile whose inputs were filled in.
    pub(crate) fn run(&mut self) -> Result<(), StreamError> {
        let inputs: Vec<_> = self.inputs.iter().map(|a| a.view()).collect();
        let mut outputs: Vec<_> = self.outputs.iter_mut().map(|a| a.view_mut()).collect();
        Ok(self.plan.run(&inputs, &mut outputs)?)
    }
}

type Done = (Lane, Result<(), StreamError>);

/// Lanes for the tiles of one map: one on the calling thread, and one for each worker beside it.
pub(crate) struct Lanes {
    own: Lane,
    idle: Vec<Lane>,
    workers: Vec<(SyncSender<Lane>, JoinHandle<()>)>,
    done: Receiver<Done>,
}

impl Lanes {
    /// `count` lanes (at least 1) for one tile shape; all but the first get a thread each.
    pub(crate) fn new(
        planner: &dyn Planner,
        tile: &[usize],
        count: usize,
        mut fixed: impl FnMut(&mut Lane),
    ) -> Result<Self, StreamError> {
        let (sender, done) = channel();
        let mut own = Lane::new(planner, tile)?;
        fixed(&mut own);
        let mut lanes = Self { own, idle: Vec::with_capacity(count), workers: Vec::new(), done };
        for worker in 0..count.saturating_sub(1) {
            let mut lane = Lane::new(planner, tile)?;
            lane.worker = worker;
            fixed(&mut lane);
            lanes.idle.push(lane);
            lanes.workers.push(spawn(worker, sender.clone())?);
        }
        Ok(lanes)
    }

    /// Banks that were left out because the tile is too small for them.
    pub(crate) fn left_out(&self) -> &[String] {
        self.own.left_out()
    }

    /// Compute the tiles `0..count`: `fill` a lane's inputs, run it, `stitch` its outputs; filling and stitching on
    /// the calling thread, each tile once.
    pub(crate) fn run(
        &mut self,
        count: usize,
        mut fill: impl FnMut(usize, &mut Lane),
        mut stitch: impl FnMut(usize, &Lane),
    ) -> Result<(), StreamError> {
        let mut failure = None;
        let (mut next, mut running) = (0, 0);
        while running > 0 || (next < count && failure.is_none()) {
            let wanted = next < count && failure.is_none();
            if let Some(mut lane) = wanted.then(|| self.idle.pop()).flatten() {
                fill(next, &mut lane);
                lane.tile = next;
                let worker = lane.worker;
                self.workers[worker].0.send(lane).map_err(|_| StreamError::WorkerPanicked)?;
                next += 1;
                running += 1;
                continue;
            }
            if wanted {
                fill(next, &mut self.own);
                match self.own.run() {
                    Ok(()) => stitch(next, &self.own),
                    Err(e) => failure = failure.or(Some(e)),
                }
                next += 1;
            }
            // With tiles left to start, take what is done and go on; else wait for the rest.
            while running > 0 {
                let waits = next >= count || failure.is_some();
                let Some((lane, result)) = self.take(waits)? else { break };
                running -= 1;
                match result {
                    Ok(()) => stitch(lane.tile, &lane),
                    Err(e) => failure = failure.or(Some(e)),
                }
                self.idle.push(lane);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn take(&self, wait: bool) -> Result<Option<Done>, StreamError> {
        if wait {
            return self.done.recv().map(Some).map_err(|_| StreamError::WorkerPanicked);
        }
        Ok(self.done.try_recv().ok())
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

fn spawn(worker: usize, done: Sender<Done>) -> Result<(SyncSender<Lane>, JoinHandle<()>), StreamError> {
    let (sender, jobs) = sync_channel::<Lane>(1);
    let body = move || {
        for mut lane in jobs {
            let result = catch_unwind(AssertUnwindSafe(|| lane.run()));
            let result = result.unwrap_or(Err(StreamError::WorkerPanicked));
            if done.send((lane, result)).is_err() {
                break;
            }
        }
    };
    let thread = thread::Builder::new().name(format!("tile-{worker}")).spawn(body).map_err(StreamError::Thread)?;
    Ok((sender, thread))
}
