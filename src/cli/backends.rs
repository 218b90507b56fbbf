//! From `--backend` to an engine.

use anyhow::Result;
use mollifier::backend::{Backend, Tract};

use super::args::BackendArg;
use super::failure::misuse;

/// The engine that was asked for. One that is absent is an error, never replaced silently.
pub(crate) fn backend(arg: BackendArg) -> Result<Box<dyn Backend>> {
    let name = match arg {
        BackendArg::Auto | BackendArg::Tract => return Ok(Box::new(Tract)),
        BackendArg::Ort => "ort",
        BackendArg::OrtCuda => "ort-cuda",
        BackendArg::OrtTensorrt => "ort-tensorrt",
    };
    Err(misuse(format!("--backend {name}: not built into this version, expected auto or tract")))
}

/// The engines that were asked for, every one present when none was.
pub(crate) fn backends(args: &[BackendArg]) -> Result<Vec<Box<dyn Backend>>> {
    if args.is_empty() {
        return Ok(vec![Box::new(Tract)]);
    }
    args.iter().map(|a| backend(*a)).collect()
}
