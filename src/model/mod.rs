//! Inverse models: the spec they are baked from, the ONNX file with its contract, reading and checking.

pub(crate) mod contract;

pub use contract::{
    AxisGrid, Bank, Contract, GroupRange, Input, InputRole, Kind, Output, Physics, Provenance, Transform,
};
pub use contract::{BankOutput, METADATA_KEY, VERSION};

/// An inverse model as read from its file: the contract and the graph.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the file says of itself.
    pub contract: Contract,
    /// The ONNX graph.
    pub(crate) proto: tract_onnx::pb::ModelProto,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub hash: String,
    /// The file's name, for messages.
    pub name: String,
}
