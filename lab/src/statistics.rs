//! The few statistics of the scoreboard.

use serde::Serialize;

/// Of 95%.
const Z: f64 = 1.959_963_984_540_054;

/// A share with Wilson's interval; meaningless only where there is nothing to share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) hits: usize,
    pub(crate) of: usize,
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Share {
    /// None of nothing.
    pub(crate) fn of(hits: usize, of: usize) -> Option<Self> {
        if of == 0 {
            return None;
        }
        let (n, value) = (of as f64, hits as f64 / of as f64);
        let middle = (value + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
        Some(Self { hits, of, value, low: (middle - half).max(0.0), high: (middle + half).min(1.0) })
    }
}

/// The value that this share of the values does not exceed; none of nothing.
pub(crate) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank.min(sorted.len()).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_wide_where_there_is_little() {
        assert_eq!(Share::of(0, 0), None);
        let all_of_five = Share::of(5, 5).expect("of five");
        assert!((all_of_five.low - 0.5655).abs() < 1e-3 && (all_of_five.high - 1.0).abs() < 1e-9, "{all_of_five:?}");
        let half = Share::of(50, 100).expect("of a hundred");
        assert!((half.low - 0.4038).abs() < 1e-3 && (half.high - 0.5962).abs() < 1e-3, "{half:?}");
        let none = Share::of(0, 10).expect("of ten");
        assert!(none.low == 0.0 && (none.high - 0.2775).abs() < 1e-3, "{none:?}");
    }

    #[test]
    fn a_quantile_is_a_value_that_was_there() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.95), Some(3.0));
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.95)), (Some(10.0), Some(19.0)));
    }
}
