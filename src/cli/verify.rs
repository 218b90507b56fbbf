//! `mollifier verify`: a model's outputs on this machine against the double precision reference.

use anyhow::{Result, bail};
use mollifier::model::{AGREEMENT_BOUND, Model, agreement};
use ndarray::ArrayD;

use super::args::VerifyArgs;
use super::backends::backends;
use super::say;

pub(crate) fn verify(args: &VerifyArgs) -> Result<()> {
    let model = Model::load(&args.model)?;
    let mut failed = 0;
    for backend in backends(&args.backend, args.ort_library.as_deref())? {
        for case in model.cases()? {
            let mut plan = backend.prepare(&model, &case.size)?;
            let mut got: Vec<ArrayD<f32>> = case.expected.iter().map(|e| ArrayD::zeros(e.raw_dim())).collect();
            let inputs: Vec<_> = case.inputs.iter().map(|a| a.view()).collect();
            let mut outputs: Vec<_> = got.iter_mut().map(|a| a.view_mut()).collect();
            plan.run(&inputs, &mut outputs)?;
            for agreement in agreement(&model.contract.outputs, &got, &case.expected) {
                let good = agreement.worst <= AGREEMENT_BOUND;
                failed += usize::from(!good);
                say(&format!(
                    "{} {:8} {:36} {:10} {:.1e} of at most {AGREEMENT_BOUND:.0e}, {} values",
                    if good { "ok  " } else { "FAIL" },
                    backend.name(),
                    format!("{} {:?}", case.name, case.size),
                    agreement.output,
                    agreement.worst,
                    agreement.values
                ))?;
            }
        }
    }
    if failed > 0 {
        bail!("{}: {failed} outputs differ from the reference by more than {AGREEMENT_BOUND:.0e}", model.name);
    }
    Ok(())
}
