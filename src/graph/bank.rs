//! The operators of one radius inside a graph, and their exactly known noise gains.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Graph, Value, node, value::farthest};
use crate::kernel::{Design, Family, Kernel, KernelError, UnknownFamily};

/// What happens at the tensor's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// One-sided, moment-corrected kernels over the fixed window of 2R+1 samples at the border.
    OneSided,
    /// Zeros outside: for masks and for averages that are normalised by the average of their weights.
    Zero,
}

/// What a bank is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankDesign {
    /// Kernel family.
    pub family: Family,
    /// Radius in samples along each spatial axis, in the order (y, x) or (sample).
    pub radius: Vec<usize>,
    /// What happens at the border.
    pub edge: Edge,
    /// Moments are corrected through derivative order + this; `None` leaves the taps as sampled (weights of an
    /// average: positive, sum one).
    pub correction: Option<usize>,
    /// Highest moment that the order-0 passes meet at a one-sided border: 0 keeps averages positive (right where
    /// they only weigh both sides of a ratio), 1 makes smoothed values exact on slopes.
    pub edge_average: usize,
}

impl BankDesign {
    /// Of positive weights of sum one, for averages that weigh both sides of a ratio and for shares.
    #[must_use]
    pub fn average(family: Family, radius: Vec<usize>, edge: Edge) -> Self {
        Self { family, radius, edge, correction: None, edge_average: 0 }
    }
}

/// A graph that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// Taps that do not exist.
    #[error("bank {bank}: {source}")]
    Kernel {
        /// The bank.
        bank: String,
        /// Why.
        source: KernelError,
    },
    /// Orders or radii that do not fit the graph's axes.
    #[error("bank {bank}: got {got} {what}, expected {expected} (one for each spatial axis)")]
    Axes {
        /// The bank.
        bank: String,
        /// `radii` or `orders`.
        what: &'static str,
        /// How many were given.
        got: usize,
        /// How many axes there are.
        expected: usize,
    },
}

/// One derivative map that leaves a bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BankOutput {
    /// The tensor's name in the graph; its shape is the input's.
    pub name: String,
    /// Index into the bank's `inputs`.
    pub input: usize,
    /// Derivative order along each spatial axis. In pixel units: not divided by spacing.
    pub orders: Vec<usize>,
}

/// What the contract says of a bank.
///
/// A runtime may compute the bank natively and start the rest of the graph at `outputs`. Where the bank does
/// not fit the frame it is left out: `outputs` become zero, `gains` one, and `present` zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BankRecord {
    /// Name, unique in the file.
    pub name: String,
    /// Kernel family: `poly4`, `poly8`, `bump`, `gauss`.
    pub family: String,
    /// Radius in samples along each spatial axis.
    pub radius: Vec<usize>,
    /// What happens at the tensor's border.
    pub edge: Edge,
    /// Moments are met through derivative order + this; none for plain averages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<usize>,
    /// Highest moment that order-0 passes meet at a one-sided border.
    pub edge_average: usize,
    /// Tensors that enter, each (1, 1, y, x) or (1, 1, sample).
    pub inputs: Vec<String>,
    /// Tensors that leave.
    pub outputs: Vec<BankOutput>,
    /// Noise-gain tensors of this bank.
    pub gains: Vec<String>,
    /// The scalar initializer that says whether the bank is in use, 1 or 0.
    pub present: String,
}

impl BankDesign {
    /// The taps of derivative order `order` along `axis`.
    ///
    /// # Errors
    /// Taps that do not exist at this radius.
    pub fn kernel(&self, axis: usize, order: usize) -> Result<Kernel, KernelError> {
        Kernel::from_design(Design {
            family: self.family,
            radius: self.radius[axis],
            order,
            correction: self.correction.map(|more| order + more),
            edge_correction: if order == 0 { self.edge_average } else { order + self.correction.unwrap_or(0) },
        })
    }
}

impl BankRecord {
    /// The design that the record describes.
    ///
    /// # Errors
    /// An unknown family name.
    pub fn design(&self) -> Result<BankDesign, UnknownFamily> {
        Ok(BankDesign {
            family: self.family.parse()?,
            radius: self.radius.clone(),
            edge: self.edge,
            correction: self.correction,
            edge_average: self.edge_average,
        })
    }

    /// The record of what is left of the bank in a graph that makes the tensors `made`; `None` if nothing is.
    pub(super) fn without_all_but(&self, made: &HashSet<&str>) -> Option<Self> {
        let mut left = Self { inputs: Vec::new(), outputs: Vec::new(), ..self.clone() };
        left.gains.retain(|g| made.contains(g.as_str()));
        for output in self.outputs.iter().filter(|o| made.contains(o.name.as_str())) {
            let name = &self.inputs[output.input];
            let input = left.inputs.iter().position(|i| i == name).unwrap_or_else(|| {
                left.inputs.push(name.clone());
                left.inputs.len() - 1
            });
            left.outputs.push(BankOutput { input, ..output.clone() });
        }
        (!left.outputs.is_empty()).then_some(left)
    }

    /// The smallest tensor the bank fits, along each spatial axis.
    #[must_use]
    pub fn min_size(&self) -> Vec<usize> {
        let needed = |r: &usize| match (self.edge, self.correction) {
            (Edge::OneSided, _) => 2 * r + 1,
            // The outermost taps are zero; a derivative that leaves the frame is masked by the law.
            (Edge::Zero, Some(_)) => 2 * r - 1,
            (Edge::Zero, None) => 1,
        };
        self.radius.iter().map(needed).collect()
    }
}

/// The operators of one radius; made by [`Graph::bank`].
#[derive(Clone, Debug)]
pub struct Bank {
    graph: Graph,
    index: usize,
    name: String,
    design: BankDesign,
    present: Value,
}

/// A weighted sum of derivatives: (weight, order along each axis).
type Terms<'a> = &'a [(f64, &'a [usize])];

impl Graph {
    /// Begin the bank `name`; its operators are added by [`Bank::apply`].
    ///
    /// # Errors
    /// A number of radii that is not the number of axes.
    pub fn bank(&self, name: &str, design: BankDesign) -> Result<Bank, GraphError> {
        if design.radius.len() != self.axes() {
            return Err(GraphError::Axes {
                bank: name.to_owned(),
                what: "radii",
                got: design.radius.len(),
                expected: self.axes(),
            });
        }
        let present = self.switch(&format!("{name}.present"), 1.0);
        let mut inner = self.0.borrow_mut();
        inner.banks.push(BankRecord {
            name: name.to_owned(),
            family: design.family.to_string(),
            radius: design.radius.clone(),
            edge: design.edge,
            correction: design.correction,
            edge_average: design.edge_average,
            inputs: Vec::new(),
            outputs: Vec::new(),
            gains: Vec::new(),
            present: present.name.clone(),
        });
        Ok(Bank { graph: self.clone(), index: inner.banks.len() - 1, name: name.to_owned(), design, present })
    }
}

impl Bank {
    /// One where the bank is in use; zero where the frame is too small for it and it was left out, which makes
    /// its maps zero and its gains one. Multiply the weight of the bank's estimate by it.
    #[must_use]
    pub fn present(&self) -> &Value {
        &self.present
    }

    /// `input` (a map) without any derivative: its average by the bank's kernel.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn smooth(&self, input: &Value) -> Result<Value, GraphError> {
        let origin = vec![0; self.graph.axes()];
        Ok(self.apply(input, &[&origin])?.swap_remove(0))
    }

    /// Derivatives of `input` (a map), one for each entry of `orders`, in pixel units.
    ///
    /// Ask for all derivatives of one input at once: they share their passes.
    ///
    /// # Errors
    /// Orders that do not match the axes, or taps that do not exist at this radius.
    pub fn apply(&self, input: &Value, orders: &[&[usize]]) -> Result<Vec<Value>, GraphError> {
        for o in orders {
            self.check(o)?;
        }
        let wanted = orders;
        let known: Vec<String> =
            self.graph.0.borrow().banks[self.index].outputs.iter().map(|o| o.name.clone()).collect();
        let orders: Vec<&[usize]> =
            wanted.iter().copied().filter(|o| !known.contains(&self.output_name(input, o))).collect();
        let axes = self.graph.axes();
        let mut first: Vec<usize> = Vec::new();
        for o in &orders {
            if !first.contains(&o[0]) {
                first.push(o[0]);
            }
        }
        let vertical = if first.is_empty() { String::new() } else { self.pass(&input.name, &first, 0)? };
        if first.is_empty() {
            // Everything asked for is there already.
        } else if axes == 1 {
            let ordered: Vec<String> = first.iter().map(|a| self.output_name(input, &[*a])).collect();
            self.split(&vertical, &ordered);
        } else {
            let rows: Vec<String> = first.iter().map(|a| format!("{}.{}.rows{a}", self.name, input.name)).collect();
            self.split(&vertical, &rows);
            for (a, row) in first.iter().zip(&rows) {
                let mut second: Vec<usize> = Vec::new();
                for o in &orders {
                    if o[0] == *a && !second.contains(&o[1]) {
                        second.push(o[1]);
                    }
                }
                let wide = self.pass(row, &second, 1)?;
                let outs: Vec<String> = second.iter().map(|b| self.output_name(input, &[*a, *b])).collect();
                self.split(&wide, &outs);
            }
        }
        let mut inner = self.graph.0.borrow_mut();
        let record = &mut inner.banks[self.index];
        let place = record.inputs.iter().position(|i| *i == input.name).unwrap_or_else(|| {
            record.inputs.push(input.name.clone());
            record.inputs.len() - 1
        });
        for o in orders {
            record.outputs.push(BankOutput { name: self.output_name(input, o), input: place, orders: o.to_vec() });
        }
        drop(inner);
        let reach: Vec<usize> = input.reach.iter().zip(&self.design.radius).map(|(a, b)| a + b).collect();
        Ok(wanted.iter().map(|o| self.graph.value(self.output_name(input, o), reach.clone())).collect())
    }

    /// The noise gain of a weighted sum of this bank's derivatives: its variance for white noise of variance 1
    /// in the input, at every position of the map, edges included.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn gain(&self, terms: Terms<'_>) -> Result<Value, GraphError> {
        self.covariance(terms, self, terms)
    }

    /// What [`gain`](Self::gain) is away from the border.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn interior_gain(&self, terms: Terms<'_>) -> Result<f64, GraphError> {
        let mut sum = 0.0;
        for (w, o) in terms {
            self.check(o)?;
            for (v, p) in terms {
                self.check(p)?;
                let mut product = w * v;
                for axis in 0..self.graph.axes() {
                    let (a, b) = (self.kernel(axis, o[axis])?, self.kernel(axis, p[axis])?);
                    product *= a.taps().iter().zip(b.taps()).map(|(a, b)| a * b).sum::<f64>();
                }
                sum += product;
            }
        }
        Ok(sum)
    }

    /// The covariance, for white noise of variance 1 in one common input, of a weighted sum of this bank's
    /// derivatives with one of another bank's. Exact at every position; the larger bank's radii are both at
    /// least the smaller's.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn covariance(&self, terms: Terms<'_>, other: &Self, others: Terms<'_>) -> Result<Value, GraphError> {
        for (_, o) in terms {
            self.check(o)?;
        }
        for (_, o) in others {
            other.check(o)?;
        }
        let axes = self.graph.axes();
        let mut sum: Option<Value> = None;
        for (w, o) in terms {
            for (v, p) in others {
                let mut product: Option<Value> = None;
                for axis in 0..axes {
                    let profile = self.profile(axis, o[axis], other, p[axis])?;
                    product = Some(match product {
                        None => profile,
                        Some(value) => value * profile,
                    });
                }
                let Some(product) = product else { continue };
                let product = product * (w * v);
                sum = Some(match sum {
                    None => product,
                    Some(value) => value + product,
                });
            }
        }
        let sum = sum.unwrap_or_else(|| self.graph.scalar(0.0));
        let larger = if self.design.radius >= other.design.radius { self } else { other };
        let count = self.graph.0.borrow().banks[larger.index].gains.len();
        let named = sum.named(&format!("{}.gain{count}", larger.name));
        self.graph.0.borrow_mut().banks[larger.index].gains.push(named.name.clone());
        let radius: Vec<usize> = self.design.radius.iter().zip(&other.design.radius).map(|(a, b)| *a.max(b)).collect();
        let own = self.graph.value(named.name.clone(), radius);
        Ok(self.graph.value(named.name.clone(), farthest(&[&named, &own])))
    }

    /// The taps of derivative order `order` along `axis`.
    ///
    /// # Errors
    /// Taps that do not exist at this radius.
    pub fn kernel(&self, axis: usize, order: usize) -> Result<Kernel, GraphError> {
        let kernel = self.design.kernel(axis, order);
        kernel.map_err(|source| GraphError::Kernel { bank: self.name.clone(), source })
    }

    fn check(&self, orders: &[usize]) -> Result<(), GraphError> {
        if orders.len() == self.graph.axes() {
            return Ok(());
        }
        Err(GraphError::Axes {
            bank: self.name.clone(),
            what: "orders",
            got: orders.len(),
            expected: self.graph.axes(),
        })
    }

    fn output_name(&self, input: &Value, orders: &[usize]) -> String {
        let d: String = orders.iter().map(usize::to_string).collect();
        format!("{}.{}.d{d}", self.name, input.name)
    }

    /// One pass along `axis` of a one-channel map, giving a channel for each order.
    fn pass(&self, input: &str, orders: &[usize], axis: usize) -> Result<String, GraphError> {
        let g = &self.graph;
        let (axes, radius, n) = (g.axes(), self.design.radius[axis], orders.len());
        let kernels = orders.iter().map(|a| self.kernel(axis, *a)).collect::<Result<Vec<_>, _>>()?;
        let width = 2 * radius + 1;
        let mut dims = vec![n, 1];
        dims.extend((0..axes).map(|a| if a == axis { width } else { 1 }));
        let taps: Vec<f64> = kernels.iter().flat_map(|k| k.taps().iter().copied()).collect();
        let weights = g.initializer(&dims, &taps);
        let shape: Vec<i64> = dims[2..].iter().map(|d| *d as i64).collect();
        let mut attributes = vec![node::ints("kernel_shape", &shape)];
        if self.design.edge == Edge::Zero {
            let pads: Vec<i64> =
                (0..2).flat_map(|_| (0..axes).map(|a| if a == axis { radius as i64 } else { 0 })).collect();
            attributes.push(node::ints("pads", &pads));
            return Ok(g.node("Conv", &[input, &weights], attributes));
        }
        let middle = g.node("Conv", &[input, &weights], attributes);
        let rows = (radius, width);
        let (ax, w) = ((2 + axis) as i64, width as i64);
        let block = |from: i64, to: i64| {
            let (from, to, axis) = (g.int_vector(&[from]), g.int_vector(&[to]), g.int_vector(&[ax]));
            g.node("Slice", &[input, &from, &to, &axis], Vec::new())
        };
        let left: Vec<Vec<f64>> = kernels.iter().map(|k| k.edge_matrix().to_vec()).collect();
        let right: Vec<Vec<f64>> = kernels.iter().map(Kernel::edge_matrix_right).collect();
        let near = self.edge_block(&block(0, w), &left, rows, axis);
        let far = self.edge_block(&block(-w, i64::MAX), &right, rows, axis);
        Ok(g.node("Concat", &[&near, &middle, &far], vec![node::int("axis", ax)]))
    }

    /// The outputs nearest to one border: a small matrix for each order times the samples at that border.
    fn edge_block(&self, input: &str, matrices: &[Vec<f64>], (rows, width): (usize, usize), axis: usize) -> String {
        let (g, n) = (&self.graph, matrices.len());
        match (g.axes(), axis) {
            (2, 0) => {
                let m = g.initializer(&[n, rows, width], &matrices.concat());
                g.node("MatMul", &[&m, input], Vec::new())
            }
            (2, _) => {
                let transposed: Vec<f64> = matrices
                    .iter()
                    .flat_map(|m| (0..width).flat_map(move |c| (0..rows).map(move |r| m[r * width + c])))
                    .collect();
                let m = g.initializer(&[n, width, rows], &transposed);
                g.node("MatMul", &[input, &m], Vec::new())
            }
            _ => {
                let side: Vec<f64> = (0..width)
                    .flat_map(|c| matrices.iter().flat_map(move |m| (0..rows).map(move |r| m[r * width + c])))
                    .collect();
                let m = g.initializer(&[width, n * rows], &side);
                let flat = g.node("MatMul", &[input, &m], Vec::new());
                let shape = g.int_vector(&[1, n as i64, rows as i64]);
                g.node("Reshape", &[&flat, &shape], Vec::new())
            }
        }
    }

    fn split(&self, tensor: &str, names: &[String]) {
        let g = &self.graph;
        if let [name] = names {
            g.node_named("Identity", &[tensor], Vec::new(), name);
        } else {
            let sizes = g.int_vector(&vec![1; names.len()]);
            g.node_many("Split", &[tensor, &sizes], vec![node::int("axis", 1)], names);
        }
    }

    /// Inner products along one axis of two kernels at every position, shaped to broadcast over maps.
    fn profile(&self, axis: usize, order: usize, other: &Self, order_other: usize) -> Result<Value, GraphError> {
        let g = &self.graph;
        let a = Stencils::new(&self.kernel(axis, order)?, self.design.edge);
        let b = Stencils::new(&other.kernel(axis, order_other)?, other.design.edge);
        let reach = a.radius.max(b.radius);
        let interior = a.inner(&b, None);
        let left: Vec<f64> = (0..reach).map(|i| a.inner(&b, Some(i))).collect();
        let sign = if (order + order_other).is_multiple_of(2) { 1.0 } else { -1.0 };
        let right: Vec<f64> = left.iter().rev().map(|v| v * sign).collect();
        let (axes, ax) = (g.axes(), 2 + axis);
        let shape_of = |n: usize| (0..2 + axes).map(|d| if d == ax { n } else { 1 }).collect::<Vec<_>>();
        let near = g.initializer(&shape_of(reach), &left);
        let far = g.initializer(&shape_of(reach), &right);
        let source = g.spatial_input();
        let shape = g.node("Shape", &[&source], Vec::new());
        let back = axes as i64 - axis as i64;
        let (from, to, zero) =
            (g.int_vector(&[-back]), g.int_vector(&[if back == 1 { i64::MAX } else { 1 - back }]), g.int_vector(&[0]));
        let size = g.node("Slice", &[&shape, &from, &to, &zero], Vec::new());
        let ends = g.int_vector(&[2 * reach as i64]);
        let size = g.node("Sub", &[&size, &ends], Vec::new());
        let ones = |n: usize| g.int_vector(&vec![1; n]);
        let full = if axes - axis == 1 {
            g.node("Concat", &[&ones(ax), &size], vec![node::int("axis", 0)])
        } else {
            g.node("Concat", &[&ones(ax), &size, &ones(axes - axis - 1)], vec![node::int("axis", 0)])
        };
        #[expect(clippy::cast_possible_truncation, reason = "gains are designed in f64 and stored in f32")]
        let fill = node::tensor("value", node::float_tensor("", vec![1], &[interior as f32]));
        let middle = g.node("ConstantOfShape", &[&full], vec![fill]);
        let name = g.node("Concat", &[&near, &middle, &far], vec![node::int("axis", ax as i64)]);
        let mut far_reach = vec![0; axes];
        far_reach[axis] = reach;
        Ok(g.value(name, far_reach))
    }
}

/// The taps that an operator uses at each position near the left border, and in the interior.
struct Stencils {
    radius: usize,
    taps: Vec<f64>,
    /// One row of 2R+1 taps over the samples 0..=2R for each of the first R positions.
    edge: Vec<f64>,
}

impl Stencils {
    fn new(kernel: &Kernel, edge: Edge) -> Self {
        let (radius, taps) = (kernel.radius(), kernel.taps().to_vec());
        let width = 2 * radius + 1;
        let edge = match edge {
            Edge::OneSided => kernel.edge_matrix().to_vec(),
            Edge::Zero => (0..radius)
                .flat_map(|i| {
                    let taps = &taps;
                    (0..width).map(move |c| if c + radius >= i && c <= i + radius { taps[c + radius - i] } else { 0.0 })
                })
                .collect(),
        };
        Self { radius, taps, edge }
    }

    /// First sample and taps at position `i` counted from the left border, or in the interior.
    fn at(&self, i: Option<usize>) -> (isize, &[f64]) {
        let width = 2 * self.radius + 1;
        match i {
            Some(i) if i < self.radius => (0, &self.edge[i * width..(i + 1) * width]),
            Some(i) => (i as isize - self.radius as isize, &self.taps),
            None => (-(self.radius as isize), &self.taps),
        }
    }

    fn inner(&self, other: &Self, i: Option<usize>) -> f64 {
        let ((from, taps), (other_from, other_taps)) = (self.at(i), other.at(i));
        taps.iter()
            .enumerate()
            .filter_map(|(c, tap)| {
                let there = from + c as isize - other_from;
                usize::try_from(there).ok().and_then(|t| other_taps.get(t)).map(|o| tap * o)
            })
            .sum()
    }
}
