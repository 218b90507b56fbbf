//! Sample distances with an optional unit: `2s`, `0.1um`, `0.5`.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Dimension, UnitError, canonical_unit, convert, dimension};

/// The distance between two samples along one axis.
///
/// The unit is canonical ASCII (`um`, `nm`, `s`, `ms`, ...); `None` is the unitless measure (pixels, frames).
/// As text it is the number and the unit: `0.1um`, `2s`, `0.5`; spaces between them are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Distance between neighbouring samples, finite and above zero.
    pub value: f64,
    /// Canonical unit, or `None` for a bare number.
    pub unit: Option<String>,
}

impl Step {
    /// A step of `value` in `unit`, which may be spelled in any way that [`canonical_unit`] reads.
    ///
    /// # Errors
    /// A value that is not finite or not above zero, an unknown unit.
    pub fn new(value: f64, unit: Option<&str>) -> Result<Self, UnitError> {
        let unit = canonical_unit(unit.unwrap_or_default())?.map(str::to_owned);
        if !(value.is_finite() && value > 0.0) {
            let text = format!("{value}{}", unit.as_deref().unwrap_or_default());
            return Err(UnitError::OutOfRange { text });
        }
        Ok(Self { value, unit })
    }

    /// The same distance in another canonical unit of the same dimension; a bare number stays as it is.
    ///
    /// # Errors
    /// [`UnitError::WrongDimension`] or [`UnitError::UnknownUnit`].
    pub fn to(&self, unit: &str) -> Result<Self, UnitError> {
        match &self.unit {
            None => Ok(self.clone()),
            Some(own) if own == unit => Ok(self.clone()),
            Some(own) => Self::new(convert(self.value, own, unit)?, Some(unit)),
        }
    }

    /// An error where the step has a unit of another dimension than `expected`; a bare number fits all.
    fn expect(&self, expected: Dimension) -> Result<(), UnitError> {
        let Some(unit) = &self.unit else {
            return Ok(());
        };
        let got = dimension(unit)?;
        if got == expected { Ok(()) } else { Err(UnitError::WrongDimension { unit: unit.clone(), got, expected }) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, self.unit.as_deref().unwrap_or_default())
    }
}

impl FromStr for Step {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let trimmed = text.trim();
        let (number, unit) = trimmed.split_at(number_length(trimmed));
        let value: f64 = number.parse().map_err(|_| UnitError::NotANumber { text: text.to_owned() })?;
        Self::new(value, Some(unit)).map_err(|e| match e {
            UnitError::OutOfRange { .. } => UnitError::OutOfRange { text: text.to_owned() },
            other => other,
        })
    }
}

/// How many bytes at the start of `text` are a decimal number.
///
/// An `e` belongs to the number only where an exponent follows; words such as `inf` and `nan` never do.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    end += digits(end);
    if bytes.get(end) == Some(&b'.') {
        end += 1;
        end += digits(end);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let start = end + 1 + sign;
        if start < bytes.len() && bytes[start].is_ascii_digit() {
            end = start + digits(start);
        }
    }
    end
}

/// The sample distances of a recording by axis name; an axis without an entry was not stated.
///
/// As text it is `t=2s,y=0.1um,x=0.1um`, any of the axes left out. One that is read from text or made by
/// [`checked`](Self::checked) has units on every stated axis or on none, a time on t, lengths on y and x, and y
/// and x in one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spacing {
    /// Time between frames or samples.
    pub t: Option<Step>,
    /// Distance between rows.
    pub y: Option<Step>,
    /// Distance between columns.
    pub x: Option<Step>,
}

impl Spacing {
    fn axes(&self) -> [(&'static str, Option<&Step>); 3] {
        [("t", self.t.as_ref()), ("y", self.y.as_ref()), ("x", self.x.as_ref())]
    }

    /// The step along `axis` (`t`, `y` or `x`), where it was stated.
    #[must_use]
    pub fn get(&self, axis: &str) -> Option<&Step> {
        self.axes().into_iter().find(|(name, _)| *name == axis).and_then(|(_, step)| step)
    }

    /// The canonical unit along `axis` (`t`, `y` or `x`), where one was stated.
    #[must_use]
    pub fn unit(&self, axis: &str) -> Option<&str> {
        self.get(axis)?.unit.as_deref()
    }

    /// Whether no axis was stated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.axes().iter().all(|(_, step)| step.is_none())
    }

    /// Whether no axis has a unit: bare numbers, or nothing stated at all.
    #[must_use]
    pub fn is_unitless(&self) -> bool {
        !self.has_units()
    }

    /// Whether any axis has a unit; every stated axis then has, in a checked spacing.
    #[must_use]
    pub fn has_units(&self) -> bool {
        self.axes().iter().any(|(_, step)| step.is_some_and(|s| s.unit.is_some()))
    }

    /// This spacing, with axes that it does not state taken from `fallback` (what the file itself says).
    ///
    /// # Errors
    /// As [`checked`](Self::checked): one of them has units and the other has not, for instance.
    pub fn or(self, fallback: &Self) -> Result<Self, UnitError> {
        Self {
            t: self.t.or_else(|| fallback.t.clone()),
            y: self.y.or_else(|| fallback.y.clone()),
            x: self.x.or_else(|| fallback.x.clone()),
        }
        .checked()
    }

    /// This spacing with x converted into y's unit, if it makes sense as a whole.
    ///
    /// # Errors
    /// [`UnitError::Mixed`] for units on some axes only, [`UnitError::BadAxis`] for a length on t, a time on y
    /// or x, or a step that is not finite and above zero.
    pub fn checked(mut self) -> Result<Self, UnitError> {
        let expected = [Dimension::Time, Dimension::Length, Dimension::Length];
        for ((axis, step), expected) in self.axes().into_iter().zip(expected) {
            let Some(step) = step else { continue };
            let bad = |e| UnitError::BadAxis { axis, source: Box::new(e) };
            Step::new(step.value, step.unit.as_deref()).map_err(bad)?;
            step.expect(expected).map_err(bad)?;
        }
        let stated = || self.axes().into_iter().filter_map(|(axis, step)| Some((axis, step?)));
        let with = stated().find_map(|(axis, step)| Some((axis, step.unit.clone()?)));
        let without = stated().find(|(_, step)| step.unit.is_none());
        if let (Some((with, unit)), Some((without, _))) = (with, without) {
            return Err(UnitError::Mixed { with, unit, without });
        }
        if let (Some(unit), Some(x)) = (self.unit("y"), &self.x) {
            let x = x.to(unit)?;
            self.x = Some(x);
        }
        Ok(self)
    }
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (axis, step) in self.axes() {
            if let Some(step) = step {
                write!(f, "{comma}{axis}={step}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

impl FromStr for Spacing {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut spacing = Self::default();
        for part in text.split(',') {
            let not_a_pair = || UnitError::NotAPair { part: part.trim().to_owned() };
            let (axis, step) = part.split_once('=').ok_or_else(not_a_pair)?;
            let (axis, slot) = match axis.trim() {
                "t" => ("t", &mut spacing.t),
                "y" => ("y", &mut spacing.y),
                "x" => ("x", &mut spacing.x),
                other => {
                    return Err(UnitError::UnknownAxis { part: part.trim().to_owned(), axis: other.to_owned() });
                }
            };
            if slot.is_some() {
                return Err(UnitError::DuplicateAxis { part: part.trim().to_owned(), axis: axis.to_owned() });
            }
            let step = step.parse().map_err(|e| UnitError::BadAxis { axis, source: Box::new(e) })?;
            *slot = Some(step);
        }
        spacing.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(text: &str) -> Result<(f64, Option<String>), UnitError> {
        text.parse::<Step>().map(|s| (s.value, s.unit))
    }

    fn message(text: &str) -> String {
        text.parse::<Spacing>().expect_err(text).to_string()
    }

    #[test]
    fn steps_are_a_number_and_a_unit() {
        let with = |v: f64, u: &str| Ok((v, Some(u.to_owned())));
        assert_eq!(step("2s"), with(2.0, "s"));
        assert_eq!(step("0.1um"), with(0.1, "um"));
        assert_eq!(step("0.1 µm"), with(0.1, "um"));
        assert_eq!(step(" 50nm "), with(50.0, "nm"));
        assert_eq!(step("1e-3s"), with(0.001, "s"));
        assert_eq!(step("1.5e2 ms"), with(150.0, "ms"));
        assert_eq!(step(".5h"), with(0.5, "h"));
        assert_eq!(step("0.5"), Ok((0.5, None)));
        assert_eq!(step("1 pixel"), Ok((1.0, None)));
    }

    #[test]
    fn steps_that_are_none_say_why() {
        for text in ["", "um", "nan", "inf s", "-", ".", "+s"] {
            assert!(matches!(step(text), Err(UnitError::NotANumber { .. })), "{text}");
        }
        for text in ["0", "-1um", "1e999s", "0s"] {
            assert_eq!(step(text), Err(UnitError::OutOfRange { text: text.into() }));
        }
        for text in ["1 furlong", "0,1um", "2e", "2e-um"] {
            assert!(matches!(step(text), Err(UnitError::UnknownUnit { .. })), "{text}");
        }
    }

    #[test]
    fn a_spacing_names_its_axes() -> Result<(), UnitError> {
        let s: Spacing = "t=2s,y=0.1um,x=0.1um".parse()?;
        assert_eq!(s.to_string(), "t=2s,y=0.1um,x=0.1um");
        assert!(s.has_units() && !s.is_unitless() && !s.is_empty());
        assert_eq!((s.unit("t"), s.unit("x"), s.unit("z")), (Some("s"), Some("um"), None));
        let s: Spacing = " x = 0.5 , y = 1 ".parse()?;
        assert_eq!(s.to_string(), "y=1,x=0.5");
        assert!(s.is_unitless() && s.t.is_none());
        Ok(())
    }

    #[test]
    fn rows_and_columns_share_one_unit() -> Result<(), UnitError> {
        let s: Spacing = "y=0.1um,x=200nm".parse()?;
        assert_eq!(s.to_string(), "y=0.1um,x=0.2um");
        Ok(())
    }

    #[test]
    fn a_wrong_spacing_names_the_part() {
        assert_eq!(
            message("t=2s,y"),
            "spacing, part `y`: expected AXIS=STEP with a decimal point, such as t=2s,y=0.1um,x=0.1um"
        );
        assert_eq!(message("x=0,1um"), "spacing, axis x: `0`: a step must be finite and above zero");
        assert_eq!(message("z=1um"), "spacing, part `z=1um`: unknown axis `z`, expected t, y or x");
        assert_eq!(message("t=1s,t=2s"), "spacing, part `t=2s`: axis `t` was given before");
        assert_eq!(message("t=1um"), "spacing, axis t: unit `um`: got a length, expected a time");
        assert_eq!(message("y=1s"), "spacing, axis y: unit `s`: got a time, expected a length");
        assert_eq!(
            message("t=2s,y=0.1,x=0.1"),
            "spacing: axis t has the unit s and axis y has none; give units for every axis or for none"
        );
        assert!(message("y=1bogus").contains("unknown unit `bogus`, expected one of pm, "));
        assert!(message("").contains("part ``"));
    }

    #[test]
    fn what_the_user_says_wins_over_the_file() -> Result<(), UnitError> {
        let file: Spacing = "t=1s,y=50nm,x=50nm".parse()?;
        let user: Spacing = "t=2min".parse()?;
        assert_eq!(user.or(&file)?.to_string(), "t=2min,y=50nm,x=50nm");
        let user: Spacing = "y=1,x=1".parse()?;
        assert!(matches!(user.or(&file), Err(UnitError::Mixed { with: "t", without: "y", .. })));
        Ok(())
    }

    proptest! {
        #[test]
        fn text_and_back(value in 1e-300f64..1e300, unit in prop::option::of(prop::sample::select(vec!["um", "nm", "s", "d", "angstrom"]))) {
            let step = Step { value, unit: unit.map(str::to_owned) };
            prop_assert_eq!(step.to_string().parse::<Step>(), Ok(step));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let _ = text.parse::<Step>();
            let _ = text.parse::<Spacing>();
        }
    }
}
