//! Kernels applied along the axes of images and series: separable operators and banks that share passes.

mod axis;
mod bank;
mod cells;
mod convolution;
mod filter;
mod line;
#[cfg(test)]
mod made_up;
mod minimal;
mod pass;
mod place;
#[cfg(any(feature = "std", test))]
mod pointwise;
mod simd;

pub use axis::Border;
pub use bank::{BankError, BoundBank, Derivative};
pub use cells::{CELL_SIDES, Cell, CellConvolution, covered, spread_cells};
pub use convolution::{Activation, Convolution, ConvolutionShape, WIDEST};
pub use filter::SeriesFilter;
pub use pass::instructions;
pub use place::Place;
#[cfg(feature = "std")]
pub use pointwise::{Operand, Operator, Program};
