//! What can be wrong with a spec or a model file.

use crate::physics::PhysicsError;

/// What a name without an ending was probably meant for.
fn hint(path: &str, source: &std::io::Error) -> String {
    if source.kind() != std::io::ErrorKind::NotFound || path.ends_with(".onnx") {
        return String::new();
    }
    format!("; expected the path of a file such as models/{path}-closed-form.onnx")
}

/// A spec that cannot be baked, or a file that is not an inverse model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file could not be read or written.
    #[error("model file {path}: {source}{}", hint(path, source))]
    Io {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error("{path}: not an ONNX model: {message}")]
    NotOnnx {
        /// The file.
        path: String,
        /// What the decoder met.
        message: String,
    },
    /// An ONNX model that says nothing of itself.
    #[error(
        "{path}: an ONNX model without a mollifier contract; expected a file written by `mollifier bake` (a trunk becomes a \
         model with `mollifier bake SPEC --trunk {path} -o MODEL.onnx`)"
    )]
    NoContract {
        /// The file.
        path: String,
    },
    /// A contract that cannot be understood or contradicts its graph.
    #[error("{path}, contract: {message}")]
    Contract {
        /// The file.
        path: String,
        /// What is wrong: got, expected.
        message: String,
    },
    /// A contract of another version.
    #[error("{path}, contract: got version {got}, expected {expected}; bake the model again with this program")]
    Version {
        /// The file.
        path: String,
        /// The file's version.
        got: u64,
        /// The version this program reads.
        expected: u32,
    },
    /// What a fit says of itself cannot be understood or contradicts its graph.
    #[error("{path}, mollifier.fit: {message}")]
    Fit {
        /// The file.
        path: String,
        /// What is wrong: got, expected.
        message: String,
    },
    /// A fit where an inverse model is needed.
    #[error(
        "{path}: got a fit of one recording, expected an inverse model; `mollifier run {path}` evaluates the fit on its grid"
    )]
    IsFit {
        /// The file.
        path: String,
    },
    /// Weights outside the file.
    #[error("{path}, tensor {tensor}: its data is in another file; expected a self-contained model")]
    ExternalData {
        /// The file.
        path: String,
        /// The tensor.
        tensor: String,
    },
    /// A spec that cannot be understood.
    #[error("{path}: {message}")]
    Spec {
        /// The spec.
        path: String,
        /// What is wrong: got, expected.
        message: String,
    },
    /// A trunk that cannot stand behind a front end.
    #[error("trunk {path}, {place}: {message}")]
    Trunk {
        /// The file.
        path: String,
        /// The node or tensor.
        place: String,
        /// What is wrong: got, expected.
        message: String,
    },
    /// A law that cannot be built from its spec.
    #[error(transparent)]
    Physics(#[from] PhysicsError),
    /// A graph that the reference evaluation cannot compute.
    #[error("{model}, node {node}: {message}")]
    Reference {
        /// The model.
        model: String,
        /// The node.
        node: String,
        /// What is wrong.
        message: String,
    },
}
