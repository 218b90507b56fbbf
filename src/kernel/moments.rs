//! Discrete moment conditions: weights times a polynomial, so that sums of taps times powers come out exact.

use alloc::vec;
use alloc::vec::Vec;

use super::KernelError;

/// The taps `base + weights * polynomial` whose moments about 0 are those of the derivative of order `order`:
/// sum of taps * x^j equals `order!` for j = `order` and 0 for the other j up to `highest`.
///
/// `x` are the sample positions in units in which they are of order one; the taps are for those units.
///
/// # Errors
/// Conditions that the samples cannot meet: too few of them carry weight.
pub(super) fn corrected(
    x: &[f64],
    weights: &[f64],
    base: &[f64],
    order: usize,
    highest: usize,
) -> Result<Vec<f64>, KernelError> {
    let n = highest + 1;
    let carrying = weights.iter().filter(|w| **w > 0.0).count();
    if carrying < n {
        return Err(KernelError::TooFewTaps { got: carrying, expected: n });
    }
    let power = |x: f64, j: usize| (0..j).fold(1.0, |p, _| p * x);
    let factorial = (1..=order).fold(1.0, |p, k| p * k as f64);
    // Rows: moment conditions; columns: polynomial coefficients; last column: what the base lacks.
    let mut rows = vec![vec![0.0; n + 1]; n];
    for (i, row) in rows.iter_mut().enumerate() {
        for (j, entry) in row.iter_mut().take(n).enumerate() {
            *entry = x.iter().zip(weights).map(|(x, w)| w * power(*x, i + j)).sum();
        }
        let wanted = if i == order { factorial } else { 0.0 };
        row[n] = wanted - x.iter().zip(base).map(|(x, b)| b * power(*x, i)).sum::<f64>();
    }
    let coefficients = solve(rows).ok_or(KernelError::TooFewTaps { got: carrying, expected: n })?;
    Ok(x.iter()
        .zip(weights.iter().zip(base))
        .map(|(x, (w, b))| b + w * coefficients.iter().rev().fold(0.0, |p, c| p * x + c))
        .collect())
}

/// Gaussian elimination with row pivoting; `None` if the matrix is singular to working precision.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|a, b| libm::fabs(rows[*a][i]).total_cmp(&libm::fabs(rows[*b][i])))?;
        rows.swap(i, pivot);
        if libm::fabs(rows[i][i]) < 1e-13 {
            return None;
        }
        let (head, tail) = rows.split_at_mut(i + 1);
        for row in tail {
            let factor = row[i] / head[i][i];
            for (entry, upper) in row[i..].iter_mut().zip(&head[i][i..]) {
                *entry -= factor * upper;
            }
        }
    }
    let mut solution = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| rows[i][j] * solution[j]).sum();
        solution[i] = (rows[i][n] - known) / rows[i][i];
    }
    Some(solution)
}
