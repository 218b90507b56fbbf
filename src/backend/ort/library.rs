//! Finding ONNX Runtime's shared library, which is loaded when it is asked for and never linked.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;

use crate::backend::BackendError;

/// The environment variable that names the library.
pub(super) const VARIABLE: &str = "ORT_DYLIB_PATH";

/// A process loads one library, and has one environment.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The environment of the library at `named`, else of the first that is found; and where it lies.
///
/// # Errors
/// No library that can be loaded, with every place that was looked at and how to come by one.
pub(in crate::backend) fn environment(
    backend: &'static str,
    named: Option<&Path>,
) -> Result<(PathBuf, Environment), BackendError> {
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((path, environment)) = loaded.as_ref() {
        if named.is_some_and(|n| absolute(n) != *path) {
            let message = format!("{} is loaded already, a process takes one library", path.display());
            return Err(BackendError::Absent { backend, message });
        }
        return Ok((path.clone(), environment.clone()));
    }
    let variable = env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    let (candidates, by) = match (named, variable) {
        (Some(path), _) => (vec![absolute(path)], "--ort-library"),
        (None, Some(path)) => (vec![absolute(&path)], VARIABLE),
        (None, None) => (usual_places(), "the usual places"),
    };
    let mut failures = Vec::new();
    for path in candidates {
        let failed = match ort::init_from(&path) {
            Ok(builder) => match builder.with_name("mollifier").with_telemetry(false).build() {
                Ok(environment) => {
                    *loaded = Some((path.clone(), environment.clone()));
                    return Ok((path, environment));
                }
                Err(e) => e.to_string(),
            },
            Err(ort::LoadDynamicError::Dlopen { error, path }) => {
                let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                let path = path.display().to_string();
                if reason.starts_with(&path) { reason } else { format!("{path}: {reason}") }
            }
            Err(e) => e.to_string(),
        };
        failures.push(failed.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let looked = if failures.is_empty() { "nothing there".to_owned() } else { failures.join("; ") };
    let message = format!(
        "no ONNX Runtime library, looked at {by}: {looked}. Expected {} of version 1.{} or later: it lies in the folder \
         onnxruntime/capi of the Python package onnxruntime (onnxruntime-gpu for CUDA and TensorRT); name it with \
         --ort-library FILE or {VARIABLE}",
        file_name(),
        ort::MINOR_VERSION
    );
    Err(BackendError::Absent { backend, message })
}

/// A relative name is meant from the current folder, whatever the loader thinks.
fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn file_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// Existing files by the library's name, with or without a version, in the order in which they are tried: beside the
/// program, where installers put it, and in a Python environment that is active.
fn usual_places() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(here) = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned())) {
        folders.extend([here.clone(), here.join("lib"), here.join("../lib")]);
    }
    let shared = ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/opt/onnxruntime/lib", "/opt/homebrew/lib"];
    folders.extend(shared.iter().map(PathBuf::from));
    let triple = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    folders.push(triple.into());
    for prefix in ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(env::var_os).map(PathBuf::from) {
        folders.push(prefix.join("Lib/site-packages/onnxruntime/capi"));
        let versions = fs::read_dir(prefix.join("lib")).into_iter().flatten().filter_map(Result::ok);
        folders.extend(versions.map(|v| v.path().join("site-packages/onnxruntime/capi")));
    }
    let name = file_name();
    let is_library = |path: &PathBuf| {
        let file = path.file_name().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
        file == name || file.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'))
    };
    let mut found = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
        let mut here: Vec<PathBuf> = entries.filter(is_library).collect();
        here.sort();
        found.extend(here);
    }
    found
}
