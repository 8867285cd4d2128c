//! Process and addresses, from a record's header.

use std::net::{IpAddr, Ipv6Addr};

use crate::{snapshot::Process, state::compact::Header};

pub(crate) fn process(header: &Header) -> Process {
    Process {
        pid: header.key.tgid,
        comm: text(&header.comm),
        exe: text(&header.exe),
        start_ns: header.process_start_ns,
        cgroup_id: header.cgroup_id,
    }
}

/// A kernel string: up to the first zero; bytes that are no text, or would move a terminal's cursor, are replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

pub(crate) fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}
