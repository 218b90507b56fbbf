//! What a law is given to build with: its inputs, its design table and the grid.

use serde::de::DeserializeOwned;

use crate::graph::{GraphError, Value};

/// A law that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum PhysicsError {
    /// The spec's `[design]` table does not fit the law.
    #[error("spec of {law}, [design]: {message}")]
    Design {
        /// The law.
        law: &'static str,
        /// What is wrong, in the parser's words.
        message: String,
    },
    /// An operator that cannot be made.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Graph inputs by name.
#[derive(Clone, Debug, Default)]
pub struct Inputs(Vec<(String, Value)>);

impl Inputs {
    /// Add an input.
    pub fn insert(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    /// The input `name`: `u` (1, window, y, x) or (1, 1, sample); fields (1, 1, y, x); scalars.
    ///
    /// # Panics
    /// If the law did not declare it: a mistake in the law's own file.
    #[must_use]
    pub fn get(&self, name: &str) -> Value {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
            .unwrap_or_else(|| panic!("the law did not declare the input {name}"))
    }
}

/// The spec's `[design]` table, and the sample distances relative to each other that radii are laid out for.
#[derive(Clone, Debug)]
pub struct Design {
    /// Relative sample distance along each spatial axis, (y, x) or (t); (1, 1) for square pixels.
    pub aspect: Vec<f64>,
    /// Frames that one map is computed from.
    pub window: usize,
    /// The law's own keys.
    pub table: toml::Table,
}

impl Design {
    /// Read the table into the law's own structure (use `#[serde(deny_unknown_fields)]` there).
    ///
    /// # Errors
    /// A missing, mistyped or unknown key.
    pub fn parse<T: DeserializeOwned>(&self, law: &'static str) -> Result<T, PhysicsError> {
        self.table
            .clone()
            .try_into()
            .map_err(|e: toml::de::Error| PhysicsError::Design { law, message: e.message().to_owned() })
    }

    /// Radius in samples along each spatial axis for `radius` samples of the finest one: equal physical size.
    #[must_use]
    pub fn radius(&self, radius: usize) -> Vec<usize> {
        let finest = self.aspect.iter().copied().fold(f64::INFINITY, f64::min);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers")]
        self.aspect.iter().map(|a| ((radius as f64 * finest / a).round() as usize).max(1)).collect()
    }

    /// The grid of a two-dimensional model: its `spacing` input (2 values: y, x) and the aspect.
    #[must_use]
    pub fn grid(&self, spacing: &Value) -> Grid {
        Grid {
            y: spacing.element(0),
            x: spacing.element(1),
            nominal: self.aspect.first().zip(self.aspect.get(1)).map_or(1.0, |(y, x)| (y / x).powi(2)),
        }
    }
}

/// Sample distances of an image, to turn derivatives in pixel units into a common measure.
///
/// The measure inside a law's graph is the row distance hy: a Laplacian in it is `d_yy + (hy/hx)^2 d_xx`, and a
/// diffusivity found in it is multiplied by hy^2 at the end.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Row distance hy (scalar).
    pub y: Value,
    /// Column distance hx (scalar).
    pub x: Value,
    nominal: f64,
}

impl Grid {
    /// (hy/hx)^2 of the recording, a scalar value.
    #[must_use]
    pub fn ratio(&self) -> Value {
        (&self.y / &self.x).square()
    }

    /// (hy/hx)^2 that the model was laid out for: the weight of `d_xx` in noise gains.
    #[must_use]
    pub fn nominal_ratio(&self) -> f64 {
        self.nominal
    }

    /// hy^2, the scale of a diffusivity, as a scalar value.
    #[must_use]
    pub fn area(&self) -> Value {
        self.y.square()
    }
}
