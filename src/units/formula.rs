//! Units of outputs as formulas of the units of inputs: `y^2/t`.

/// A product of integer powers of axis and input names, such as `y^2/t` or `m*y^2/u`.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitFormula;

/// A unit or formula that could not be understood.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitError;
