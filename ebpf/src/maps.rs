//! Every map: its key, its value, its bound, and why it is of this type.
//!
//! Bounds marked (option) are replaced by user space before loading.

use aya_ebpf::{
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf, Stack},
};
use weir_abi::{AcceptQueue, Control, EdgeKey, EdgeRecord, ListeningPort, N_COUNTERS};
use weir_ebpf::{
    pipelining::Head,
    socket::{Handshake, Socket},
};

use crate::owner::Owner;

const BPF_F_MMAPABLE: u32 = 1 << 10;

/// The edges, read in place by user space through mmap: no system call and no copy per edge and tick.
/// An array of shared counters, not a per-CPU hash: the socket holds the slot number, so a hook pays an inlined index
/// instead of hashing 36 bytes, and memory does not grow with processors (3 KiB an edge, whatever the host).
/// Bound (option): 4,096 slots, 12 MiB; the first three are `other`.
#[map]
pub(crate) static EDGES: Array<EdgeRecord> = Array::with_max_entries(4096, BPF_F_MMAPABLE);

/// Edge to slot; looked up once per connection. Bound (option): as EDGES.
#[map]
pub(crate) static EDGE_SLOTS: HashMap<EdgeKey, u32> = HashMap::with_max_entries(4096, 0);

/// Free slots: filled by user space at the start and when it retires an edge, so the kernel never searches.
/// A stack: the lowest slots are reused first, so user space looks at only as many as are in use.
/// Bound (option): as EDGES.
#[map]
pub(crate) static FREE_SLOTS: Stack<u32> = Stack::with_max_entries(4096, 0);

/// Records of the sockets that found no slot in the table (`crate::socket_table`): in the socket, freed by the kernel with it.
/// Bound: `Control::max_sockets` (option), checked against the tracked and released counters.
#[btf_map]
pub(crate) static SPILLED: SkStorage<Socket> = SkStorage::new();

/// The same where the kernel allows no storage in a socket (`Features::spill_in_map`), and else of one entry. Preallocated:
/// 1.4 MiB. Bound: 8,192, so that with the table 24,000 sockets have a record; more are a counted loss.
#[map]
pub(crate) static SPILLED_BY_ADDRESS: HashMap<u64, Socket> = HashMap::with_max_entries(8192, 0);

/// The threads inside a send, and its socket: only where kprobes are used (arm64 before 6.4), and else of one entry.
/// Bound: 8,192; more are a counted loss.
#[map]
pub(crate) static SENDING: HashMap<u64, u64> = HashMap::with_max_entries(8192, 0);

/// Established client connections by handshake, so that the accepting end finds its peer on this host.
/// The value is the client's slot, or `PEER_UNTRACKED`. LRU: the client's ESTABLISHED comes before the ACK that makes the
/// server's, so an entry is needed for microseconds only (at weir's start: for the scan). Bound: 8,192 (0.6 MiB).
#[map]
pub(crate) static HANDSHAKES: LruHashMap<Handshake, u32> = LruHashMap::with_max_entries(8192, 0);

/// Listening ports and the processes that opened them: the role of sockets first seen in mid-life, and the owner of
/// connections that no process ever touches. Bound: 2,048; more are a counted loss.
#[map]
pub(crate) static LISTENERS: HashMap<ListeningPort, Owner> = HashMap::with_max_entries(2048, 0);

/// Listening ports that have closed: `inet_csk_listen_stop` closes the connections in the accept queue right after the listener,
/// and they were its. LRU: an entry is needed for as long as that takes. Bound: 64: listeners that close at the same time.
#[map]
pub(crate) static CLOSED_LISTENERS: LruHashMap<ListeningPort, Owner> = LruHashMap::with_max_entries(64, 0);

/// Accept queues, made with their listening port and looked up by each connection: only where they are observed, and else of
/// one entry. Bound: 1,024 (0.6 MiB); more are a counted loss.
#[map]
pub(crate) static ACCEPT_QUEUES: HashMap<ListeningPort, AcceptQueue> = HashMap::with_max_entries(1024, 0);

/// Sockets whose connect failed after its SYN_SENT, by address: the call that returns that error must not count it
/// again. LRU: written only by such failures, and removed with the socket. Bound: 512: an entry is needed until the call returns.
#[map]
pub(crate) static FAILED_CONNECTS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(512, 0);

/// Losses and limits (`weir_abi::Counter`), shared and atomic: they change rarely.
#[map]
pub(crate) static COUNTERS: Array<u64> = Array::with_max_entries(N_COUNTERS, 0);

/// Rare events. Bound: 256 KiB, 3,200 failed connects between two reads by user space; a full ring is a counted loss.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES as u32, 0);
pub(crate) const EVENTS_BYTES: u64 = 256 << 10;

/// When the ring's reader was last woken.
#[map]
pub(crate) static LAST_WAKE: Array<u64> = Array::with_max_entries(3, 0);

/// Unconnected UDP sockets that received a datagram from a name server's port (`crate::dns`), by address. LRU: no hook sees
/// their end. Bound: 1,024 sockets that wait for a reply at once.
#[map]
pub(crate) static DNS_SOCKETS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(1024, 0);

/// How many name servers' replies have been emitted in the present second.
#[map]
pub(crate) static DNS_RATE: Array<Rate> = Array::with_max_entries(1, 0);

/// The buffer for a sampled request's head: too large for the 512-byte stack.
#[map]
pub(crate) static SCRATCH: PerCpuArray<Head> = PerCpuArray::with_max_entries(1, 0);

/// The phase of the socket scan (`crate::probe::iter_task_file`), set by user space before each run.
#[map]
pub(crate) static SCAN_PHASE: Array<u32> = Array::with_max_entries(1, 0);

/// What user space changes while the programs run: an array of one, whose look-up the verifier inlines.
#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Events emitted since a point in time.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) since_ns: u64,
    pub(crate) emitted: u64,
}
