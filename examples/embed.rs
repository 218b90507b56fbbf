//! Evaluate an inverse model inside another program: load, bind to a frame size, run.
//!
//! `cargo run --release --example embed`

use mollifier::backend::{Backend, Tract, tensor_shape};
use mollifier::model::{InputRole, Model};
use ndarray::{ArrayD, IxDyn};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::load("models/heat-closed-form.onnx")?;
    println!("{}: {}", model.contract.physics.name, model.contract.physics.equation);

    // A plan is bound to one frame size; keep it, and give each thread its own.
    let size = [160, 200];
    let mut plan = Tract.prepare(&model, &size)?;

    // A paraboloid u = -(x^2 + y^2)/2 has the Laplacian -2: with the source m = 1 the diffusivity is 1/2.
    let inputs: Vec<ArrayD<f32>> = model
        .contract
        .inputs
        .iter()
        .map(|input| {
            let shape = IxDyn(&tensor_shape(&model.contract, input, &size));
            match input.role {
                InputRole::Recording => ArrayD::from_shape_fn(shape, |i| {
                    let (y, x) = (i[2] as f32 - 80.0, i[3] as f32 - 100.0);
                    -(x * x + y * y) / 2.0
                }),
                InputRole::Noise => ArrayD::from_elem(shape, 1e-3),
                InputRole::Offset => ArrayD::zeros(shape),
                // Validity, the source m, sample distances of one pixel.
                _ => ArrayD::ones(shape),
            }
        })
        .collect();

    let mut outputs: Vec<ArrayD<f32>> =
        model.contract.outputs.iter().map(|_| ArrayD::zeros(IxDyn(&[1, size[0], size[1]]))).collect();
    let views: Vec<_> = inputs.iter().map(|a| a.view()).collect();
    let mut slots: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
    plan.run(&views, &mut slots)?;

    for (output, map) in model.contract.outputs.iter().zip(&outputs) {
        println!("{} ({}) at the centre: {:.4}", output.name, output.quantity, map[[0, 80, 100]]);
    }
    Ok(())
}
