//! Loads the kernel half's object, adapted to the running kernel and to the limits.

use anyhow::{Context as _, Result};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel, maps::Stack};
use rustix::process::{Resource, Rlimit, setrlimit};
use weir_abi::{FIRST_SLOT, Features, Offsets};

use super::kernel_log;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weir-probes"));

/// Sizes of the kernel half's state, and its optional parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Edges with a record of their own; the rest share `other`.
    pub edges: u32,
    /// Sockets with a record of their own.
    pub sockets: u32,
    /// Have the kernel half log its decisions.
    pub kernel_log: bool,
    /// Build the programs so that they can follow a sample of sockets.
    pub samples: bool,
    /// Watch the accept queues of listening ports.
    pub accept_queues: bool,
}

impl Default for Limits {
    /// 4,096 edges are 12 MiB; 65,536 sockets are 11 MiB if all are in use, and nothing while they are not.
    fn default() -> Self {
        Self { edges: 4096, sockets: 65_536, kernel_log: false, samples: false, accept_queues: false }
    }
}

/// Records in the map that is used where socket storage cannot be: for sockets beyond the table of 16,384.
const SPILLED: u32 = 8192;
/// Listening ports whose queues are watched.
const ACCEPT_QUEUES: u32 = 1024;
/// Threads inside a send at once.
const SENDERS: u32 = 8192;

/// Gives aya the layout facts it needs to write the value into `.rodata`.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Frozen<T>(T);

// SAFETY: both are repr(C) with u32 fields only, so without padding.
unsafe impl aya::Pod for Frozen<Offsets> {}
// SAFETY: likewise.
unsafe impl aya::Pod for Frozen<Features> {}

/// Before 5.11 the memory of maps and programs counts against this limit, 64 KiB by default. A failure here shows as an error
/// when the maps do not fit.
pub(super) fn raise_locked_memory() {
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}

/// The object's maps and programs, fitted to this kernel; nothing is verified yet.
pub(super) fn object(offsets: &Offsets, features: Features, limits: Limits) -> Result<Ebpf> {
    let untyped = features.spill_in_map != 0;
    EbpfLoader::new()
        // Sizes are in the log of a load that fails (`super::size`).
        .verifier_log_level(VerifierLogLevel::STATS)
        .override_global("OFFSETS", &Frozen(*offsets), true)
        .override_global("FEATURES", &Frozen(features), true)
        .override_global("SAMPLING", &u32::from(limits.samples), true)
        .override_global(aya_log::LEVEL, &kernel_log::level(limits.kernel_log), true)
        .map_max_entries("EDGES", limits.edges + FIRST_SLOT)
        .map_max_entries("EDGE_SLOTS", limits.edges)
        .map_max_entries("FREE_SLOTS", limits.edges)
        .map_max_entries("SPILLED_BY_ADDRESS", if untyped { SPILLED } else { 1 })
        .map_max_entries("ACCEPT_QUEUES", if limits.accept_queues { ACCEPT_QUEUES } else { 1 })
        .map_max_entries("SENDING", if untyped { SENDERS } else { 1 })
        .load(OBJECT)
        .context("cannot create weir's maps")
}

/// Gives all slots but `other` to the kernel half, the lowest on top, so that slots in use stay together.
pub(super) fn fill_free_slots(ebpf: &mut Ebpf, limits: Limits) -> Result<()> {
    let map = ebpf.map_mut("FREE_SLOTS").context("the object has no map FREE_SLOTS")?;
    let mut free = Stack::<_, u32>::try_from(map)?;
    for slot in (FIRST_SLOT..FIRST_SLOT + limits.edges).rev() {
        free.push(slot, 0).context("fill the free slots")?;
    }
    Ok(())
}
