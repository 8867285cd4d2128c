//! One pair of programs per hook of weir's probe table that fires by itself.

use aya_ebpf::{
    macros::{btf_tracepoint, map, tracepoint},
    maps::PerCpuArray,
    programs::{BtfTracePointContext, TracePointContext},
};

#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn count() {
    if let Some(count) = COUNTS.get_ptr_mut(0) {
        // SAFETY: this processor's own value, which lives as long as the map.
        unsafe { *count += 1 };
    }
}

macro_rules! on_tracepoint_by_type {
    ($($empty:ident $count:ident)*) => {$(
        #[btf_tracepoint]
        fn $empty(_ctx: BtfTracePointContext) -> i32 {
            0
        }

        #[btf_tracepoint]
        fn $count(_ctx: BtfTracePointContext) -> i32 {
            count();
            0
        }
    )*};
}

on_tracepoint_by_type! {
    empty_inet_sock_set_state count_inet_sock_set_state
    empty_sock_send_length count_sock_send_length
    empty_sk_data_ready count_sk_data_ready
    empty_sock_recv_length count_sock_recv_length
    empty_tcp_retransmit_skb count_tcp_retransmit_skb
    empty_tcp_retransmit_synack count_tcp_retransmit_synack
    empty_tcp_receive_reset count_tcp_receive_reset
    empty_tcp_send_reset count_tcp_send_reset
    empty_inet_sk_error_report count_inet_sk_error_report
    empty_tcp_destroy_sock count_tcp_destroy_sock
    empty_cgroup_mkdir count_cgroup_mkdir
}

#[tracepoint]
fn empty_sys_exit_connect(_ctx: TracePointContext) -> u32 {
    0
}

#[tracepoint]
fn count_sys_exit_connect(_ctx: TracePointContext) -> u32 {
    count();
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
