//! A fit of one recording, evaluated on a grid.
//!
//! A fit is a function of coordinates: it has a value anywhere within the recording, on a finer grid as well as on the
//! recording's own. An [`Evaluator`] binds it to a backend and gives it points in pieces, so that memory does not depend
//! on the grid.

use std::fmt::{self, Debug};
use std::sync::Mutex;

use ndarray::{Array2, ArrayViewMut1};

use crate::backend::{Backend, BackendError, Plan};
use crate::model::{Fit, FitAxis};

/// Evaluations of the field's network in one piece: its activations stay in the cache of a processor.
const AT_ONCE: usize = 1 << 13;

/// Coordinates along one axis: `samples` of them, evenly from the recording's first sample to its last.
#[must_use]
pub fn coordinates(axis: &FitAxis, samples: usize) -> Vec<f64> {
    let last = samples.saturating_sub(1).max(1) as f64;
    (0..samples).map(|i| axis.first + (axis.last - axis.first) * i as f64 / last).collect()
}

/// A fit bound to a backend, with a plan for each thread.
pub struct Evaluator {
    workers: Vec<Worker>,
    axes: usize,
    points: usize,
}

struct Worker {
    plan: Box<dyn Plan>,
    /// (point, axis).
    coordinates: Array2<f32>,
    field: Vec<f32>,
    lambda: Vec<f32>,
}

impl Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, axes, points } = self;
        write!(f, "Evaluator {{ workers: {}, axes: {axes}, points: {points} }}", workers.len())
    }
}

impl Evaluator {
    /// Bind `fit` with `threads` plans.
    ///
    /// # Errors
    /// An operator the engine lacks.
    pub fn new(fit: &Fit, backend: &dyn Backend, threads: usize) -> Result<Self, BackendError> {
        let axes = fit.record.axes.len();
        let points = (AT_ONCE / fit.record.stencil).max(1);
        let worker = || {
            Ok(Worker {
                plan: backend.prepare_fit(fit, points)?,
                coordinates: Array2::zeros([points, axes]),
                field: vec![0.0; points],
                lambda: vec![0.0; points],
            })
        };
        let workers = (0..threads.max(1)).map(|_| worker()).collect::<Result<_, BackendError>>()?;
        Ok(Self { workers, axes, points })
    }

    /// The field and lambda at every point of the grid that `lines` spans, row-major with the last axis fastest.
    ///
    /// `lines` has the coordinates along each axis of the fit, in its order; one frame of a movie has one coordinate
    /// along t.
    ///
    /// # Errors
    /// A failure inside the engine; lines or outputs whose number does not fit.
    pub fn grid(&mut self, lines: &[&[f64]], field: &mut [f32], lambda: &mut [f32]) -> Result<(), BackendError> {
        let count: usize = lines.iter().map(|line| line.len()).product();
        for (what, got, expected) in [
            ("lines of a grid", lines.len(), self.axes),
            ("field on a grid", field.len(), count),
            ("lambda on a grid", lambda.len(), count),
        ] {
            if got != expected {
                let what = what.to_owned();
                return Err(BackendError::Shape { what, got: vec![got], expected: vec![expected] });
            }
        }
        let pieces = field.chunks_mut(self.points).zip(lambda.chunks_mut(self.points)).enumerate();
        let pieces = Mutex::new(pieces);
        let points = self.points;
        let work = |worker: &mut Worker| -> Result<(), BackendError> {
            loop {
                // A statement of its own: the lock is not held while the piece is computed.
                let next = pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                let Some((number, (field, lambda))) = next else { return Ok(()) };
                worker.piece(lines, number * points, count, field, lambda)?;
            }
        };
        std::thread::scope(|scope| {
            let work = &work;
            let others: Vec<_> = self.workers.iter_mut().map(|w| scope.spawn(move || work(w))).collect();
            others.into_iter().try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }
}

impl Worker {
    /// The values from point `first` on; the last piece of a grid is filled up with its last point.
    fn piece(
        &mut self,
        lines: &[&[f64]],
        first: usize,
        count: usize,
        field: &mut [f32],
        lambda: &mut [f32],
    ) -> Result<(), BackendError> {
        for (i, mut point) in self.coordinates.rows_mut().into_iter().enumerate() {
            let mut rest = (first + i).min(count - 1);
            for (value, line) in point.iter_mut().zip(lines).rev() {
                *value = line[rest % line.len()] as f32;
                rest /= line.len();
            }
        }
        let mut outputs =
            [ArrayViewMut1::from(&mut self.field[..]).into_dyn(), ArrayViewMut1::from(&mut self.lambda[..]).into_dyn()];
        self.plan.run(&[self.coordinates.view().into_dyn()], &mut outputs)?;
        field.copy_from_slice(&self.field[..field.len()]);
        lambda.copy_from_slice(&self.lambda[..lambda.len()]);
        Ok(())
    }
}
