//! Streams: set up, started, fed, polled.

use std::ffi::{c_char, c_int};
use std::path::Path;
use std::ptr::null;
use std::slice::from_raw_parts;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use ndarray::ArrayView2;

use super::failure::{guarded, handle, text};
use super::mollifier_model;
use crate::backend::{Backend, Tract};
use crate::model::{Kind, Model};
use crate::source::Pixels;
use crate::stream::{
    Engine, FieldOptions, Inlet, Map, Next, OnFull, Outlet, Outliers, Progress, PushError, Saturation, check_name, live,
};

/// What a call came to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum mollifier_status {
    /// It failed: `mollifier_last_error` says why.
    MOLLIFIER_ERROR = -1,
    /// Done.
    MOLLIFIER_OK = 0,
    /// The queue is full and the frame was not taken (`MOLLIFIER_FAIL` alone gives this).
    MOLLIFIER_FULL = 1,
    /// No map in the time given.
    MOLLIFIER_WAITING = 2,
    /// A map is there.
    MOLLIFIER_MAP = 3,
    /// The recording was finished and every map was taken.
    MOLLIFIER_END = 4,
}
use mollifier_status::{
    MOLLIFIER_END, MOLLIFIER_ERROR, MOLLIFIER_FULL, MOLLIFIER_MAP, MOLLIFIER_OK, MOLLIFIER_WAITING,
};

/// Type of a frame's pixels. (Passed as a number, so that a wrong one is an error.)
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum mollifier_type {
    /// Unsigned, 8 bits.
    MOLLIFIER_U8 = 0,
    /// Unsigned, 16 bits, the computer's byte order.
    MOLLIFIER_U16 = 1,
    /// `float`.
    MOLLIFIER_F32 = 2,
    /// `double`.
    MOLLIFIER_F64 = 3,
}

/// What happens to a frame that is pushed while the queue is full.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum mollifier_on_full {
    /// `mollifier_push` waits: for room, which there is when maps are polled. A program of one thread polls between pushes,
    /// or waits for itself.
    MOLLIFIER_BLOCK = 0,
    /// `mollifier_push` gives `MOLLIFIER_FULL`.
    MOLLIFIER_FAIL = 1,
    /// The oldest frame that waits is given up, and counted as lost.
    MOLLIFIER_DROP_OLDEST = 2,
}

/// Frames on their way to maps.
pub struct mollifier_stream {
    shape: [usize; 2],
    model: Arc<Model>,
    /// `None` once it was started.
    setup: Mutex<Option<Setup>>,
    inlet: Mutex<Option<Inlet>>,
    outlet: Mutex<Option<Polled>>,
}

struct Setup {
    options: FieldOptions,
    backend: Box<dyn Backend>,
}

struct Polled {
    outlet: Outlet,
    progress: Progress,
}

impl mollifier_stream {
    /// Change what is only changed before the start.
    fn set(&self, change: impl FnOnce(&mut Setup) -> Result<()>) -> Result<mollifier_status> {
        let mut setup = locked(&self.setup)?;
        change(setup.as_mut().ok_or_else(|| anyhow!("the stream is started: what it computes with is settled"))?)?;
        Ok(MOLLIFIER_OK)
    }

    fn map<T>(&self, look: impl FnOnce(&Map<'_>) -> Result<T>) -> Result<T> {
        let polled = locked(&self.outlet)?;
        let map = polled.as_ref().and_then(|p| p.outlet.map());
        look(&map.ok_or_else(|| anyhow!("no map is there: mollifier_poll did not give MOLLIFIER_MAP last"))?)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| anyhow!("a call before this one failed by a bug: the stream can only be freed"))
}

/// A stream of frames of `rows` by `columns` pixels through a model of images; null on failure. The model may be closed
/// before the stream is freed.
///
/// # Safety
/// `model` is null or a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_stream_new(
    model: *const mollifier_model,
    rows: usize,
    columns: usize,
) -> *mut mollifier_stream {
    guarded(std::ptr::null_mut(), || {
        // SAFETY: as the caller promises.
        let model = Arc::clone(&unsafe { handle(model, "model") }?.model);
        if model.contract.kind == Kind::Series {
            bail!("{}: got a model of series, expected one of images", model.name);
        }
        if rows.checked_mul(columns).is_none_or(|n| n == 0 || n > 1 << 28) {
            bail!("got frames of {rows} x {columns} pixels, expected at least 1 and at most 2^28 pixels");
        }
        let setup = Setup { options: FieldOptions::default(), backend: Box::new(Tract) };
        Ok(Box::into_raw(Box::new(mollifier_stream {
            shape: [rows, columns],
            model,
            setup: Mutex::new(Some(setup)),
            inlet: Mutex::default(),
            outlet: Mutex::default(),
        })))
    })
}

/// Free a stream; a computation in hand is ended. Null is left alone.
///
/// # Safety
/// `stream` is null or came from `mollifier_stream_new`, and is not used again, nor in another thread now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_stream_free(stream: *mut mollifier_stream) {
    guarded((), || {
        if !stream.is_null() {
            // SAFETY: it was boxed by `mollifier_stream_new` and is freed once.
            drop(unsafe { Box::from_raw(stream) });
        }
        Ok(())
    });
}

/// Distances between pixels, in the unit of length that results are meant in; 1 and 1 unless set. Once set, defaults of
/// constants that have a unit do not apply any more and are given by `mollifier_set_number`.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_spacing(stream: *mut mollifier_stream, y: f64, x: f64) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        unsafe { handle(stream, "stream") }?.set(|s| {
            s.options.givens.spacing = vec![y, x];
            s.options.givens.unitless = false;
            Ok(())
        })
    })
}

/// Time between frames, in the unit of time that results are meant in; 1 unless set. As for `mollifier_set_spacing`,
/// defaults that have a unit do not apply any more.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_time_step(stream: *mut mollifier_stream, step: f64) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        unsafe { handle(stream, "stream") }?.set(|s| {
            s.options.givens.time_step = step;
            s.options.givens.unitless = false;
            Ok(())
        })
    })
}

/// A number that the model takes besides the recording (`m`, `kappa`, `noise`, ...), as `mollifier inspect` lists them.
///
/// # Safety
/// `stream` is null or a stream, `name` null or a text that ends in a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_number(
    stream: *mut mollifier_stream,
    name: *const c_char,
    value: f64,
) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        let (stream, name) = unsafe { (handle(stream, "stream")?, text(name, "name")?) };
        check_name(&stream.model.contract, name)?;
        stream.set(|s| {
            s.options.givens.fields.remove(name);
            s.options.givens.constants.insert(name.to_owned(), value);
            Ok(())
        })
    })
}

/// A field that the model takes besides the recording, one value a pixel, row by row; it is copied.
///
/// # Safety
/// `stream` is null or a stream, `name` null or a text that ends in a zero, `values` null or as many values as a frame
/// has pixels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_field(
    stream: *mut mollifier_stream,
    name: *const c_char,
    values: *const f32,
) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        let (stream, name) = unsafe { (handle(stream, "stream")?, text(name, "name")?) };
        // SAFETY: as the caller promises.
        let values = unsafe { pixels(values, stream.shape, "values") }?;
        check_name(&stream.model.contract, name)?;
        let field = ArrayView2::from_shape(stream.shape, values)?.to_owned();
        stream.set(|s| {
            s.options.givens.constants.remove(name);
            s.options.givens.fields.insert(name.to_owned(), field.into_shared());
            Ok(())
        })
    })
}

/// Threads that compute; 1 unless set.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_threads(stream: *mut mollifier_stream, threads: usize) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        unsafe { handle(stream, "stream") }?.set(|s| match threads {
            1..=1024 => {
                s.options.threads = threads;
                Ok(())
            }
            _ => bail!("threads: got {threads}, expected 1 to 1024"),
        })
    })
}

/// Frames that may wait (8 unless set), and what happens then (`mollifier_on_full`; `MOLLIFIER_BLOCK` unless set).
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_queue(
    stream: *mut mollifier_stream,
    frames: usize,
    on_full: i32,
) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        let on_full = match on_full {
            0 => OnFull::Block,
            1 => OnFull::Fail,
            2 => OnFull::DropOldest,
            _ => bail!("on_full: got {on_full}, expected one of mollifier_on_full"),
        };
        if !(1..=1 << 20).contains(&frames) {
            bail!("frames: got {frames}, expected 1 to 2^20");
        }
        // SAFETY: as the caller promises.
        unsafe { handle(stream, "stream") }?.set(|s| {
            (s.options.queue, s.options.on_full) = (frames, on_full);
            Ok(())
        })
    })
}

/// From which value on a pixel counts as saturated, for cameras with fewer bits than their pixels' type. Unless set it
/// is the type's largest integer.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_saturation(stream: *mut mollifier_stream, level: f64) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        if level.is_nan() {
            bail!("saturation: got a value that is no number");
        }
        // SAFETY: as the caller promises.
        unsafe { handle(stream, "stream") }?.set(|s| {
            s.options.saturation = Saturation::Level(level);
            Ok(())
        })
    })
}

/// Whether pixels that stand out from all around them (hot or dead ones, cosmic rays) are taken for values (1) or left out
/// as saturated ones are (0, the default).
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_keep_outliers(stream: *mut mollifier_stream, keep: c_int) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        unsafe { handle(stream, "stream") }?.set(|s| {
            s.options.outliers = if keep != 0 { Outliers::Keep } else { Outliers::LeaveOut };
            Ok(())
        })
    })
}

/// The engine: `tract` (built in, the default), `ort`, `ort-cuda` or `ort-tensorrt`, the last three with the path of an
/// ONNX Runtime library, or null to look at `ORT_DYLIB_PATH` and the usual places. One that cannot be had is an error.
///
/// # Safety
/// `stream` is null or a stream, `name` and `library` are null or texts that end in a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_set_backend(
    stream: *mut mollifier_stream,
    name: *const c_char,
    library: *const c_char,
) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        let (stream, name) = unsafe { (handle(stream, "stream")?, text(name, "name")?) };
        // SAFETY: as the caller promises.
        let library = if library.is_null() { None } else { Some(Path::new(unsafe { text(library, "library") }?)) };
        let backend = backend(name, library)?;
        stream.set(|s| {
            s.backend = backend;
            Ok(())
        })
    })
}

#[cfg(feature = "ort")]
fn backend(name: &str, library: Option<&Path>) -> Result<Box<dyn Backend>> {
    use crate::backend::{Ort, Provider};
    let provider = match name {
        "tract" => return Ok(Box::new(Tract)),
        "ort" => Provider::Cpu,
        "ort-cuda" => Provider::Cuda,
        "ort-tensorrt" => Provider::TensorRt,
        _ => bail!("backend: got {name:?}, expected tract, ort, ort-cuda or ort-tensorrt"),
    };
    Ok(Box::new(Ort::load(provider, library)?))
}

#[cfg(not(feature = "ort"))]
fn backend(name: &str, _: Option<&Path>) -> Result<Box<dyn Backend>> {
    match name {
        "tract" => Ok(Box::new(Tract)),
        _ => bail!("backend: got {name:?}, expected tract: ONNX Runtime is not built into this library"),
    }
}

/// Bind the model to the frames' size and start to compute. On failure the stream can be set up further and started
/// again.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_start(stream: *mut mollifier_stream) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        let stream = unsafe { handle(stream, "stream") }?;
        let mut setup = locked(&stream.setup)?;
        let Some(Setup { options, backend }) = setup.as_ref() else { bail!("the stream was started before") };
        let engine = Engine { model: &stream.model, backend: backend.as_ref() };
        let (inlet, outlet) = live(&engine, stream.shape, options.clone())?;
        *locked(&stream.inlet)? = Some(inlet);
        *locked(&stream.outlet)? = Some(Polled { outlet, progress: Progress::default() });
        *setup = None;
        Ok(MOLLIFIER_OK)
    })
}

/// Hand over the frame at `index` of the recording: its pixels, row by row, are copied. A gap in the indices is a loss,
/// which shifts nothing; a frame that comes again or up to 64 indices late is passed over, one further back ends the
/// stream. `type` is one of `mollifier_type`; `time` is the frame's own time, NaN for index times the time step.
/// `MOLLIFIER_OK`, `MOLLIFIER_FULL` or `MOLLIFIER_ERROR`.
///
/// # Safety
/// `stream` is null or a stream, `pixels` null or as many pixels of that type as a frame has, aligned as the type asks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_push(
    stream: *mut mollifier_stream,
    index: u64,
    r#type: i32,
    pixels: *const std::ffi::c_void,
    time: f64,
) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        let stream = unsafe { handle(stream, "stream") }?;
        // SAFETY: as the caller promises.
        let given = unsafe { Given::new(r#type, pixels, stream.shape) }?;
        let mut inlet = locked(&stream.inlet)?;
        let Some(inlet) = inlet.as_mut() else { bail!("the stream is not started, or finished: it takes no frame") };
        let time = Some(time).filter(|t| !t.is_nan());
        match inlet.push(index, time, |to| given.copy_to(to)) {
            Ok(()) => Ok(MOLLIFIER_OK),
            Err(PushError::Overflow) => Ok(MOLLIFIER_FULL),
            Err(PushError::Stopped) => bail!("the stream has ended: mollifier_poll says why"),
        }
    })
}

/// A frame's pixels where the caller has them.
enum Given<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl Given<'_> {
    /// # Safety
    /// Null, or pixels of the type and shape named, aligned.
    unsafe fn new(kind: i32, pointer: *const std::ffi::c_void, shape: [usize; 2]) -> Result<Self> {
        // SAFETY: as the caller promises.
        unsafe {
            Ok(match kind {
                0 => Self::U8(pixels(pointer.cast(), shape, "pixels")?),
                1 => Self::U16(pixels(pointer.cast(), shape, "pixels")?),
                2 => Self::F32(pixels(pointer.cast(), shape, "pixels")?),
                3 => Self::F64(pixels(pointer.cast(), shape, "pixels")?),
                _ => bail!("type: got {kind}, expected one of mollifier_type"),
            })
        }
    }

    /// Into a buffer that may be of the same type from before.
    fn copy_to(&self, to: &mut Pixels) {
        fn refill<T: Copy>(buffer: &mut Vec<T>, from: &[T]) {
            buffer.clear();
            buffer.extend_from_slice(from);
        }
        match (self, to) {
            (Self::U8(from), Pixels::U8(buffer)) => refill(buffer, from),
            (Self::U16(from), Pixels::U16(buffer)) => refill(buffer, from),
            (Self::F32(from), Pixels::F32(buffer)) => refill(buffer, from),
            (Self::F64(from), Pixels::F64(buffer)) => refill(buffer, from),
            (Self::U8(from), to) => *to = Pixels::U8(from.to_vec()),
            (Self::U16(from), to) => *to = Pixels::U16(from.to_vec()),
            (Self::F32(from), to) => *to = Pixels::F32(from.to_vec()),
            (Self::F64(from), to) => *to = Pixels::F64(from.to_vec()),
        }
    }
}

/// # Safety
/// Null, or the values of a frame of `shape`.
unsafe fn pixels<'a, T>(pointer: *const T, shape: [usize; 2], what: &str) -> Result<&'a [T]> {
    if pointer.is_null() || !pointer.is_aligned() {
        bail!("{what}: got a pointer that is null or not aligned for its type");
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { from_raw_parts(pointer, shape[0] * shape[1]) })
}

/// No frame comes any more; `mollifier_poll` gives the maps that are left and then `MOLLIFIER_END`.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_finish(stream: *mut mollifier_stream) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        drop(locked(&unsafe { handle(stream, "stream") }?.inlet)?.take());
        Ok(MOLLIFIER_OK)
    })
}

/// Wait for the next map for at most `milliseconds`: `MOLLIFIER_MAP`, `MOLLIFIER_WAITING`, `MOLLIFIER_END`, or
/// `MOLLIFIER_ERROR`, once, with what ended the stream early. Maps come in the order of the frames; the one before is gone.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_poll(stream: *mut mollifier_stream, milliseconds: u32) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        let mut polled = locked(&unsafe { handle(stream, "stream") }?.outlet)?;
        let Some(Polled { outlet, progress }) = polled.as_mut() else { bail!("the stream is not started") };
        Ok(match outlet.poll(Duration::from_millis(milliseconds.into()))? {
            Next::Map(map) => {
                *progress = map.progress;
                MOLLIFIER_MAP
            }
            Next::Waiting => MOLLIFIER_WAITING,
            Next::End(report) => {
                (progress.read, progress.computed, progress.lost) = (report.read, report.computed, report.lost.count);
                MOLLIFIER_END
            }
        })
    })
}

/// Index of the frame that the map belongs to.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_map_frame(stream: *const mollifier_stream) -> u64 {
    // SAFETY: as the caller promises.
    guarded(0, || unsafe { handle(stream, "stream") }?.map(|m| Ok(m.frame)))
}

/// Time of that frame since the recording's start; NaN on failure.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_map_time(stream: *const mollifier_stream) -> f64 {
    // SAFETY: as the caller promises.
    guarded(f64::NAN, || unsafe { handle(stream, "stream") }?.map(|m| Ok(m.time)))
}

/// Standard deviation of the recording's white noise as estimated, in its values; NaN on failure.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_map_noise(stream: *const mollifier_stream) -> f64 {
    // SAFETY: as the caller promises.
    guarded(f64::NAN, || unsafe { handle(stream, "stream") }?.map(|m| Ok(m.statistics.noise)))
}

/// The map of an output, one value a pixel, row by row, until the next `mollifier_poll` of this stream; null on failure.
///
/// # Safety
/// `stream` is null or a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_map_values(stream: *const mollifier_stream, output: usize) -> *const f32 {
    guarded(null(), || {
        // SAFETY: as the caller promises.
        unsafe { handle(stream, "stream") }?.map(|m| {
            let map = m.outputs.get(output);
            let wrong = || anyhow!("output: got {output}, expected less than {}", m.outputs.len());
            Ok(map.ok_or_else(wrong)?.as_ptr())
        })
    })
}

/// How far the stream was at the last map or at its end: frames pushed, maps computed, frames lost (gaps in the indices
/// and frames given up). A null pointer is left out.
///
/// # Safety
/// `stream` is null or a stream, the others are null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_progress(
    stream: *const mollifier_stream,
    pushed: *mut u64,
    computed: *mut u64,
    lost: *mut u64,
) -> mollifier_status {
    guarded(MOLLIFIER_ERROR, || {
        // SAFETY: as the caller promises.
        let polled = locked(&unsafe { handle(stream, "stream") }?.outlet)?;
        let Some(Polled { progress, .. }) = polled.as_ref() else { bail!("the stream is not started") };
        for (to, value) in [(pushed, progress.read), (computed, progress.computed), (lost, progress.lost)] {
            if !to.is_null() {
                // SAFETY: as the caller promises.
                unsafe { to.write(value) };
            }
        }
        Ok(MOLLIFIER_OK)
    })
}
