//! Inverse models: the spec they are baked from, the ONNX file with its contract, reading and checking.

mod bake;
mod contract;
mod error;
mod file;
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
pub use file::Model;
pub use spec::{Aspect, Spec};
pub use trunk::{FEATURES, Trunk};
pub use verify::{AGREEMENT_BOUND, Agreement, Case, agreement};
