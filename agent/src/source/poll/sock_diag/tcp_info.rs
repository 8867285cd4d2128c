//! TCP's state of a socket.

use super::{u32_at, u64_at};

/// The part of `struct tcp_info`, as of Linux 4.10, that shows what limits a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::source::poll) struct TcpInfo {
    pub(in crate::source::poll) srtt_us: u32,
    pub(in crate::source::poll) min_rtt_us: u32,
    pub(in crate::source::poll) retransmitted: u32,
    pub(in crate::source::poll) segments_sent: u32,
    pub(in crate::source::poll) unsent_bytes: u32,
    pub(in crate::source::poll) acked_bytes: u64,
    pub(in crate::source::poll) busy_us: u64,
    pub(in crate::source::poll) receiver_limited_us: u64,
    pub(in crate::source::poll) buffer_limited_us: u64,
}

impl TcpInfo {
    pub(super) fn read(info: &[u8]) -> Option<Self> {
        let info = info.get(..192)?;
        Some(Self {
            srtt_us: u32_at(info, 68),
            retransmitted: u32_at(info, 100),
            acked_bytes: u64_at(info, 120),
            segments_sent: u32_at(info, 136),
            unsent_bytes: u32_at(info, 144),
            min_rtt_us: u32_at(info, 148),
            busy_us: u64_at(info, 168),
            receiver_limited_us: u64_at(info, 176),
            buffer_limited_us: u64_at(info, 184),
        })
    }
}
