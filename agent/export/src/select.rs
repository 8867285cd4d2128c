//! Which edges to show, and in which order.

use std::{cmp::Reverse, net::IpAddr, str::FromStr};

use weir_engine::{Edge, End};

use super::network::Network;

/// What to order by, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// Rounds in the window
    Rounds,
    /// Median latency
    P50,
    /// 95th percentile of latency
    P95,
    /// 99th percentile of latency
    P99,
    /// Bytes, both ways
    Bytes,
    /// Connects, whatever their outcome
    Connects,
    /// Failed connects, abandoned and broken rounds, resets
    Errors,
    /// Open connections
    Open,
    /// Retransmitted segments
    Retransmits,
    /// Client, then server, by name
    Name,
}

impl SortKey {
    /// Every key: its name on the command line, and what it is.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::Rounds, "rounds", "Rounds in the window"),
        (Self::P50, "p50", "Median latency"),
        (Self::P95, "p95", "95th percentile of latency"),
        (Self::P99, "p99", "99th percentile of latency"),
        (Self::Bytes, "bytes", "Bytes, both ways"),
        (Self::Connects, "connects", "Connects, whatever their outcome"),
        (Self::Errors, "errors", "Failed connects, abandoned and broken rounds, resets"),
        (Self::Open, "open", "Open connections"),
        (Self::Retransmits, "retransmits", "Retransmitted segments"),
        (Self::Name, "name", "Client, then server, by name"),
    ];
}

/// Edges in order.
pub(super) fn sorted(edges: &[Edge], sort: SortKey) -> Vec<&Edge> {
    let mut selected: Vec<&Edge> = edges.iter().collect();
    // The sort is stable: equals keep the order of their keys.
    match sort {
        SortKey::Name => selected.sort_by_cached_key(|edge| (label(&edge.client), label(&edge.server))),
        _ => selected.sort_by_cached_key(|edge| Reverse(weight(edge, sort))),
    }
    selected
}

fn weight(edge: &Edge, sort: SortKey) -> u64 {
    let quantile = |q| edge.latency().quantile_s(q).map_or(0, |s| (s * 1e9) as u64);
    match sort {
        SortKey::Rounds => edge.total(|v| v.rounds),
        SortKey::P50 => quantile(0.50),
        SortKey::P95 => quantile(0.95),
        SortKey::P99 => quantile(0.99),
        SortKey::Bytes => edge.bytes_sent().wrapping_add(edge.bytes_received()),
        SortKey::Connects => edge.connects().total(),
        SortKey::Errors => {
            [edge.connects().failed(), edge.total(|v| v.abandoned), edge.total(|v| v.broken), edge.resets()]
                .iter()
                .fold(0, |sum, n| sum.wrapping_add(*n))
        }
        SortKey::Open => edge.total(|v| v.open_connections),
        SortKey::Retransmits => edge.retransmitted_segments(),
        SortKey::Name => 0,
    }
}

fn label(end: &End) -> (String, Option<IpAddr>, Option<u16>) {
    (super::label::of(&end.identity), end.address, end.port)
}

/// One condition on an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One of either end's names, or its address, contains this.
    Any(String),
    /// The client's does.
    Client(String),
    /// The server's does.
    Server(String),
    /// Either end is this process.
    Pid(u32),
    /// The server's port.
    Port(u16),
    /// Either end's address lies in this network.
    Address(Network),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |what: &str, value: &str| format!("{value:?} is no {what}: write {what}=812");
        match text.split_once('=') {
            None if text.is_empty() => Err("an empty filter matches nothing useful: leave it out".into()),
            None => Ok(Self::Any(text.to_lowercase())),
            Some(("client", name)) => Ok(Self::Client(name.to_lowercase())),
            Some(("server", name)) => Ok(Self::Server(name.to_lowercase())),
            Some(("pid", pid)) => pid.parse().map(Self::Pid).map_err(|_| number("pid", pid)),
            Some(("port", port)) => port.parse().map(Self::Port).map_err(|_| number("port", port)),
            Some(("address", network)) => network.parse().map(Self::Address),
            Some((key, _)) => {
                Err(format!("no filter {key:?}: use client=, server=, pid=, port=, address=, or a bare name"))
            }
        }
    }
}

impl Filter {
    /// Whether an edge between processes and addresses does.
    pub(super) fn matches(&self, edge: &Edge) -> bool {
        match self {
            Self::Any(text) => names(&edge.client, text) || names(&edge.server, text),
            Self::Client(text) => names(&edge.client, text),
            Self::Server(text) => names(&edge.server, text),
            Self::Pid(pid) => {
                edge.client.pids.binary_search(pid).is_ok()
                    || edge.server_processes.iter().any(|share| share.process.pid == *pid)
            }
            Self::Port(port) => edge.server.port == Some(*port),
            Self::Address(network) => {
                [edge.client.address, edge.server.address].into_iter().flatten().any(|a| network.contains(a))
            }
        }
    }
}

fn names(end: &End, text: &str) -> bool {
    let details = end.identity.details().into_iter().filter_map(|(_, detail)| detail);
    if details.chain([&*end.identity.name]).any(|known| known.to_lowercase().contains(text)) {
        return true;
    }
    let process = end.process.as_ref().is_ok_and(|p| {
        p.name().to_lowercase().contains(text)
            || p.comm.to_lowercase().contains(text)
            || p.exe.to_lowercase().contains(text)
    });
    process || end.address.is_some_and(|address| address.to_string().contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_as_people_write_them() {
        assert_eq!("Nginx".parse(), Ok(Filter::Any("nginx".into())));
        assert_eq!("port=5432".parse(), Ok(Filter::Port(5432)));
        assert!("port=http".parse::<Filter>().is_err());
        assert!("color=red".parse::<Filter>().is_err());
        assert!("".parse::<Filter>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Filter>();
        }
    }
}
