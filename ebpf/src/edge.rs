//! From a socket to its edge's slot, and the few ways a slot is written.

use core::intrinsics::{AtomicOrdering::Relaxed, atomic_xadd};

use aya_log_ebpf::debug;
use weir_abi::{
    COMM_LEN, ConnectFailed, ConnectOutcome, Counter, EXE_LEN, EdgeKey, EdgeRecord, EventKind, Histogram, NewEdge,
    SLOT_LIVE,
};
use weir_ebpf::histogram;

use crate::{
    event::{self, Wake},
    kernel::{Sock, Task, clear, pointer::Pointer},
    maps::{COUNTERS, EDGE_SLOTS, EDGES, FREE_SLOTS},
};

const BPF_NOEXIST: u64 = 1;
/// At most one event a second and edge: the counts are in the record, the event is one example.
const EVENT_SPACING_NS: u64 = 1_000_000_000;

/// A process, as written into the edges it owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) start_ns: u64,
    pub(crate) cgroup_id: u64,
    pub(crate) comm: [u8; COMM_LEN],
    pub(crate) exe: [u8; EXE_LEN],
    pub(crate) tgid: u32,
    /// Sockets that listen on the port (SO_REUSEPORT).
    pub(crate) listening: u32,
}

impl Owner {
    #[inline(always)]
    pub(crate) fn of(task: Task) -> Self {
        let mut owner = Self {
            start_ns: task.start_ns(),
            cgroup_id: task.cgroup_id().unwrap_or(0),
            comm: [0; COMM_LEN],
            exe: [0; EXE_LEN],
            tgid: task.tgid(),
            listening: 1,
        };
        task.comm(&mut owner.comm);
        task.exe(&mut owner.exe);
        owner
    }
}

/// Who owns the socket being resolved.
#[derive(Clone, Copy)]
pub(crate) enum OwnedBy<'a> {
    /// This task.
    Task(Task),
    /// A process remembered earlier.
    Known(&'a Owner),
}

/// What an edge's header needs besides its key.
pub(crate) struct Header<'a, P: Pointer> {
    pub(crate) owner: OwnedBy<'a>,
    /// For this end's own address.
    pub(crate) sk: Option<Sock<P>>,
    pub(crate) peer_netns: u32,
}

/// A key to be filled in.
#[inline(always)]
pub(crate) fn new_key() -> EdgeKey {
    let mut key = core::mem::MaybeUninit::<EdgeKey>::uninit();
    clear(key.as_mut_ptr());
    // SAFETY: plain integers, all of them just written.
    unsafe { key.assume_init() }
}

/// The slot of an edge, made if need be; `other` when there is none left.
#[inline(always)]
pub(crate) fn slot(key: &EdgeKey, header: &Header<'_, impl Pointer>, other: u32) -> u32 {
    // SAFETY: slots are plain integers; a value replaced meanwhile is read as the old or the new one.
    if let Some(slot) = unsafe { EDGE_SLOTS.get(key) } {
        return *slot;
    }
    let Ok(Some(free)) = FREE_SLOTS.pop() else {
        count(Counter::EdgesOverLimit);
        debug!(&(), "no slot left: process {} port {} goes to other", key.tgid, key.port);
        return other;
    };
    if EDGE_SLOTS.insert(key, free, BPF_NOEXIST).is_err() {
        // Another processor made it first, or the table is full.
        let _ = FREE_SLOTS.push(free, 0);
        // SAFETY: as above.
        if let Some(slot) = unsafe { EDGE_SLOTS.get(key) } {
            return *slot;
        }
        count(Counter::EdgesOverLimit);
        return other;
    }
    if let Some(record) = record(free) {
        write_header(record, key, header);
        // SAFETY: reserved memory of this type.
        event::tell(EventKind::NewEdge, Wake::Soon, |event: *mut NewEdge| unsafe {
            (&raw mut (*event).slot).write(free);
            (&raw mut (*event)._pad).write(0);
        });
    }
    debug!(&(), "slot {}: process {} role {} port {} peer {}", free, key.tgid, key.role, key.port, key.peer_tgid);
    free
}

#[inline(always)]
fn write_header(record: *mut EdgeRecord, key: &EdgeKey, header: &Header<'_, impl Pointer>) {
    // SAFETY: a live map value; nobody reads the header before `state` says so.
    let record = unsafe { &mut *record };
    record.key = *key;
    if let Some(sk) = header.sk {
        sk.local_address(&mut record.local_address);
    }
    record.peer_netns = header.peer_netns;
    match header.owner {
        OwnedBy::Task(task) => {
            record.process_start_ns = task.start_ns();
            record.cgroup_id = task.cgroup_id().unwrap_or(0);
            task.comm(&mut record.comm);
            task.exe(&mut record.exe);
        }
        OwnedBy::Known(owner) => {
            record.process_start_ns = owner.start_ns;
            record.cgroup_id = owner.cgroup_id;
            record.comm = owner.comm;
            record.exe = owner.exe;
        }
    }
    // SAFETY: a live map value; volatile so that it is written after the header.
    unsafe { core::ptr::write_volatile(&raw mut record.state, SLOT_LIVE) };
}

/// The record in a slot.
#[inline(always)]
pub(crate) fn record(slot: u32) -> Option<*mut EdgeRecord> {
    EDGES.get_ptr_mut(slot)
}

/// Adds to a counter that other processors add to as well.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, n: u64) {
    // `core` has no atomic arithmetic for BPF (it lacks compare-and-swap before 5.12); the intrinsic with an unused
    // result is the plain `lock add` that every kernel has.
    // SAFETY: callers pass fields of live map values, 8-aligned by repr(C).
    unsafe { atomic_xadd::<u64, u64, { Relaxed }>(counter, n) };
}

/// The same for a narrower one.
#[inline(always)]
pub(crate) fn add_u32(counter: *mut u32, n: u32) {
    // SAFETY: as above, 4-aligned.
    unsafe { atomic_xadd::<u32, u32, { Relaxed }>(counter, n) };
}

/// Adds one to a counter of a record: `bump!(record.opened)`.
macro_rules! bump {
    ($record:ident . $($field:tt)+) => {
        // SAFETY: a field of a live map value.
        $crate::edge::add(unsafe { &raw mut (*$record).$($field)+ }, 1)
    };
}
pub(crate) use bump;

/// Adds to a counter of a record what a followed socket counts, at the socket's weight:
/// `weigh!(record.bytes_sent, n, shift)`.
macro_rules! weigh {
    ($record:ident . $field:ident, $n:expr, $shift:expr) => {
        // SAFETY: a field of a live map value.
        $crate::edge::add(unsafe { &raw mut (*$record).$field }, u64::wrapping_shl($n, u32::from($shift)))
    };
}
pub(crate) use weigh;

/// Adds a duration to one of a record's histograms: `observe!(record.latency, ns)`; at a socket's weight with a third
/// argument.
macro_rules! observe {
    ($record:ident . $histogram:ident, $ns:expr) => {
        $crate::edge::observe!($record.$histogram, $ns, 0u8)
    };
    ($record:ident . $histogram:ident, $ns:expr, $shift:expr) => {
        // SAFETY: a field of a live map value.
        $crate::edge::observe_in(unsafe { &raw mut (*$record).$histogram }, $ns, u32::from($shift))
    };
}
pub(crate) use observe;

#[inline(always)]
pub(crate) fn observe_in(histogram: *mut Histogram, ns: u64, shift: u32) {
    // SAFETY: a field of a live map value.
    add(unsafe { &raw mut (*histogram).sum_ns }, ns.wrapping_shl(shift));
    change_bucket(histogram, ns, 1u32.wrapping_shl(shift));
}

/// Replaces one value of a histogram that may not even hold it: the count goes below zero then, and wraps.
#[inline(always)]
pub(crate) fn replace_in(histogram: *mut Histogram, old_ns: u64, new_ns: u64, shift: u32) {
    // SAFETY: a field of a live map value.
    add(unsafe { &raw mut (*histogram).sum_ns }, new_ns.wrapping_sub(old_ns).wrapping_shl(shift));
    change_bucket(histogram, old_ns, 1u32.wrapping_shl(shift).wrapping_neg());
    change_bucket(histogram, new_ns, 1u32.wrapping_shl(shift));
}

#[inline(always)]
fn change_bucket(histogram: *mut Histogram, ns: u64, by: u32) {
    // SAFETY: a field of a live map value.
    count_in(unsafe { &raw mut (*histogram).buckets }, histogram::index(ns), by);
}

/// Adds to one of several counters.
#[inline(always)]
pub(crate) fn count_in<const N: usize>(buckets: *mut [u32; N], mut bucket: usize, by: u32) {
    // The compiler knows that the index is in range and would drop the check that the verifier needs; a volatile read
    // makes it forget.
    // SAFETY: a live local.
    bucket = unsafe { core::ptr::read_volatile(&raw const bucket) };
    if bucket < N {
        // SAFETY: a field of a live map value; the index was checked.
        unsafe { add_u32(buckets.cast::<u32>().add(bucket), by) };
    }
}

/// Leaves a client's local port as an example of a connection: the last one stands for all.
#[inline(always)]
pub(crate) fn note_port(record: *mut EdgeRecord, sk: Sock<impl Pointer>) {
    // SAFETY: an aligned field of a live map value.
    unsafe { core::ptr::write_volatile(&raw mut (*record).local_port, u32::from(sk.source_port())) };
}

/// Adds one to a counter of the kernel half.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        add(value, 1);
    }
}

/// Reads a counter of the kernel half.
#[inline(always)]
pub(crate) fn counted(counter: Counter) -> u64 {
    // SAFETY: an aligned map value.
    COUNTERS.get_ptr(counter as u32).map_or(0, |value| unsafe { core::ptr::read_volatile(value) })
}

/// A failed connect: counted in its edge, timed apart from the successes, and sometimes told as an event.
#[inline(always)]
pub(crate) fn connect_failed(slot: u32, now: u64, failure: &Failure) {
    let Some(record) = record(slot) else { return };
    // SAFETY: a field of a live map value; the index is an enum's.
    add(unsafe { (&raw mut (*record).connects).cast::<u64>().add(failure.outcome as usize) }, 1);
    if failure.after_ns != 0 {
        observe!(record.connect_failed_latency, failure.after_ns);
    }
    // SAFETY: a live map value; two processors at once make two events, which is harmless.
    unsafe {
        if now.wrapping_sub((*record).last_event_ns) < EVENT_SPACING_NS {
            return;
        }
        (*record).last_event_ns = now;
    }
    // SAFETY: reserved memory of this type; every field is written (a whole-struct write would become a memset loop).
    event::tell(EventKind::ConnectFailed, Wake::Never, |event: *mut ConnectFailed| unsafe {
        (&raw mut (*event).at_ns).write(now);
        (&raw mut (*event).after_ns).write(failure.after_ns);
        (&raw mut (*event).key).write((*record).key);
        (&raw mut (*event).outcome).write(failure.outcome as u32);
        (&raw mut (*event).errno).write(failure.errno);
        (&raw mut (*event).syn_retransmits).write(failure.syn_retransmits);
        (&raw mut (*event)._pad).write(0);
    });
}

/// How a connect failed.
pub(crate) struct Failure {
    pub(crate) outcome: ConnectOutcome,
    pub(crate) errno: i32,
    pub(crate) after_ns: u64,
    pub(crate) syn_retransmits: u32,
}
