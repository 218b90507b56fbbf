//! Noise gains that a graph computes, against the sum of squares of what the operators really do.

use mollifier::graph::{BankDesign, Edge, Graph, IR_VERSION, OPSET};
use mollifier::kernel::Family;
use mollifier::onnx;
use prost::Message;
use tract_onnx::prelude::*;

/// Compute a graph of one map input `u` and one map output at `size`.
fn compute(graph: &Graph, u: &[f32], size: (usize, usize)) -> Vec<f32> {
    let model = onnx::ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![onnx::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        graph: Some(graph.finish("test").graph),
        ..Default::default()
    };
    let mut model = tract_onnx::onnx().model_for_read(&mut model.encode_to_vec().as_slice()).expect("a valid graph");
    model.set_input_fact(0, f32::fact([1, size.0, size.1]).into()).expect("one input");
    let plan = model.into_optimized().and_then(IntoRunnable::into_runnable).expect("a plan");
    let input = Tensor::from_shape(&[1, size.0, size.1], u).expect("a tensor");
    let out = plan.run(tvec![input.into_tvalue()]).expect("a result").remove(0);
    out.to_plain_array_view::<f32>().expect("floats").iter().copied().collect()
}

fn design(radius: usize, edge: Edge) -> BankDesign {
    BankDesign { family: Family::Poly(4), radius: vec![radius, radius - 1], edge, correction: Some(1), edge_average: 0 }
}

/// The response at every pixel to a unit impulse at `at` of the Laplacian at `radius`.
fn impulse_response(radius: usize, edge: Edge, size: (usize, usize), at: usize) -> Vec<f32> {
    let graph = Graph::new(2);
    let u = graph.map_input("u");
    let bank = graph.bank("bank", design(radius, edge)).expect("two radii");
    let d = bank.apply(&u, &[&[2, 0], &[0, 2]]).expect("exists");
    graph.output("laplacian", &(&d[0] + &d[1] * 0.25));
    let mut impulse = vec![0.0; size.0 * size.1];
    impulse[at] = 1.0;
    compute(&graph, &impulse, size)
}

#[test]
fn gains_are_the_sums_of_squares_of_the_operators_edges_included() {
    for edge in [Edge::OneSided, Edge::Zero] {
        let (small, large, size) = (4usize, 6usize, (15usize, 14usize));
        let n = size.0 * size.1;
        // sum over impulses of response(small) * response(large), at each pixel: a covariance.
        let mut expected = vec![0.0f64; n];
        let mut variance = vec![0.0f64; n];
        for at in 0..n {
            let a = impulse_response(small, edge, size, at);
            let b = impulse_response(large, edge, size, at);
            for i in 0..n {
                expected[i] += f64::from(a[i]) * f64::from(b[i]);
                variance[i] += f64::from(b[i]).powi(2);
            }
        }
        let terms: &[(f64, &[usize])] = &[(1.0, &[2, 0]), (0.25, &[0, 2])];
        for (what, expected) in [("covariance", &expected), ("variance", &variance)] {
            let graph = Graph::new(2);
            let u = graph.map_input("u");
            let a = graph.bank("a", design(small, edge)).expect("two radii");
            let b = graph.bank("b", design(large, edge)).expect("two radii");
            let gain = if what == "variance" { b.gain(terms) } else { a.covariance(terms, &b, terms) }.expect("exists");
            graph.output("gain", &(gain + &u * 0.0));
            let got = compute(&graph, &vec![1.0; n], size);
            let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for (i, (g, e)) in got.iter().zip(expected).enumerate() {
                assert!(
                    (f64::from(*g) - e).abs() < 1e-5 * largest,
                    "{edge:?} {what} at {},{}: {g} instead of {e}",
                    i / size.1,
                    i % size.1
                );
            }
        }
    }
}

#[test]
fn reach_adds_up_along_a_chain() {
    let graph = Graph::new(2);
    let u = graph.map_input("u");
    let first = graph.bank("first", design(5, Edge::OneSided)).expect("two radii");
    let second = graph.bank("second", design(3, Edge::Zero)).expect("two radii");
    let d = first.apply(&u, &[&[2, 0]]).expect("exists");
    let e = second.apply(&(d[0].square() + &u), &[&[0, 0]]).expect("exists");
    assert_eq!(e[0].reach(), &[8, 6]);
    graph.output("out", &e[0]);
    assert_eq!(graph.finish("test").halo, vec![8, 6]);
}

#[test]
fn radii_and_orders_must_match_the_axes() {
    let graph = Graph::new(1);
    assert!(graph.bank("two", design(5, Edge::Zero)).is_err());
    let one = BankDesign { radius: vec![5], ..design(5, Edge::Zero) };
    let bank = graph.bank("one", one).expect("one radius");
    let u = graph.map_input("u");
    assert!(bank.apply(&u, &[&[1, 0]]).is_err());
}
