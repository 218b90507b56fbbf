//! The steps of a pointwise program.

/// What a step does with the running value r and its operands a, b, c and d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// a
    Take,
    /// r + a
    Add,
    /// r - a
    Sub,
    /// a - r
    SubFrom,
    /// r a
    Mul,
    /// r / a
    Div,
    /// a / r
    DivInto,
    /// r where it is greater than a, else a.
    Max,
    /// a where it is greater than r, else r.
    MaxOf,
    /// r where it is less than a, else a.
    Min,
    /// a where it is less than r, else r.
    MinOf,
    /// r + a b, like the next five rounded once where the processor can.
    AddProduct,
    /// r - a b
    SubProduct,
    /// a b - r
    SubFromProduct,
    /// r a + b
    MulAdd,
    /// r a - b
    MulSub,
    /// b - r a
    MulSubFrom,
    /// a b
    Product,
    /// r r
    Square,
    /// -r
    Neg,
    /// 1 / r
    Reciprocal,
    /// |r|
    Abs,
    /// The square root of r.
    Sqrt,
    /// r, or zero below it.
    Relu,
    /// e to the power of r.
    Exp,
    /// The natural logarithm of r.
    Log,
    /// The hyperbolic tangent of r.
    Tanh,
    /// 1 / (1 + e^-r)
    Sigmoid,
    /// c where a is greater than b, else d.
    Choose,
    /// r, which is written to a.
    Put,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// Put aside.
    Register(usize),
    /// The same everywhere.
    Constant(f32),
    /// A plane of an input.
    Input {
        /// Which one.
        input: usize,
        /// The plane.
        plane: usize,
    },
    /// A plane of an output.
    Output {
        /// Which one.
        output: usize,
        /// The plane.
        plane: usize,
    },
}

/// One operator with its operands, by number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) operator: Operator,
    pub(super) operands: [u16; 4],
}

impl Operator {
    /// Operands that it takes beside the running value.
    pub(super) fn arity(self) -> usize {
        match self {
            Self::Square | Self::Neg | Self::Reciprocal | Self::Abs | Self::Sqrt | Self::Relu => 0,
            Self::Exp | Self::Log | Self::Tanh | Self::Sigmoid => 0,
            Self::Take | Self::Add | Self::Sub | Self::SubFrom | Self::Mul | Self::Div | Self::DivInto => 1,
            Self::Max | Self::MaxOf | Self::Min | Self::MinOf | Self::Put => 1,
            Self::AddProduct | Self::SubProduct | Self::SubFromProduct => 2,
            Self::MulAdd | Self::MulSub | Self::MulSubFrom | Self::Product => 2,
            Self::Choose => 4,
        }
    }
}
