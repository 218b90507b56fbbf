//! The C interface: a model is opened, a stream is set up and started, frames are pushed and maps polled.
//!
//! `cargo rustc --release --lib --features capi --crate-type cdylib` builds the library, `src/capi/mollifier.h` is its
//! header, and `examples/c/live.c` uses it. What is behind it is [`live`](crate::stream::live).
//!
//! Every function may be called from any thread. One that fails says so by what it returns, and
//! [`mollifier_last_error`] then has the reason, for the thread that called; none unwinds into C. Handles are freed
//! once, by the function that says so, and not used afterwards; a null handle is an error, not a crash.

#![allow(non_camel_case_types)]

mod failure;
mod model;
mod stream;

pub use failure::mollifier_last_error;
pub use model::{
    mollifier_close, mollifier_delay, mollifier_model, mollifier_open, mollifier_output_count, mollifier_output_name,
    mollifier_version, mollifier_window,
};
pub use stream::{
    mollifier_finish, mollifier_map_frame, mollifier_map_noise, mollifier_map_time, mollifier_map_values,
    mollifier_on_full, mollifier_poll, mollifier_progress, mollifier_push, mollifier_set_backend, mollifier_set_field,
    mollifier_set_keep_outliers, mollifier_set_number, mollifier_set_queue, mollifier_set_saturation,
    mollifier_set_spacing, mollifier_set_threads, mollifier_set_time_step, mollifier_start, mollifier_status,
    mollifier_stream, mollifier_stream_free, mollifier_stream_new, mollifier_type,
};
