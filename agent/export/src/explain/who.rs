//! The subject of `weir explain`: how it is written, and which services of a snapshot it matches.

mod nearest;

use std::{collections::BTreeSet, str::FromStr};

use anyhow::{Error, Result, anyhow};
use weir_engine::{Edge, End, Kind, Service, Snapshot};

use super::place;
use crate::label;

/// What to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A service, with all its edges.
    Service(Who),
    /// The edge from one to another.
    Edge(Who, Who),
}

/// One end of what to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A process.
    Pid(u32),
    /// The processes that serve it.
    Port(u16),
    /// A service of that name.
    Name(String),
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("->") {
            Some((client, server)) => Ok(Self::Edge(client.parse()?, server.parse()?)),
            None => text.parse().map(Self::Service),
        }
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("an empty name: use a service, :PORT, a pid, or CLIENT->SERVER".to_owned());
        }
        match text.strip_prefix(':').map(str::parse) {
            Some(Ok(port)) => return Ok(Self::Port(port)),
            Some(Err(_)) if !text[1..].contains(':') => return Err(format!("{text:?} is no port")),
            Some(Err(_)) | None => {}
        }
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Pid))
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Port(port) => write!(f, "port {port}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(who) => write!(f, "{who}"),
            Self::Edge(client, server) => write!(f, "{client} -> {server}"),
        }
    }
}

/// The services that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    text: String,
    /// Several where they are called the same.
    pub(super) services: BTreeSet<Service>,
    /// Only as a server of this.
    port: Option<u16>,
    /// Only these processes of theirs.
    pids: Option<BTreeSet<u32>>,
}

impl Who {
    /// Looks for it.
    pub(super) fn resolve(&self, snapshot: &Snapshot) -> Result<Subject> {
        let edges = || snapshot.edges.iter().filter(|edge| !edge.is_other);
        let text = self.to_string();
        let subject = |services, port, pids| Subject { text: text.clone(), services, port, pids };
        let found = match self {
            Self::Pid(pid) => {
                let ends = edges().flat_map(|edge| ends_of(edge, |pids| pids.contains(pid)));
                subject(ends.collect(), None, Some([*pid].into()))
            }
            Self::Port(port) => {
                let serving: Vec<&Edge> = edges().filter(|edge| edge.server.port == Some(*port)).collect();
                let services = serving.iter().map(|edge| Service::of(&edge.server.identity)).collect();
                let pids: BTreeSet<u32> = serving.iter().flat_map(|edge| server_pids(edge)).collect();
                subject(services, Some(*port), Some(pids).filter(|pids| !pids.is_empty()))
            }
            Self::Name(name) => {
                let whole = named(name, snapshot);
                match name.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?))) {
                    Some((name, port)) if whole.is_empty() => {
                        let mut services = named(name, snapshot);
                        let serves = |service: &Service| {
                            let at_port = edges().filter(|edge| edge.server.port == Some(port));
                            at_port.into_iter().any(|edge| Service::of(&edge.server.identity) == *service)
                        };
                        services.retain(serves);
                        subject(services, Some(port), None)
                    }
                    _ => subject(whole, None, None),
                }
            }
        };
        if found.services.is_empty() { Err(self.unknown(snapshot)) } else { Ok(found) }
    }

    fn unknown(&self, snapshot: &Snapshot) -> Error {
        let seconds = snapshot.window_ns as f64 / 1e9;
        let mut services: Vec<(Kind, String)> = snapshot
            .edges
            .iter()
            .filter(|edge| !edge.is_other)
            .flat_map(|edge| [&edge.client, &edge.server])
            .map(|end| (end.identity.kind, label::of(&end.identity)))
            .collect();
        services.sort();
        services.dedup();
        if services.is_empty() {
            return anyhow!("nothing to explain: no TCP connection was seen in {seconds:.1} s");
        }
        let names: Vec<String> = services.into_iter().map(|(_, name)| name).collect();
        let near = match self {
            Self::Name(name) => nearest::of(name, &names),
            Self::Pid(_) | Self::Port(_) => Vec::new(),
        };
        let near = if near.is_empty() { String::new() } else { format!("\nnearest: {}", near.join(", ")) };
        anyhow!("{self} had no TCP connection in {seconds:.1} s{near}\nseen: {}", nearest::listed(&names))
    }
}

/// Services of that name: exactly; or else but for case; or else by a pod, container, unit, program or address.
fn named(name: &str, snapshot: &Snapshot) -> BTreeSet<Service> {
    let ends = || snapshot.edges.iter().filter(|e| !e.is_other).flat_map(|edge| [&edge.client, &edge.server]);
    let called = |is: &dyn Fn(&End) -> bool| -> BTreeSet<Service> {
        ends().filter(|end| is(end)).map(|end| Service::of(&end.identity)).collect()
    };
    let lower = name.to_lowercase();
    let exactly = called(&|end| *end.identity.name == *name || label::of(&end.identity) == name);
    if !exactly.is_empty() {
        return exactly;
    }
    let but_for_case =
        called(&|end| end.identity.name.to_lowercase() == lower || label::of(&end.identity).to_lowercase() == lower);
    if !but_for_case.is_empty() {
        return but_for_case;
    }
    called(&|end| {
        let details = end.identity.details().into_iter().filter(|(field, _)| *field != "namespace");
        let mut details = details.filter_map(|(_, detail)| detail);
        details.any(|detail| detail == name)
            || end.process.as_ref().is_ok_and(|process| process.name() == name || process.comm == name)
            || end.address.is_some_and(|address| address.to_string() == name)
    })
}

impl Subject {
    /// Whether it is an edge's client.
    pub(super) fn calls(&self, edge: &Edge) -> bool {
        self.services.contains(&Service::of(&edge.client.identity))
            && self.pids.as_ref().is_none_or(|pids| edge.client.pids.iter().any(|pid| pids.contains(pid)))
    }

    /// Whether it is an edge's server.
    pub(super) fn serves(&self, edge: &Edge) -> bool {
        let by_pid = || self.pids.as_ref().is_none_or(|pids| server_pids(edge).any(|pid| pids.contains(&pid)));
        self.services.contains(&Service::of(&edge.server.identity))
            // Of callers that were refused at a port, no process is known that serves them.
            && self.port.map_or_else(by_pid, |port| edge.server.port == Some(port))
    }

    /// Whether a process of these services is meant.
    pub(super) fn is_of(&self, pid: u32) -> bool {
        self.pids.as_ref().is_none_or(|pids| pids.contains(&pid))
    }
}

fn server_pids(edge: &Edge) -> impl Iterator<Item = u32> {
    edge.server_processes.iter().map(|share| share.process.pid).chain(edge.server.pids.iter().copied())
}

fn ends_of(edge: &Edge, wanted: impl Fn(&BTreeSet<u32>) -> bool) -> Vec<Service> {
    let client = wanted(&edge.client.pids.iter().copied().collect()).then(|| Service::of(&edge.client.identity));
    let server = wanted(&server_pids(edge).collect()).then(|| Service::of(&edge.server.identity));
    client.into_iter().chain(server).collect()
}

/// Both were seen, but not together.
pub(super) fn unconnected(client: &Subject, server: &Subject, snapshot: &Snapshot) -> Error {
    let called: BTreeSet<String> =
        snapshot.edges.iter().filter(|edge| !edge.is_other && client.calls(edge)).map(place::server).collect();
    let called: Vec<String> = called.into_iter().collect();
    let called = if called.is_empty() { "no service".to_owned() } else { nearest::listed(&called) };
    let seconds = snapshot.window_ns as f64 / 1e9;
    anyhow!("no connection from {} to {} in {seconds:.1} s\n{} calls: {called}", client.text, server.text, client.text)
}

#[cfg(test)]
mod tests;
