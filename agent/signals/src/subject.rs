//! What a finding is about: an edge, a server, a process, the host.

use std::fmt;

use weir_engine::{Edge, Service};

/// The subject of a finding and of its incident: there is at most one incident for each signal and subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(About);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum About {
    Edge { client: Service, server: Service, port: Option<u16>, pid: Option<u32> },
    Server { server: Service, port: Option<u16> },
    Process { service: Service, pid: u32 },
    Host,
}

impl Subject {
    /// All connections of one service to another.
    pub fn edge(client: Service, server: Service, port: Option<u16>) -> Self {
        Self(About::Edge { client, server, port, pid: None })
    }

    /// The edge between the services at the ends of an edge of processes.
    pub(crate) fn of_edge(edge: &Edge) -> Self {
        Self::edge(Service::of(&edge.client.identity), Service::of(&edge.server.identity), edge.server.port)
    }

    /// The connections of one process to a service, as for its pool.
    pub fn edge_of_process(client: Service, pid: u32, server: Service, port: Option<u16>) -> Self {
        Self(About::Edge { client, server, port, pid: Some(pid) })
    }

    /// A server, or one of its ports.
    pub fn server(server: Service, port: Option<u16>) -> Self {
        Self(About::Server { server, port })
    }

    /// A process.
    pub fn process(service: Service, pid: u32) -> Self {
        Self(About::Process { service, pid })
    }

    /// The host.
    pub fn host() -> Self {
        Self(About::Host)
    }

    /// The caller of an edge.
    pub fn client(&self) -> Option<String> {
        match &self.0 {
            About::Edge { client, pid: Some(pid), .. } => Some(format!("{client} (pid {pid})")),
            About::Edge { client, pid: None, .. } => Some(client.to_string()),
            About::Server { .. } | About::Process { .. } | About::Host => None,
        }
    }

    /// The callee of an edge, or the server or process; `None` for the host.
    pub fn callee(&self) -> Option<String> {
        match &self.0 {
            About::Edge { server, port, .. } | About::Server { server, port } => Some(match port {
                Some(port) => format!("{server}:{port}"),
                None => server.to_string(),
            }),
            About::Process { service, pid } => Some(format!("{service} (pid {pid})")),
            About::Host => None,
        }
    }

    /// The services in it.
    pub fn services(&self) -> [Option<&Service>; 2] {
        match &self.0 {
            About::Edge { client, server, .. } => [Some(client), Some(server)],
            About::Server { server: service, .. } | About::Process { service, .. } => [Some(service), None],
            About::Host => [None, None],
        }
    }

    /// The callee of an edge and its port.
    pub(crate) fn called(&self) -> Option<(&Service, Option<u16>)> {
        match &self.0 {
            About::Edge { server, port, .. } => Some((server, *port)),
            About::Server { .. } | About::Process { .. } | About::Host => None,
        }
    }

    /// The service to look at first: of an edge, the callee.
    pub(crate) fn about(&self) -> Option<&Service> {
        match &self.0 {
            About::Edge { server: service, .. }
            | About::Server { server: service, .. }
            | About::Process { service, .. } => Some(service),
            About::Host => None,
        }
    }

    /// FNV-1a of all fields, names in full: the same in every run for the same subject.
    pub fn stable_hash(&self) -> u64 {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let whole = |s: &Service| format!("{}\0{}\0{}\0", s.kind.name(), s.namespace.as_deref().unwrap_or(""), s.name);
        let text = match &self.0 {
            About::Edge { client, server, port, pid } => {
                format!("e{}{}{port:?}{pid:?}", whole(client), whole(server))
            }
            About::Server { server, port } => format!("s{}{port:?}", whole(server)),
            About::Process { service, pid } => format!("p{}{pid}", whole(service)),
            About::Host => "h".into(),
        };
        text.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.client(), self.callee()) {
            (Some(client), Some(server)) => write!(f, "{client} -> {server}"),
            (client, server) => f.write_str(client.or(server).as_deref().unwrap_or("this host")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> Service {
        Service { kind: weir_engine::Kind::Executable, namespace: None, name: name.into() }
    }

    #[test]
    fn subjects_are_shown_by_their_services() {
        let (app, redis) = (service("app"), service("redis"));
        let edge = Subject::edge(app.clone(), redis.clone(), Some(6379));
        assert_eq!(edge.to_string(), "app -> redis:6379");
        assert_eq!(Subject::edge_of_process(app.clone(), 7, redis.clone(), None).to_string(), "app (pid 7) -> redis");
        assert_eq!(Subject::server(redis.clone(), Some(1)).to_string(), "redis:1");
        assert_eq!((Subject::host().to_string(), Subject::host().callee()), ("this host".into(), None));
        assert_eq!(edge.services(), [Some(&app), Some(&redis)]);
        assert_eq!(service("").to_string(), "unnamed");
    }

    #[test]
    fn a_name_cannot_drive_a_terminal_or_fill_it() {
        let shown = service(&format!("\x1b[2J{}", "x".repeat(100))).to_string();
        assert!(shown.starts_with("\u{fffd}[2Jx") && shown.ends_with('…'), "{shown}");
        assert_eq!(shown.chars().count(), 31);
    }

    #[test]
    fn the_hash_is_stable_and_differs_between_subjects() {
        let subjects = [
            Subject::edge(service("a"), service("b"), Some(1)),
            Subject::edge(service("b"), service("a"), Some(1)),
            Subject::edge(service("a"), service("b"), None),
            Subject::edge_of_process(service("a"), 1, service("b"), Some(1)),
            Subject::server(service("a"), Some(1)),
            Subject::process(service("a"), 1),
            Subject::host(),
        ];
        let mut hashes: Vec<u64> = subjects.iter().map(Subject::stable_hash).collect();
        // Frozen: the ids of incidents contain it, and consumers deduplicate by them.
        assert_eq!(hashes[6], 0xaf63_e54c_8601_fbd7);
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), subjects.len());
    }
}
