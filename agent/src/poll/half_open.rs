//! Connections of listeners that are half open: a SYN was answered, and its caller has said nothing since.
//!
//! Nothing tells how many a listener has but the table of all sockets, so it is looked through only where SYNs have found
//! no room since the last poll. Whose accept queue is full keeps its requests waiting, too; that is told by the queue itself.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use weir_engine::{HalfOpen, Listener, NetCounters};

use super::{
    misses::{Miss, Misses},
    namespace::Namespace,
    sock_diag::{HALF_OPEN, SockDiag},
};

/// Those that are looked at: a flood is known by far fewer.
const MAX_HALF_OPEN: usize = 20_000;
/// Namespaces remembered; beyond that all are forgotten, and a second goes by unseen.
const MAX_NAMESPACES: usize = 256;

/// What was turned away in each namespace before.
#[derive(Debug, Default)]
pub(super) struct HalfOpens {
    turned_away: BTreeMap<u32, u64>,
}

impl HalfOpens {
    /// Counts those of the namespace that this thread is in, where that is worth it.
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
            diag.each(HALF_OPEN, until, &mut |socket| callers.add(socket.local.port(), socket.remote.ip()))
        });
        misses.add(Miss::SocketsOverLimit, u64::from(callers.seen > MAX_HALF_OPEN));
        if misses.or_count(counted).is_none() {
            return;
        }
        let room = Room::of(namespace);
        for (port, callers) in callers.by_port {
            // The first of several that share a port (`SO_REUSEPORT`) stands for all of them.
            let listener = listeners.iter_mut().find(|listener| listener.address.port() == port);
            if let Some(listener) = listener {
                listener.half_open = most(&callers, room.limit(listener.max));
            }
        }
    }

    fn are_due(&mut self, netns: u32, counters: &NetCounters) -> bool {
        let NetCounters { listen_drops, listen_overflows, request_queue_cookies, request_queue_drops, .. } = *counters;
        // A drop for a full request queue is counted twice; here it matters only that there was one.
        let others = listen_drops.saturating_sub(listen_overflows);
        let turned_away = others.wrapping_add(request_queue_cookies).wrapping_add(request_queue_drops);
        if self.turned_away.len() >= MAX_NAMESPACES {
            self.turned_away.clear();
        }
        self.turned_away.insert(netns, turned_away).is_some_and(|before| turned_away > before)
    }
}

/// Half-open connections by port and caller.
#[derive(Debug, Default)]
struct Callers {
    seen: usize,
    by_port: BTreeMap<u16, BTreeMap<IpAddr, u32>>,
}

impl Callers {
    /// False once there were enough.
    fn add(&mut self, port: u16, from: IpAddr) -> bool {
        self.seen += 1;
        if self.seen > MAX_HALF_OPEN {
            return false;
        }
        *self.by_port.entry(port).or_default().entry(from).or_default() += 1;
        true
    }
}

fn most(callers: &BTreeMap<IpAddr, u32>, limit: u32) -> Option<HalfOpen> {
    let (from, of_it) = callers.iter().max_by_key(|(_, n)| **n)?;
    Some(HalfOpen { count: callers.values().sum(), limit, from: *from, of_it: *of_it })
}

/// How many may wait for their callers (`tcp_conn_request` of the kernel).
struct Room {
    /// A namespace's, which counts only where no cookies are sent.
    without_cookies: Option<u32>,
}

impl Room {
    fn of(namespace: &Namespace) -> Self {
        let number = |name: &str| namespace.sysctl(name).ok()?.trim().parse::<u32>().ok();
        let sends_cookies = number("ipv4/tcp_syncookies") != Some(0);
        // The last quarter is for callers that are known.
        let most = number("ipv4/tcp_max_syn_backlog").map(|most| most - most / 4);
        Self { without_cookies: most.filter(|_| !sends_cookies) }
    }

    fn limit(&self, backlog: u32) -> u32 {
        self.without_cookies.map_or(backlog, |most| most.min(backlog))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned_away(drops: u64, overflows: u64, cookies: u64) -> NetCounters {
        NetCounters {
            listen_drops: drops,
            listen_overflows: overflows,
            request_queue_cookies: cookies,
            ..NetCounters::default()
        }
    }

    #[test]
    fn the_table_is_looked_through_only_where_syns_found_no_room() {
        let mut half_opens = HalfOpens::default();
        let mut due = |netns, counters| half_opens.are_due(netns, &counters);
        assert!(!due(1, turned_away(7, 0, 0)), "what was before weir");
        assert!(due(1, turned_away(8, 0, 0)));
        assert!(!due(1, turned_away(8, 0, 0)));
        assert!(!due(1, turned_away(20, 12, 0)), "an accept queue");
        assert!(due(1, turned_away(20, 12, 3)), "cookies");
        assert!(!due(2, turned_away(20, 12, 3)), "another one");
        assert!((0..1000).all(|netns| !due(netns, turned_away(0, 0, 0))));
        assert!(half_opens.turned_away.len() <= MAX_NAMESPACES);
    }

    #[test]
    fn the_caller_with_most_is_named_and_a_flood_has_an_end() {
        let mut callers = Callers::default();
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        for last in [1, 2, 2, 3] {
            assert!(callers.add(80, ip(last)));
        }
        let found = most(&callers.by_port[&80], 5);
        assert_eq!(found, Some(HalfOpen { count: 4, limit: 5, from: ip(2), of_it: 2 }));
        assert_eq!((0..MAX_HALF_OPEN).filter(|_| callers.add(81, ip(1))).count(), MAX_HALF_OPEN - 4);
    }

    #[test]
    fn without_cookies_the_namespaces_limit_holds_too() {
        let room = |without_cookies| Room { without_cookies };
        assert_eq!((room(None).limit(128), room(Some(48)).limit(128), room(Some(48)).limit(8)), (128, 48, 8));
    }
}
