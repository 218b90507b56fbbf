//! How fast banks are computed on one core, beside what the core can do at most and beside tract.
//!
//! `cargo bench --bench bank -- [CASE ...] [SIZE ...] [--onnx FILE]` prints JSON: milliseconds by case (`five-fields`,
//! `heat-radii`) and size, the rate of fused multiply-adds and of copies measured in the same run, and the time of FILE
//! (one input (1, 1, SIZE, SIZE)) on tract.
//! `tools/benchmarks.py` calls it in turns with other libraries.

use std::hint::black_box;
use std::time::Instant;

use mollifier::kernel::{Design, Family, Kernel, KernelError};
use mollifier::operator::{Border, BoundBank, Derivative, Place};
use serde_json::{Value, json};
use tract_onnx::prelude::*;

/// Rows that are summed while they are in the cache.
const BLOCK: usize = 8;
const RUNS: usize = 25;

fn main() {
    let (mut cases, mut sizes, mut onnx) = (Vec::new(), Vec::new(), None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), arg.parse()) {
            // What cargo adds.
            ("--bench", _) => {}
            ("--onnx", _) => onnx = args.next(),
            ("five-fields" | "heat-radii", _) => cases.push(arg),
            (_, Ok(size)) => sizes.push(size),
            _ => panic!("got {arg:?}, expected five-fields, heat-radii, sizes and --onnx FILE"),
        }
    }
    let multiply_adds = peak();
    let each = cases.iter().flat_map(|case| sizes.iter().map(move |size| (case, *size)));
    let rows: Vec<Value> = each.map(|(case, size)| row(case, size, multiply_adds, onnx.as_deref())).collect();
    let report = json!({ "multiply_adds_per_second": multiply_adds, "copied_bytes_per_second": copy(), "rows": rows });
    println!("{report}");
}

fn row(case: &str, size: usize, multiply_adds: f64, onnx: Option<&str>) -> Value {
    let image: Vec<f32> = (0..size * size).map(|i| ((i * 7919) % 1009) as f32 / 1009.0).collect();
    let (ours, count) = if case == "heat-radii" { heat_radii(&image, size) } else { five_fields(&image, size) };
    json!({
        "case": case, "size": size, "ours_ms": median(ours),
        "bound_ms": 1e3 * (count * size * size) as f64 / multiply_adds,
        "tract_ms": onnx.map(|file| median(tract(file, &image, size).expect("a model for tract"))),
    })
}

fn derivative(orders: [usize; 2]) -> Derivative {
    Derivative { input: 0, orders: orders.to_vec() }
}

fn taps(radius: usize, order: usize) -> Result<Kernel, KernelError> {
    let correction = Some(order + 1);
    Kernel::from_design(Design { family: Family::Poly(8), radius, order, correction, edge_correction: order + 1 })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn time(mut run: impl FnMut()) -> Vec<f64> {
    (0..RUNS + 3)
        .map(|_| {
            let start = Instant::now();
            run();
            1e3 * start.elapsed().as_secs_f64()
        })
        .skip(3)
        .collect()
}

/// u, u_x, u_y, the Laplacian and the bi-Laplacian by kernels of 33 taps, the sums made row block by row block; also
/// the multiply-adds a pixel.
fn five_fields(image: &[f32], size: usize) -> (Vec<f64>, usize) {
    let wanted = [[0, 0], [0, 1], [1, 0], [2, 0], [0, 2], [4, 0], [2, 2], [0, 4]].map(derivative);
    let bank = BoundBank::new(&[size, size], &wanted, Border::OneSided, |_, order| taps(16, order)).expect("it fits");
    let place = Place::whole(size, size);
    let mut fields = vec![vec![0.0_f32; size * size]; 5];
    // The terms of the sums, of one row block.
    let mut terms = vec![vec![0.0_f32; size * BLOCK]; 5];
    let mut scratch = vec![0.0; bank.scratch_len()];
    let times = time(|| {
        for from in (0..size).step_by(BLOCK) {
            let rows = from..(from + BLOCK).min(size);
            let block = Place { first: from.cast_signed(), ..place };
            let mut made: Vec<&mut [f32]> = Vec::with_capacity(wanted.len());
            made.extend(fields[..3].iter_mut().map(Vec::as_mut_slice));
            made.extend(terms.iter_mut().map(Vec::as_mut_slice));
            let at = |i: usize| if i < 3 { place } else { block };
            bank.run_rows(rows.clone(), |_| (image, place), &mut made, at, &mut scratch);
            let at = rows.start * size..rows.end * size;
            let [yy, xx, y4, y2x2, x4] = [0, 1, 2, 3, 4].map(|i| terms[i].as_slice());
            let (laplacian, bi) = fields[3..].split_at_mut(1);
            for (i, (l, b)) in laplacian[0][at.clone()].iter_mut().zip(&mut bi[0][at]).enumerate() {
                *l = yy[i] + xx[i];
                *b = y4[i] + 2.0 * y2x2[i] + x4[i];
            }
        }
        black_box(&fields);
    });
    // Four vertical and eight horizontal passes of 33 taps.
    (times, 12 * 33)
}

/// The second derivatives of the heat model at its four radii, and their multiply-adds a pixel.
fn heat_radii(image: &[f32], size: usize) -> (Vec<f64>, usize) {
    let radii: Vec<usize> = [6, 10, 16, 28].into_iter().filter(|r| 2 * r < size).collect();
    let wanted = [[2, 0], [0, 2]].map(derivative);
    let banks: Vec<BoundBank> = radii
        .iter()
        .map(|radius| BoundBank::new(&[size, size], &wanted, Border::OneSided, |_, order| taps(*radius, order)))
        .collect::<Result<_, _>>()
        .expect("they fit");
    let place = Place::whole(size, size);
    let mut maps = vec![vec![vec![0.0_f32; size * size]; 2]; banks.len()];
    let mut scratch = vec![0.0; banks.iter().map(BoundBank::scratch_len).max().unwrap_or(0)];
    let times = time(|| {
        for from in (0..size).step_by(BLOCK) {
            let rows = from..(from + BLOCK).min(size);
            for (bank, maps) in banks.iter().zip(&mut maps) {
                bank.run_rows(rows.clone(), |_| (image, place), maps, |_| place, &mut scratch);
            }
        }
        black_box(&maps);
    });
    (times, radii.iter().map(|r| 4 * (2 * r + 1)).sum())
}

fn tract(file: &str, image: &[f32], size: usize) -> TractResult<Vec<f64>> {
    let shape = [1, 1, size, size];
    let mut model = tract_onnx::onnx().model_for_path(file)?;
    model.set_input_fact(0, f32::fact(shape).into())?;
    let mut plan = model.into_optimized()?.into_runnable()?.spawn()?;
    let input = Tensor::from_shape(&shape, image)?.into_tvalue();
    let mut failed = None;
    let times = time(|| match plan.run(tvec!(input.clone())) {
        Ok(outputs) => drop(black_box(outputs)),
        Err(e) => failed = Some(e),
    });
    failed.map_or(Ok(times), Err)
}

/// Fused multiply-adds a second, single precision, of one core: the best of several runs.
fn peak() -> f64 {
    const STEPS: usize = 2_000_000;
    let mut best = 0.0_f64;
    for _ in 0..7 {
        let start = Instant::now();
        let count = multiply_add(black_box(STEPS));
        best = best.max(count as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// Independent chains of multiply-adds, enough to hide their latency; how many were made.
fn multiply_add(steps: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
        #[target_feature(enable = "avx512f")]
        fn wide(steps: usize) -> usize {
            let (a, b) = (_mm512_set1_ps(black_box(0.999_9)), _mm512_set1_ps(black_box(1e-4)));
            let mut sums = [_mm512_set1_ps(1.0); 12];
            for _ in 0..steps {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(*sum, a, b);
                }
            }
            black_box(sums);
            steps * sums.len() * 16
        }
        #[target_feature(enable = "avx2,fma")]
        fn narrow(steps: usize) -> usize {
            let (a, b) = (_mm256_set1_ps(black_box(0.999_9)), _mm256_set1_ps(black_box(1e-4)));
            let mut sums = [_mm256_set1_ps(1.0); 12];
            for _ in 0..steps {
                for sum in &mut sums {
                    *sum = _mm256_fmadd_ps(*sum, a, b);
                }
            }
            black_box(sums);
            steps * sums.len() * 8
        }
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instructions.
            return unsafe { wide(steps) };
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the instructions.
            return unsafe { narrow(steps) };
        }
    }
    let (a, b) = (black_box(0.999_9_f32), black_box(1e-4_f32));
    let mut sums = [1.0_f32; 32];
    for _ in 0..steps {
        sums = sums.map(|sum| sum.mul_add(a, b));
    }
    black_box(sums);
    steps * sums.len()
}

/// Bytes copied a second between arrays far larger than the caches.
fn copy() -> f64 {
    let from = vec![1_u8; 1 << 27];
    let mut to = vec![0_u8; 1 << 27];
    let mut best = 0.0_f64;
    for _ in 0..5 {
        let start = Instant::now();
        to.copy_from_slice(black_box(&from));
        black_box(&to);
        best = best.max(from.len() as f64 / start.elapsed().as_secs_f64());
    }
    best
}
