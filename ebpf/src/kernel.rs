//! The only file that knows how the kernel lays out its structures.
//!
//! Rust emits no CO-RE relocations, so user space resolves every offset from the running kernel's BTF and freezes them
//! into `OFFSETS` before loading: to the verifier they are constants. Hot fields are loaded directly through
//! BTF-typed pointers (no helper call); cold ones, and pointers of unknown type, through `bpf_probe_read_kernel`.

pub(crate) mod registers;

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_skc_to_tcp_sock,
};
use weir_abi::{COMM_LEN, EXE_LEN, Offsets};
use weir_ebpf::socket::Positions;

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
/// Bit of `sk_flags` that `tcp_fin` sets (`enum sock_flags`, unchanged since 2.6).
const SOCK_DONE: u64 = 1 << 1;

pub(crate) const TCP_ESTABLISHED: i32 = 1;
pub(crate) const TCP_SYN_SENT: i32 = 2;
pub(crate) const TCP_SYN_RECV: i32 = 3;
pub(crate) const TCP_FIN_WAIT1: i32 = 4;
pub(crate) const TCP_FIN_WAIT2: i32 = 5;
pub(crate) const TCP_CLOSE: i32 = 7;
pub(crate) const TCP_CLOSE_WAIT: i32 = 8;
pub(crate) const TCP_LISTEN: i32 = 10;

/// Bit of `sk_shutdown`: this end reads no more.
pub(crate) const SHUTDOWN_RECEIVE: u8 = 1;
/// `sk_shutdown` of a socket closed in both directions.
pub(crate) const SHUTDOWN_BOTH: u8 = 3;

#[unsafe(no_mangle)]
// SAFETY: Offsets is a repr(C) struct of u32, for which all zeroes is a value.
static OFFSETS: Offsets = unsafe { core::mem::zeroed() };

macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of this object; volatile because user space replaces the value before loading.
        unsafe { core::ptr::read_volatile(&raw const OFFSETS.$field) as usize }
    };
}

/// A direct load through a BTF-typed pointer.
macro_rules! load {
    ($pointer:expr, $field:ident, $type:ty) => {{
        let at = offset!($field);
        // SAFETY: the verifier knows the pointer's BTF type and checks offset and size against it; a stale pointer
        // reads as zero through the kernel's exception table.
        unsafe { core::ptr::read_volatile(($pointer).cast::<u8>().add(at).cast::<$type>()) }
    }};
}

/// The same through the helper, for pointers the verifier has no type for.
macro_rules! probe {
    ($pointer:expr, $field:ident, $type:ty) => {
        probe_read::<$type>(($pointer).cast::<u8>().wrapping_add(offset!($field)).cast())
    };
}

#[inline(always)]
fn probe_read<T: Copy>(from: *const T) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is a live local of this size; the helper checks the source.
    let failed = unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from.cast()) } != 0;
    // SAFETY: zeroed, and T is used with plain integers and pointers only.
    if failed { None } else { Some(unsafe { value.assume_init() }) }
}

/// Monotonic nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// `struct sock`, BTF-typed.
#[derive(Clone, Copy)]
pub(crate) struct Sock(pub(crate) *const c_void);

impl Sock {
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        let family = load!(self.0, skc_family, u16);
        (family == AF_INET || family == AF_INET6) && load!(self.0, sk_protocol, u16) == IPPROTO_TCP
    }

    #[inline(always)]
    pub(crate) fn state(self) -> i32 {
        i32::from(load!(self.0, skc_state, u8))
    }

    /// The local port, host order; 0 once the socket let go of it.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        load!(self.0, skc_num, u16)
    }

    /// The source port, host order; it stays readable when `local_port` is gone.
    #[inline(always)]
    pub(crate) fn source_port(self) -> u16 {
        self.tcp().map_or(0, |tcp| u16::from_be(load!(tcp.0, inet_sport, u16)))
    }

    /// The remote port, host order.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(load!(self.0, skc_dport, u16))
    }

    /// The pending error, positive.
    #[inline(always)]
    pub(crate) fn error(self) -> i32 {
        load!(self.0, sk_err, i32)
    }

    /// Whether the peer's FIN has come: it takes a sequence number, and is no byte.
    #[inline(always)]
    pub(crate) fn fin_received(self) -> bool {
        load!(self.0, skc_flags, u64) & SOCK_DONE != 0
    }

    #[inline(always)]
    pub(crate) fn shutdown(self) -> u8 {
        load!(self.0, sk_shutdown, u8)
    }

    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let net = load!(self.0, skc_net, *const c_void);
        if net.is_null() { 0 } else { load!(net, net_inum, u32) }
    }

    #[inline(always)]
    pub(crate) fn remote_address(self, into: &mut [u8; 16]) {
        match load!(self.0, skc_family, u16) {
            AF_INET => map_v4(load!(self.0, skc_daddr, u32), into),
            _ => self.read_v6(offset!(skc_v6_daddr), into),
        }
    }

    #[inline(always)]
    pub(crate) fn local_address(self, into: &mut [u8; 16]) {
        match load!(self.0, skc_family, u16) {
            AF_INET => map_v4(load!(self.0, skc_rcv_saddr, u32), into),
            _ => self.read_v6(offset!(skc_v6_rcv_saddr), into),
        }
    }

    #[inline(always)]
    fn read_v6(self, offset: usize, into: &mut [u8; 16]) {
        let from = self.0.cast::<u8>().wrapping_add(offset);
        // SAFETY: the destination is 16 bytes; the helper checks the source.
        unsafe { bpf_probe_read_kernel(into.as_mut_ptr().cast(), 16, from.cast()) };
    }

    /// Whether data waits to be read.
    #[inline(always)]
    pub(crate) fn has_unread(self) -> bool {
        load!(self.0, sk_receive_queue_len, u32) != 0
    }

    /// `Tcp::last_packet_ns`, where that is all one wants to know.
    #[inline(always)]
    pub(crate) fn last_packet_ns(self) -> u64 {
        self.tcp().map_or(0, Tcp::last_packet_ns)
    }

    /// `Tcp::srtt_us`, likewise; 0 for what is no TCP socket.
    #[inline(always)]
    pub(crate) fn srtt_us(self) -> u32 {
        self.tcp().map_or(0, Tcp::srtt_us)
    }

    /// The same in nanoseconds.
    #[inline(always)]
    pub(crate) fn srtt_ns(self) -> u64 {
        u64::from(self.srtt_us()) * 1000
    }

    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<Tcp> {
        // SAFETY: takes any BTF-typed socket and returns null for what is not a full TCP socket.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut()) };
        if tcp.is_null() { None } else { Some(Tcp(tcp.cast())) }
    }
}

/// IPv4 (network order) in its IPv6-mapped form.
#[inline(always)]
pub(crate) fn map_v4(address: u32, into: &mut [u8; 16]) {
    const _: () = assert!(cfg!(target_endian = "little"), "the prefix's two bytes of ones come before the address");
    let words: *mut u64 = (&raw mut *into).cast();
    // SAFETY: 16 bytes, 8-aligned in every caller's key or record.
    unsafe {
        words.write_volatile(0);
        words.add(1).write_volatile(u64::from(address) << 32 | 0xffff_0000);
    }
}

/// Copies an address. The compiler would call a function that does it byte by byte.
#[inline(always)]
pub(crate) fn copy_address(from: &[u8; 16], into: &mut [u8; 16]) {
    let (from, into): (*const u64, *mut u64) = ((&raw const *from).cast(), (&raw mut *into).cast());
    // SAFETY: 16 bytes, 8-aligned in every caller's key or record.
    unsafe {
        into.write_volatile(from.read_volatile());
        into.add(1).write_volatile(from.add(1).read_volatile());
    }
}

/// Zeroes a value of whole words, likewise.
#[inline(always)]
pub(crate) fn clear<T>(value: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let mut word = 0;
    while word < size_of::<T>() / 8 {
        // SAFETY: inside the value; callers pass plain integers.
        unsafe { value.cast::<u64>().add(word).write_volatile(0) };
        word += 1;
    }
}

/// `struct tcp_sock`, BTF-typed.
#[derive(Clone, Copy)]
pub(crate) struct Tcp(*const c_void);

impl Tcp {
    /// Smoothed round trip, microseconds.
    #[inline(always)]
    pub(crate) fn srtt_us(self) -> u32 {
        load!(self.0, srtt_us, u32) >> 3
    }

    #[inline(always)]
    pub(crate) fn total_retrans(self) -> u32 {
        load!(self.0, total_retrans, u32)
    }

    /// Segments sent, the SYN included: 0 means that nothing ever left.
    #[inline(always)]
    pub(crate) fn segs_out(self) -> u32 {
        load!(self.0, segs_out, u32)
    }

    /// The next sequence number expected: at ESTABLISHED, where reading will start.
    #[inline(always)]
    pub(crate) fn rcv_nxt(self) -> u32 {
        load!(self.0, rcv_nxt, u32)
    }

    #[inline(always)]
    pub(crate) fn copied_seq(self) -> u32 {
        load!(self.0, copied_seq, u32)
    }

    /// The time of the last packet handled on this socket, either way (`tcp_mstamp_refresh`): a clock read that the
    /// kernel has already done.
    #[inline(always)]
    pub(crate) fn last_packet_ns(self) -> u64 {
        load!(self.0, tcp_clock_cache, u64)
    }

    /// Payload bytes sent once.
    #[inline(always)]
    pub(crate) fn bytes_sent(self) -> u64 {
        load!(self.0, bytes_sent, u64).wrapping_sub(load!(self.0, bytes_retrans, u64))
    }

    #[inline(always)]
    pub(crate) fn positions(self) -> Positions {
        Positions {
            snd_una: load!(self.0, snd_una, u32),
            rcv_nxt: load!(self.0, rcv_nxt, u32),
            bytes_acked: load!(self.0, bytes_acked, u64),
            bytes_received: load!(self.0, bytes_received, u64),
        }
    }
}

/// `struct task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(pub(crate) *const c_void);

impl Task {
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: no arguments.
        Self(unsafe { bpf_get_current_task_btf() }.cast())
    }

    /// The process: thread group id in the initial pid namespace.
    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        load!(self.0, task_tgid, u32)
    }

    #[inline(always)]
    fn leader(self) -> *const c_void {
        probe!(self.0, group_leader, *const c_void).unwrap_or(self.0)
    }

    /// Start of the process, nanoseconds since boot.
    #[inline(always)]
    pub(crate) fn start_ns(self) -> u64 {
        probe!(self.leader(), task_start, u64).unwrap_or(0)
    }

    /// The process's name: that of its first thread.
    #[inline(always)]
    pub(crate) fn comm(self, into: &mut [u8; COMM_LEN]) {
        let from = self.leader().cast::<u8>().wrapping_add(offset!(task_comm));
        // SAFETY: the destination has this length; the helper checks the source.
        unsafe { bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), COMM_LEN as u32, from.cast()) };
    }

    /// File name of the executable; left empty for kernel threads.
    #[inline(always)]
    pub(crate) fn exe(self, into: &mut [u8; EXE_LEN]) -> Option<()> {
        let mm = probe!(self.0, task_mm, *const c_void)?;
        let file = probe!(mm, mm_exe_file, *const c_void)?;
        let dentry = probe!(file, file_dentry, *const c_void)?;
        let name = probe!(dentry, dentry_name, *const c_void)?;
        // SAFETY: the destination has this length; the helper checks the source.
        unsafe { bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), EXE_LEN as u32, name) };
        Some(())
    }

    /// Id of the process's cgroup in the v2 hierarchy.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> Option<u64> {
        let set = probe!(self.0, task_cgroups, *const c_void)?;
        let cgroup = probe!(set, css_set_dfl_cgrp, *const c_void)?;
        let node = probe!(cgroup, cgroup_kn, *const c_void)?;
        probe!(node, kernfs_node_id, u64)
    }

    /// The socket behind a file descriptor, if it is a TCP one: its address and its network namespace.
    #[inline(always)]
    pub(crate) fn tcp_socket(self, fd: u32) -> Option<(u64, u32)> {
        let files = probe!(self.0, task_files, *const c_void)?;
        let table = probe!(files, files_fdt, *const c_void)?;
        if fd >= probe!(table, fdt_max_fds, u32)? {
            return None;
        }
        let array = probe!(table, fdt_fd, *const *const c_void)?;
        let file = probe_read::<*const c_void>(array.wrapping_add(fd as usize))?;
        let socket = probe!(file, file_private_data, *const c_void)?;
        let sk = probe!(socket, socket_sk, *const c_void)?;
        let family = probe!(sk, skc_family, u16)?;
        if (family != AF_INET && family != AF_INET6) || probe!(sk, sk_protocol, u16)? != IPPROTO_TCP {
            return None;
        }
        let net = probe!(sk, skc_net, *const c_void)?;
        Some((sk as u64, probe!(net, net_inum, u32)?))
    }
}

/// The socket of `struct socket`, BTF-typed.
#[inline(always)]
pub(crate) fn sock_of_socket(socket: *const c_void) -> Sock {
    Sock(load!(socket, socket_sk, *const c_void))
}
