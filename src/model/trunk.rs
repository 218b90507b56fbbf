//! A learned trunk as it comes from training: an ONNX graph of plain convolutions, checked before it is joined.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};
use tract_onnx::pb;

use super::ModelError;
use super::bake::hexadecimal;
use crate::graph::{Graph, IR_VERSION, OPSET, Value};

/// The tensor between the front end and the trunk: (batch, channel, y, x) or (batch, channel, sample).
pub const FEATURES: &str = "features";
/// What delta is counted in where lambda's transform is the identity: a further output of such a front end.
pub(super) const UNIT: &str = "unit";
/// What a trunk gives, in this order: the residual on the transformed lambda, and the logarithm of its standard
/// deviation, one channel each.
const OUTPUTS: [&str; 2] = ["delta", "log_std"];
/// Operators that keep every sample's place and sum in the same order wherever it lies.
const OPERATORS: [&str; 5] = ["Conv", "Relu", "Tanh", "Sigmoid", "Add"];
/// Key in the file's `metadata_props` of the first and last seed of the training set, a JSON array.
const SEEDS_KEY: &str = "mollifier.seeds";

/// A trunk that may stand behind a front end.
///
/// Convolutions have stride 1, one group, odd kernels and as many zeros around as keep the size; so at the
/// tensor's border, and there only, the trunk sees that the frame ends, and [`reach`](Self::reach) samples from a
/// tile's inner border its outputs are those of the whole frame.
#[derive(Clone, Debug)]
pub struct Trunk {
    path: String,
    graph: pb::GraphProto,
    axes: usize,
    channels: usize,
    reach: usize,
    multiply_adds: usize,
    seeds: Vec<u64>,
    sha256: String,
}

impl Trunk {
    /// Read a trunk's file.
    ///
    /// # Errors
    /// A file that cannot be read, or that [`from_bytes`](Self::from_bytes) refuses.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| ModelError::Io { path: name.clone(), source })?;
        Self::from_bytes(&name, &bytes)
    }

    /// Read a trunk from memory; `path` is for messages.
    ///
    /// # Errors
    /// Bytes that are no ONNX model of opset 17; inputs other than `features` and outputs other than `delta` and
    /// `log_std`; an operator that is not allowed, or a convolution that changes the size.
    pub fn from_bytes(path: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        let proto = pb::ModelProto::decode(bytes)
            .map_err(|e| ModelError::NotOnnx { path: path.to_owned(), message: e.to_string() })?;
        let fail = |place: &str, message: String| error(path, place, message);
        let opsets: Vec<(&str, i64)> = proto.opset_import.iter().map(|o| (o.domain.as_str(), o.version)).collect();
        if !matches!(opsets[..], [("" | "ai.onnx", OPSET)]) {
            return Err(fail("opset_import", format!("got {opsets:?}, expected [(\"\", {OPSET})]")));
        }
        if proto.ir_version > IR_VERSION {
            return Err(fail("ir_version", format!("got {}, expected at most {IR_VERSION}", proto.ir_version)));
        }
        let seeds = match proto.metadata_props.iter().find(|p| p.key == SEEDS_KEY) {
            Some(p) => serde_json::from_str(&p.value).map_err(|e| fail(SEEDS_KEY, e.to_string()))?,
            None => Vec::new(),
        };
        let graph = proto
            .graph
            .ok_or_else(|| ModelError::NotOnnx { path: path.to_owned(), message: "it holds no graph".to_owned() })?;
        let (channels, axes) = entry(path, &graph)?;
        let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        if names != OUTPUTS {
            return Err(fail("outputs", format!("got {names:?}, expected {OUTPUTS:?}")));
        }
        let mut walk = Walk { path, axes, weights: HashMap::new(), known: HashMap::new(), multiply_adds: 0 };
        for tensor in &graph.initializer {
            let dims: Vec<usize> = tensor.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
            let (count, float) = (dims.iter().product::<usize>(), pb::tensor_proto::DataType::Float as i32);
            if tensor.data_type != float || tensor.raw_data.len() != 4 * count {
                return Err(fail(&tensor.name, format!("expected {count} float32 values as raw data in the file")));
            }
            if tensor.raw_data.chunks_exact(4).any(|b| !f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite()) {
                return Err(fail(&tensor.name, "got weights that are not finite".to_owned()));
            }
            walk.weights.insert(&tensor.name, dims);
        }
        walk.known.insert(FEATURES, (channels, 0));
        for node in &graph.node {
            walk.step(node)?;
        }
        let mut reach = 0;
        for name in OUTPUTS {
            let (channels, far) = walk.tensor(name, name)?;
            if channels != 1 {
                return Err(fail(name, format!("got {channels} channels, expected 1")));
            }
            reach = reach.max(far);
        }
        let multiply_adds = walk.multiply_adds;
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        Ok(Self { path: path.to_owned(), axes, channels, reach, multiply_adds, seeds, sha256, graph })
    }

    /// Samples around an output that it depends on, along every axis.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// Multiply-adds of its convolutions for each sample.
    #[must_use]
    pub fn multiply_adds(&self) -> usize {
        self.multiply_adds
    }

    /// First and last seed of the training set, as the file states them; empty if it does not.
    #[must_use]
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// SHA-256 of the file's bytes, hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Refuse a front end of other channels or axes.
    pub(super) fn check(&self, channels: usize, axes: usize) -> Result<(), ModelError> {
        if (self.channels, self.axes) == (channels, axes) {
            return Ok(());
        }
        Err(self.error(
            FEATURES,
            format!(
                "got a trunk for {} channels over {} axes, expected {channels} channels over {axes}: those of the \
                 front end",
                self.channels, self.axes
            ),
        ))
    }

    /// Its delta and log_std on `features`, both maps.
    pub(super) fn behind(&self, graph: &Graph, features: &Value) -> (Value, Value) {
        let mut outputs = graph.embed("trunk", &self.graph, features, self.reach);
        let log_std = outputs.swap_remove(1);
        (outputs.swap_remove(0), log_std)
    }

    pub(super) fn error(&self, place: &str, message: String) -> ModelError {
        error(&self.path, place, message)
    }
}

fn error(path: &str, place: &str, message: String) -> ModelError {
    ModelError::Trunk { path: path.to_owned(), place: place.to_owned(), message }
}

/// Channels of `features` and its number of spatial axes.
fn entry(path: &str, graph: &pb::GraphProto) -> Result<(usize, usize), ModelError> {
    let constant = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    let inputs: Vec<&pb::ValueInfoProto> = graph.input.iter().filter(|i| !constant(&i.name)).collect();
    let [input] = inputs[..] else {
        return Err(error(path, "inputs", format!("got {}, expected one, {FEATURES}", inputs.len())));
    };
    if input.name != FEATURES {
        return Err(error(path, "inputs", format!("got {}, expected {FEATURES}", input.name)));
    }
    let Some(pb::type_proto::Value::TensorType(kind)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(error(path, FEATURES, "got no tensor type, expected float32".to_owned()));
    };
    let dims = kind.shape.as_ref().map_or(&[][..], |s| &s.dim);
    let channels = dims.get(1).and_then(|d| match d.value {
        Some(pb::tensor_shape_proto::dimension::Value::DimValue(n)) => usize::try_from(n).ok(),
        _ => None,
    });
    match (dims.len(), channels) {
        (3 | 4, Some(channels)) => Ok((channels, dims.len() - 2)),
        (rank, _) => Err(error(
            path,
            FEATURES,
            format!(
                "got rank {rank}, channels {channels:?}; expected (batch, channel, y, x) or (batch, channel, sample)"
            ),
        )),
    }
}

/// Following channels and reach through the nodes.
struct Walk<'a> {
    path: &'a str,
    axes: usize,
    weights: HashMap<&'a str, Vec<usize>>,
    /// Channels and reach of every tensor so far.
    known: HashMap<&'a str, (usize, usize)>,
    multiply_adds: usize,
}

impl<'a> Walk<'a> {
    fn fail<T>(&self, place: &str, message: String) -> Result<T, ModelError> {
        Err(error(self.path, place, message))
    }

    fn tensor(&self, name: &str, place: &str) -> Result<(usize, usize), ModelError> {
        self.known.get(name).copied().ok_or_else(|| error(self.path, place, format!("{name} was not computed before")))
    }

    fn step(&mut self, node: &'a pb::NodeProto) -> Result<(), ModelError> {
        let place = format!("node {} ({})", node.name, node.op_type);
        if !OPERATORS.contains(&node.op_type.as_str()) || !node.domain.is_empty() {
            return self
                .fail(&place, format!("got operator {}{}, expected one of {OPERATORS:?}", node.domain, node.op_type));
        }
        let ([output], Some(first)) = (&node.output[..], node.input.first()) else {
            return self.fail(&place, format!("got {} outputs, expected 1", node.output.len()));
        };
        let (channels, reach) = self.tensor(first, &place)?;
        let result = match (node.op_type.as_str(), &node.input[1..]) {
            ("Conv", [weights, bias @ ..]) if bias.len() < 2 => {
                self.convolution(node, &place, (channels, reach), weights, bias.first())?
            }
            ("Add", [other]) => {
                let (more, far) = self.tensor(other, &place)?;
                if more != channels {
                    return self.fail(&place, format!("got {channels} and {more} channels, expected equal ones"));
                }
                (channels, reach.max(far))
            }
            ("Relu" | "Tanh" | "Sigmoid", []) => (channels, reach),
            (_, rest) => return self.fail(&place, format!("got {} inputs", rest.len() + 1)),
        };
        self.known.insert(output, result);
        Ok(())
    }

    fn convolution(
        &mut self,
        node: &pb::NodeProto,
        place: &str,
        (channels, reach): (usize, usize),
        weights: &str,
        bias: Option<&String>,
    ) -> Result<(usize, usize), ModelError> {
        let Some(shape) = self.weights.get(weights).cloned() else {
            return self.fail(place, format!("got weights {weights}, expected an initializer"));
        };
        if shape.len() != 2 + self.axes || shape[1] != channels {
            return self.fail(
                place,
                format!("got weights {shape:?}, expected {channels} input channels and {} kernel axes", self.axes),
            );
        }
        if let Some(b) = bias.filter(|b| self.weights.get(b.as_str()) != Some(&vec![shape[0]])) {
            return self.fail(place, format!("bias {b}: expected an initializer of {} values", shape[0]));
        }
        let kernel = &shape[2..];
        if kernel.iter().any(|k| k % 2 == 0) {
            return self.fail(place, format!("got kernel {kernel:?}, expected odd sizes"));
        }
        let mut dilations = vec![1; self.axes];
        let mut pads = vec![0; 2 * self.axes];
        for attribute in &node.attribute {
            let values: Vec<usize> = attribute.ints.iter().map(|v| usize::try_from(*v).unwrap_or(usize::MAX)).collect();
            match attribute.name.as_str() {
                "dilations" if values.len() == self.axes && values.iter().all(|d| (1..1024).contains(d)) => {
                    dilations = values;
                }
                "pads" if values.len() == pads.len() => pads = values,
                "strides" if values.iter().all(|s| *s == 1) => {}
                "group" if attribute.i == 1 => {}
                "kernel_shape" if values == kernel => {}
                name => {
                    return self.fail(
                        place,
                        format!(
                            "got {name} = {:?}, expected stride 1, one group, explicit pads and kernel_shape as the weights",
                            attribute.ints
                        ),
                    );
                }
            }
        }
        let half: Vec<usize> = kernel.iter().zip(&dilations).map(|(k, d)| d * (k / 2)).collect();
        let expected = [half.clone(), half.clone()].concat();
        if pads != expected {
            return self.fail(place, format!("got pads {pads:?}, expected {expected:?}, which keep the size"));
        }
        self.multiply_adds += shape.iter().product::<usize>();
        Ok((shape[0], reach + half.iter().copied().max().unwrap_or(0)))
    }
}
