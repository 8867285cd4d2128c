//! The edge records, mapped read-only: reading one takes no system call.

use std::{
    mem::offset_of,
    ops::Range,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Map};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_SERVER, SLOT_LIVE};

/// Slots mapped at once: 0.4 MiB.
const WINDOW: u32 = 128;
/// Slots are taken in order, but their headers may be finished out of order, by as many as there are processors.
const AHEAD: u32 = 64;

/// The kernel half's `EDGES`, one window at a time. The kernel makes a mapping resident as a whole, so mapping all slots in use
/// would cost 3 KiB an edge for good; moving the window costs two system calls for 128 edges.
pub struct EdgeMemory {
    map: OwnedFd,
    window: Option<Window>,
    slots: u32,
    in_use: u32,
}

/// Mapped records.
struct Window {
    base: *const u8,
    bytes: usize,
    /// Offset of the first slot: mappings start at pages, slots anywhere.
    offset: usize,
    slots: Range<u32>,
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
        let mut memory = Self { map, window: None, slots, in_use: FIRST_SLOT };
        memory.show(0)?;
        Ok(memory)
    }

    /// Whether slots from here on may be in use.
    pub(super) fn may_hold(&self, slot: u32) -> bool {
        slot < self.slots && slot < self.in_use + AHEAD
    }

    /// Maps the window that this slot is in, and returns whether it has a live edge: then its header is complete.
    ///
    /// # Errors
    /// When the window cannot be mapped.
    pub fn look_at(&mut self, slot: u32) -> Result<bool> {
        if !self.window.as_ref().is_some_and(|window| window.slots.contains(&slot)) {
            self.show(slot)?;
        }
        let live = self.is_live(slot);
        if live {
            self.in_use = self.in_use.max(slot + 1);
        }
        Ok(live)
    }

    fn show(&mut self, slot: u32) -> Result<()> {
        // Unmapped first: two windows at once would take twice the memory.
        self.window = None;
        let first = slot - slot % WINDOW;
        self.window = Some(Window::map(&self.map, first..self.slots.min(first + WINDOW))?);
        Ok(())
    }

    fn is_live(&self, slot: u32) -> bool {
        let state = self.at(slot).cast::<u8>().wrapping_add(offset_of!(EdgeRecord, state)).cast::<u32>();
        // SAFETY: inside the mapping, aligned; volatile because the kernel writes it.
        unsafe { std::ptr::read_volatile(state) == SLOT_LIVE }
    }

    /// Whether the edge in a slot of the mapped window is a server's.
    pub(super) fn is_server(&self, slot: u32) -> bool {
        const ROLE: usize = offset_of!(EdgeRecord, key) + offset_of!(EdgeKey, role);
        // SAFETY: inside the mapping; volatile because the kernel writes it.
        unsafe { std::ptr::read_volatile(self.at(slot).cast::<u8>().wrapping_add(ROLE)) == ROLE_SERVER }
    }

    /// Copies a record word by word: each counter is consistent, the record as a whole is not. Returns a fingerprint of the copy.
    ///
    /// # Panics
    /// For a slot outside the window that was last mapped by `look_at`.
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
        let window = self.window.as_ref().filter(|window| window.slots.contains(&slot));
        window.map_or_else(|| unreachable!("slot {slot} is mapped first"), |window| window.at(slot))
    }
}

impl Window {
    fn map(map: &OwnedFd, slots: Range<u32>) -> Result<Self> {
        let from = slots.start as usize * size_of::<EdgeRecord>();
        let to = slots.end as usize * size_of::<EdgeRecord>();
        let offset = from % rustix::param::page_size();
        let bytes = to - (from - offset);
        let (any, flags) = (std::ptr::null_mut(), MapFlags::SHARED);
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe { mmap(any, bytes, ProtFlags::READ, flags, map, (from - offset) as u64) };
        Ok(Self { base: base.context("map the edge records")?.cast_const().cast(), bytes, offset, slots })
    }

    /// A slot of this window.
    fn at(&self, slot: u32) -> *const EdgeRecord {
        let index = (slot - self.slots.start) as usize;
        // SAFETY: the mapping holds the window's records from `offset` on.
        let record = unsafe { self.base.add(self.offset + index * size_of::<EdgeRecord>()) };
        record.cast()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `map`, to which no reference exists.
        let _ = unsafe { munmap(self.base.cast_mut().cast(), self.bytes) };
    }
}
