//! Histograms in a recording: empty buckets are left out.

use serde::{Deserialize, Serialize, Serializer};
use weir_abi::{BUCKETS, Histogram};

/// A histogram that was read: without its empty buckets.
#[derive(Default, Deserialize)]
pub(super) struct Sparse {
    pub(super) sum_ns: u64,
    pub(super) buckets: Vec<(usize, u32)>,
}

impl From<Sparse> for Histogram {
    fn from(sparse: Sparse) -> Self {
        let mut histogram = Self { sum_ns: sparse.sum_ns, buckets: [0; BUCKETS] };
        for (i, n) in sparse.buckets {
            if let Some(bucket) = histogram.buckets.get_mut(i) {
                *bucket = n;
            }
        }
        histogram
    }
}

/// The same, to be written.
#[derive(Serialize)]
pub(super) struct SparseRef<'a> {
    sum_ns: u64,
    #[serde(serialize_with = "full_buckets")]
    buckets: &'a [u32; BUCKETS],
}

fn full_buckets<S: Serializer>(buckets: &[u32; BUCKETS], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(buckets.iter().enumerate().filter(|(_, n)| **n != 0))
}

impl<'a> From<&'a Histogram> for SparseRef<'a> {
    fn from(histogram: &'a Histogram) -> Self {
        Self { sum_ns: histogram.sum_ns, buckets: &histogram.buckets }
    }
}
