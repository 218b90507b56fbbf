//! Memory does not grow with the number of frames. In a file of its own: the peak is the whole process's.

mod common;

use common::{FakeFrames, FakeModel, hash};
use mollifier::source::Pixels;
use mollifier::stream::{FieldOptions, Map, peak_memory_bytes, run_fields};

fn noisy(shape: [usize; 2]) -> impl FnMut(u64) -> Option<Pixels> + Send {
    move |index| {
        let values = (0..shape[0] * shape[1]).map(|i| {
            let h = hash(index << 32 | i as u64);
            if h < 0.01 { f32::NAN } else { h as f32 }
        });
        Some(Pixels::F32(values.collect()))
    }
}

#[test]
fn memory_is_flat_over_two_thousand_frames() {
    let shape = [128, 128];
    let options = FieldOptions { max_tile: Some([96; 2]), threads: 2, ..FieldOptions::default() };
    let mut after_warm_up = None;
    let mut maps = 0;
    let source = Box::new(FakeFrames::new(shape, 2_000, noisy(shape)));
    // A plan that does nothing: the pipeline's own memory is looked at.
    let model = common::FakeModel::fields(5);
    let planner = Idle(model);
    run_fields(&planner, source, &options, &mut |_: &Map<'_>| {
        maps += 1;
        if maps == 200 {
            after_warm_up = peak_memory_bytes();
        }
        Ok(())
    })
    .expect("the run succeeds");
    assert_eq!(maps, 1996);
    if let (Some(before), Some(after)) = (after_warm_up, peak_memory_bytes()) {
        // The system counts in batches a thread: a later reading can be some pages lower.
        let growth = after.saturating_sub(before);
        assert!(growth < 8 << 20, "grew by {} bytes", growth);
    }
}

struct Idle(FakeModel);

impl mollifier::stream::Planner for Idle {
    fn contract(&self) -> &mollifier::model::Contract {
        self.0.contract()
    }
    fn tiling(&self) -> mollifier::backend::Tiling {
        common::TILING
    }

    fn prepare(&self, _: &[usize]) -> Result<Box<dyn mollifier::backend::Plan>, mollifier::backend::BackendError> {
        Ok(Box::new(IdlePlan))
    }
}

struct IdlePlan;

impl mollifier::backend::Plan for IdlePlan {
    fn dropped(&self) -> &[String] {
        &[]
    }
    fn run(
        &mut self,
        _: &[ndarray::ArrayViewD<'_, f32>],
        _: &mut [ndarray::ArrayViewMutD<'_, f32>],
    ) -> Result<(), mollifier::backend::BackendError> {
        Ok(())
    }
}
