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
const OPERATORS: [&str; 6] = ["Conv", "Relu", "Tanh", "Sigmoid", "Add", "DepthToSpace"];
/// Key in the file's `metadata_props` of the first and last seed of the training set, a JSON array.
const SEEDS_KEY: &str = "mollifier.seeds";

/// A trunk that may stand behind a front end.
///
/// Convolutions have stride 1, one group, odd kernels and as many zeros around as keep the size; so at the
/// tensor's border, and there only, the trunk sees that the frame ends, and [`reach`](Self::reach) samples from a
/// tile's inner border its outputs are those of the whole frame.
///
/// A trunk for images may work at half the resolution in between: a convolution of 2 x 2 samples with stride 2 takes
/// them to cells, with zeros beyond an odd end, and `DepthToSpace` gives each sample of a cell its own output. Tiles
/// then begin at multiples of the [`alignment`](Self::alignment), so that every sample lies in the same cell.
#[derive(Clone, Debug)]
pub struct Trunk {
    path: String,
    graph: pb::GraphProto,
    axes: usize,
    channels: usize,
    reach: usize,
    /// Samples along the side of the largest cell.
    alignment: usize,
    /// Which of the outputs are as large as whole cells.
    spread: [bool; 2],
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
    /// `log_std`; an operator that is not allowed, or a convolution that changes the size otherwise than to cells.
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
        let mut walk = Walk { path, axes, weights: HashMap::new(), known: HashMap::new(), alignment: 1, quarters: 0 };
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
        walk.known.insert(FEATURES, Tensor { channels, reach: 0, grid: Grid::Samples });
        for node in &graph.node {
            walk.step(node)?;
        }
        let (mut reach, mut spread) = (0, [false; 2]);
        for (name, spread) in OUTPUTS.into_iter().zip(&mut spread) {
            let tensor = walk.tensor(name, name)?;
            if tensor.channels != 1 {
                return Err(fail(name, format!("got {} channels, expected 1", tensor.channels)));
            }
            if tensor.grid == Grid::Cells {
                return Err(fail(name, "got half the resolution, expected DepthToSpace behind it".to_owned()));
            }
            reach = reach.max(tensor.reach);
            *spread = tensor.grid == Grid::Spread;
        }
        let (alignment, multiply_adds) = (walk.alignment, walk.quarters.div_ceil(SAMPLES));
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        let path = path.to_owned();
        Ok(Self { path, axes, channels, reach, alignment, spread, multiply_adds, seeds, sha256, graph })
    }

    /// Samples around an output that it depends on, along every axis.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// Tiles have to begin at multiples of this, along every axis.
    #[must_use]
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// Multiply-adds of its convolutions for each sample, rounded up.
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
        for (output, _) in outputs.iter_mut().zip(self.spread).filter(|(_, spread)| *spread) {
            *output = output.cropped();
        }
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

/// Samples along the side of a cell, and in it.
const CELL: usize = 2;
const SAMPLES: usize = CELL * CELL;

/// What a tensor has one value of every channel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grid {
    /// Every sample of the features.
    Samples,
    /// Every cell of samples; the last ones may reach beyond an odd end.
    Cells,
    /// Every sample of whole cells. Beyond an odd end one more than the features have, so that nothing but the end of
    /// the trunk, where it is cut off, may come behind.
    Spread,
}

/// What is known of a tensor.
#[derive(Clone, Copy, Debug)]
struct Tensor {
    channels: usize,
    /// In samples.
    reach: usize,
    grid: Grid,
}

/// Following tensors through the nodes.
struct Walk<'a> {
    path: &'a str,
    axes: usize,
    weights: HashMap<&'a str, Vec<usize>>,
    known: HashMap<&'a str, Tensor>,
    alignment: usize,
    /// Multiply-adds for each whole cell of samples.
    quarters: usize,
}

impl<'a> Walk<'a> {
    fn fail<T>(&self, place: &str, message: String) -> Result<T, ModelError> {
        Err(error(self.path, place, message))
    }

    fn tensor(&self, name: &str, place: &str) -> Result<Tensor, ModelError> {
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
        let from = self.tensor(first, &place)?;
        if from.grid == Grid::Spread {
            return self.fail(&place, format!("got {first} from DepthToSpace, expected nothing behind that"));
        }
        let result = match (node.op_type.as_str(), &node.input[1..]) {
            ("Conv", [weights, bias @ ..]) if bias.len() < 2 => {
                self.convolution(node, &place, from, weights, bias.first())?
            }
            ("Add", [other]) => {
                let other = self.tensor(other, &place)?;
                if other.channels != from.channels {
                    let message = format!("got {} and {} channels, expected equal ones", from.channels, other.channels);
                    return self.fail(&place, message);
                }
                if other.grid != from.grid {
                    let message = format!("got {:?} and {:?}, expected one resolution", from.grid, other.grid);
                    return self.fail(&place, message);
                }
                Tensor { reach: from.reach.max(other.reach), ..from }
            }
            ("Relu" | "Tanh" | "Sigmoid", []) => from,
            ("DepthToSpace", []) => self.spread(node, &place, from)?,
            (_, rest) => return self.fail(&place, format!("got {} inputs", rest.len() + 1)),
        };
        self.known.insert(output, result);
        Ok(())
    }

    fn convolution(
        &mut self,
        node: &pb::NodeProto,
        place: &str,
        from: Tensor,
        weights: &str,
        bias: Option<&String>,
    ) -> Result<Tensor, ModelError> {
        let Some(shape) = self.weights.get(weights).cloned() else {
            return self.fail(place, format!("got weights {weights}, expected an initializer"));
        };
        if shape.len() != 2 + self.axes || shape[1] != from.channels {
            return self.fail(
                place,
                format!(
                    "got weights {shape:?}, expected {} input channels and {} kernel axes",
                    from.channels, self.axes
                ),
            );
        }
        if let Some(b) = bias.filter(|b| self.weights.get(b.as_str()) != Some(&vec![shape[0]])) {
            return self.fail(place, format!("bias {b}: expected an initializer of {} values", shape[0]));
        }
        let kernel = &shape[2..];
        let mut dilations = vec![1; self.axes];
        let mut pads = vec![0; 2 * self.axes];
        let mut strides = vec![1; self.axes];
        for attribute in &node.attribute {
            let values: Vec<usize> = attribute.ints.iter().map(|v| usize::try_from(*v).unwrap_or(usize::MAX)).collect();
            match attribute.name.as_str() {
                "dilations" if values.len() == self.axes && values.iter().all(|d| (1..1024).contains(d)) => {
                    dilations = values;
                }
                "pads" if values.len() == pads.len() => pads = values,
                "strides" if values.iter().all(|s| *s == 1) => {}
                "strides" if values == [CELL; 2] && self.axes == 2 => strides = values,
                "group" if attribute.i == 1 => {}
                "kernel_shape" if values == kernel => {}
                name => {
                    return self.fail(
                        place,
                        format!(
                            "got {name} = {:?}, expected stride 1 (or once 2, of images), one group, explicit pads and \
                             kernel_shape as the weights",
                            attribute.ints
                        ),
                    );
                }
            }
        }
        let weights = shape.iter().product::<usize>();
        if strides == [CELL; 2] {
            if from.grid == Grid::Cells {
                return self.fail(place, "got stride 2 at half the resolution, expected it once".to_owned());
            }
            if kernel != [CELL; 2] || dilations != [1; 2] || pads != [0, 0, 1, 1] {
                let message = format!(
                    "got stride 2 with kernel {kernel:?}, dilations {dilations:?} and pads {pads:?}, expected kernel \
                     [2, 2], dilations [1, 1] and pads [0, 0, 1, 1]"
                );
                return self.fail(place, message);
            }
            self.quarters += weights;
            self.alignment = CELL;
            return Ok(Tensor { channels: shape[0], reach: from.reach + CELL - 1, grid: Grid::Cells });
        }
        if kernel.iter().any(|k| k % 2 == 0) {
            return self.fail(place, format!("got kernel {kernel:?}, expected odd sizes"));
        }
        let half: Vec<usize> = kernel.iter().zip(&dilations).map(|(k, d)| d * (k / 2)).collect();
        let expected = [half.clone(), half.clone()].concat();
        if pads != expected {
            return self.fail(place, format!("got pads {pads:?}, expected {expected:?}, which keep the size"));
        }
        let (cell, samples) = if from.grid == Grid::Cells { (CELL, 1) } else { (1, SAMPLES) };
        self.quarters += samples * weights;
        let reach = from.reach + cell * half.iter().copied().max().unwrap_or(0);
        Ok(Tensor { channels: shape[0], reach, ..from })
    }

    /// Of one output channel, for which both orders of ONNX are the same.
    fn spread(&self, node: &pb::NodeProto, place: &str, from: Tensor) -> Result<Tensor, ModelError> {
        for attribute in &node.attribute {
            match attribute.name.as_str() {
                "blocksize" if attribute.i == CELL as i64 => {}
                "mode" if [&b"CRD"[..], b"DCR"].contains(&attribute.s.as_slice()) => {}
                name => {
                    let message = format!("got {name} = {} {:?}, expected blocksize 2", attribute.i, attribute.s);
                    return self.fail(place, message);
                }
            }
        }
        if from.grid != Grid::Cells || from.channels != SAMPLES || !node.attribute.iter().any(|a| a.name == "blocksize")
        {
            let message = format!(
                "got {} channels of {:?}, expected {SAMPLES} of Cells and blocksize 2: one for each sample",
                from.channels, from.grid
            );
            return self.fail(place, message);
        }
        Ok(Tensor { channels: 1, grid: Grid::Spread, ..from })
    }
}
