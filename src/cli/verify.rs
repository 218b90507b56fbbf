//! `mollifier verify`: a model's kernels and outputs on this machine against the double precision reference.

use anyhow::{Result, bail};
use mollifier::backend::Backend;
use mollifier::model::{AGREEMENT_BOUND, Case, Model, agreement};
use ndarray::ArrayD;

use super::args::VerifyArgs;
use super::backends::backends;
use super::say;

pub(crate) fn verify(args: &VerifyArgs) -> Result<()> {
    let model = Model::load(&args.model)?;
    let kernels = model.kernels();
    let mut failed = 0;
    for backend in backends(&args.backend, args.ort_library.as_deref())? {
        for kernel in &kernels {
            failed += compare(backend.as_ref(), kernel, &kernel.kernel_case()?, &kernel.name)?;
        }
        for case in model.cases()? {
            failed += compare(backend.as_ref(), &model, &case, case.name)?;
        }
    }
    if failed > 0 {
        bail!("{}: {failed} outputs differ from the reference by more than {AGREEMENT_BOUND:.0e}", model.name);
    }
    Ok(())
}

/// Say how far each output is from the reference; how many are too far.
fn compare(backend: &dyn Backend, model: &Model, case: &Case, title: &str) -> Result<usize> {
    let mut plan = backend.prepare(model, &case.size)?;
    let mut got: Vec<ArrayD<f32>> = case.expected.iter().map(|e| ArrayD::zeros(e.raw_dim())).collect();
    let inputs: Vec<_> = case.inputs.iter().map(|a| a.view()).collect();
    let mut outputs: Vec<_> = got.iter_mut().map(|a| a.view_mut()).collect();
    plan.run(&inputs, &mut outputs)?;
    let mut failed = 0;
    for agreement in agreement(&model.contract.outputs, &got, &case.expected) {
        let good = agreement.worst <= AGREEMENT_BOUND;
        failed += usize::from(!good);
        say(&format!(
            "{} {:8} {:40} {:10} {:.1e} of at most {AGREEMENT_BOUND:.0e}, {} values",
            if good { "ok  " } else { "FAIL" },
            backend.name(),
            format!("{title} {:?}", case.size),
            agreement.output,
            agreement.worst,
            agreement.values
        ))?;
    }
    Ok(failed)
}
