//! Inverse models: the spec they are baked from, the ONNX file with its contract, reading and checking. Beside them the
//! file of a fit, which knows one recording.

mod bake;
mod contract;
mod error;
mod file;
mod fit;
mod kernels;
pub(crate) mod reference;
mod restrict;
mod spec;
mod trunk;
mod verify;

pub use bake::{BakeOptions, bake};
pub use contract::{
    AxisGrid, Bank, BankOutput, Contract, GroupRange, Input, InputRole, Kind, METADATA_KEY, Output, Physics,
    Provenance, Transform, TrunkRecord, VERSION,
};
pub use error::ModelError;
pub use file::{Model, ModelFile};
pub use fit::{FIT_KEY, FIT_VERSION, Fit, FitAxis, FitRecord};
pub use spec::{Aspect, Spec};
pub use trunk::{FEATURES, Trunk};
pub use verify::{AGREEMENT_BOUND, Agreement, Case, agreement};
