//! ONNX Runtime as a backend: on the CPU, with CUDA, or with TensorRT.
//!
//! A provider that was asked for and cannot be had is an error, and so is a graph of which it would leave a part to
//! the CPU: a silent fall-back costs a factor ten in speed and is found weeks later.

mod library;

#[cfg(test)]
pub(super) use library::environment;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use ndarray::{ArrayViewD, ArrayViewMutD};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::Tensor;
use prost::Message;

use super::{Backend, BackendError, Plan, Tiling, check_shapes, fit_shapes, tensor_shape};
use crate::graph::bind_shape;
use crate::model::{Fit, Model};
use crate::onnx;

/// What ONNX Runtime computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The processor, one thread a plan.
    Cpu,
    /// An NVIDIA GPU by CUDA kernels.
    Cuda,
    /// An NVIDIA GPU by a TensorRT engine, which is built at the first use of a model and a tile shape and kept.
    ///
    /// TensorRT takes TensorFloat-32 for single precision where the GPU has it, which is too coarse for derivatives,
    /// and ONNX Runtime has no option against it: set `NVIDIA_TF32_OVERRIDE=0` in the environment before the first
    /// plan. The `mollifier` command does.
    TensorRt,
}

impl Provider {
    /// Whether the library that is loaded was built with it.
    fn is_offered(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => ep::CUDA::is_available().unwrap_or(false),
            Self::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "ort",
            Self::Cuda => "ort-cuda",
            Self::TensorRt => "ort-tensorrt",
        }
    }
}

/// ONNX Runtime, loaded from a shared library.
#[derive(Clone, Debug)]
pub struct Ort {
    provider: Provider,
    environment: Environment,
    file: PathBuf,
}

impl Ort {
    /// Load the library: the file `named`, else the one that the environment variable `ORT_DYLIB_PATH` names, else
    /// the first in the usual places.
    ///
    /// # Errors
    /// [`BackendError::Absent`]: no library that can be loaded.
    pub fn load(provider: Provider, named: Option<&Path>) -> Result<Self, BackendError> {
        let (file, environment) = library::environment(provider.name(), named)?;
        if !provider.is_offered() {
            let message = format!(
                "{} was built without it; take the library of the Python package onnxruntime-gpu, or on a Jetson the \
                 build that NVIDIA gives for its JetPack",
                file.display()
            );
            return Err(BackendError::Absent { backend: provider.name(), message });
        }
        let ort = Self { provider, environment, file };
        // A library that was built with a provider still has to find what that one needs: CUDA, cuDNN, TensorRT.
        if let Err(e) = ort.builder(None) {
            let message = format!("{} cannot load it: {}", ort.file.display(), one_line(&e));
            return Err(BackendError::Absent { backend: provider.name(), message });
        }
        Ok(ort)
    }

    /// The library's file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What the library says of its build.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// `engines`: where TensorRT may keep what it builds.
    fn providers(&self, engines: Option<&Path>) -> Vec<ExecutionProviderDispatch> {
        // Ten bits of mantissa are not enough for differences of neighbours: no TensorFloat-32.
        let cuda = || ep::CUDA::default().with_tf32(false).build().error_on_failure();
        match self.provider {
            Provider::Cpu => Vec::new(),
            Provider::Cuda => vec![cuda()],
            Provider::TensorRt => {
                let mut engine = ep::TensorRT::default();
                if let Some(folder) = engines {
                    let folder = folder.display().to_string();
                    engine = engine
                        .with_engine_cache(true)
                        .with_engine_cache_path(&folder)
                        .with_timing_cache(true)
                        .with_timing_cache_path(&folder);
                }
                vec![engine.build().error_on_failure(), cuda()]
            }
        }
    }

    fn builder(&self, engines: Option<&Path>) -> Result<SessionBuilder, ort::Error> {
        let builder = Session::builder(&self.environment)?
            // A plan belongs to one worker; spinning threads would take the cores of the others.
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            // Level 3 has another number in libraries before 1.23; "all" has the same in every one.
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_execution_providers(self.providers(engines))?;
        Ok(match self.provider {
            Provider::Cpu => builder,
            Provider::Cuda | Provider::TensorRt => builder.with_disable_cpu_fallback()?,
        })
    }
}

/// Where TensorRT keeps the engines of a model: in the user's folder of caches, by the model's hash. TensorRT adds the
/// GPU, its own version and the shapes to the names of its files.
fn engine_folder(hash: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let caches = set("XDG_CACHE_HOME")
        .or_else(|| set("LOCALAPPDATA"))
        .or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    let folder = caches.join("mollifier").join("tensorrt").join(hash);
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

impl Backend for Ort {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn tiling(&self, _model: &Model) -> Tiling {
        let largest = match self.provider {
            Provider::Cpu => [512, 512],
            // What a GPU starts once a tile costs it as much as many pixels; its memory holds some gigabytes.
            Provider::Cuda | Provider::TensorRt => [1024, 1024],
        };
        Tiling { largest, align: [1, 1], more: [0, 0] }
    }

    fn prepare(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        let (proto, dropped) = model.restricted(tile).ok_or_else(|| BackendError::TooSmall {
            what: model.name.clone(),
            got: tile.to_vec(),
            expected: model.smallest(),
        })?;
        let inputs: Vec<Vec<usize>> =
            model.contract.inputs.iter().map(|i| tensor_shape(&model.contract, i, tile)).collect();
        let mut output = vec![1];
        output.extend_from_slice(tile);
        let outputs = vec![output; model.contract.outputs.len()];
        self.plan(Parts {
            what: format!("{} at {tile:?}", model.name),
            hash: &model.hash,
            proto,
            names: model.contract.inputs.iter().map(|i| i.name.clone()).collect(),
            inputs,
            output_names: model.contract.outputs.iter().map(|o| o.name.clone()).collect(),
            outputs,
            dropped,
        })
    }

    fn prepare_fit(&self, fit: &Fit, points: usize) -> Result<Box<dyn Plan>, BackendError> {
        let (inputs, outputs) = fit_shapes(fit, points);
        self.plan(Parts {
            what: format!("{}, {points} points at a time", fit.name),
            hash: &fit.hash,
            proto: fit.proto.clone(),
            names: vec![Fit::COORDINATES.to_owned()],
            inputs,
            output_names: Fit::OUTPUTS.map(str::to_owned).to_vec(),
            outputs,
            dropped: Vec::new(),
        })
    }
}

/// What a plan is made of.
struct Parts<'a> {
    /// For messages.
    what: String,
    hash: &'a str,
    /// Not bound to the shapes yet.
    proto: onnx::ModelProto,
    names: Vec<String>,
    inputs: Vec<Vec<usize>>,
    output_names: Vec<String>,
    outputs: Vec<Vec<usize>>,
    dropped: Vec<String>,
}

impl Ort {
    fn plan(&self, parts: Parts<'_>) -> Result<Box<dyn Plan>, BackendError> {
        let Parts { what, hash, mut proto, names, inputs, output_names, outputs, dropped } = parts;
        if let (Some(graph), Some(output)) = (proto.graph.as_mut(), outputs.first()) {
            bind_shape(graph, &inputs, output);
        }
        let backend = self.name();
        let engine = |doing: &str| {
            let what = format!("{what}: {doing}");
            move |e: ort::Error| BackendError::Engine { backend, what, message: one_line(&e) }
        };
        let engines = if self.provider == Provider::TensorRt { engine_folder(hash) } else { None };
        let session = self
            .builder(engines.as_deref())
            .and_then(|mut builder| builder.commit_from_memory(&proto.encode_to_vec()))
            .map_err(engine("preparing the plan"))?;
        let bound = Bound::new(&session, &inputs, &output_names, &outputs).map_err(engine("binding memory"))?;
        Ok(Box::new(OrtPlan { backend, session, bound, names, inputs, output_names, outputs, dropped }))
    }
}

/// Memory for the inputs and outputs of one plan, ordinary memory of the processor.
///
/// Page-locked memory is not worth its trouble: ONNX Runtime 1.31 refuses outputs bound to it (it copies them onto
/// themselves), and inputs in it made frames on an H100 no faster.
struct Bound {
    inputs: Vec<Tensor<f32>>,
    binding: IoBinding,
}

impl Bound {
    fn new(
        session: &Session,
        inputs: &[Vec<usize>],
        names: &[String],
        outputs: &[Vec<usize>],
    ) -> Result<Self, ort::Error> {
        let allocator = Allocator::default();
        let inputs =
            inputs.iter().map(|shape| Tensor::new(&allocator, shape.as_slice())).collect::<Result<Vec<_>, _>>()?;
        let mut binding = session.create_binding()?;
        for (name, shape) in names.iter().zip(outputs) {
            binding.bind_output(name, Tensor::<f32>::new(&allocator, shape.as_slice())?)?;
        }
        Ok(Self { inputs, binding })
    }
}

struct OrtPlan {
    backend: &'static str,
    session: Session,
    bound: Bound,
    names: Vec<String>,
    inputs: Vec<Vec<usize>>,
    output_names: Vec<String>,
    outputs: Vec<Vec<usize>>,
    dropped: Vec<String>,
}

impl Debug for OrtPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrtPlan").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl OrtPlan {
    fn compute(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), ort::Error> {
        let Bound { inputs: tensors, binding } = &mut self.bound;
        for ((tensor, view), name) in tensors.iter_mut().zip(inputs).zip(&self.names) {
            let (_, values) = tensor.try_extract_tensor_mut::<f32>()?;
            match view.as_slice() {
                Some(slice) => values.copy_from_slice(slice),
                None => values.iter_mut().zip(view).for_each(|(to, from)| *to = *from),
            }
            // On a device this is what copies; on the CPU it costs nothing.
            binding.bind_input(name, &*tensor)?;
        }
        binding.synchronize_inputs()?;
        let results = self.session.run_binding(binding)?;
        binding.synchronize_outputs()?;
        for (name, output) in self.output_names.iter().zip(outputs) {
            let (_, values) = results[name.as_str()].try_extract_tensor::<f32>()?;
            match output.as_slice_mut() {
                Some(slice) => slice.copy_from_slice(values),
                None => output.iter_mut().zip(values).for_each(|(to, from)| *to = *from),
            }
        }
        Ok(())
    }
}

impl Plan for OrtPlan {
    fn dropped(&self) -> &[String] {
        &self.dropped
    }

    fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        check_shapes(&self.names, &self.inputs, inputs, &[], &self.outputs, outputs)?;
        let backend = self.backend;
        self.compute(inputs, outputs).map_err(|e| BackendError::Engine {
            backend,
            what: "running".to_owned(),
            message: one_line(&e),
        })
    }
}

fn one_line(error: &ort::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
