//! From a socket to its edge's slot; headers and connect outcomes of slots.

use aya_log_ebpf::debug;
use weir_abi::{ConnectFailed, ConnectOutcome, Counter, EdgeKey, EdgeRecord, EventKind, NewEdge, SLOT_LIVE};

use crate::{
    atomic::{add, observe},
    counters::count,
    event::{self, Wake},
    kernel::{Sock, clear, pointer::Pointer},
    maps::{EDGE_SLOTS, EDGES, FREE_SLOTS},
    owner::OwnedBy,
};

const BPF_NOEXIST: u64 = 1;
/// At most one event a second and edge: the counts are in the record, the event is one example.
const EVENT_SPACING_NS: u64 = 1_000_000_000;

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
        event::emit(EventKind::NewEdge, Wake::Soon, |event: *mut NewEdge| unsafe {
            (&raw mut (*event).slot).write(free);
            (&raw mut (*event)._pad).write(0);
        });
    }
    debug!(&(), "slot {}: process {} role {} port {} peer {}", free, key.tgid, key.role, key.port, key.peer_tgid);
    free
}

#[inline(always)]
fn write_header(record: *mut EdgeRecord, key: &EdgeKey, header: &Header<'_, impl Pointer>) {
    // SAFETY: a live map value; readers wait for `state` before they read the header.
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

/// Notes a client's local port in the record, as an example of one connection: the last one replaces the others.
#[inline(always)]
pub(crate) fn note_port(record: *mut EdgeRecord, sk: Sock<impl Pointer>) {
    // SAFETY: an aligned field of a live map value.
    unsafe { core::ptr::write_volatile(&raw mut (*record).local_port, u32::from(sk.source_port())) };
}

/// Counts how a connect ended.
#[inline(always)]
pub(crate) fn count_outcome(record: *mut EdgeRecord, outcome: ConnectOutcome) {
    // SAFETY: a field of a live map value; the index is an enum's.
    add(unsafe { (&raw mut (*record).connects).cast::<u64>().add(outcome.index()) }, 1);
}

/// A failed connect: counted in its edge, timed apart from the successes, and at most once a second emitted as an event.
#[inline(always)]
pub(crate) fn connect_failed(slot: u32, now: u64, failure: &Failure) {
    let Some(record) = record(slot) else { return };
    count_outcome(record, failure.outcome);
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
    event::emit(EventKind::ConnectFailed, Wake::Never, |event: *mut ConnectFailed| unsafe {
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
