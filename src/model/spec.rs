//! The spec: a TOML file that names a law and the design of its model.

use serde::{Deserialize, Serialize};

use super::{GroupRange, ModelError};

/// What a model is baked from.
///
/// ```toml
/// physics = "heat"          # the law
/// window = 9                # frames that one map is computed from, of laws that take several; their own number when left out
/// aspect_tolerance = 0.02   # how far a recording's pixel aspect may be off the model's
///
/// [aspect]                  # relative sample distance along each axis; square pixels when left out
/// y = 1.0
/// x = 1.0
///
/// [design]                  # the law's own keys
/// radii = [8, 14, 22, 32, 44]
///
/// [[tested]]                # the ranges in which the accuracy on the card was measured
/// group = "noise/std(u)"
/// low = 0.003
/// high = 0.2
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the law.
    pub physics: String,
    /// Frames that one map is computed from, an odd number from 3 to 31; the law's own number unless given. More frames
    /// are less noise and a lambda that is further averaged over time.
    #[serde(default)]
    pub window: Option<usize>,
    /// Relative sample distances.
    #[serde(default)]
    pub aspect: Aspect,
    /// Largest accepted relative deviation of a recording's pixel aspect.
    #[serde(default = "default_tolerance")]
    pub aspect_tolerance: f64,
    /// The law's own keys.
    #[serde(default)]
    pub design: toml::Table,
    /// Ranges of dimensionless groups in which the accuracy was measured.
    #[serde(default)]
    pub tested: Vec<GroupRange>,
}

/// Relative sample distance along each axis of an image.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Aspect {
    /// Between rows.
    pub y: f64,
    /// Between columns.
    pub x: f64,
}

impl Default for Aspect {
    fn default() -> Self {
        Self { y: 1.0, x: 1.0 }
    }
}

fn default_tolerance() -> f64 {
    0.02
}

impl std::str::FromStr for Aspect {
    type Err = String;

    /// Parse `y=1,x=2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut y, mut x) = (None, None);
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("got {part:?}, expected y=NUMBER,x=NUMBER"))?;
            let value: f64 = value.trim().parse().map_err(|_| format!("got {part:?}, expected a number after ="))?;
            match name.trim() {
                "y" => y = Some(value),
                "x" => x = Some(value),
                other => return Err(format!("got axis {other:?}, expected y and x")),
            }
        }
        match (y, x) {
            (Some(y), Some(x)) if y > 0.0 && x > 0.0 && y.is_finite() && x.is_finite() => Ok(Self { y, x }),
            (Some(_), Some(_)) => Err(format!("got {text:?}, expected positive numbers")),
            _ => Err(format!("got {text:?}, expected both y and x")),
        }
    }
}

impl Spec {
    /// Read a spec; `path` is for messages.
    ///
    /// # Errors
    /// Text that is not TOML, a missing or unknown key, or values outside their range.
    pub fn parse(path: &str, text: &str) -> Result<Self, ModelError> {
        let error = |message: String| ModelError::Spec { path: path.to_owned(), message };
        let spec: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            error(format!("line {line}: {}", e.message()))
        })?;
        let Aspect { y, x } = spec.aspect;
        if !(y > 0.0 && x > 0.0 && y.is_finite() && x.is_finite()) {
            return Err(error(format!("aspect: got y = {y}, x = {x}, expected positive numbers")));
        }
        if !(spec.aspect_tolerance >= 0.0 && spec.aspect_tolerance < 1.0) {
            return Err(error(format!("aspect_tolerance: got {}, expected 0 <= value < 1", spec.aspect_tolerance)));
        }
        for range in &spec.tested {
            if range.low > range.high || range.low.is_nan() || range.high.is_nan() {
                return Err(error(format!(
                    "tested, {}: got low = {} and high = {}, expected low at most as large as high",
                    range.group, range.low, range.high
                )));
            }
        }
        Ok(spec)
    }
}
