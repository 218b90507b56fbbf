//! A sensor's samples as they arrive: the forcing lambda of `u_t = a u + lambda` at each, with a fixed delay.
//!
//! `cargo run --release --example sensor` simulates a sensor and says how fast this machine takes samples in. The
//! filter itself needs no operating system; on a microcontroller the interrupt pushes into a queue and the main loop
//! does what this one does.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mollifier::kernel::Family;
use mollifier::operator::SeriesFilter;

/// 65 taps: the output lags by 32 samples.
type Filter = SeriesFilter<65>;

fn main() -> Result<(), mollifier::kernel::KernelError> {
    let (step, a, noise) = (0.01, 0.2, 0.01);
    let mut filter = Filter::new(Family::Poly(4), 3, &[(1.0 / step, 1), (-a, 0)])?;
    println!(
        "lambda comes {} samples late, with a standard error of {:.3}",
        Filter::DELAY,
        noise * filter.noise_gain()
    );

    // Simulated: lambda = sin 2t, by small steps of the equation, with uniform noise of that standard deviation.
    let (mut u, mut state) = (0.0_f64, 1_u32);
    let mut noisy = |u: f64| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (u + 3.46 * f64::from(noise) * (f64::from(state) / f64::from(u32::MAX) - 0.5)) as f32
    };
    for i in 0..400_u32 {
        if let Some(lambda) = filter.push(noisy(u))
            && i % 40 == 0
        {
            let t = f64::from(i - Filter::DELAY as u32) * step;
            println!("t = {t:4.2}: lambda {lambda:6.3}, true {:6.3}", (2.0 * t).sin());
        }
        for k in 0..10 {
            let t = (f64::from(i) + f64::from(k) / 10.0) * step;
            u += step / 10.0 * (a * u + (2.0 * t).sin());
        }
    }

    let samples: Vec<f32> = (0..1_000_000_u32).map(|i| noisy((f64::from(i) * 0.001).sin())).collect();
    let start = Instant::now();
    let sum: f32 = samples.iter().filter_map(|s| filter.push(*s)).sum();
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.1} million samples a second on one core (sum {sum:.0})", 1e-6 * samples.len() as f64 / seconds);
    println!("one sample takes at most {} ns", longest(&mut filter, &samples).as_nanos());
    Ok(())
}

/// The longest time of one sample, the clock's own included.
///
/// Every sample is taken in nine times, and the least of its times counts: the system interrupts at other samples each
/// time, the filter takes the same samples in the same way.
fn longest(filter: &mut Filter, samples: &[f32]) -> Duration {
    let mut least = vec![Duration::MAX; samples.len()];
    for _ in 0..9 {
        for (sample, least) in samples.iter().zip(&mut least) {
            let start = Instant::now();
            black_box(filter.push(black_box(*sample)));
            *least = start.elapsed().min(*least);
        }
    }
    least.into_iter().max().unwrap_or_default()
}
