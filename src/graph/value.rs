//! Values of a graph and the arithmetic on them.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Graph, node};

/// A tensor of the graph: the name of its edge and how far it reaches.
#[derive(Clone, Debug)]
pub struct Value {
    pub(super) graph: Graph,
    pub(super) name: String,
    pub(super) reach: Vec<usize>,
}

/// A truth value for each element, for [`Value::choose`].
#[derive(Clone, Debug)]
pub struct Condition(Value);

impl Value {
    /// The tensor's name in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many samples around an output this value depends on, along each spatial axis.
    #[must_use]
    pub fn reach(&self) -> &[usize] {
        &self.reach
    }

    /// The same value under a name of the caller's choice, so that a contract or a trunk can refer to it.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        let name = self.graph.node_named("Identity", &[&self.name], Vec::new(), name);
        self.graph.value(name, self.reach.clone())
    }

    /// exp(self).
    #[must_use]
    pub fn exp(&self) -> Self {
        self.unary("Exp")
    }

    /// Natural logarithm; the argument must be positive.
    #[must_use]
    pub fn ln(&self) -> Self {
        self.unary("Log")
    }

    /// Square root; the argument must not be negative.
    #[must_use]
    pub fn sqrt(&self) -> Self {
        self.unary("Sqrt")
    }

    /// Absolute value.
    #[must_use]
    pub fn abs(&self) -> Self {
        self.unary("Abs")
    }

    /// Hyperbolic tangent.
    #[must_use]
    pub fn tanh(&self) -> Self {
        self.unary("Tanh")
    }

    /// Logistic function 1/(1 + exp(-self)).
    #[must_use]
    pub fn sigmoid(&self) -> Self {
        self.unary("Sigmoid")
    }

    /// 1/self.
    #[must_use]
    pub fn recip(&self) -> Self {
        self.unary("Reciprocal")
    }

    /// self * self.
    #[must_use]
    pub fn square(&self) -> Self {
        self * self
    }

    /// self * self * self.
    #[must_use]
    pub fn cube(&self) -> Self {
        self.square() * self
    }

    /// Smooth positive part, (x + sqrt(x^2 + s^2))/2: about x far above s, about s^2/(4|x|) far below -s.
    ///
    /// Algebraic and exact in every runtime, unlike softplus, which some compute without guarding against
    /// overflow.
    #[must_use]
    pub fn soft_positive(&self, s: &Self) -> Self {
        (self + (self.square() + s.square()).sqrt()) * 0.5
    }

    /// Elementwise larger value.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        self.binary("Max", other)
    }

    /// Elementwise smaller value.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        self.binary("Min", other)
    }

    /// Limit to `low..=high`.
    #[must_use]
    pub fn clamp(&self, low: f64, high: f64) -> Self {
        self.max(&self.graph.scalar(low)).min(&self.graph.scalar(high))
    }

    /// Elementwise comparison.
    #[must_use]
    pub fn greater(&self, other: &Self) -> Condition {
        Condition(self.binary("Greater", other))
    }

    /// Elementwise choice: `yes` where the condition holds, else `no`.
    #[must_use]
    pub fn choose(condition: &Condition, yes: &Self, no: &Self) -> Self {
        let graph = &yes.graph;
        let name = graph.node("Where", &[&condition.0.name, &yes.name, &no.name], Vec::new());
        graph.value(name, farthest(&[&condition.0, yes, no]))
    }

    /// This value where `covered` is above zero, NaN elsewhere.
    #[must_use]
    pub fn or_nan(&self, covered: &Self) -> Self {
        let zero = self.graph.scalar(0.0);
        Self::choose(&covered.greater(&zero), self, &self.graph.scalar(f64::NAN))
    }

    /// This value where both it and `known` are above zero, 0 elsewhere; NaN is not above zero.
    #[must_use]
    pub fn or_zero(&self, known: &Self) -> Self {
        let zero = self.graph.scalar(0.0);
        Self::choose(&known.greater(&zero), &Self::choose(&self.greater(&zero), self, &zero), &zero)
    }

    /// Sum over the window axis: (1, window, y, x) to (1, 1, y, x).
    #[must_use]
    pub fn sum_window(&self) -> Self {
        let axes = self.graph.int_vector(&[1]);
        let name = self.graph.node("ReduceSum", &[&self.name, &axes], vec![node::int("keepdims", 1)]);
        self.graph.value(name, self.reach.clone())
    }

    /// Mean over the window axis: (1, window, y, x) to (1, 1, y, x).
    #[must_use]
    pub fn mean_window(&self) -> Self {
        self.reduce("ReduceMean")
    }

    /// Minimum over the window axis: (1, window, y, x) to (1, 1, y, x).
    #[must_use]
    pub fn min_window(&self) -> Self {
        self.reduce("ReduceMin")
    }

    /// Element `i` of a vector input, as a scalar.
    #[must_use]
    pub fn element(&self, i: usize) -> Self {
        let i = i64::try_from(i).unwrap_or(i64::MAX);
        let (from, to, axis) =
            (self.graph.int_vector(&[i]), self.graph.int_vector(&[i + 1]), self.graph.int_vector(&[0]));
        let slice = self.graph.node("Slice", &[&self.name, &from, &to, &axis], Vec::new());
        let name = self.graph.node("Squeeze", &[&slice, &axis], Vec::new());
        self.graph.value(name, self.reach.clone())
    }

    /// Without what lies beyond the last rows and columns of the inputs: maps of whole cells to maps.
    pub(crate) fn cropped(&self) -> Self {
        let g = &self.graph;
        let (shape, axes) = (g.node("Shape", &[&g.spatial_input()], Vec::new()), g.axes() as i64);
        let (zeros, zero) = (g.int_vector(&vec![0; g.axes()]), g.int_vector(&[0]));
        let spatial: Vec<i64> = (2..2 + axes).collect();
        let size = g.node("Slice", &[&shape, &g.int_vector(&[-axes]), &g.int_vector(&[i64::MAX]), &zero], Vec::new());
        let name = g.node("Slice", &[&self.name, &zeros, &size, &g.int_vector(&spatial)], Vec::new());
        g.value(name, self.reach.clone())
    }

    pub(super) fn reshape(&self, dims: &[i64]) -> Self {
        let dims = self.graph.int_vector(dims);
        let name = self.graph.node("Reshape", &[&self.name, &dims], Vec::new());
        self.graph.value(name, self.reach.clone())
    }

    pub(super) fn unsqueeze(&self, axis: i64) -> Self {
        let axis = self.graph.int_vector(&[axis]);
        let name = self.graph.node("Unsqueeze", &[&self.name, &axis], Vec::new());
        self.graph.value(name, self.reach.clone())
    }

    fn reduce(&self, op: &str) -> Self {
        let attributes = vec![node::ints("axes", &[1]), node::int("keepdims", 1)];
        let name = self.graph.node(op, &[&self.name], attributes);
        self.graph.value(name, self.reach.clone())
    }

    fn unary(&self, op: &str) -> Self {
        let name = self.graph.node(op, &[&self.name], Vec::new());
        self.graph.value(name, self.reach.clone())
    }

    fn binary(&self, op: &str, other: &Self) -> Self {
        let name = self.graph.node(op, &[&self.name, &other.name], Vec::new());
        self.graph.value(name, farthest(&[self, other]))
    }
}

pub(super) fn farthest(values: &[&Value]) -> Vec<usize> {
    let mut reach = vec![0; values.first().map_or(0, |v| v.reach.len())];
    for value in values {
        for (r, v) in reach.iter_mut().zip(&value.reach) {
            *r = (*r).max(*v);
        }
    }
    reach
}

/// Arithmetic between values, and between a value and a number, by value or by reference.
macro_rules! arithmetic {
    ($trait:ident, $method:ident, $op:literal) => {
        impl $trait<&Value> for &Value {
            type Output = Value;
            fn $method(self, other: &Value) -> Value {
                self.binary($op, other)
            }
        }
        impl $trait<Value> for &Value {
            type Output = Value;
            fn $method(self, other: Value) -> Value {
                self.binary($op, &other)
            }
        }
        impl $trait<&Value> for Value {
            type Output = Value;
            fn $method(self, other: &Value) -> Value {
                self.binary($op, other)
            }
        }
        impl $trait<Value> for Value {
            type Output = Value;
            fn $method(self, other: Value) -> Value {
                self.binary($op, &other)
            }
        }
        impl $trait<f64> for &Value {
            type Output = Value;
            fn $method(self, other: f64) -> Value {
                self.binary($op, &self.graph.scalar(other))
            }
        }
        impl $trait<f64> for Value {
            type Output = Value;
            fn $method(self, other: f64) -> Value {
                (&self).$method(other)
            }
        }
        impl $trait<&Value> for f64 {
            type Output = Value;
            fn $method(self, other: &Value) -> Value {
                other.graph.scalar(self).binary($op, other)
            }
        }
        impl $trait<Value> for f64 {
            type Output = Value;
            fn $method(self, other: Value) -> Value {
                self.$method(&other)
            }
        }
    };
}

arithmetic!(Add, add, "Add");
arithmetic!(Sub, sub, "Sub");
arithmetic!(Mul, mul, "Mul");
arithmetic!(Div, div, "Div");

impl Neg for &Value {
    type Output = Value;
    fn neg(self) -> Value {
        self.unary("Neg")
    }
}

impl Neg for Value {
    type Output = Value;
    fn neg(self) -> Value {
        self.unary("Neg")
    }
}
