//! From `--backend` to an engine.

use std::path::Path;

use anyhow::Result;
#[cfg(feature = "engine")]
use mollifier::backend::PlainTract;
use mollifier::backend::{Backend, Tract};

use super::args::BackendArg;
#[cfg(not(all(feature = "ort", feature = "engine")))]
use super::failure::misuse;

/// Keep TensorRT from TensorFloat-32, unless the user has decided: its library looks at the environment alone.
#[cfg(feature = "ort")]
pub(crate) fn full_precision() {
    const VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: called before any other thread is started.
        unsafe { std::env::set_var(VARIABLE, "0") };
    }
}

/// The engine that was asked for. One that is absent is an error, never replaced silently.
///
/// `auto` is tract: it needs nothing but the program, and is the fastest on a CPU that has been measured.
pub(crate) fn backend(arg: BackendArg, library: Option<&Path>) -> Result<Box<dyn Backend>> {
    match arg {
        BackendArg::Auto | BackendArg::Tract => Ok(Box::new(Tract)),
        #[cfg(feature = "engine")]
        BackendArg::TractPlain => Ok(Box::new(PlainTract)),
        #[cfg(not(feature = "engine"))]
        BackendArg::TractPlain => {
            Err(misuse("--backend: tract's own operators are not built into this program, expected auto or tract"))
        }
        #[cfg(feature = "ort")]
        BackendArg::Ort | BackendArg::OrtCuda | BackendArg::OrtTensorrt => {
            use mollifier::backend::{Ort, Provider};
            let provider = match arg {
                BackendArg::OrtCuda => Provider::Cuda,
                BackendArg::OrtTensorrt => Provider::TensorRt,
                _ => Provider::Cpu,
            };
            Ok(Box::new(Ort::load(provider, library)?))
        }
        #[cfg(not(feature = "ort"))]
        _ => {
            let _ = library;
            Err(misuse("--backend: ONNX Runtime is not built into this program, expected auto or tract"))
        }
    }
}

/// The engines that were asked for, every one present when none was.
pub(crate) fn backends(args: &[BackendArg], library: Option<&Path>) -> Result<Vec<Box<dyn Backend>>> {
    if !args.is_empty() {
        return args.iter().map(|a| backend(*a, library)).collect();
    }
    let mut all = vec![backend(BackendArg::Tract, None)?];
    let others = [BackendArg::Ort, BackendArg::OrtCuda, BackendArg::OrtTensorrt];
    // A library that was named is meant to be there.
    if library.is_some() {
        all.push(backend(BackendArg::Ort, library)?);
        all.extend(others[1..].iter().filter_map(|a| backend(*a, library).ok()));
    } else {
        all.extend(others.iter().filter_map(|a| backend(*a, None).ok()));
    }
    Ok(all)
}
