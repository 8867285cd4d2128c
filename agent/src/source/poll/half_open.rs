//! Half-open connections of listeners: the SYN was answered, and the handshake is not complete.
//!
//! Their number is only in the table of all sockets, so the table is read only where SYNs have met a full request queue since
//! the last poll. A listener with a full accept queue keeps its requests waiting, too; that is visible in the queue itself.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use weir_engine::{HalfOpen, Listener, NetCounters};

use super::{
    misses::{Miss, Misses},
    namespace::Namespace,
    sock_diag::{HALF_OPEN, SockDiag},
};

/// Half-open connections read in one poll: a SYN flood is recognised by far fewer.
const MAX_HALF_OPEN: usize = 20_000;
/// Namespaces remembered; beyond that all are forgotten, and one poll is skipped.
const MAX_NAMESPACES: usize = 256;

/// SYNs that met a full request queue in each namespace (dropped, or answered with a cookie), as of the last poll.
#[derive(Debug, Default)]
pub(super) struct HalfOpens {
    overflowed: BTreeMap<u32, u64>,
}

impl HalfOpens {
    /// Counts the half-open connections of the namespace that this thread is in, if SYNs have met a full request queue there.
    pub(super) fn look(
        &mut self,
        namespace: &Namespace,
        counters: &NetCounters,
        listeners: &mut [Listener],
        until: Instant,
        misses: &mut Misses,
    ) {
        if !self.are_due(namespace.inode, counters) {
            return;
        }
        let mut callers = Callers::default();
        let counted = SockDiag::open().and_then(|mut diag| {
            diag.each(HALF_OPEN, until, &mut |socket| callers.add(socket.local, socket.remote.ip(), socket.retransmits))
        });
        misses.add(Miss::SocketsOverLimit, u64::from(callers.seen > MAX_HALF_OPEN));
        if misses.or_count(counted).is_none() {
            return;
        }
        let limits = RequestLimits::of(namespace);
        for (address, callers) in callers.by_address {
            // Listeners that share an address (`SO_REUSEPORT`) are reported as one, by the first of them.
            let Some(at) = listeners.iter().filter_map(|of| listens(of.address, address)).max() else { continue };
            let mut sharing = listeners.iter_mut().filter(|of| listens(of.address, address) == Some(at));
            let Some(first) = sharing.next() else { continue };
            let limit =
                sharing.fold(limits.of_listener(first.max), |sum, of| sum.saturating_add(limits.of_listener(of.max)));
            first.half_open = Some(callers.most(limit));
        }
    }

    fn are_due(&mut self, netns: u32, counters: &NetCounters) -> bool {
        let NetCounters { listen_drops, listen_overflows, request_queue_cookies, request_queue_drops, .. } = *counters;
        // A drop because of a full request queue is counted twice; only whether there was one matters here.
        let others = listen_drops.saturating_sub(listen_overflows);
        let overflowed = others.wrapping_add(request_queue_cookies).wrapping_add(request_queue_drops);
        if self.overflowed.len() >= MAX_NAMESPACES {
            self.overflowed.clear();
        }
        self.overflowed.insert(netns, overflowed).is_some_and(|before| overflowed > before)
    }
}

/// How specifically a listener's address matches a connection's: the same address before the wildcard of its family, and that
/// before the wildcard of both.
fn listens(listener: SocketAddr, to: SocketAddr) -> Option<u8> {
    match listener.ip() {
        _ if listener.port() != to.port() => None,
        ip if ip == to.ip() => Some(2),
        ip if ip.is_unspecified() => Some(u8::from(ip.is_ipv4() == to.is_ipv4())),
        _ => None,
    }
}

/// Half-open connections by local address.
#[derive(Debug, Default)]
struct Callers {
    seen: usize,
    by_address: BTreeMap<SocketAddr, Waiting>,
}

/// Those of one address: all, and by client those whose SYN-ACK was retransmitted. The others may be about to complete, or
/// wait for their first data (`TCP_DEFER_ACCEPT`).
#[derive(Debug, Default)]
struct Waiting {
    count: u32,
    silent: BTreeMap<IpAddr, u32>,
}

impl Callers {
    /// False beyond the limit.
    fn add(&mut self, to: SocketAddr, from: IpAddr, retransmits: u8) -> bool {
        self.seen += 1;
        if self.seen > MAX_HALF_OPEN {
            return false;
        }
        let waiting = self.by_address.entry(to).or_default();
        waiting.count += 1;
        *waiting.silent.entry(from).or_default() += u32::from(retransmits > 0);
        true
    }
}

impl Waiting {
    fn most(&self, limit: u32) -> HalfOpen {
        let most = self.silent.iter().max_by_key(|(_, n)| **n);
        let (from, of_it) = most.map_or((IpAddr::from([0; 4]), 0), |(from, n)| (*from, *n));
        HalfOpen { count: self.count, limit, from, of_it }
    }
}

/// Limits of request queues (`tcp_conn_request` in the kernel).
struct RequestLimits {
    /// The namespace's, which holds only where no SYN cookies are sent.
    without_cookies: Option<u32>,
}

impl RequestLimits {
    fn of(namespace: &Namespace) -> Self {
        let number = |name: &str| namespace.sysctl(name).ok()?.trim().parse::<u32>().ok();
        let sends_cookies = number("ipv4/tcp_syncookies") != Some(0);
        // The last quarter is reserved for known clients.
        let most = number("ipv4/tcp_max_syn_backlog").map(|most| most - most / 4);
        Self { without_cookies: most.filter(|_| !sends_cookies) }
    }

    fn of_listener(&self, backlog: u32) -> u32 {
        self.without_cookies.map_or(backlog, |most| most.min(backlog))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overflowed(drops: u64, overflows: u64, cookies: u64) -> NetCounters {
        NetCounters {
            listen_drops: drops,
            listen_overflows: overflows,
            request_queue_cookies: cookies,
            ..NetCounters::default()
        }
    }

    #[test]
    fn the_table_is_read_only_where_request_queues_overflow() {
        let mut half_opens = HalfOpens::default();
        let mut due = |netns, counters| half_opens.are_due(netns, &counters);
        assert!(!due(1, overflowed(7, 0, 0)), "drops from before weir");
        assert!(due(1, overflowed(8, 0, 0)));
        assert!(!due(1, overflowed(8, 0, 0)));
        assert!(!due(1, overflowed(20, 12, 0)), "an accept queue");
        assert!(due(1, overflowed(20, 12, 3)), "cookies");
        assert!(!due(2, overflowed(20, 12, 3)), "another one");
        assert!((0..1000).all(|netns| !due(netns, overflowed(0, 0, 0))));
        assert!(half_opens.overflowed.len() <= MAX_NAMESPACES);
    }

    #[test]
    fn the_caller_that_does_not_answer_is_named_and_a_flood_has_an_end() {
        let mut callers = Callers::default();
        let to = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        for (last, retransmits) in [(1, 0), (2, 1), (2, 3), (3, 1), (1, 0), (1, 0)] {
            assert!(callers.add(to(80), ip(last), retransmits));
        }
        let found = callers.by_address[&to(80)].most(5);
        assert_eq!(found, HalfOpen { count: 6, limit: 5, from: ip(2), of_it: 2 });
        assert_eq!((0..MAX_HALF_OPEN).filter(|_| callers.add(to(81), ip(1), 0)).count(), MAX_HALF_OPEN - 6);
    }

    #[test]
    fn a_connection_is_of_the_listener_that_suits_it_best() {
        let to: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        let suits = |listener: &str| listens(listener.parse().expect("an address"), to);
        assert_eq!(["10.0.0.1:80", "0.0.0.0:80", "[::]:80"].map(suits), [Some(2), Some(1), Some(0)]);
        assert_eq!(["10.0.0.2:80", "0.0.0.0:81", "[::1]:80"].map(suits), [None; 3]);
    }

    #[test]
    fn without_cookies_the_namespaces_limit_holds_too() {
        let limits = |without_cookies| RequestLimits { without_cookies };
        assert_eq!(
            (limits(None).of_listener(128), limits(Some(48)).of_listener(128), limits(Some(48)).of_listener(8)),
            (128, 48, 8)
        );
    }
}
