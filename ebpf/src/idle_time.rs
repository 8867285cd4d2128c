//! The time that a connection was idle before it was used again, in the buckets of `EdgeRecord::reused_by_same_thread`.

use weir_abi::{IDLE_BUCKETS, IDLE_MIN_EXPONENT};

/// The bucket of an idle time. Three comparisons with constants: cheaper than the logarithm, for which BPF has no instruction.
#[inline(always)]
pub fn bucket(idle_ns: u64) -> usize {
    let above = |doubling: u32| usize::from(idle_ns >= 1 << (IDLE_MIN_EXPONENT + doubling));
    above(0) + above(1) + above(2)
}

const _: () = assert!(IDLE_BUCKETS == 4, "three boundaries");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_belong_to_the_bucket_above() {
        let of = |ms: f64| bucket((ms * 1e6) as u64);
        assert_eq!([0.0, 0.52, 0.53, 1.1, 2.2, 900.0].map(of), [0, 0, 1, 2, 3, 3]);
        assert_eq!((bucket((1 << 19) - 1), bucket(1 << 19), bucket(u64::MAX)), (0, 1, IDLE_BUCKETS - 1));
    }
}
