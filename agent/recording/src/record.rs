//! An edge's key and record as a line: counters that are zero, and empty buckets, are left out.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weir_abi::{COMM_LEN, EXE_LEN, EdgeKey, EdgeRecord, IDLE_BUCKETS};

use super::histogram::{Sparse, SparseRef};

/// An edge key.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    address: [u8; 16],
    tgid: u32,
    peer_tgid: u32,
    netns: u32,
    port: u16,
    listen_port: u16,
    role: u8,
}

impl From<EdgeKey> for Key {
    fn from(key: EdgeKey) -> Self {
        let EdgeKey { address, tgid, peer_tgid, netns, port, listen_port, role, _pad } = key;
        Self { address, tgid, peer_tgid, netns, port, listen_port, role }
    }
}

impl From<&Key> for EdgeKey {
    fn from(key: &Key) -> Self {
        let Key { address, tgid, peer_tgid, netns, port, listen_port, role } = *key;
        Self { address, tgid, peer_tgid, netns, port, listen_port, role, _pad: [0; 7] }
    }
}

/// An edge record.
#[derive(Debug)]
pub(super) enum Record<'a> {
    ToWrite(&'a EdgeRecord),
    Read(Box<EdgeRecord>),
}

impl Record<'_> {
    pub(super) fn get(&self) -> &EdgeRecord {
        match self {
            Self::ToWrite(record) => record,
            Self::Read(record) => record,
        }
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FieldsRef::from(self.get()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(|fields| Self::Read(Box::new(fields.into())))
    }
}

macro_rules! fields {
    ({ $($field:ident: $type:ty,)* } histograms { $($histogram:ident,)* }) => {
        /// An edge record that was read: absent fields are zero.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Fields {
            key: Key,
            state: u32,
            comm: [u8; COMM_LEN],
            exe: [u8; EXE_LEN],
            $($field: $type,)*
            $($histogram: Sparse,)*
        }

        /// The same, to be written. The two conversions do not compile when the ABI gains a field.
        #[derive(Serialize)]
        struct FieldsRef<'a> {
            key: Key,
            state: u32,
            comm: &'a [u8; COMM_LEN],
            exe: &'a [u8; EXE_LEN],
            $(#[serde(skip_serializing_if = "is_default")] $field: $type,)*
            $($histogram: SparseRef<'a>,)*
        }

        impl<'a> From<&'a EdgeRecord> for FieldsRef<'a> {
            fn from(record: &'a EdgeRecord) -> Self {
                let EdgeRecord { key, state, comm, exe, $($field,)* $($histogram,)* } = record;
                Self {
                    key: (*key).into(), state: *state, comm, exe,
                    $($field: *$field,)* $($histogram: $histogram.into(),)*
                }
            }
        }

        impl From<Fields> for EdgeRecord {
            fn from(fields: Fields) -> Self {
                let Fields { key, state, comm, exe, $($field,)* $($histogram,)* } = fields;
                Self {
                    key: (&key).into(), state, comm, exe,
                    $($field,)* $($histogram: $histogram.into(),)*
                }
            }
        }
    };
}

fields! {
    {
        process_start_ns: u64,
        cgroup_id: u64,
        local_address: [u8; 16],
        peer_netns: u32,
        srtt_us: u32,
        last_event_ns: u64,
        connects: [u64; 8],
        timeout_by_caller: u64,
        opened: u64,
        closed: u64,
        partial: u32,
        local_port: u32,
        attached: u64,
        detached: u64,
        in_flight: u64,
        rounds_abandoned: u64,
        rounds_broken: u64,
        rounds_unobserved: u64,
        unanswered_ns: u64,
        multiplexed_set: u64,
        multiplexed_cleared: u64,
        push_set: u64,
        push_cleared: u64,
        pipeline_sampled: u64,
        pipeline_repeated: u64,
        bytes_sent: u64,
        bytes_received: u64,
        retransmitted_segments: u64,
        resets_sent: u64,
        resets_received: u64,
        errors: [u64; 4],
        reused_by_same_thread: [u32; IDLE_BUCKETS],
        reused_by_other_thread: [u32; IDLE_BUCKETS],
        closed_early: u64,
        closed_after_login: u32,
        threads: [u64; 2],
        threads_epoch: u64,
    }
    histograms {
        latency,
        full_latency_correction,
        receive_queue_wait,
        connect_latency,
        connect_failed_latency,
        handshake,
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
