//! Multiply-adds a second of one core by what is multiplied: single precision, bfloat16 summed in single precision, bytes
//! summed in 32 bits. `cargo bench --bench products` prints each with its multiple of the first; instructions that the
//! processor lacks are left out. docs/precision.md says what it is measured for.

use std::hint::black_box;
use std::time::Instant;

/// Chains that do not wait for each other, enough to hide what one instruction takes.
const CHAINS: usize = 12;
const STEPS: usize = 2_000_000;

fn main() {
    let mut single = None;
    for (name, rate) in rates() {
        let of = *single.get_or_insert(rate);
        println!("{name:10} {:6.1} thousand million a second, {:.2}", rate * 1e-9, rate / of);
    }
}

/// The best of several runs of `STEPS` times `CHAINS` instructions that make `each` multiply-adds.
#[cfg(target_arch = "x86_64")]
fn rate(each: usize, run: impl Fn(usize)) -> f64 {
    let time = || {
        let start = Instant::now();
        run(black_box(STEPS));
        start.elapsed().as_secs_f64()
    };
    let best = (0..7).map(|_| time()).fold(f64::INFINITY, f64::min);
    (STEPS * CHAINS * each) as f64 / best
}

#[cfg(target_arch = "x86_64")]
fn rates() -> Vec<(&'static str, f64)> {
    use std::arch::is_x86_feature_detected as has;
    use std::arch::x86_64::{
        __m512bh, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_set1_epi8,
        _mm512_set1_epi32, _mm512_set1_ps,
    };

    #[target_feature(enable = "avx512f")]
    fn single(steps: usize) {
        let (a, b) = (_mm512_set1_ps(black_box(0.999_9)), _mm512_set1_ps(black_box(1e-4)));
        let mut sums = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..steps {
            sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(*sum, a, b));
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bfloat16(steps: usize) {
        let few = |v: f32| -> __m512bh { _mm512_cvtne2ps_pbh(_mm512_set1_ps(v), _mm512_set1_ps(v)) };
        let (a, b) = (few(black_box(1e-3)), few(black_box(1e-3)));
        let mut sums = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..steps {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpbf16_ps(*sum, a, b));
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn bytes(steps: usize) {
        let (a, b) = (_mm512_set1_epi8(black_box(3)), _mm512_set1_epi8(black_box(-2)));
        let mut sums = [_mm512_set1_epi32(1); CHAINS];
        for _ in 0..steps {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpbusd_epi32(*sum, a, b));
        }
        black_box(sums);
    }

    let mut found = Vec::new();
    if has!("avx512f") {
        // SAFETY: the processor has the instructions.
        found.push(("float32", rate(16, |steps| unsafe { single(steps) })));
        if has!("avx512bf16") {
            // SAFETY: the processor has the instructions.
            found.push(("bfloat16", rate(32, |steps| unsafe { bfloat16(steps) })));
        }
        if has!("avx512vnni") {
            // SAFETY: the processor has the instructions.
            found.push(("int8", rate(64, |steps| unsafe { bytes(steps) })));
        }
    }
    found
}

#[cfg(not(target_arch = "x86_64"))]
fn rates() -> Vec<(&'static str, f64)> {
    Vec::new()
}
