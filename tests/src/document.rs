//! What weir printed.

use std::fmt;

use serde_json::Value;

use crate::machine::absent_probes;

/// The JSON document of one window.
pub struct Document(Value);

/// One edge of it, or one end's view of an edge.
#[derive(Clone, Copy)]
pub struct Edge<'a>(&'a Value);

/// A distribution.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Values.
    pub count: u64,
    /// Their mean, seconds.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Document {
    /// Reads a document.
    ///
    /// # Panics
    /// If it is none.
    pub fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON document: {error}\n{text}")))
    }

    /// All of it.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The edges for which `wanted` holds.
    pub fn edges_where(&self, wanted: impl Fn(&Edge<'_>) -> bool) -> Vec<Edge<'_>> {
        let all = self.0["edges"].as_array().expect("a list of edges");
        all.iter().map(Edge).filter(wanted).collect()
    }

    /// The one edge from this process to this port.
    ///
    /// # Panics
    /// If there is none, or more than one.
    pub fn edge(&self, client_pid: u32, port: u16) -> Edge<'_> {
        let wanted = |edge: &Edge<'_>| edge.client_pid() == Some(client_pid) && edge.port() == Some(port);
        self.only(&format!("from pid {client_pid} to port {port}"), wanted)
    }

    /// The one edge for which `wanted` holds.
    ///
    /// # Panics
    /// If there is none, or more than one.
    pub fn only(&self, what: &str, wanted: impl Fn(&Edge<'_>) -> bool) -> Edge<'_> {
        let found = self.edges_where(wanted);
        assert_eq!(found.len(), 1, "edges {what}; all edges:\n{}", self.summary());
        found[0]
    }

    fn summary(&self) -> String {
        let line = |edge: Edge<'_>| {
            let (client, server) = (&edge.0["client"], &edge.0["server"]);
            let connects = &edge.0["connects"];
            format!(
                "{} pid {} -> {} {}:{} pids {} connects {connects} rounds {}\n",
                client["name"],
                client["pid"],
                server["name"],
                server["address"],
                server["port"],
                server["pids"],
                edge.0["rounds"]
            )
        };
        self.edges_where(|_| true).into_iter().map(line).collect()
    }

    /// One number of `losses`.
    ///
    /// # Panics
    /// If there is no such loss.
    pub fn loss(&self, name: &str) -> u64 {
        number(&self.0["losses"], name)
    }

    /// One number of `coverage`.
    ///
    /// # Panics
    /// If there is no such number.
    pub fn coverage(&self, name: &str) -> u64 {
        number(&self.0["coverage"], name)
    }

    /// Asserts that nothing was lost, and that weir says so.
    ///
    /// # Panics
    /// If something was.
    pub fn assert_lossless(&self) {
        let losses = self.0["losses"].as_object().expect("losses");
        assert!(!losses.is_empty(), "no losses are named");
        assert!(losses.values().all(|n| n == 0), "losses: {}", self.0["losses"]);
        let missing = self.0["missing_probes"].as_array().expect("missing probes");
        let mut missing: Vec<&str> = missing.iter().map(|probe| probe["name"].as_str().expect("a name")).collect();
        missing.sort_unstable();
        assert_eq!(missing, absent_probes(), "missing probes: {}", self.0["missing_probes"]);
        assert_eq!(self.coverage("missed"), 0, "sockets missed");
        assert_eq!(self.0["complete"], missing.is_empty(), "complete, with coverage {}", self.0["coverage"]);
    }
}

impl<'a> Edge<'a> {
    /// All of it.
    pub fn value(&self) -> &'a Value {
        self.0
    }

    /// The client's process, if it is on this host.
    pub fn client_pid(&self) -> Option<u32> {
        pid(&self.0["client"]["pid"])
    }

    /// The process that served most.
    pub fn server_pid(&self) -> Option<u32> {
        pid(&self.0["server"]["pid"])
    }

    /// Every process that served, in order of pid.
    ///
    /// # Panics
    /// If the list is missing.
    pub fn server_pids(&self) -> Vec<u32> {
        let pids = self.0["server"]["pids"].as_array().expect("a list of pids");
        let mut pids: Vec<u32> = pids.iter().filter_map(pid).collect();
        pids.sort_unstable();
        pids
    }

    /// The server's port.
    pub fn port(&self) -> Option<u16> {
        self.0["server"]["port"].as_u64().map(|port| port as u16)
    }

    /// A text such as `text("server", "address")`.
    pub fn text(&self, end: &str, field: &str) -> &'a str {
        self.0[end][field].as_str().unwrap_or("")
    }

    /// Connects with this outcome.
    ///
    /// # Panics
    /// If there is no such outcome.
    pub fn connects(&self, outcome: &str) -> u64 {
        number(&self.0["connects"], outcome)
    }

    /// Asserts that these are the connects, and that there were no others.
    ///
    /// # Panics
    /// If they are not.
    pub fn assert_connects(&self, expected: &[(&str, u64)]) {
        let all = self.0["connects"].as_object().expect("connects by outcome");
        let actual: Vec<(&str, u64)> =
            all.iter().map(|(name, n)| (name.as_str(), n.as_u64().expect("a count"))).filter(|(_, n)| *n > 0).collect();
        let mut expected: Vec<_> = expected.iter().copied().filter(|(_, n)| *n > 0).collect();
        expected.sort_unstable();
        let mut sorted = actual;
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "connects of {self}");
    }

    /// A count such as `rounds`.
    ///
    /// # Panics
    /// If it is not there.
    pub fn count(&self, field: &str) -> u64 {
        number(self.0, field)
    }

    /// A yes or no such as `partial`.
    ///
    /// # Panics
    /// If it is not there.
    pub fn is(&self, field: &str) -> bool {
        self.0[field].as_bool().unwrap_or_else(|| panic!("no {field:?} in {self}"))
    }

    /// A distribution such as `latency_s`; none where nothing was observed.
    pub fn spread(&self, field: &str) -> Option<Spread> {
        let spread = &self.0[field];
        let part = |name: &str| spread[name].as_f64().unwrap_or_else(|| panic!("no {name:?} in {field:?} of {self}"));
        spread.is_object().then(|| Spread {
            count: number(spread, "count"),
            mean: part("mean"),
            p50: part("p50"),
            p95: part("p95"),
            p99: part("p99"),
        })
    }

    /// A distribution that must have values.
    ///
    /// # Panics
    /// If it has none.
    pub fn observed(&self, field: &str) -> Spread {
        self.spread(field)
            .unwrap_or_else(|| panic!("{field} is {} ({})", self.0[field], self.0[format!("{field}_reason")]))
    }

    /// The view of `client` or `server`, if that end is on this host.
    pub fn view(&self, end: &str) -> Option<Edge<'a>> {
        let view = &self.0["views"][end];
        view.is_object().then_some(Edge(view))
    }

    /// The view of an end that must be on this host.
    ///
    /// # Panics
    /// If it is not.
    pub fn seen_by(&self, end: &str) -> Edge<'a> {
        self.view(end).unwrap_or_else(|| panic!("no view of the {end} in {self}"))
    }
}

impl fmt::Display for Edge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_else(|| panic!("no count {name:?} in {object:#}"))
}

fn pid(value: &Value) -> Option<u32> {
    value.as_u64().map(|pid| pid as u32)
}
