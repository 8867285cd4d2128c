//! Events to user space through the ring buffer, for what is rare.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use weir_abi::{Counter, Event, EventKind};

use crate::{
    counters::count,
    maps::{EVENTS, EVENTS_BYTES, LAST_WAKE},
};

const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;
/// The reader is woken at most once in this time, and looks again 200 ms after a wake-up: an event of `Wake::Soon` waits no
/// longer than that, and a flood of them costs seven wake-ups a second.
const SOON: Spacing = Spacing { of: 0, ns: 150_000_000 };
/// The same for `Wake::AtOnce`, where the reader looks again after 25 ms.
const AT_ONCE: Spacing = Spacing { of: 1, ns: 20_000_000 };
/// The same for a ring that fills. It has a spacing of its own, since the reader does not look again after it.
const FILLING: Spacing = Spacing { of: 2, ns: 150_000_000 };

/// The minimum time between two wake-ups of a kind.
#[derive(Clone, Copy)]
struct Spacing {
    /// Index in `LAST_WAKE`.
    of: u32,
    ns: u64,
}

/// When the reader must see an event.
#[derive(Clone, Copy)]
pub(crate) enum Wake {
    /// At the next tick: the event is an example of what is counted. Costs 170 ns; with a wake-up 660.
    Never,
    /// Before the next tick: its subject may be gone by then.
    Soon,
    /// Now: its subject may be gone within 100 ms.
    AtOnce,
    /// Once a quarter of the ring is full: many of them may come before the next tick.
    BeforeFull,
}

impl Wake {
    #[inline(always)]
    fn flags(self) -> u64 {
        match self {
            Self::AtOnce if is_due(AT_ONCE) => BPF_RB_FORCE_WAKEUP,
            Self::Soon if is_due(SOON) => BPF_RB_FORCE_WAKEUP,
            Self::BeforeFull if is_filling() && is_due(FILLING) => BPF_RB_FORCE_WAKEUP,
            Self::AtOnce | Self::Soon | Self::BeforeFull | Self::Never => BPF_RB_NO_WAKEUP,
        }
    }
}

#[inline(always)]
fn is_filling() -> bool {
    EVENTS.query(BPF_RB_AVAIL_DATA) >= EVENTS_BYTES / 4
}

/// Whether the last wake-up is long enough ago. Two processors at once wake the reader twice, which is harmless.
#[inline(always)]
fn is_due(spacing: Spacing) -> bool {
    let Some(last) = LAST_WAKE.get_ptr_mut(spacing.of) else { return true };
    // SAFETY: a helper without arguments, and an aligned map value.
    unsafe {
        let now = bpf_ktime_get_ns();
        let due = now.wrapping_sub(core::ptr::read_volatile(last)) >= spacing.ns;
        if due {
            core::ptr::write_volatile(last, now);
        }
        due
    }
}

/// Writes an event; `fill` writes each field of its body. A full ring is a counted loss.
#[inline(always)]
pub(crate) fn emit<T: 'static>(kind: EventKind, wake: Wake, fill: impl FnOnce(*mut T)) {
    emit_if(kind, wake, |body| {
        fill(body);
        true
    });
}

/// The same, unless `fill` returns false: then the event is discarded.
#[inline(always)]
pub(crate) fn emit_if<T: 'static>(kind: EventKind, wake: Wake, fill: impl FnOnce(*mut T) -> bool) {
    let Some(mut entry) = EVENTS.reserve::<Event<T>>(0) else {
        count(Counter::RingFull);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: reserved memory of this type, written before it is read.
    let wanted = unsafe {
        (&raw mut (*event).kind).write(kind as u64);
        fill(&raw mut (*event).body)
    };
    if wanted {
        entry.submit(wake.flags());
    } else {
        entry.discard(BPF_RB_NO_WAKEUP);
    }
}
