//! The one histogram: base-2 exponential, with the same boundaries from kernel to dashboard.
//!
//! Bucket `i` in `1..=OCTAVES << SCALE` holds values in `(2^(MIN_EXPONENT + (i-1)/2^SCALE), 2^(MIN_EXPONENT +
//! i/2^SCALE)]` **seconds**: an OpenTelemetry exponential histogram and a Prometheus native histogram of the same
//! scale have exactly these boundaries, so nothing is ever re-bucketed. Bucket 0 holds all that is smaller, the last
//! bucket all that is larger.

/// Buckets per doubling are `2^SCALE`. Scale 2 is 19% per bucket: see docs/decisions/0003-histogram-scale.md for what
/// scale 3 costs and gives.
pub const SCALE: u32 = 2;
/// Values are first turned from nanoseconds into units of `2^UNIT_EXPONENT` seconds (0.93 ns).
pub const UNIT_EXPONENT: i32 = -30;
/// The smallest boundary is `2^MIN_EXPONENT` s (0.95 us): below it the clock reads of two hooks dominate.
pub const MIN_EXPONENT: i32 = -20;
/// Doublings covered: the largest boundary is `2^(MIN_EXPONENT + OCTAVES)` = 64 s.
pub const OCTAVES: u32 = 26;
/// All buckets, with the underflow bucket first and the overflow bucket last; padded to a multiple of 8 bytes.
pub const BUCKETS: usize = ((OCTAVES << SCALE) + 2) as usize;

/// One histogram as it lies in an edge record. Counts are cumulative and wrap; readers take differences.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Sum of all values in nanoseconds: means are exact, whatever the bucket width.
    pub sum_ns: u64,
    /// Values per bucket.
    pub buckets: [u32; BUCKETS],
}

impl Histogram {
    /// A histogram without values.
    pub const EMPTY: Self = Self { sum_ns: 0, buckets: [0; BUCKETS] };
}

const _: () = assert!(size_of::<Histogram>() == 8 + 4 * 106, "106 buckets of 4 bytes keep the record 8-aligned");
const _: () = assert!(MIN_EXPONENT > UNIT_EXPONENT, "the unit must resolve the smallest bucket");
