//! Models and what they say of themselves.

use std::ffi::{CString, c_char};
use std::ptr::null;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::failure::{guarded, handle, text};
use crate::model::Model;

/// A model that was read.
#[derive(Debug)]
pub struct mollifier_model {
    pub(super) model: Arc<Model>,
    outputs: Vec<CString>,
}

/// The version of this library, such as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn mollifier_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Read a model file (UTF-8 path). Null on failure.
///
/// # Safety
/// `path` is null or ends in a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_open(path: *const c_char) -> *mut mollifier_model {
    guarded(std::ptr::null_mut(), || {
        // SAFETY: as the caller promises.
        let model = Model::load(unsafe { text(path, "path") }?)?;
        let outputs = model.contract.outputs.iter().map(|o| CString::new(o.name.as_str()));
        let outputs = outputs.collect::<Result<_, _>>().context("an output's name")?;
        Ok(Box::into_raw(Box::new(mollifier_model { model: Arc::new(model), outputs })))
    })
}

/// Free a model; streams that were made of it go on. Null is left alone.
///
/// # Safety
/// `model` is null or came from `mollifier_open`, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_close(model: *mut mollifier_model) {
    guarded((), || {
        if !model.is_null() {
            // SAFETY: it was boxed by `mollifier_open` and is freed once.
            drop(unsafe { Box::from_raw(model) });
        }
        Ok(())
    });
}

/// Frames that one map needs; 0 on failure.
///
/// # Safety
/// `model` is null or a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_window(model: *const mollifier_model) -> usize {
    // SAFETY: as the caller promises.
    guarded(0, || Ok(unsafe { handle(model, "model") }?.model.contract.window))
}

/// Frames by which a map lags the newest one it needs; 0 on failure.
///
/// # Safety
/// `model` is null or a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_delay(model: *const mollifier_model) -> usize {
    // SAFETY: as the caller promises.
    guarded(0, || Ok(unsafe { handle(model, "model") }?.model.contract.delay))
}

/// Maps that one window gives: `lambda`, `residual`, `support`, ...; 0 on failure.
///
/// # Safety
/// `model` is null or a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_output_count(model: *const mollifier_model) -> usize {
    // SAFETY: as the caller promises.
    guarded(0, || Ok(unsafe { handle(model, "model") }?.outputs.len()))
}

/// Name of a map, for as long as the model is open; null where there is none of this index.
///
/// # Safety
/// `model` is null or a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mollifier_output_name(model: *const mollifier_model, output: usize) -> *const c_char {
    guarded(null(), || {
        // SAFETY: as the caller promises.
        let outputs = &unsafe { handle(model, "model") }?.outputs;
        let name = outputs.get(output);
        Ok(name.with_context(|| format!("output: got {output}, expected less than {}", outputs.len()))?.as_ptr())
    })
}
