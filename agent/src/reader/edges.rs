//! The edge records, mapped read-only: looking at one costs no system call.

use std::{
    mem::offset_of,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Map};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use weir_abi::{EdgeRecord, FIRST_SLOT, SLOT_LIVE};

/// Slots mapped at first: 0.2 MiB.
const FIRST_SLOTS: u32 = 64;
/// Slots are taken in order, but their headers may be finished out of order, by as many as there are processors.
const AHEAD: u32 = 64;

/// The kernel half's `EDGES`, as far as it is in use. The kernel makes a mapping resident as a whole, so only the part
/// that is needed is mapped, and a larger one when that is full.
pub struct EdgeMemory {
    map: OwnedFd,
    base: *const EdgeRecord,
    mapped: u32,
    slots: u32,
    in_use: u32,
}

impl EdgeMemory {
    /// Maps the records of a loaded object.
    pub(super) fn map(ebpf: &Ebpf, slots: u32) -> Result<Self> {
        let Some(Map::Array(map)) = ebpf.map("EDGES") else {
            anyhow::bail!("the object has no array EDGES");
        };
        Self::over(map.fd().as_fd().try_clone_to_owned().context("duplicate the edge records' descriptor")?, slots)
    }

    /// Maps the records behind any descriptor that can be mapped and holds `slots` of them.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn over(map: OwnedFd, slots: u32) -> Result<Self> {
        let mapped = slots.min(FIRST_SLOTS + AHEAD);
        Ok(Self { base: map_slots(&map, mapped)?, map, mapped, slots, in_use: FIRST_SLOT })
    }

    /// Slots from 0 to here may be in use.
    pub(super) fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Moves `in_use` behind the last live slot, mapping more as needed.
    ///
    /// # Errors
    /// When more cannot be mapped.
    pub fn look_for_new(&mut self) -> Result<()> {
        let mut slot = self.in_use;
        while slot < self.slots && slot < self.in_use + AHEAD {
            if slot >= self.mapped {
                self.grow()?;
            }
            if self.is_live(slot) {
                self.in_use = slot + 1;
            }
            slot += 1;
        }
        Ok(())
    }

    fn grow(&mut self) -> Result<()> {
        let more = self.slots.min(self.mapped * 2);
        let base = map_slots(&self.map, more)?;
        self.unmap();
        self.base = base;
        self.mapped = more;
        Ok(())
    }

    fn unmap(&mut self) {
        let bytes = self.mapped as usize * size_of::<EdgeRecord>();
        // SAFETY: the mapping made by `map_slots`, to which no reference exists.
        let _ = unsafe { munmap(self.base.cast_mut().cast(), bytes) };
    }

    /// Whether an edge lives in the slot: then its header is complete.
    pub(super) fn is_live(&self, slot: u32) -> bool {
        let state = self.at(slot).cast::<u8>().wrapping_add(offset_of!(EdgeRecord, state)).cast::<u32>();
        // SAFETY: inside the mapping, aligned; volatile because the kernel writes it.
        unsafe { std::ptr::read_volatile(state) == SLOT_LIVE }
    }

    /// Copies a record, word by word: each counter is whole, though not all of one instant. Returns a fingerprint of
    /// what it copied.
    ///
    /// # Panics
    /// For a slot beyond those that `look_for_new` has come to.
    pub fn copy(&self, slot: u32, into: &mut EdgeRecord) -> u64 {
        const WORDS: usize = size_of::<EdgeRecord>() / 8;
        let from = self.at(slot).cast::<u64>();
        let to = std::ptr::from_mut(into).cast::<u64>();
        let mut fingerprint = 0u64;
        for word in 0..WORDS {
            // SAFETY: both records are WORDS words long and 8-aligned; any bits are a valid record.
            let value = unsafe { std::ptr::read_volatile(from.add(word)) };
            // SAFETY: as above.
            unsafe { to.add(word).write(value) };
            // Multiplication by an odd constant is a bijection: one changed word always changes the result.
            fingerprint = (fingerprint.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        fingerprint
    }

    fn at(&self, slot: u32) -> *const EdgeRecord {
        assert!(slot < self.mapped, "slot {slot} of {}", self.mapped);
        // SAFETY: the mapping holds `mapped` records.
        unsafe { self.base.add(slot as usize) }
    }
}

impl Drop for EdgeMemory {
    fn drop(&mut self) {
        self.unmap();
    }
}

fn map_slots(map: &OwnedFd, slots: u32) -> Result<*const EdgeRecord> {
    let bytes = slots as usize * size_of::<EdgeRecord>();
    // SAFETY: a fresh mapping at an address of the kernel's choice.
    let base = unsafe { mmap(std::ptr::null_mut(), bytes, ProtFlags::READ, MapFlags::SHARED, map, 0) };
    Ok(base.context("map the edge records")?.cast_const().cast())
}
