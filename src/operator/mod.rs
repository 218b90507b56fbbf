//! Kernels applied along the axes of images and series: separable operators and banks that share passes.

mod axis;
mod bank;
mod convolution;
mod pass;
mod simd;

pub use axis::Border;
pub use bank::{BankError, BoundBank, Derivative};
pub use convolution::{Convolution, ConvolutionShape};
