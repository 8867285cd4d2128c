//! The client's slot by handshake, for the accepting end of a connection on one host: the client inserts it when it is
//! established, and the ACK that it then sends makes the accepting socket, which looks it up.
//!
//! An entry is needed for microseconds, so the table has no chains and no locks. An entry is lost when another one with the
//! same index is inserted in between: the accepted connection then looks like one from another host.

use core::cell::UnsafeCell;

use weir_ebpf::socket::Handshake;

const ENTRIES: usize = 1 << BITS;
const BITS: u32 = 12;

#[repr(C, align(8))]
struct Entry {
    handshake: u64,
    slot: u32,
    _pad: u32,
}

struct Table(UnsafeCell<[Entry; ENTRIES]>);
// SAFETY: an entry is read only between two readings of the handshake it belongs to.
unsafe impl Sync for Table {}

#[unsafe(no_mangle)]
// SAFETY: plain integers, for which all zeroes is a value.
static HANDSHAKE_TABLE: Table = unsafe { core::mem::zeroed() };

#[inline(always)]
fn entry(handshake: u64) -> *mut Entry {
    // Initial sequence numbers are random: their sum is hash enough.
    let index = (handshake.wrapping_add(handshake >> 32)) as usize & (ENTRIES - 1);
    // SAFETY: the index was masked.
    unsafe { HANDSHAKE_TABLE.0.get().cast::<Entry>().add(index) }
}

#[inline(always)]
fn number(handshake: Handshake) -> u64 {
    u64::from(handshake.client) << 32 | u64::from(handshake.server)
}

/// Inserts the client's slot.
#[inline(always)]
pub(crate) fn insert(handshake: Handshake, slot: u32) {
    let handshake = number(handshake);
    let entry = entry(handshake);
    // SAFETY: an entry of the table; volatile so that the handshake comes last.
    unsafe {
        (&raw mut (*entry).handshake).write_volatile(0);
        (&raw mut (*entry).slot).write_volatile(slot);
        (&raw mut (*entry).handshake).write_volatile(handshake);
    }
}

/// The slot that the client of this handshake has inserted.
#[inline(always)]
pub(crate) fn lookup(handshake: Handshake) -> Option<u32> {
    let handshake = number(handshake);
    let entry = entry(handshake);
    // SAFETY: an entry of the table; the second reading sees whether the first still held when the slot was read.
    unsafe {
        if (&raw const (*entry).handshake).read_volatile() != handshake {
            return None;
        }
        let slot = (&raw const (*entry).slot).read_volatile();
        if (&raw const (*entry).handshake).read_volatile() == handshake { Some(slot) } else { None }
    }
}
