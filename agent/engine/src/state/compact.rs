//! A record as the engine keeps it: some 300 bytes instead of 3 KiB.
//!
//! Most counters of an edge and nearly all buckets of its histograms are zero. What is not is kept as a string of
//! variable-length numbers, each with how many zeroes come before it.

use weir_abi::{COMM_LEN, EXE_LEN, EdgeKey, EdgeRecord, SLOT_LIVE};

/// What an edge is; it does not change while the edge lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) key: EdgeKey,
    pub(crate) comm: [u8; COMM_LEN],
    pub(crate) exe: [u8; EXE_LEN],
    pub(crate) process_start_ns: u64,
    pub(crate) cgroup_id: u64,
    pub(crate) local_address: [u8; 16],
    pub(crate) peer_netns: u32,
}

/// Bytes of counts that most edges need; a longer record reallocates once.
const USUAL: usize = 128;

/// A record, made small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compact {
    pub(crate) header: Header,
    counts: Vec<u8>,
}

/// Both directions from one list: neither compiles when the ABI gains a field.
macro_rules! codec {
    (numbers: $($number:ident)*; small: $($small:ident)*; arrays: $($array:ident)*; histograms: $($histogram:ident)*;) => {
        impl Compact {
            pub(crate) fn of(record: &EdgeRecord) -> Self {
                // The first record of an edge has counted nothing: this is the size that it will grow to.
                Self::within(record, Vec::with_capacity(USUAL))
            }

            /// Takes over another record in the memory that it has.
            pub(crate) fn assign_from(&mut self, record: &EdgeRecord) {
                *self = Self::within(record, std::mem::take(&mut self.counts));
            }

            /// A later record of the same edge, which will be about as long.
            pub(crate) fn successor(&self, record: &EdgeRecord) -> Self {
                Self::within(record, Vec::with_capacity(self.counts.len() + 16))
            }

            fn within(record: &EdgeRecord, mut bytes: Vec<u8>) -> Self {
                bytes.clear();
                let EdgeRecord {
                    key, comm, exe, process_start_ns, cgroup_id, local_address, peer_netns,
                    state: _,         // only live edges are kept
                    last_event_ns: _, // the kernel half's own
                    local_port: _,    // asked about when the record is read
                    srtt_us, partial, closed_after_login, $($number,)* $($small,)* $($array,)* $($histogram,)*
                } = record;
                let mut out = Writer { bytes, zeroes: 0 };
                out.put(u64::from(*srtt_us));
                out.put(u64::from(*partial));
                out.put(u64::from(*closed_after_login));
                $(out.put(*$number);)*
                $($small.iter().for_each(|n| out.put(u64::from(*n)));)*
                $($array.iter().for_each(|n| out.put(*n));)*
                $(
                    out.put($histogram.sum_ns);
                    $histogram.buckets.iter().for_each(|n| out.put(u64::from(*n)));
                )*
                let header = Header {
                    key: *key, comm: *comm, exe: *exe, process_start_ns: *process_start_ns, cgroup_id: *cgroup_id,
                    local_address: *local_address, peer_netns: *peer_netns,
                };
                Self { header, counts: out.bytes }
            }

            /// The counts of two edges, as if they had been one. It belongs to no process.
            pub(crate) fn plus(&self, other: &Self) -> Self {
                let (mut sum, more) = (self.record(), other.record());
                $(sum.$number = sum.$number.wrapping_add(more.$number);)*
                $(sum.$small.iter_mut().zip(more.$small).for_each(|(a, b)| *a = a.wrapping_add(b));)*
                $(sum.$array.iter_mut().zip(more.$array).for_each(|(a, b)| *a = a.wrapping_add(b));)*
                $(
                    sum.$histogram.sum_ns = sum.$histogram.sum_ns.wrapping_add(more.$histogram.sum_ns);
                    let buckets = sum.$histogram.buckets.iter_mut().zip(more.$histogram.buckets);
                    buckets.for_each(|(a, b)| *a = a.wrapping_add(b));
                )*
                sum.srtt_us = more.srtt_us;
                sum.partial = sum.partial.wrapping_add(more.partial);
                sum.closed_after_login = sum.closed_after_login.wrapping_add(more.closed_after_login);
                Self::of(&sum)
            }

            /// The record again, but for what only the kernel half needs.
            pub(crate) fn record(&self) -> EdgeRecord {
                let Header { key, comm, exe, process_start_ns, cgroup_id, local_address, peer_netns } = self.header;
                let mut record = EdgeRecord {
                    key, comm, exe, process_start_ns, cgroup_id, local_address, peer_netns, state: SLOT_LIVE,
                    ..EdgeRecord::EMPTY
                };
                let mut from = Reader { bytes: self.counts.iter(), zeroes: None };
                record.srtt_us = from.take() as u32;
                record.partial = from.take() as u32;
                record.closed_after_login = from.take() as u32;
                $(record.$number = from.take();)*
                $(record.$small.iter_mut().for_each(|n| *n = from.take() as u32);)*
                $(record.$array.iter_mut().for_each(|n| *n = from.take());)*
                $(
                    record.$histogram.sum_ns = from.take();
                    record.$histogram.buckets.iter_mut().for_each(|n| *n = from.take() as u32);
                )*
                record
            }
        }
    };
}

codec! {
    numbers: timeout_by_caller opened closed attached detached in_flight rounds_abandoned rounds_broken
        rounds_unobserved unanswered_ns multiplexed_set multiplexed_cleared push_set push_cleared pipeline_sampled pipeline_repeated
        bytes_sent bytes_received retransmitted_segments resets_sent resets_received
        closed_early threads_epoch;
    small: reused_by_same_thread reused_by_other_thread;
    arrays: connects errors threads;
    histograms: latency full_latency_correction receive_queue_wait connect_latency connect_failed_latency handshake;
}

struct Writer {
    bytes: Vec<u8>,
    zeroes: u64,
}

impl Writer {
    fn put(&mut self, number: u64) {
        if number == 0 {
            self.zeroes += 1;
            return;
        }
        let zeroes = std::mem::take(&mut self.zeroes);
        self.raw(zeroes);
        self.raw(number);
    }

    /// Seven bits a byte, the lowest first; the eighth bit is set when more follow (LEB128).
    fn raw(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

struct Reader<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// Zeroes still to come before the next number; none when they have not been read.
    zeroes: Option<u64>,
}

impl Reader<'_> {
    /// The next number; zero when there are no more.
    fn take(&mut self) -> u64 {
        let zeroes = match self.zeroes {
            Some(zeroes) => zeroes,
            None => self.raw().unwrap_or(u64::MAX),
        };
        self.zeroes = zeroes.checked_sub(1);
        if zeroes == 0 { self.raw().unwrap_or(0) } else { 0 }
    }

    fn raw(&mut self) -> Option<u64> {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = *self.bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return Some(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_abi::BUCKETS;

    use super::*;

    #[test]
    fn an_edge_of_a_few_rounds_is_small() {
        let mut record = EdgeRecord { state: SLOT_LIVE, in_flight: 1000, ..EdgeRecord::EMPTY };
        record.unanswered_ns = 5u64.wrapping_neg();
        for bucket in 20..40 {
            record.latency.buckets[bucket] = 50;
            record.full_latency_correction.buckets[bucket] = 50;
        }
        let compact = Compact::of(&record);
        assert_eq!(compact.record(), record);
        assert!(compact.counts.len() < 120, "{} bytes", compact.counts.len());
    }

    proptest! {
        #[test]
        fn nothing_that_the_engine_reads_is_lost(
            numbers in prop::collection::vec(any::<u64>(), 5),
            places in prop::collection::vec((0usize..BUCKETS, any::<u32>()), 0..40),
            errors: [u64; 4], srtt_us: u32, tgid: u32,
        ) {
            let mut record = EdgeRecord { state: SLOT_LIVE, srtt_us, errors, ..EdgeRecord::EMPTY };
            record.key.tgid = tgid;
            record.opened = numbers[0];
            record.resets_received = numbers[1];
            record.connects[7] = numbers[2];
            record.latency.sum_ns = numbers[3];
            record.handshake.sum_ns = numbers[4];
            for (i, (bucket, n)) in places.into_iter().enumerate() {
                let histogram = if i % 2 == 0 { &mut record.latency } else { &mut record.handshake };
                histogram.buckets[bucket] = n;
            }
            prop_assert_eq!(Compact::of(&record).record(), record);
        }
    }
}
