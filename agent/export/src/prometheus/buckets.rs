//! A distribution's buckets as Prometheus has them: the kernel half's own, renumbered, or put together to powers of two.

use weir_abi::{BUCKETS, MIN_EXPONENT, SCALE};
use weir_engine::Distribution;

/// Buckets an octave.
const PER_OCTAVE: i32 = 1 << SCALE;
/// The width of a bucket in a native histogram: 2^(2^-SCHEMA).
pub(super) const SCHEMA: i32 = SCALE as i32;
/// Values up to here are in the zero bucket: the upper boundary of the first of the kernel half's, 0.95 us.
pub(super) const ZERO_THRESHOLD_S: f64 = 1.0 / (1u64 << -MIN_EXPONENT) as f64;
/// Upper boundaries of classic buckets, as powers of two of a second: 61 us to 8 s. A choice: a round on one host takes 20 to
/// 100 us, and callers seldom wait longer than 10 s.
const CLASSIC: std::ops::RangeInclusive<i32> = -14..=3;

/// A classic histogram: upper boundaries in seconds with the values up to there; what is above is in `+Inf`, the count. Boundaries
/// are the kernel half's own, so the counts are exact.
pub(super) fn classic(times: &Distribution) -> impl Iterator<Item = (f64, u64)> + '_ {
    let mut buckets = times.buckets().peekable();
    let mut cumulative = 0u64;
    CLASSIC.map(move |exponent| {
        let last = (exponent - MIN_EXPONENT) * PER_OCTAVE;
        while let Some((_, n)) = buckets.next_if(|(bucket, _)| *bucket as i32 <= last) {
            cumulative += u64::from(n);
        }
        (f64::from(exponent).exp2(), cumulative)
    })
}

/// A native histogram's buckets above zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) zero_count: u64,
    /// Runs of buckets: how many are skipped before (the first: its number), and its length.
    pub(super) spans: Vec<(i32, u32)>,
    /// Counts of all runs, each as the difference from the one before.
    pub(super) deltas: Vec<i64>,
}

impl Native {
    /// The kernel half's bucket `i` is (2^(-20 + (i-1)/4), 2^(-20 + i/4)], and Prometheus' bucket `k` at schema 2 is
    /// (2^((k-1)/4), 2^(k/4)], so `k` is `i - 80`. The last one, which is open above, is taken as the next one up.
    pub(super) fn of(times: &Distribution) -> Self {
        let mut native = Self::default();
        let (mut next, mut before) = (0, 0);
        for (bucket, n) in times.buckets().filter(|(_, n)| *n > 0) {
            if bucket == 0 {
                native.zero_count = n.into();
                continue;
            }
            let at = bucket as i32 + MIN_EXPONENT * PER_OCTAVE;
            match native.spans.last_mut() {
                Some((_, length)) if at == next => *length += 1,
                _ => native.spans.push((at - next, 1)),
            }
            native.deltas.push(i64::from(n) - before);
            (next, before) = (at + 1, n.into());
        }
        native
    }
}

const _: () =
    assert!(BUCKETS == 106 && PER_OCTAVE == 4 && MIN_EXPONENT == -20, "the numbers above are of these buckets");

#[cfg(test)]
mod tests {
    use weir_abi::Histogram;

    use super::*;

    fn of(counts: &[(usize, u32)]) -> Distribution {
        let mut after = Histogram::EMPTY;
        for (bucket, n) in counts {
            after.buckets[*bucket] = *n;
        }
        Distribution::between(&Histogram::EMPTY, &after)
    }

    #[test]
    fn native_buckets_are_renumbered() {
        let native = Native::of(&of(&[(0, 7), (1, 2), (2, 5), (48, 1)]));
        assert_eq!(native, Native { zero_count: 7, spans: vec![(-79, 2), (45, 1)], deltas: vec![2, 3, -4] });
        assert_eq!(Native::of(&of(&[])), Native::default());
        // (64 s, inf) as (64 s, 76 s].
        assert_eq!(Native::of(&of(&[(105, 1)])).spans, [(25, 1)]);
    }

    #[test]
    fn classic_buckets_are_exact_at_powers_of_two() {
        // 2^-14 s is the upper boundary of bucket 24, 8 s that of 92.
        let classic: Vec<_> = classic(&of(&[(0, 1), (24, 2), (25, 4), (92, 8), (93, 16)])).collect();
        assert_eq!((classic.len(), classic[0], classic[1]), (18, (2f64.powi(-14), 3), (2f64.powi(-13), 7)));
        assert_eq!(classic[17], (8.0, 15));
    }
}
