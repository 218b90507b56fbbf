//! The laws whose hidden parameter a model finds, one file each: term maps, closed form, residual, support.
//!
//! A [`Law`] describes what its model takes and gives ([`Description`]) and builds the graph that computes it
//! ([`Law::build`]). To add a law: write its file, list it in [`laws`], add a spec under `models/` and a row to
//! the accuracy tests.

mod aggregate;
mod chromatin;
mod heat;
mod heat_transient;
mod holes;
mod interface;
mod langevin;
mod reaction_diffusion;
mod setting;

pub use chromatin::Chromatin;
pub use heat::Heat;
pub use heat_transient::HeatTransient;
pub use interface::{Description, Input, InputRole, Kind, Output, Transform};
pub use langevin::Langevin;
pub use reaction_diffusion::ReactionDiffusion;
pub use setting::{Design, Grid, Inputs, PhysicsError};

use crate::graph::{Graph, Value};

/// What a law gives behind a trunk.
pub struct Refined {
    /// One map for each of [`Description::outputs`], in that order.
    pub outputs: Vec<Value>,
    /// Above zero where lambda is given, else it is NaN.
    pub seen: Value,
}

/// From a trunk's residual on the transformed lambda, a map, to the law's outputs with the refined lambda.
pub type Refine = Box<dyn Fn(&Value) -> Result<Refined, PhysicsError>>;

/// What a law's graph gives: the declared outputs, and the maps a trunk may take.
pub struct Estimate {
    /// One map for each of [`Description::outputs`], in that order.
    pub outputs: Vec<Value>,
    /// Dimensionless maps for a learned trunk, by name: term maps, logarithms of estimates, confidences.
    pub features: Vec<(String, Value)>,
    /// How a trunk's residual enters; `None` where the law takes no trunk yet.
    pub refine: Option<Refine>,
    /// What that residual and its standard deviation are counted in where lambda's transform is the identity, a map in
    /// the units of lambda; `None` for logarithms.
    pub unit: Option<Value>,
}

/// A physical law with a hidden parameter.
pub trait Law: Sync {
    /// Name, equation, inputs and outputs of the law's models.
    fn describe(&self) -> Description;

    /// Build the closed-form estimate on `graph`.
    ///
    /// `inputs` holds a value for each of [`Description::inputs`]; `design` the spec's `[design]` table and the
    /// pixel aspect.
    ///
    /// # Errors
    /// A design table that lacks a key or holds an unknown one, or taps that do not exist.
    fn build(&self, graph: &Graph, inputs: &Inputs, design: &Design) -> Result<Estimate, PhysicsError>;
}

/// Every law this library knows.
#[must_use]
pub fn laws() -> &'static [&'static dyn Law] {
    &[&Langevin, &Heat, &HeatTransient, &ReactionDiffusion, &Chromatin]
}

/// The law with this name.
#[must_use]
pub fn law(name: &str) -> Option<&'static dyn Law> {
    laws().iter().copied().find(|l| l.describe().name == name)
}
