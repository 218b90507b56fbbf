//! A learned trunk as it comes from training: an ONNX graph of plain convolutions, checked before it is joined.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};

use super::ModelError;
use super::bake::hexadecimal;
use crate::graph::{Graph, IR_VERSION, OPSET, Value, whole_numbers};
use crate::onnx;
use crate::operator::CELL_SIDES;

/// The tensor between the front end and the trunk: (batch, channel, y, x) or (batch, channel, sample).
pub const FEATURES: &str = "features";
/// What delta is counted in where lambda's transform is the identity: a further output of such a front end.
pub(super) const UNIT: &str = "unit";
/// What a trunk gives, in this order: the residual on the transformed lambda, and the logarithm of its standard
/// deviation, one channel each.
const OUTPUTS: [&str; 2] = ["delta", "log_std"];
/// Operators that keep every sample's place and sum in the same order wherever it lies.
const OPERATORS: [&str; 8] = ["Conv", "Relu", "Tanh", "Sigmoid", "Add", "DepthToSpace", "Transpose", "Reshape"];
/// Key in the file's `metadata_props` of the first and last seed of the training set, a JSON array.
const SEEDS_KEY: &str = "mollifier.seeds";
/// Key of the names of the maps that it was trained on, a JSON array; they tell the radii.
const FEATURES_KEY: &str = "mollifier.features";

/// A trunk that may stand behind a front end.
///
/// Convolutions have stride 1, one group, odd kernels and as many zeros around as keep the size; so at the
/// tensor's border, and there only, the trunk sees that the frame ends, and [`reach`](Self::reach) samples from a
/// tile's inner border its outputs are those of the whole frame.
///
/// A trunk may work at a half, a quarter or an eighth of the resolution in between: one convolution whose kernel and
/// stride are the side of a cell takes samples to cells, with zeros beyond an end that has only a part of one, and
/// `DepthToSpace` (of a series, which that operator has no place for, `Transpose` and `Reshape`) gives each sample of a
/// cell its own output. Tiles then begin at multiples of the [`alignment`](Self::alignment), so that every sample lies
/// in the same cell.
#[derive(Clone, Debug)]
pub struct Trunk {
    path: String,
    graph: onnx::GraphProto,
    axes: usize,
    channels: usize,
    reach: usize,
    /// Samples along the side of a cell.
    alignment: usize,
    /// Which of the outputs are as large as whole cells.
    spread: [bool; 2],
    multiply_adds: usize,
    seeds: Vec<u64>,
    /// Names of its channels, where it tells them.
    features: Option<Vec<String>>,
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
        let proto = onnx::ModelProto::decode(bytes)
            .map_err(|e| ModelError::NotOnnx { path: path.to_owned(), message: e.to_string() })?;
        let fail = |place: &str, message: String| error(path, place, message);
        let opsets: Vec<(&str, i64)> = proto.opset_import.iter().map(|o| (o.domain.as_str(), o.version)).collect();
        if !matches!(opsets[..], [("" | "ai.onnx", OPSET)]) {
            return Err(fail("opset_import", format!("got {opsets:?}, expected [(\"\", {OPSET})]")));
        }
        if proto.ir_version > IR_VERSION {
            return Err(fail("ir_version", format!("got {}, expected at most {IR_VERSION}", proto.ir_version)));
        }
        let said = |key: &str| proto.metadata_props.iter().find(|p| p.key == key).map(|p| p.value.as_str());
        let seeds = said(SEEDS_KEY).map_or(Ok(Vec::new()), serde_json::from_str);
        let seeds = seeds.map_err(|e| fail(SEEDS_KEY, e.to_string()))?;
        let features = said(FEATURES_KEY).map(serde_json::from_str::<Vec<String>>).transpose();
        let features = features.map_err(|e| fail(FEATURES_KEY, e.to_string()))?;
        let graph = proto
            .graph
            .ok_or_else(|| ModelError::NotOnnx { path: path.to_owned(), message: "it holds no graph".to_owned() })?;
        let (channels, axes) = entry(path, &graph)?;
        let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        if names != OUTPUTS {
            return Err(fail("outputs", format!("got {names:?}, expected {OUTPUTS:?}")));
        }
        let mut walk = Walk {
            path,
            axes,
            weights: HashMap::new(),
            sizes: HashMap::new(),
            known: HashMap::new(),
            cell: 1,
            on_samples: 0,
            on_cells: 0,
        };
        for tensor in &graph.initializer {
            if let Some(sizes) = whole_numbers(tensor) {
                walk.sizes.insert(&tensor.name, sizes);
                continue;
            }
            let dims: Vec<usize> = tensor.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
            let (count, float) = (dims.iter().product::<usize>(), onnx::DataType::Float as i32);
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
            if matches!(tensor.grid, Grid::Cells | Grid::Turned) {
                let message = format!("got cells, expected {} behind them", walk.way_back());
                return Err(fail(name, message));
            }
            reach = reach.max(tensor.reach);
            *spread = tensor.grid == Grid::Spread;
        }
        let (alignment, multiply_adds) = (walk.cell, walk.on_samples + walk.on_cells.div_ceil(walk.samples()));
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        let path = path.to_owned();
        Ok(Self { path, axes, channels, reach, alignment, spread, multiply_adds, seeds, features, sha256, graph })
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

    /// Refuse a front end of other channels or axes: with other radii the same network would give other values.
    pub(super) fn check(&self, names: &[&str], axes: usize) -> Result<(), ModelError> {
        let channels = names.len();
        if (self.channels, self.axes) != (channels, axes) {
            let message = format!(
                "got a trunk for {} channels over {} axes, expected {channels} channels over {axes}: those of the front end",
                self.channels, self.axes
            );
            return Err(self.error(FEATURES, message));
        }
        let trained = self.features.iter().flatten();
        let Some((name, trained)) = names.iter().zip(trained).find(|(name, trained)| *name != trained) else {
            return Ok(());
        };
        let message = "the radii that the trunk was trained with";
        Err(self.error(FEATURES, format!("got a front end that gives {name}, expected {trained}: {message}")))
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
fn entry(path: &str, graph: &onnx::GraphProto) -> Result<(usize, usize), ModelError> {
    let constant = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    let inputs: Vec<&onnx::ValueInfoProto> = graph.input.iter().filter(|i| !constant(&i.name)).collect();
    let [input] = inputs[..] else {
        return Err(error(path, "inputs", format!("got {}, expected one, {FEATURES}", inputs.len())));
    };
    if input.name != FEATURES {
        return Err(error(path, "inputs", format!("got {}, expected {FEATURES}", input.name)));
    }
    let Some(kind) = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Err(error(path, FEATURES, "got no tensor type, expected float32".to_owned()));
    };
    let dims = kind.shape.as_ref().map_or(&[][..], |s| &s.dim);
    let channels = dims.get(1).and_then(|d| match d.value {
        Some(onnx::DimensionValue::DimValue(n)) => usize::try_from(n).ok(),
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

/// What a tensor has one value of every channel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grid {
    /// Every sample of the features.
    Samples,
    /// Every cell of samples; the last ones may reach beyond an end.
    Cells,
    /// Every cell, with the samples of one side by side: (batch, cell, sample of the cell). Of series, on the way back.
    Turned,
    /// Every sample of whole cells. Beyond an end that has a part of a cell some more than the features have, so that
    /// nothing but the end of the trunk, where they are cut off, may come behind.
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
    /// Constants of whole numbers.
    sizes: HashMap<&'a str, Vec<i64>>,
    known: HashMap<&'a str, Tensor>,
    /// Samples along the side of a cell: 1 until there are cells.
    cell: usize,
    /// Multiply-adds for each sample, and for each cell.
    on_samples: usize,
    on_cells: usize,
}

impl<'a> Walk<'a> {
    fn fail<T>(&self, place: &str, message: String) -> Result<T, ModelError> {
        Err(error(self.path, place, message))
    }

    fn tensor(&self, name: &str, place: &str) -> Result<Tensor, ModelError> {
        self.known.get(name).copied().ok_or_else(|| error(self.path, place, format!("{name} was not computed before")))
    }

    /// Samples of a cell.
    fn samples(&self) -> usize {
        self.cell.pow(u32::try_from(self.axes).unwrap_or(1))
    }

    /// What leads from cells back to samples.
    fn way_back(&self) -> &'static str {
        if self.axes == 1 { "Transpose and Reshape" } else { "DepthToSpace" }
    }

    fn step(&mut self, node: &'a onnx::NodeProto) -> Result<(), ModelError> {
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
            let message = format!("got {first} from {}, expected nothing behind that", self.way_back());
            return self.fail(&place, message);
        }
        if (from.grid == Grid::Turned) != (node.op_type == "Reshape") {
            return self.fail(&place, format!("got {first}, expected Reshape behind Transpose and nowhere else"));
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
            ("Transpose", []) => self.turned(node, &place, from)?,
            ("Reshape", [sizes]) => self.reshaped(node, &place, from, sizes)?,
            (_, rest) => return self.fail(&place, format!("got {} inputs", rest.len() + 1)),
        };
        self.known.insert(output, result);
        Ok(())
    }

    fn convolution(
        &mut self,
        node: &onnx::NodeProto,
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
                "strides" if values.len() == self.axes && CELL_SIDES.iter().any(|c| values.iter().all(|s| s == c)) => {
                    strides = values;
                }
                "group" if attribute.i == 1 => {}
                "kernel_shape" if values == kernel => {}
                name => {
                    return self.fail(
                        place,
                        format!(
                            "got {name} = {:?}, expected stride 1 (or once {CELL_SIDES:?}, the same along every axis), \
                             one group, explicit pads and kernel_shape as the weights",
                            attribute.ints
                        ),
                    );
                }
            }
        }
        let weights = shape.iter().product::<usize>();
        if let Some(side) = strides.first().copied().filter(|s| *s > 1) {
            if self.cell > 1 {
                return self.fail(place, format!("got stride {side} behind another, expected it once"));
            }
            let ends = [vec![0; self.axes], vec![side - 1; self.axes]].concat();
            if kernel.iter().any(|k| *k != side) || dilations.iter().any(|d| *d != 1) || pads != ends {
                let message = format!(
                    "got stride {side} with kernel {kernel:?}, dilations {dilations:?} and pads {pads:?}, expected \
                     kernel {:?}, dilations {:?} and pads {ends:?}",
                    vec![side; self.axes],
                    vec![1; self.axes]
                );
                return self.fail(place, message);
            }
            self.on_cells += weights;
            self.cell = side;
            return Ok(Tensor { channels: shape[0], reach: from.reach + side - 1, grid: Grid::Cells });
        }
        if kernel.iter().any(|k| k % 2 == 0) {
            return self.fail(place, format!("got kernel {kernel:?}, expected odd sizes"));
        }
        let half: Vec<usize> = kernel.iter().zip(&dilations).map(|(k, d)| d * (k / 2)).collect();
        let expected = [half.clone(), half.clone()].concat();
        if pads != expected {
            return self.fail(place, format!("got pads {pads:?}, expected {expected:?}, which keep the size"));
        }
        let (cell, count) = match from.grid {
            Grid::Cells => (self.cell, &mut self.on_cells),
            _ => (1, &mut self.on_samples),
        };
        *count += weights;
        let reach = from.reach + cell * half.iter().copied().max().unwrap_or(0);
        Ok(Tensor { channels: shape[0], reach, ..from })
    }

    /// Of one output channel, for which both orders of ONNX are the same.
    fn spread(&self, node: &onnx::NodeProto, place: &str, from: Tensor) -> Result<Tensor, ModelError> {
        let side = self.cell;
        for attribute in &node.attribute {
            match attribute.name.as_str() {
                "blocksize" if attribute.i == side as i64 => {}
                "mode" if [&b"CRD"[..], b"DCR"].contains(&attribute.s.as_slice()) => {}
                name => {
                    let message = format!("got {name} = {} {:?}, expected blocksize {side}", attribute.i, attribute.s);
                    return self.fail(place, message);
                }
            }
        }
        if self.axes != 2 || !node.attribute.iter().any(|a| a.name == "blocksize") {
            let message = format!("got it over {} axes, expected blocksize {side}, over 2 axes", self.axes);
            return self.fail(place, message);
        }
        self.one_for_each_sample(place, from)?;
        Ok(Tensor { channels: 1, grid: Grid::Spread, ..from })
    }

    /// The samples of a cell side by side.
    fn turned(&self, node: &onnx::NodeProto, place: &str, from: Tensor) -> Result<Tensor, ModelError> {
        let order = node.attribute.iter().find(|a| a.name == "perm").map(|a| a.ints.as_slice());
        if self.axes != 1 || order != Some(&[0, 2, 1]) || node.attribute.len() > 1 {
            let message = format!("got perm {order:?} over {} axes, expected [0, 2, 1] over 1", self.axes);
            return self.fail(place, message);
        }
        self.one_for_each_sample(place, from)?;
        Ok(Tensor { channels: 1, grid: Grid::Turned, ..from })
    }

    /// Cell behind cell.
    fn reshaped(&self, node: &onnx::NodeProto, place: &str, from: Tensor, to: &str) -> Result<Tensor, ModelError> {
        let sizes = self.sizes.get(to);
        if sizes.is_none_or(|s| *s != [1, 1, -1]) || !node.attribute.is_empty() {
            return self.fail(place, format!("got {sizes:?}, expected an initializer of [1, 1, -1] and no attributes"));
        }
        Ok(Tensor { grid: Grid::Spread, ..from })
    }

    fn one_for_each_sample(&self, place: &str, from: Tensor) -> Result<(), ModelError> {
        if from.grid == Grid::Cells && from.channels == self.samples() {
            return Ok(());
        }
        let message = format!(
            "got {} channels of {:?}, expected {} of Cells: one for each sample",
            from.channels,
            from.grid,
            self.samples()
        );
        self.fail(place, message)
    }
}
