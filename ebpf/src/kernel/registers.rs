//! System calls: the fields of their tracepoints, and the registers with which a process entered one (`struct pt_regs`, per
//! architecture).

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user, bpf_task_pt_regs},
    programs::TracePointContext,
};

use super::{offsets::frozen, task::Task};

/// A field of a tracepoint's record, read in place: aya's own function calls a helper, which costs 20 ns.
#[inline(always)]
pub(crate) fn field<T: Copy>(ctx: &TracePointContext, at: usize) -> T {
    // SAFETY: the verifier checks the offset against the largest record; callers pass offsets of fields of theirs.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u8>().add(at).cast::<T>()) }
}

/// A system call in progress, or just done.
pub(crate) struct Call {
    registers: *const u64,
}

impl Call {
    /// The current task's. Before 5.15 there is no helper: the registers lie at the end of the task's kernel stack.
    #[inline(always)]
    pub(crate) fn current() -> Option<Self> {
        let at = frozen!(registers_in_stack) as usize;
        let registers = if at == 0 {
            // SAFETY: the current task is alive.
            (unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) }) as *const u64
        } else {
            Task::current().stack()?.cast::<u64>().wrapping_byte_add(at)
        };
        Some(Self { registers })
    }

    /// Its number.
    #[inline(always)]
    pub(crate) fn number(&self) -> Option<u64> {
        self.read(layout::NUMBER)
    }

    #[inline(always)]
    pub(crate) fn first(&self) -> Option<u64> {
        self.read(layout::FIRST)
    }

    #[inline(always)]
    pub(crate) fn second(&self) -> Option<u64> {
        self.read(layout::SECOND)
    }

    #[inline(always)]
    pub(crate) fn third(&self) -> Option<u64> {
        self.read(layout::THIRD)
    }

    #[inline(always)]
    fn read(&self, index: usize) -> Option<u64> {
        let mut value = 0u64;
        let from = self.registers.wrapping_add(index).cast();
        // SAFETY: the destination is a live local of 8 bytes; the helper checks the source.
        let failed = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, from) } != 0;
        if failed { None } else { Some(value) }
    }
}

/// Positions in 8-byte words, and the numbers of the calls whose buffers weir may read.
#[cfg(bpf_target_arch = "x86_64")]
mod layout {
    pub(super) const NUMBER: usize = 15; // orig_ax
    pub(super) const FIRST: usize = 14; // di
    pub(super) const SECOND: usize = 13; // si
    pub(super) const THIRD: usize = 12; // dx
    pub(super) const BUFFER: [u64; 4] = [0, 1, 44, 45]; // read, write, sendto, recvfrom
    pub(super) const VECTOR: [u64; 2] = [19, 20]; // readv, writev
    pub(super) const MESSAGE: [u64; 2] = [46, 47]; // sendmsg, recvmsg
}

/// x0 holds the result; the first argument survives in `orig_x0`, after 31 registers, sp, pc and pstate.
#[cfg(bpf_target_arch = "aarch64")]
mod layout {
    pub(super) const NUMBER: usize = 8;
    pub(super) const FIRST: usize = 34;
    pub(super) const SECOND: usize = 1;
    pub(super) const THIRD: usize = 2;
    pub(super) const BUFFER: [u64; 4] = [63, 64, 206, 207];
    pub(super) const VECTOR: [u64; 2] = [65, 66];
    pub(super) const MESSAGE: [u64; 2] = [211, 212];
}

/// How a call passes its data.
enum Data {
    /// A pointer to the bytes.
    Buffer(u64),
    /// A pointer to an array of `struct iovec`.
    Vector(u64),
    /// A pointer to a `struct msghdr`.
    Message(u64),
}

/// `msg_iov` in `struct msghdr`, which is the same for every 64-bit architecture.
const MSGHDR_IOV: u64 = 16;

impl Call {
    /// The address in the process's memory of the first of the `length` bytes that the call moves, and how many are contiguous
    /// there. Of a vector only the first element: the memory behind it belongs to something else.
    #[inline(always)]
    pub(crate) fn moved(&self, length: u32) -> Option<(u64, u32)> {
        let (buffer, room) = match self.data()? {
            Data::Buffer(buffer) => (buffer, self.third()?),
            Data::Vector(vector) => read_iovec(vector)?,
            Data::Message(message) => read_iovec(read_user(message.wrapping_add(MSGHDR_IOV))?)?,
        };
        Some((buffer, if room < u64::from(length) { room as u32 } else { length }))
    }

    /// The second argument of the calls that move data on a socket; none for other calls (io_uring among them).
    #[inline(always)]
    fn data(&self) -> Option<Data> {
        let number = self.number()?;
        let pointer = self.second()?;
        let is = |known: &[u64]| known.contains(&number);
        if is(&layout::BUFFER) {
            Some(Data::Buffer(pointer))
        } else if is(&layout::VECTOR) {
            Some(Data::Vector(pointer))
        } else if is(&layout::MESSAGE) {
            Some(Data::Message(pointer))
        } else {
            None
        }
    }
}

#[inline(always)]
fn read_iovec(from: u64) -> Option<(u64, u64)> {
    Some((read_user(from)?, read_user(from.wrapping_add(8))?))
}

#[inline(always)]
fn read_user(from: u64) -> Option<u64> {
    let mut value = 0u64;
    // SAFETY: the destination is a live local of 8 bytes; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user((&raw mut value).cast(), 8, from as *const _) } != 0;
    if failed { None } else { Some(value) }
}
