//! Banks against their naive twin, and the invariants that streaming and tiling rest on.

use mollifier::kernel::{Design, Family, Kernel, KernelError};
use mollifier::operator::{BankError, Border, BoundBank, Derivative};
use proptest::prelude::*;

fn taps(family: Family, radius: usize, order: usize) -> Result<Kernel, KernelError> {
    Kernel::from_design(Design {
        family,
        radius,
        order,
        correction: Some(order + 1),
        edge_correction: if order == 0 { 0 } else { order + 1 },
    })
}

/// The weight of sample `j` for output `i` of `n`, by the definition.
fn weight(kernel: &Kernel, border: Border, i: usize, j: usize, n: usize) -> f64 {
    let (r, w) = (kernel.radius(), 2 * kernel.radius() + 1);
    let central =
        |i: usize, j: usize| (j + r).checked_sub(i).and_then(|c| kernel.taps().get(c)).copied().unwrap_or(0.0);
    match border {
        Border::OneSided if i < r => {
            if j < w {
                kernel.one_sided(i)[j]
            } else {
                0.0
            }
        }
        Border::OneSided if i + r >= n => {
            let sign = if kernel.order().is_multiple_of(2) { 1.0 } else { -1.0 };
            let (i, j) = (n - 1 - i, n - 1 - j);
            if j < w { sign * kernel.one_sided(i)[j] } else { 0.0 }
        }
        _ => central(i, j),
    }
}

/// The derivative of an image (row-major, `h` by `w`) in f64, one output at a time.
fn twin(image: &[f32], (h, w): (usize, usize), ky: &Kernel, kx: &Kernel, border: Border) -> Vec<f64> {
    let mut out = Vec::with_capacity(h * w);
    for y in 0..h {
        for x in 0..w {
            let mut sum = 0.0;
            for v in 0..h {
                let a = weight(ky, border, y, v, h);
                if a != 0.0 {
                    for u in 0..w {
                        sum += a * weight(kx, border, x, u, w) * f64::from(image[v * w + u]);
                    }
                }
            }
            out.push(sum);
        }
    }
    out
}

fn image(h: usize, w: usize, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    (0..h * w)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        })
        .collect()
}

fn run(bank: &BoundBank, inputs: &[&[f32]], outputs: usize) -> Vec<Vec<f32>> {
    let mut planes = vec![vec![f32::NAN; inputs[0].len()]; outputs];
    let mut slots: Vec<&mut [f32]> = planes.iter_mut().map(Vec::as_mut_slice).collect();
    bank.run(inputs, &mut slots, &mut vec![0.0; bank.scratch_len()]);
    planes
}

fn border() -> impl Strategy<Value = Border> {
    prop_oneof![Just(Border::OneSided), Just(Border::Zero)]
}

fn wanted() -> Vec<Derivative> {
    [(0, [2, 0]), (0, [0, 2]), (1, [0, 0]), (0, [1, 1]), (0, [2, 2])]
        .map(|(input, orders)| Derivative { input, orders: orders.to_vec() })
        .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn images_agree_with_the_twin(ry in 3usize..9, rx in 3usize..9, dh in 0usize..20, dw in 0usize..90, border in border(), seed in any::<u64>()) {
        let (h, w) = (2 * ry + 1 + dh, 2 * rx + 1 + dw);
        let (a, b) = (image(h, w, seed), image(h, w, seed ^ 77));
        let family = Family::Poly(4);
        let kernel = |axis: usize, order: usize| taps(family, if axis == 0 { ry } else { rx }, order);
        let bank = BoundBank::new(&[h, w], &wanted(), border, kernel).expect("fits");
        let got = run(&bank, &[&a, &b], 5);
        for (d, got) in wanted().iter().zip(&got) {
            let ky = kernel(0, d.orders[0]).expect("exists");
            let kx = kernel(1, d.orders[1]).expect("exists");
            let expected = twin(if d.input == 0 { &a } else { &b }, (h, w), &ky, &kx, border);
            let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for (g, e) in got.iter().zip(&expected) {
                prop_assert!((f64::from(*g) - e).abs() <= 1e-5 * largest, "{:?}: {g} instead of {e}", d.orders);
            }
        }
    }

    #[test]
    fn series_agree_with_the_twin(r in 3usize..40, more in 0usize..200, order in 0usize..=2, border in border(), seed in any::<u64>()) {
        let n = 2 * r + 1 + more;
        let line = image(1, n, seed);
        let bank = BoundBank::new(&[n], &[Derivative { input: 0, orders: vec![order] }], border, |_, o| taps(Family::Poly(4), r, o)).expect("fits");
        let got = run(&bank, &[&line], 1).remove(0);
        let kernel = taps(Family::Poly(4), r, order).expect("exists");
        let expected: Vec<f64> = (0..n).map(|i| (0..n).map(|j| weight(&kernel, border, i, j, n) * f64::from(line[j])).sum()).collect();
        let largest = expected.iter().fold(0.0f64, |m: f64, v: &f64| m.max(v.abs()));
        for (g, e) in got.iter().zip(&expected) {
            prop_assert!((f64::from(*g) - e).abs() <= 1e-5 * largest, "{g} instead of {e}");
        }
    }

    /// Outputs farther than the radius from a tile's inner border have the bits of the whole frame.
    #[test]
    fn a_tile_gives_the_bits_of_the_whole(y0 in 0usize..30, x0 in 0usize..90, h in 20usize..40, w in 20usize..90, border in border(), seed in any::<u64>()) {
        let (r, height, width) = (7usize, 70usize, 180usize);
        let whole_image = image(height, width, seed);
        let derivatives = [Derivative { input: 0, orders: vec![2, 0] }, Derivative { input: 0, orders: vec![0, 2] }];
        let bind = |shape: [usize; 2]| BoundBank::new(&shape, &derivatives, border, |_, o| taps(Family::Poly(4), r, o)).expect("fits");
        let whole = run(&bind([height, width]), &[&whole_image], 2);
        let tile_image: Vec<f32> = (0..h).flat_map(|y| whole_image[(y0 + y) * width + x0..][..w].to_vec()).collect();
        let tile = run(&bind([h, w]), &[&tile_image], 2);
        for k in 0..2 {
            for y in (if y0 == 0 { 0 } else { r })..(if y0 + h == height { h } else { h - r }) {
                for x in (if x0 == 0 { 0 } else { r })..(if x0 + w == width { w } else { w - r }) {
                    prop_assert_eq!(tile[k][y * w + x].to_bits(), whole[k][(y0 + y) * width + x0 + x].to_bits());
                }
            }
        }
    }

    #[test]
    fn a_constant_has_no_derivative_and_is_its_own_average(value in -50.0f32..50.0, r in 3usize..12) {
        let (h, w) = (40usize, 45usize);
        let flat = vec![value; h * w];
        let derivatives = [vec![0, 0], vec![2, 0], vec![0, 1]].map(|orders| Derivative { input: 0, orders });
        let bank = BoundBank::new(&[h, w], &derivatives, Border::OneSided, |_, o| taps(Family::Poly(4), r, o)).expect("fits");
        let got = run(&bank, &[&flat], 3);
        let size = value.abs() + 1e-3;
        prop_assert!(got[0].iter().all(|v| (v - value).abs() < 2e-6 * size * 3.0));
        prop_assert!(got[1].iter().chain(&got[2]).all(|v| v.abs() < 3e-5 * size));
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let d = [Derivative { input: 0, orders: vec![2, 0] }];
    let kernel = |_: usize, o: usize| taps(Family::Poly(4), 8, o);
    let too_small = BoundBank::new(&[16, 40], &d, Border::OneSided, kernel).expect_err("16 rows are too few");
    assert_eq!(too_small, BankError::TooSmall { axis: 0, got: 16, expected: 17 });
    assert!(BoundBank::new(&[16, 40], &d, Border::Zero, kernel).is_ok());
    assert!(matches!(BoundBank::new(&[40], &d, Border::Zero, kernel), Err(BankError::Axes { .. })));
}
