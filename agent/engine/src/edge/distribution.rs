//! Reading a histogram: exact count and mean, estimated quantiles.

use std::sync::LazyLock;

use weir_abi::{BUCKETS, Histogram, MIN_EXPONENT, SCALE};

/// A difference of two histograms; by default, of two that are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Sum of the values, nanoseconds.
    pub sum_ns: u64,
    /// Values.
    pub count: u64,
    /// The first bucket that is not empty; 0 when all are.
    first: u8,
    /// Values per bucket from there to the last that is not empty: mostly a few of the 106.
    counts: Box<[u32]>,
}

/// Lower and upper boundary of a bucket in seconds; the last is open above.
pub fn bounds_s(bucket: usize) -> (f64, f64) {
    let upper = |i: usize| (f64::from(MIN_EXPONENT) + i as f64 / f64::from(1u32 << SCALE)).exp2();
    match bucket {
        0 => (0.0, upper(0)),
        i if i >= BUCKETS - 1 => (upper(BUCKETS - 2), f64::INFINITY),
        i => (upper(i - 1), upper(i)),
    }
}

/// The middle of a bucket, seconds.
pub fn middle_s(bucket: usize) -> f64 {
    /// A power for each bucket of each edge takes 4% of an evaluation of 5,000.
    static MIDDLES: LazyLock<[f64; BUCKETS]> = LazyLock::new(|| {
        std::array::from_fn(|bucket| {
            let (low, high) = bounds_s(bucket);
            if high.is_finite() { (low + high) / 2.0 } else { low }
        })
    });
    MIDDLES[bucket.min(BUCKETS - 1)]
}

impl Distribution {
    /// What was observed between two readings; counts that wrapped in between come out right.
    pub fn between(before: &Histogram, after: &Histogram) -> Self {
        let buckets = std::array::from_fn(|i| after.buckets[i].wrapping_sub(before.buckets[i]));
        Self::of(after.sum_ns.wrapping_sub(before.sum_ns), &buckets)
    }

    fn of(sum_ns: u64, buckets: &[u32; BUCKETS]) -> Self {
        let first = buckets.iter().position(|n| *n != 0).unwrap_or(0);
        let end = buckets.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
        let counts: Box<[u32]> = buckets[first..end].into();
        Self { sum_ns, count: counts.iter().map(|n| u64::from(*n)).sum(), first: first as u8, counts }
    }

    /// Values per bucket, empty buckets at both ends left out.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        (usize::from(self.first)..).zip(self.counts.iter().copied())
    }

    /// These values with some replaced: `correction` holds ones to come and, as counts below zero, ones to go. One to go that
    /// is not here, because it was observed before the window, goes nowhere.
    pub fn corrected(&self, correction: &Self) -> Self {
        let mut sum = [0u32; BUCKETS];
        for (i, n) in self.buckets().chain(correction.buckets()) {
            sum[i] = sum[i].wrapping_add(n);
        }
        for n in &mut sum {
            *n = if *n > u32::MAX / 2 { 0 } else { *n };
        }
        Self::of(self.sum_ns.wrapping_add(correction.sum_ns), &sum)
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        let mut sum = [0u32; BUCKETS];
        for (i, n) in self.buckets().chain(other.buckets()) {
            sum[i] = sum[i].wrapping_add(n);
        }
        let count = self.count.wrapping_add(other.count);
        *self = Self { count, ..Self::of(self.sum_ns.wrapping_add(other.sum_ns), &sum) };
    }

    /// The mean of all but the slowest 5%, seconds, estimated from the buckets; none of nothing. One that takes a hundred times
    /// longer than all others would hide them in a mean, and a median hides one half of a mixture of short and long.
    pub fn usual_s(&self) -> Option<f64> {
        let kept = self.count - self.count / 20;
        let (mut left, mut sum_s) = (kept, 0.0);
        for (bucket, n) in self.buckets() {
            let taken = left.min(n.into());
            sum_s += taken as f64 * middle_s(bucket);
            left -= taken;
        }
        (kept > 0).then(|| sum_s / (kept - left).max(1) as f64)
    }

    /// The exact mean in seconds; none of nothing.
    pub fn mean_s(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ns as f64 / self.count as f64 / 1e9)
    }

    /// The `q`-quantile in seconds, interpolated within its bucket on a logarithmic scale: typically within 2% of the
    /// truth, at worst within a bucket's 19% when all values are equal. Of one value, that value; none of
    /// nothing.
    pub fn quantile_s(&self, q: f64) -> Option<f64> {
        if self.count <= 1 {
            return self.mean_s();
        }
        let rank = q.clamp(0.0, 1.0) * self.count as f64;
        let mut below = 0.0;
        for (i, n) in self.buckets() {
            if n == 0 {
                continue;
            }
            let within = f64::from(n);
            if below + within >= rank {
                let part = ((rank - below) / within).clamp(0.0, 1.0);
                return Some(match bounds_s(i) {
                    (0.0, upper) => upper * part,
                    (lower, upper) if upper.is_infinite() => lower,
                    (lower, upper) => lower * (upper / lower).powf(part),
                });
            }
            below += within;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weir_ebpf::histogram::index;

    fn histogram(values: &[u64]) -> Histogram {
        let mut h = Histogram::EMPTY;
        for &v in values {
            h.sum_ns += v;
            h.buckets[index(v)] += 1;
        }
        h
    }

    #[test]
    fn nothing_has_no_quantiles() {
        let d = Distribution::between(&Histogram::EMPTY, &Histogram::EMPTY);
        assert_eq!((d.count, d.mean_s(), d.quantile_s(0.5)), (0, None, None));
    }

    #[test]
    fn counts_survive_wrapping() {
        let mut before = Histogram::EMPTY;
        before.buckets[5] = u32::MAX - 1;
        before.sum_ns = u64::MAX - 10;
        let mut after = before;
        after.buckets[5] = 3;
        after.sum_ns = 89;
        let d = Distribution::between(&before, &after);
        assert_eq!((d.count, d.sum_ns), (5, 100));
    }

    #[test]
    fn what_is_usual_minds_a_mixture_and_no_outlier() {
        let usual = |values: &[u64]| Distribution::between(&Histogram::EMPTY, &histogram(values)).usual_s();
        const MS: u64 = 1_000_000;
        let near = |estimate: Option<f64>, truth_s: f64| (estimate.expect("values") / truth_s - 1.0).abs() < 0.1;
        let mixed: Vec<u64> = [MS / 10, 20 * MS, MS / 10].repeat(20);
        assert!(near(usual(&mixed), 0.0059), "{:?}", usual(&mixed));
        let mut one_report = vec![100 * MS; 199];
        one_report.push(60_000 * MS);
        assert!(near(usual(&one_report), 0.1), "{:?}", usual(&one_report));
        assert!(near(usual(&[7 * MS]), 0.007));
        assert_eq!(usual(&[]), None);
    }

    proptest! {
        #[test]
        fn a_merge_is_as_if_all_had_been_observed_together(
            a in prop::collection::vec(any::<u32>(), 0..50), b in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            let [a, b] = [a, b].map(|values| values.into_iter().map(u64::from).collect::<Vec<_>>());
            let observed = |values: &[u64]| Distribution::between(&Histogram::EMPTY, &histogram(values));
            let mut merged = observed(&a);
            merged.merge(&observed(&b));
            prop_assert_eq!(merged, observed(&[a, b].concat()));
        }

        #[test]
        fn quantiles_are_within_a_bucket_of_the_truth(
            mut values in prop::collection::vec(2_000u64..10_000_000_000, 1..300), q in 0.01f64..0.99,
        ) {
            let d = Distribution::between(&Histogram::EMPTY, &histogram(&values));
            values.sort_unstable();
            let truth = values[((q * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1] as f64 / 1e9;
            let estimate = d.quantile_s(q).expect("values");
            prop_assert!(estimate / truth < 1.20 && truth / estimate < 1.20, "{estimate} for {truth}");
            let mean = values.iter().sum::<u64>() as f64 / values.len() as f64 / 1e9;
            prop_assert!((d.mean_s().expect("values") - mean).abs() < 1e-9);
        }
    }
}
