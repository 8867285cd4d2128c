//! The table of sockets' records: lookup, insertion, removal.
//!
//! The table is the programs' own, by the socket's address: a lookup costs a multiplication and a comparison, a fifth of
//! `sk_storage`'s, and an insertion allocates nothing in the kernel. Only a socket that finds all slots in its reach taken gets
//! its record from `sk_storage`.

use aya_ebpf::bindings::BPF_SK_STORAGE_GET_F_CREATE;
use weir_abi::Counter;
use weir_ebpf::{
    socket::{FIRST_LINE, Socket},
    table_slots::{REACH, SLOTS, home, neighbour},
};

use crate::{
    atomic::{add, add_u32},
    counters::{count, counted},
    kernel::{Sock, clear, clear_words, offsets::frozen, pointer::Pointer},
    maps::{CONTROL, SPILLED, SPILLED_BY_ADDRESS},
    socket_sampling,
};

/// A slot of the table: two cache lines (see `Socket`).
#[repr(C, align(128))]
struct Slot {
    /// Identifies the socket whose record this is; 0 when there is none.
    tag: u64,
    /// Claims to this slot. A processor that reads 1 after adding 1 owns it; one that reads more withdraws its claim.
    claims: u32,
    /// Sockets with a record, anywhere, whose search begins here.
    homed: u32,
    socket: Socket,
}

/// One claim and one homed socket, in one addition to the word that holds both: most sockets lie where their search begins.
const AT_HOME: u64 = 1 << 32 | 1;
const _: () = assert!(
    core::mem::offset_of!(Slot, claims) == 8
        && core::mem::offset_of!(Slot, homed) == 12
        && cfg!(target_endian = "little"),
    "claims is the lower half of the word, homed the upper"
);

#[inline(always)]
fn claims_and_homed(slot: *mut Slot) -> *mut u64 {
    // SAFETY: a slot of the table, and both fields of it; nothing is read or written here.
    unsafe { (&raw mut (*slot).claims).cast() }
}

/// The table is a static of the object and not a map of its own: the address of a slot is arithmetic, not a lookup. The kernel
/// places it behind the header of an array map, which is not the beginning of a cache line: one more slot leaves space to begin
/// at the next (`Features::table_pad`).
struct Table(core::cell::UnsafeCell<[Slot; SLOTS + 1]>);
// SAFETY: shared between processors by the protocol of `claims`.
unsafe impl Sync for Table {}

#[unsafe(no_mangle)]
// SAFETY: plain integers, for which all zeroes is a value.
static TABLE: Table = unsafe { core::mem::zeroed() };

#[inline(always)]
fn slot(index: usize) -> *mut Slot {
    let pad = frozen!(table_pad) as usize;
    // SAFETY: the index is masked, and the pad is less than the one additional slot.
    unsafe { TABLE.0.get().byte_add(pad).cast::<Slot>().add(index & (SLOTS - 1)) }
}

/// The socket's address as a number.
#[inline(always)]
fn tag(sk: Sock<impl Pointer>) -> u64 {
    sk.0.distance(TABLE.0.get())
}

/// The socket's record, if it has one.
#[inline(always)]
pub(crate) fn get(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
    let tag = tag(sk);
    let first = home(tag);
    let slot = slot(first);
    // SAFETY: a slot of the table; the socket's own operations follow each other.
    unsafe {
        if (*slot).tag == tag {
            return Some(&mut (*slot).socket);
        }
        if (*slot).homed == 0 {
            return None;
        }
    }
    search(sk, tag)
}

#[inline(never)]
fn search(sk: Sock<impl Pointer>, tag: u64) -> Option<&'static mut Socket> {
    let first = home(tag);
    let mut step = 1;
    while step < REACH {
        let slot = slot(neighbour(first, step));
        // SAFETY: as above.
        unsafe {
            if (*slot).tag == tag {
                return Some(&mut (*slot).socket);
            }
        }
        step += 1;
    }
    spilled(sk)
}

#[inline(always)]
fn spilled(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
    if frozen!(spill_in_map) != 0 {
        // SAFETY: a live map value, of this socket alone.
        unsafe { SPILLED_BY_ADDRESS.get_ptr_mut(sk.address())?.as_mut() }
    } else {
        // SAFETY: the map's values are Sockets, and live as long as this program runs.
        unsafe { sk.0.storage((&raw const SPILLED).cast_mut().cast(), 0).cast::<Socket>().as_mut() }
    }
}

#[inline(always)]
fn spill(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
    if frozen!(spill_in_map) != 0 {
        let mut empty = core::mem::MaybeUninit::<Socket>::uninit();
        clear(empty.as_mut_ptr());
        // SAFETY: plain integers, all of them just written.
        SPILLED_BY_ADDRESS.insert(sk.address(), unsafe { empty.assume_init_ref() }, 0).ok()?;
        return spilled(sk);
    }
    // SAFETY: likewise.
    unsafe {
        let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        sk.0.storage((&raw const SPILLED).cast_mut().cast(), flags).cast::<Socket>().as_mut()
    }
}

/// The socket's record, a fresh one if need be; none when the limit is reached or the kernel has no memory.
#[inline(always)]
pub(crate) fn create(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
    if let Some(socket) = get(sk) {
        return Some(socket);
    }
    let socket = make(sk)?;
    begin(socket);
    Some(socket)
}

/// A record for a socket that has none. Its conversation is not initialized: see `begin`.
#[inline(always)]
pub(crate) fn make(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
    if at_limit() {
        count(Counter::SocketsOverLimit);
        return None;
    }
    let Some(socket) = claim(sk) else {
        count(Counter::SocketStorageFailed);
        return None;
    };
    count(Counter::SocketsTracked);
    socket_sampling::join(socket);
    Some(socket)
}

/// Clears the second cache line, which may hold the conversation of the slot's last socket.
#[inline(always)]
pub(crate) fn begin(socket: &mut Socket) {
    clear_words((&raw mut *socket).cast::<u64>().wrapping_add(FIRST_LINE / 8), (size_of::<Socket>() - FIRST_LINE) / 8);
}

#[inline(never)]
fn claim(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
    let tag = tag(sk);
    let first = home(tag);
    // SAFETY: fields of slots of the table.
    unsafe {
        let home = slot(first);
        let claims = &raw mut (*home).claims;
        if core::ptr::read_volatile(claims) == 0 {
            add(claims_and_homed(home), AT_HOME);
            if core::ptr::read_volatile(claims) == 1 {
                return Some(occupy(home, tag));
            }
            add_u32(claims, 1u32.wrapping_neg());
        } else {
            add_u32(&raw mut (*home).homed, 1);
        }
        let mut step = 1;
        while step < REACH {
            let slot = slot(neighbour(first, step));
            let claims = &raw mut (*slot).claims;
            if core::ptr::read_volatile(claims) == 0 {
                add_u32(claims, 1);
                if core::ptr::read_volatile(claims) == 1 {
                    return Some(occupy(slot, tag));
                }
                add_u32(claims, 1u32.wrapping_neg());
            }
            step += 1;
        }
        let socket = spill(sk);
        if socket.is_none() {
            add_u32(&raw mut (*home).homed, 1u32.wrapping_neg());
        }
        socket
    }
}

/// Writes the tag of an owned slot. On processors with weakly ordered memory it is an addition, so that the last owner's write
/// cannot overwrite it, however late it becomes visible.
#[inline(always)]
fn change_tag(slot: *mut Slot, from: u64, to: u64) {
    // SAFETY: a field of a slot of the table.
    unsafe {
        let tag = &raw mut (*slot).tag;
        if cfg!(bpf_target_arch = "x86_64") { tag.write_volatile(to) } else { add(tag, to.wrapping_sub(from)) }
    }
}

/// Gives an owned slot to the socket.
#[inline(always)]
fn occupy(slot: *mut Slot, tag: u64) -> &'static mut Socket {
    // SAFETY: fields of a slot of the table that this processor owns.
    unsafe {
        clear_words((&raw mut (*slot).socket).cast(), FIRST_LINE / 8);
        change_tag(slot, 0, tag);
        &mut (*slot).socket
    }
}

/// Removes the socket's record. The kernel frees `sk_storage` with the socket.
#[inline(always)]
pub(crate) fn remove(sk: Sock<impl Pointer>) {
    count(Counter::SocketsReleased);
    let tag = tag(sk);
    let first = home(tag);
    // SAFETY: fields of slots of the table.
    unsafe {
        let home = slot(first);
        if (*home).tag == tag {
            change_tag(home, tag, 0);
            add(claims_and_homed(home), AT_HOME.wrapping_neg());
            return;
        }
        add_u32(&raw mut (*home).homed, 1u32.wrapping_neg());
        let mut step = 1;
        while step < REACH {
            let slot = slot(neighbour(first, step));
            if (*slot).tag == tag {
                change_tag(slot, tag, 0);
                add_u32(&raw mut (*slot).claims, 1u32.wrapping_neg());
                return;
            }
            step += 1;
        }
    }
    if frozen!(spill_in_map) != 0 {
        let _ = SPILLED_BY_ADDRESS.remove(sk.address());
    }
}

/// Whether a connection has ever gone without a record: such connections are counted in `other` at their end.
#[inline(always)]
pub(crate) fn has_missed() -> bool {
    counted(Counter::SocketsOverLimit) | counted(Counter::SocketStorageFailed) != 0
}

/// Whether no more records may be made.
#[inline(always)]
pub(crate) fn at_limit() -> bool {
    // SAFETY: an aligned map value; volatile because user space writes it.
    let most = CONTROL.get_ptr(0).map_or(0, |c| unsafe { core::ptr::read_volatile(&raw const (*c).max_sockets) });
    counted(Counter::SocketsTracked).wrapping_sub(counted(Counter::SocketsReleased)) >= u64::from(most)
}
