//! Reading a model file and holding it to what it says of itself.

use std::collections::HashSet;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};

use super::bake::hexadecimal;
use super::contract::{Contract, METADATA_KEY, VERSION};
use super::fit::{FIT_KEY, Fit};
use super::trunk::UNIT;
use super::{FEATURES, ModelError};
use crate::onnx;

/// An inverse model as read from its file: the contract and the graph.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the file says of itself.
    pub contract: Contract,
    /// The ONNX graph.
    pub(crate) proto: onnx::ModelProto,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub hash: String,
    /// The file's name, for messages.
    pub name: String,
}

/// What a file that `mollifier run` takes may hold.
#[derive(Clone, Debug)]
pub enum ModelFile {
    /// An inverse model: recordings in, maps out.
    Inverse(Box<Model>),
    /// A function fitted to one recording: coordinates in, values out.
    Fit(Box<Fit>),
}

impl ModelFile {
    /// Read a file of either kind.
    ///
    /// # Errors
    /// A file that cannot be read, or that [`from_bytes`](Self::from_bytes) refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| ModelError::Io { path: name.clone(), source })?;
        Self::from_bytes(&name, &bytes)
    }

    /// Read a file of either kind from memory; `name` is for messages.
    ///
    /// # Errors
    /// Bytes that are no ONNX model, a model that says nothing of itself or says it in another version, one whose
    /// graph is not as it says, or one that keeps its weights elsewhere.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        let path = || name.to_owned();
        let proto = onnx::ModelProto::decode(bytes)
            .map_err(|e| ModelError::NotOnnx { path: path(), message: e.to_string() })?;
        let graph = proto
            .graph
            .as_ref()
            .ok_or_else(|| ModelError::NotOnnx { path: path(), message: "it holds no graph".to_owned() })?;
        if let Some(t) = graph.initializer.iter().find(|t| t.data_location() == EXTERNAL) {
            return Err(ModelError::ExternalData { path: path(), tensor: t.name.clone() });
        }
        let said = |key: &str| proto.metadata_props.iter().find(|p| p.key == key).map(|p| p.value.clone());
        let hash = hexadecimal(&Sha256::digest(bytes));
        if let Some(json) = said(METADATA_KEY) {
            let contract = parse_contract(name, &json)?;
            check(name, &contract, graph)?;
            return Ok(Self::Inverse(Box::new(Model { contract, hash, name: path(), proto })));
        }
        let json = said(FIT_KEY).ok_or_else(|| ModelError::NoContract { path: path() })?;
        Ok(Self::Fit(Box::new(Fit::new(name, &json, proto, hash)?)))
    }
}

impl Model {
    /// Read an inverse model's file.
    ///
    /// # Errors
    /// A file that cannot be read, or that [`from_bytes`](Self::from_bytes) refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::expected(ModelFile::load(path)?)
    }

    /// Read an inverse model from memory; `name` is for messages.
    ///
    /// # Errors
    /// As [`ModelFile::from_bytes`]; also a fit of one recording.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        Self::expected(ModelFile::from_bytes(name, bytes)?)
    }

    fn expected(file: ModelFile) -> Result<Self, ModelError> {
        match file {
            ModelFile::Inverse(model) => Ok(*model),
            ModelFile::Fit(fit) => Err(ModelError::IsFit { path: fit.name }),
        }
    }
}

const EXTERNAL: onnx::DataLocation = onnx::DataLocation::External;

fn parse_contract(path: &str, json: &str) -> Result<Contract, ModelError> {
    let error = |message: String| ModelError::Contract { path: path.to_owned(), message };
    let value: serde_json::Value = serde_json::from_str(json).map_err(|e| error(e.to_string()))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if version != u64::from(VERSION) {
        return Err(ModelError::Version { path: path.to_owned(), got: version, expected: VERSION });
    }
    serde_json::from_value(value).map_err(|e| error(e.to_string()))
}

/// The names of a graph's inputs, but for those that it holds a value of.
pub(super) fn graph_inputs(graph: &onnx::GraphProto) -> Vec<&str> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    graph.input.iter().map(|i| i.name.as_str()).filter(|n| !constants.contains(n)).collect()
}

fn check(path: &str, contract: &Contract, graph: &onnx::GraphProto) -> Result<(), ModelError> {
    let error = |message: String| Err(ModelError::Contract { path: path.to_owned(), message });
    let got = graph_inputs(graph);
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
