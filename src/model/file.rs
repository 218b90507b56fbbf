//! Reading a model file and holding it to its contract.

use std::collections::HashSet;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};
use tract_onnx::pb;

use super::bake::hexadecimal;
use super::contract::{Contract, METADATA_KEY, VERSION};
use super::trunk::UNIT;
use super::{FEATURES, ModelError};

/// An inverse model as read from its file: the contract and the graph.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the file says of itself.
    pub contract: Contract,
    /// The ONNX graph.
    pub(crate) proto: pb::ModelProto,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub hash: String,
    /// The file's name, for messages.
    pub name: String,
}

impl Model {
    /// Read a model file.
    ///
    /// # Errors
    /// A file that cannot be read, or that [`from_bytes`](Self::from_bytes) refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| ModelError::Io { path: name.clone(), source })?;
        Self::from_bytes(&name, &bytes)
    }

    /// Read a model from memory; `name` is for messages.
    ///
    /// # Errors
    /// Bytes that are no ONNX model, a model without a contract or with one of another version, one whose
    /// contract and graph disagree, or one that keeps its weights elsewhere.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        let path = || name.to_owned();
        let proto =
            pb::ModelProto::decode(bytes).map_err(|e| ModelError::NotOnnx { path: path(), message: e.to_string() })?;
        let graph = proto
            .graph
            .as_ref()
            .ok_or_else(|| ModelError::NotOnnx { path: path(), message: "it holds no graph".to_owned() })?;
        if let Some(t) = graph.initializer.iter().find(|t| t.data_location() == EXTERNAL) {
            return Err(ModelError::ExternalData { path: path(), tensor: t.name.clone() });
        }
        let json = proto
            .metadata_props
            .iter()
            .find(|p| p.key == METADATA_KEY)
            .map(|p| p.value.as_str())
            .ok_or_else(|| ModelError::NoContract { path: path() })?;
        let contract = parse_contract(name, json)?;
        check(name, &contract, graph)?;
        Ok(Self { contract, hash: hexadecimal(&Sha256::digest(bytes)), name: path(), proto })
    }
}

const EXTERNAL: pb::tensor_proto::DataLocation = pb::tensor_proto::DataLocation::External;

fn parse_contract(path: &str, json: &str) -> Result<Contract, ModelError> {
    let error = |message: String| ModelError::Contract { path: path.to_owned(), message };
    let value: serde_json::Value = serde_json::from_str(json).map_err(|e| error(e.to_string()))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if version != u64::from(VERSION) {
        return Err(ModelError::Version { path: path.to_owned(), got: version, expected: VERSION });
    }
    serde_json::from_value(value).map_err(|e| error(e.to_string()))
}

fn check(path: &str, contract: &Contract, graph: &pb::GraphProto) -> Result<(), ModelError> {
    let error = |message: String| Err(ModelError::Contract { path: path.to_owned(), message });
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let got: Vec<&str> = graph.input.iter().map(|i| i.name.as_str()).filter(|n| !constants.contains(n)).collect();
    let said: Vec<&str> = contract.inputs.iter().map(|i| i.name.as_str()).collect();
    if got != said {
        return error(format!("got graph inputs {got:?}, expected {said:?}"));
    }
    let got: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let mut said: Vec<&str> = contract.outputs.iter().map(|o| o.name.as_str()).collect();
    if !contract.features.is_empty() {
        said.push(FEATURES);
        // A front end whose lambda is not a logarithm says what its trunk counts in.
        said.extend(got.last().filter(|name| **name == UNIT));
    }
    if got != said {
        return error(format!("got graph outputs {got:?}, expected {said:?}"));
    }
    let axes = contract.tiled_axes();
    for (what, len) in
        [("halo", contract.halo.len()), ("alignment", contract.alignment.len()), ("min_size", contract.min_size.len())]
    {
        if len != axes {
            return error(format!("{what}: got {len} numbers, expected {axes}"));
        }
    }
    if contract.window == 0 || contract.alignment.contains(&0) {
        return error("window and alignment: got 0, expected at least 1".to_owned());
    }
    Ok(())
}
