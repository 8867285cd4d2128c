//! The bucket of a duration, in a dozen integer instructions.

use weir_abi::{BUCKETS, MIN_EXPONENT, OCTAVES, SCALE, UNIT_EXPONENT};

/// 2^30 / 10^9 = 1 + 0.073741824: one nanosecond in units of 2^-30 s, as `1 + FRACTION / 2^24` (rounded down: error 3e-8).
const UNITS_PER_NS_FRACTION: u64 = 1_237_182;
/// Above this the product would overflow; it is 2.4 hours, far above the last boundary.
const MAX_NS: u64 = 1 << 43;
/// `2^(j/4)` for j = 1, 2, 3 with 31 fraction bits.
const QUARTERS: [u64; 3] = [2_553_802_834, 3_037_000_500, 3_611_622_603];

/// The bucket of a duration. Boundaries belong to the bucket below them, as in OpenTelemetry and Prometheus.
#[inline(always)]
pub fn index(ns: u64) -> usize {
    let ns = if ns > MAX_NS { MAX_NS } else { ns };
    let units = ns + ((ns * UNITS_PER_NS_FRACTION) >> 24);
    // One less, because boundaries are inclusive; the smallest bucket takes 0.
    let below = units.saturating_sub(1);
    const FIRST: u32 = (MIN_EXPONENT - UNIT_EXPONENT) as u32;
    if below < 1 << FIRST {
        return 0;
    }
    let exponent = 63 - below.leading_zeros();
    let octave = exponent - FIRST;
    if octave >= OCTAVES {
        return BUCKETS - 1;
    }
    let mantissa = (below << (63 - exponent)) >> 32;
    let quarter =
        (mantissa >= QUARTERS[0]) as u32 + (mantissa >= QUARTERS[1]) as u32 + (mantissa >= QUARTERS[2]) as u32;
    (1 + (octave << SCALE) + quarter) as usize
}

const _: () = assert!(SCALE == 2, "QUARTERS and index() are written for four buckets per octave");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Upper boundary of a bucket in nanoseconds, by the definition.
    fn upper_ns(bucket: usize) -> f64 {
        2f64.powf(f64::from(MIN_EXPONENT) + bucket as f64 / f64::from(1 << SCALE)) * 1e9
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!(index(0), 0);
        assert_eq!(index(953), 0);
        assert_eq!(index(955), 1);
        assert_eq!(index(64_000_000_000), BUCKETS - 2);
        assert_eq!(index(64_100_000_000), BUCKETS - 1);
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn one_second_is_the_last_of_its_bucket() {
        // 1 s = 2^0 s is a boundary: 20 octaves above the first.
        assert_eq!(index(1_000_000_000), 20 << SCALE);
        assert_eq!(index(1_000_001_000), (20 << SCALE) + 1);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(ns in 1u64..100_000_000_000) {
            let bucket = index(ns);
            let value = ns as f64;
            // One unit of slack: the integer conversion rounds down by up to 1 unit, and 7e-8 relative.
            let slack = 2.0 + value * 2e-7;
            if bucket > 0 {
                prop_assert!(value > upper_ns(bucket - 1) - slack, "{ns} in {bucket}");
            }
            if bucket < BUCKETS - 1 {
                prop_assert!(value <= upper_ns(bucket) + slack, "{ns} in {bucket}");
            }
        }

        #[test]
        fn never_decreases(a: u64, b: u64) {
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(index(low) <= index(high));
            prop_assert!(index(high) < BUCKETS);
        }
    }
}
