//! `mollifier` turns a stream of measured fields into a stream of maps of the hidden parameter that shaped
//! them, by inverse models whose derivative operators are mollifier kernels baked into an ONNX file.
//!
//! The way of the data is one direction: a [`source`] gives frames, a [`stream`] windows and tiles them, a
//! [`backend`] plan computes a [`model`], and a [`sink`] writes the maps. The layers below a model are
//! [`kernel`] (mollifiers as discrete taps) and [`operator`] (kernels applied along axes), which are `no_std`,
//! then [`graph`] (ONNX nodes) and [`physics`] (one file for each partial differential equation).
//!
//! 1. **Describe**: a spec (TOML) names the physics and its radii; [`model::bake`] writes it as an ONNX file.
//! 2. **Bind**: a backend prepares the model for one tile shape.
//! 3. **Run**: a stream feeds it, window by window.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod kernel;
pub mod operator;

#[cfg(feature = "std")]
pub mod backend;
#[cfg(feature = "capi")]
pub mod capi;
#[cfg(feature = "std")]
pub mod fitted;
#[cfg(feature = "std")]
pub mod graph;
#[cfg(feature = "std")]
pub mod model;
#[cfg(feature = "std")]
pub mod onnx;
#[cfg(feature = "std")]
pub mod physics;
#[cfg(feature = "std")]
pub mod sink;
#[cfg(feature = "std")]
pub mod source;
#[cfg(feature = "std")]
pub mod stream;
#[cfg(feature = "std")]
pub mod units;
#[cfg(feature = "view")]
pub mod view;
