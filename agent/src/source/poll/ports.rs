//! How many of a namespace's local ports are in use towards each remote address.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use weir_engine::{PortUse, PortsPoll};

use super::{
    misses::{Miss, Misses},
    namespace::Namespace,
    sock_diag::{CONNECTED, SockDiag},
    table,
};

/// Sockets read in one poll: some 50 ms and 5 MiB at most.
const MAX_SOCKETS: usize = 50_000;
/// Remote addresses reported, those with most ports in use. A choice.
const MAX_TUPLES: usize = 16;
/// Less than this part of the range is not reported: a choice, far below what is critical.
const REPORTED_PART: u32 = 4;

/// Polls the namespace that this thread is in. `sockets`: how many it has in all.
pub(super) fn poll(namespace: &Namespace, sockets: u64, until: Instant, misses: &mut Misses) -> Option<PortsPoll> {
    let range = misses.or_count(namespace.sysctl("ipv4/ip_local_port_range"))?;
    let Some(range) = table::range(&range) else {
        misses.add(Miss::Garbled, 1);
        return None;
    };
    let reserved = namespace.sysctl("ipv4/ip_local_reserved_ports").unwrap_or_default();
    let number = |name: &str| namespace.sysctl(name).ok()?.trim().parse::<u64>().ok();
    let mut poll = PortsPoll {
        netns: namespace.inode,
        range,
        reserved: table::reserved(&reserved, range),
        time_wait_limit: number("ipv4/tcp_max_tw_buckets").unwrap_or(0),
        time_wait_reuse: number("ipv4/tcp_tw_reuse").map_or(0, |reuse| reuse as u8),
        tuples: Vec::new(),
        is_cut: false,
    };
    // With few sockets in all, no address can have many: they need not be read.
    let enough = poll.available() / REPORTED_PART;
    if sockets < u64::from(enough) || enough == 0 {
        return Some(poll);
    }
    let mut uses = Uses::of(range);
    let counted = SockDiag::open().and_then(|mut diag| {
        diag.each(CONNECTED, until, &mut |socket| uses.add(socket.local, socket.remote, socket.is_time_wait))
    });
    poll.is_cut = misses.or_count(counted).is_none() || uses.seen > MAX_SOCKETS;
    misses.add(Miss::SocketsOverLimit, u64::from(uses.seen > MAX_SOCKETS));
    poll.tuples = uses.most(enough);
    Some(poll)
}

/// Sockets by local and remote address.
struct Uses {
    range: (u16, u16),
    seen: usize,
    by_tuple: HashMap<(IpAddr, SocketAddr), (u32, u32)>,
}

impl Uses {
    fn of(range: (u16, u16)) -> Self {
        Self { range, seen: 0, by_tuple: HashMap::new() }
    }

    /// False beyond the limit.
    fn add(&mut self, local: SocketAddr, remote: SocketAddr, is_time_wait: bool) -> bool {
        self.seen += 1;
        if self.seen > MAX_SOCKETS {
            return false;
        }
        if (self.range.0..=self.range.1).contains(&local.port()) {
            let (sockets, time_wait) = self.by_tuple.entry((local.ip(), remote)).or_default();
            *sockets += 1;
            *time_wait += u32::from(is_time_wait);
        }
        true
    }

    fn most(self, enough: u32) -> Vec<PortUse> {
        let many = self.by_tuple.into_iter().filter(|(_, (sockets, _))| *sockets >= enough);
        let mut tuples: Vec<PortUse> =
            many.map(|((local, remote), (sockets, time_wait))| PortUse { local, remote, sockets, time_wait }).collect();
        tuples.sort_by_key(|tuple| (std::cmp::Reverse(tuple.sockets), tuple.remote, tuple.local));
        tuples.truncate(MAX_TUPLES);
        tuples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn ports_of_the_range_are_counted_by_where_they_lead() {
        let mut uses = Uses::of((1000, 1063));
        for port in 990..1040 {
            uses.add(at(port), at(80), port % 2 == 0);
        }
        uses.add(at(1000), at(81), false);
        let tuple = PortUse { local: at(0).ip(), remote: at(80), sockets: 40, time_wait: 20 };
        assert_eq!(uses.most(16), [tuple], "one socket is not many");
    }

    #[test]
    fn beyond_the_limit_nothing_is_counted() {
        let mut uses = Uses::of((0, u16::MAX));
        let taken = (0..MAX_SOCKETS + 10).filter(|i| uses.add(at(*i as u16), at(1), true)).count();
        assert_eq!((taken, uses.by_tuple.len()), (MAX_SOCKETS, 1));
    }
}
