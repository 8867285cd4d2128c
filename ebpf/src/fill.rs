//! How full an accept queue is, in the buckets of `AcceptQueue::fill`.

use weir_abi::FILL_BUCKETS;

/// The bucket of a queue of `depth` connections, when the kernel lets `limit` and one more wait.
#[inline(always)]
pub fn bucket(depth: u32, limit: u32) -> usize {
    const EIGHTHS: u64 = FILL_BUCKETS as u64 - 1;
    if depth > limit {
        return FILL_BUCKETS - 1;
    }
    // At most the limit, of limit and one: below eight eighths.
    (depth as u64 * EIGHTHS / (limit as u64 + 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighths_and_full() {
        assert_eq!([1, 12, 16, 64, 127, 128, 129].map(|depth| bucket(depth, 128)), [0, 0, 0, 3, 7, 7, 8]);
        assert_eq!([1, 2, 3, 4].map(|depth| bucket(depth, 3)), [2, 4, 6, 8]);
        assert_eq!((bucket(1, 0), bucket(0, 0)), (8, 0), "a backlog of 0 holds one");
        assert_eq!(bucket(u32::MAX, u32::MAX), 7);
    }
}
