//! Kernels: moments, exactness on polynomials, convergence, signs, and the small radii that go wrong uncorrected.

use mollifier::kernel::{Design, Family, Kernel, KernelError};
use proptest::prelude::*;

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

/// sum_x k(x) x^j about the output position `at`, for taps over samples 0..taps.len().
fn moment(taps: &[f64], at: usize, j: usize) -> f64 {
    taps.iter().enumerate().map(|(c, k)| k * (c as f64 - at as f64).powi(j as i32)).sum()
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![(4u32..=12).prop_map(Family::Poly), Just(Family::Bump), Just(Family::Gauss)]
}

proptest! {
    #[test]
    fn moments_are_met_everywhere(family in family(), radius in 6usize..48, order in 0usize..=4, more in 0usize..=3) {
        let highest = order + more;
        let kernel = Kernel::with_correction(family, radius, order, highest).expect("radius is wide enough");
        let near = |i: usize| if i == radius { kernel.taps() } else { kernel.one_sided(i) };
        for i in 0..=radius {
            for j in 0..=highest {
                let wanted = if j == order { factorial(order) } else { 0.0 };
                let size: f64 = near(i).iter().enumerate().map(|(c, k)| (k * (c as f64 - i as f64).powi(j as i32)).abs()).sum();
                let got = moment(near(i), i, j);
                prop_assert!((got - wanted).abs() <= 1e-9 * size.max(1.0), "{family} R={radius} a={order} i={i} j={j}: {got} instead of {wanted}");
            }
        }
    }

    #[test]
    fn polynomials_are_differentiated_exactly(radius in 6usize..32, order in 0usize..=4, shift in -3.0f64..3.0) {
        // p(x) = (x - shift)^(a+1) / (a+1)!, whose derivative of order a is x - shift.
        let kernel = Kernel::new(Family::Poly(6), radius, order).expect("radius is wide enough");
        let scale = radius as f64;
        let p = |x: f64| (x / scale - shift).powi(order as i32 + 1) / factorial(order + 1);
        for at in 0..=radius {
            let taps = if at == radius { kernel.taps() } else { kernel.one_sided(at) };
            let got: f64 = taps.iter().enumerate().map(|(c, k)| k * p(c as f64)).sum();
            let wanted = (at as f64 / scale - shift) / scale.powi(order as i32);
            prop_assert!((got - wanted).abs() < 1e-8 / scale.powi(order as i32), "at {at}: {got}, expected {wanted}");
        }
    }

    #[test]
    fn taps_are_even_or_odd_and_the_right_edge_mirrors_the_left(radius in 5usize..24, order in 0usize..=4) {
        let kernel = Kernel::new(Family::Poly(8), radius, order).expect("radius is wide enough");
        let sign = if order % 2 == 0 { 1.0 } else { -1.0 };
        let taps = kernel.taps();
        for (a, b) in taps.iter().zip(taps.iter().rev()) {
            prop_assert!((a - sign * b).abs() <= 1e-12 * taps.iter().fold(0.0f64, |m, k| m.max(k.abs())));
        }
        let (left, right, width) = (kernel.edge_matrix(), kernel.edge_matrix_right(), 2 * radius + 1);
        for i in 0..radius {
            for c in 0..width {
                prop_assert_eq!(right[(radius - 1 - i) * width + width - 1 - c], sign * left[i * width + c]);
            }
        }
    }

    #[test]
    fn adjoint_of_an_odd_order_changes_sign(order in 0usize..=4, seed in 0u64..1000) {
        // <k u, v> = (-1)^a <u, k v> for u and v that vanish near the ends.
        let (radius, n) = (8usize, 80usize);
        let kernel = Kernel::new(Family::Poly(8), radius, order).expect("radius is wide enough");
        let pseudo = |i: usize, s: u64| if (20..60).contains(&i) { ((i as f64 + s as f64) * 1.7).sin() } else { 0.0 };
        let apply = |f: &dyn Fn(usize) -> f64, i: usize| -> f64 {
            if i < radius || i + radius >= n { return 0.0; }
            kernel.taps().iter().enumerate().map(|(c, k)| k * f(i + c - radius)).sum()
        };
        let u = |i: usize| pseudo(i, seed);
        let v = |i: usize| pseudo(i, seed.wrapping_mul(31) + 7);
        let left: f64 = (0..n).map(|i| apply(&u, i) * v(i)).sum();
        let right: f64 = (0..n).map(|i| u(i) * apply(&v, i)).sum();
        let sign = if order % 2 == 0 { 1.0 } else { -1.0 };
        prop_assert!((left - sign * right).abs() < 1e-10);
    }

    #[test]
    fn names_are_read_back(family in family()) {
        prop_assert_eq!(family.to_string().parse::<Family>(), Ok(family));
    }
}

/// The figures that made correction necessary: sampled kernels of small radius against the exact moment 1.
#[test]
fn uncorrected_small_kernels_are_wrong_and_corrected_ones_are_not() {
    let cases = [
        (Family::Bump, 3, 2, -0.549),
        (Family::Bump, 8, 4, -21.47),
        (Family::Poly(4), 8, 4, -0.757),
        (Family::Poly(6), 8, 4, 0.943),
    ];
    for (family, radius, order, wrong) in cases {
        let of = |k: &Kernel| moment(k.taps(), radius, order) / factorial(order);
        let design = Design { family, radius, order, correction: None, edge_correction: order };
        // Laying out the edges needs weight on enough samples; the interior taps are what is looked at here.
        match Kernel::from_design(design) {
            Ok(kernel) => {
                let got = of(&kernel);
                assert!(
                    (got - wrong).abs() < 0.01 * wrong.abs().max(0.1),
                    "{family} R={radius}: {got}, expected {wrong}"
                );
            }
            Err(e) => panic!("{family} R={radius}: {e}"),
        }
        let corrected = Kernel::new(family, radius, order).expect("wide enough");
        assert!((of(&corrected) - 1.0).abs() < 1e-9, "{family} R={radius} corrected");
    }
}

/// At a fixed radius in samples the error of a derivative falls with the square of the sample distance.
#[test]
fn error_falls_with_the_square_of_the_sample_distance() {
    for order in 0..=4usize {
        let kernel = Kernel::new(Family::Poly(8), 10, order).expect("wide enough");
        let error = |h: f64, at: usize| {
            let x0 = 0.3;
            let taps = if at == 10 { kernel.taps() } else { kernel.one_sided(at) };
            let got: f64 = taps.iter().enumerate().map(|(c, k)| k * (x0 + (c as f64 - at as f64) * h).sin()).sum();
            let exact = (x0 + order as f64 * std::f64::consts::FRAC_PI_2).sin();
            (got / h.powi(order as i32) - exact).abs()
        };
        let rate = (error(0.04, 10) / error(0.02, 10)).log2();
        assert!((rate - 2.0).abs() < 0.1, "order {order}: interior rate {rate}, expected 2");
        let rate = (error(0.02, 0) / error(0.01, 0)).log2();
        assert!(rate > 1.8, "order {order}: edge rate {rate}, expected 2");
    }
}

#[test]
fn impossible_kernels_are_refused() {
    assert_eq!(Kernel::new(Family::Poly(4), 8, 5), Err(KernelError::Order { got: 5 }));
    assert_eq!(Kernel::with_correction(Family::Poly(4), 8, 2, 1), Err(KernelError::Correction { got: 1, order: 2 }));
    assert_eq!(Kernel::new(Family::Poly(3), 12, 4), Err(KernelError::Smoothness { power: 3, order: 4 }));
    assert!(matches!(Kernel::new(Family::Bump, 2, 4), Err(KernelError::TooFewTaps { .. })));
    assert!(matches!(Kernel::new(Family::Poly(4), 0, 0), Err(KernelError::TooFewTaps { .. }) | Ok(_)));
    for name in ["poly", "poly0", "poly17", "Bump", ""] {
        assert!(name.parse::<Family>().is_err(), "{name:?} was read as a family");
    }
}

/// A stated order-0 edge rule: weights that stay positive.
#[test]
fn edge_averages_of_correction_zero_are_positive() {
    for radius in [3usize, 8, 40] {
        let design = Design { family: Family::Poly(4), radius, order: 0, correction: Some(1), edge_correction: 0 };
        let kernel = Kernel::from_design(design).expect("wide enough");
        assert!(kernel.edge_matrix().iter().all(|k| *k >= 0.0));
    }
}

/// Sampled taps estimate the derivative with its sign: a rising line has a positive slope before any correction.
#[test]
fn uncorrected_taps_are_a_correlation_stencil() {
    for family in [Family::Poly(6), Family::Bump, Family::Gauss] {
        for order in 0..=4usize {
            let kernel = Kernel::uncorrected(family, 40, order).expect("wide enough");
            let got = moment(kernel.taps(), 40, order) / factorial(order);
            assert!((got - 1.0).abs() < 0.35, "{family} order {order}: {got}, expected near 1");
        }
    }
}
