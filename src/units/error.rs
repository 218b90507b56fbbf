//! What can be wrong with a unit, a step, a spacing or a formula.

use super::Dimension;

/// A unit, step, spacing or formula that could not be understood; each one line that names the bad part.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// The text does not begin with a number.
    #[error("`{text}`: expected a number and, if any, a unit, such as 0.1um or 2s")]
    NotANumber {
        /// The text as given.
        text: String,
    },
    /// The number cannot be a distance between samples.
    #[error("`{text}`: a step must be finite and above zero")]
    OutOfRange {
        /// The text as given.
        text: String,
    },
    /// The unit is in no table.
    #[error("unknown unit `{unit}`, expected one of {}, or no unit at all", super::table::KNOWN)]
    UnknownUnit {
        /// The unit as given.
        unit: String,
    },
    /// A unit of the wrong dimension, such as `t=2um`.
    #[error("unit `{unit}`: got {got}, expected {expected}")]
    WrongDimension {
        /// The unit that was given.
        unit: String,
        /// Its dimension.
        got: Dimension,
        /// The dimension that belongs here.
        expected: Dimension,
    },
    /// A part of a spacing that is not `AXIS=STEP`.
    #[error("spacing, part `{part}`: expected AXIS=STEP with a decimal point, such as t=2s,y=0.1um,x=0.1um")]
    NotAPair {
        /// The part as given.
        part: String,
    },
    /// A spacing for an axis that recordings do not have.
    #[error("spacing, part `{part}`: unknown axis `{axis}`, expected t, y or x")]
    UnknownAxis {
        /// The part as given.
        part: String,
        /// The axis as given.
        axis: String,
    },
    /// The same axis twice.
    #[error("spacing, part `{part}`: axis `{axis}` was given before")]
    DuplicateAxis {
        /// The second part that names the axis.
        part: String,
        /// The axis.
        axis: String,
    },
    /// A part of a spacing whose step is wrong.
    #[error("spacing, axis {axis}: {source}")]
    BadAxis {
        /// The axis.
        axis: &'static str,
        /// What is wrong with its step.
        source: Box<UnitError>,
    },
    /// Some axes with a unit and some without.
    #[error(
        "spacing: axis {with} has the unit {unit} and axis {without} has none; \
         give units for every axis or for none"
    )]
    Mixed {
        /// An axis with a unit.
        with: &'static str,
        /// Its unit.
        unit: String,
        /// An axis without one.
        without: &'static str,
    },
    /// A formula that is not a product of integer powers.
    #[error("unit formula `{formula}`, at `{at}`: {reason}")]
    BadFormula {
        /// The formula as given.
        formula: String,
        /// The rest of the text from the place that was not understood; empty for the end.
        at: String,
        /// What was expected there.
        reason: &'static str,
    },
}
