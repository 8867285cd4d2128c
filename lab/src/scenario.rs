//! The scenarios: the script and the truth of each. docs/lab.md describes them.

mod failures;
mod habits;
mod healthy;
mod limits;
mod pools;
mod proxies;
mod queues;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    run::Run,
    truth::{At, Expected, Kind, Truth},
};

/// One scenario, as its row in the table.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// `F` and `H` for faults and healthy look-alikes, and a number that never changes.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    /// The edge that it is about.
    pub(crate) edge: Place,
    pub(crate) must: &'static [Expectation],
    pub(crate) may: &'static [Expectation],
    pub(crate) must_not: &'static [Expectation],
    /// The least duration of the fault in which its incidents are due, seconds.
    pub(crate) fault_s: u64,
    pub(crate) play: fn(&mut Run<'_>) -> Result<()>,
}

impl Scenario {
    /// What is true of every run of it.
    pub(crate) fn outline(&self) -> Truth {
        let owned = |expectations: &[Expectation]| expectations.iter().map(Expectation::owned).collect();
        Truth {
            scenario: self.name.to_owned(),
            kind: self.kind,
            edge: self.edge.owned(),
            must: owned(self.must),
            may: owned(self.may),
            must_not: owned(self.must_not),
            lab: SERVICES.iter().map(|name| (*name).to_owned()).collect(),
            seed: 0,
            from: 0.0,
            t0: 0.0,
            t1: 0.0,
            until: 0.0,
            learn_s: 0,
            measured: BTreeMap::new(),
            busy: BTreeMap::new(),
            seconds: BTreeMap::new(),
        }
    }
}

/// An incident that is due, allowed or excluded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    signal: &'static str,
    class: &'static [&'static str],
    at: Place,
    /// Due within so many seconds; only in `must`.
    within_s: Option<f64>,
}

/// Where an incident is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    client: Option<&'static str>,
    server: Option<&'static str>,
    on: Option<&'static str>,
}

/// All services of the scenarios, by name and port.
pub(crate) const SERVICES: &[&str] = &[
    "app.py:8000",
    "app.java:8000",
    "goapp:8000",
    "haproxy:8000",
    "pgbouncer:6432",
    "aioapp.py:8000",
    "cache.py:8000",
    "idle.py",
    "load.py",
    "push.py:8080",
    "consumers.py",
    "slow.py",
    "workers.py",
    "web.py:8080",
    "nginx:8080",
    "up.py:9000",
    "up.py:9001",
    "up.py:9002",
    "up.py:9003",
    "up.py:9004",
    "postgres:5432",
    "redis-server:6379",
    "weir-traffic",
];

/// All scenarios, in order of name.
pub(crate) fn all() -> Vec<&'static Scenario> {
    let files = [pools::ROWS, proxies::ROWS, queues::ROWS, limits::ROWS, failures::ROWS, healthy::ROWS, habits::ROWS];
    let mut rows: Vec<&Scenario> = files.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.name);
    rows
}

const fn edge(client: &'static str, server: &'static str) -> Place {
    Place { client: Some(client), server: Some(server), on: None }
}

const fn to(server: &'static str) -> Place {
    Place { client: None, server: Some(server), on: None }
}

const fn on(service: &'static str) -> Place {
    Place { client: None, server: None, on: Some(service) }
}

const ANYWHERE: Place = Place { client: None, server: None, on: None };

/// Due within that time, of any class.
const fn must(signal: &'static str, at: Place, within_s: f64) -> Expectation {
    Expectation { signal, class: &[], at, within_s: Some(within_s) }
}

const fn may(signal: &'static str, at: Place) -> Expectation {
    Expectation { signal, class: &[], at, within_s: None }
}

impl Expectation {
    const fn of_class(self, class: &'static [&'static str]) -> Self {
        Self { class, ..self }
    }

    pub(crate) fn owned(&self) -> Expected {
        let class = self.class.iter().map(|class| (*class).to_owned()).collect();
        Expected { signal: self.signal.to_owned(), class, at: self.at.owned(), ttd_s: self.within_s }
    }
}

impl Place {
    pub(crate) fn owned(&self) -> At {
        let [client, server, on] = [self.client, self.server, self.on].map(|name| name.map(str::to_owned));
        At { client, server, on }
    }
}

/// A look-alike, in which no alert is right.
const fn healthy(name: &'static str, title: &'static str, play: fn(&mut Run<'_>) -> Result<()>) -> Scenario {
    Scenario { name, title, kind: Kind::Healthy, edge: ANYWHERE, must: &[], may: &[], must_not: &[], fault_s: 20, play }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_signal_and_class_that_is_named_exists() {
        for row in all() {
            for says in row.must.iter().chain(row.may).chain(row.must_not) {
                let signal = weir_signals::SIGNALS.iter().find(|signal| signal.name == says.signal);
                let classes = signal.map(|signal| signal.classes);
                let known = classes.is_some_and(|classes| says.class.iter().all(|class| classes.contains(class)));
                assert!(known, "{}: {} {:?}", row.name, says.signal, says.class);
            }
        }
    }

    #[test]
    fn the_table_makes_sense() {
        let names: BTreeSet<&str> = all().iter().map(|row| row.name).collect();
        assert_eq!(names.len(), all().len(), "each name once");
        for row in all() {
            assert_eq!((row.kind == Kind::Healthy), row.name.starts_with('H'), "{}", row.name);
            assert_eq!(
                (row.kind == Kind::Healthy),
                row.must.is_empty(),
                "{}: incidents are due in faults, and only there",
                row.name
            );
            assert!(row.must.iter().all(|must| must.within_s.is_some()), "{}", row.name);
            let says =
                |row: &Scenario| row.must.iter().chain(row.may).map(|says| (says.signal, says.at.owned(), says.class));
            for forbidden in row.must_not {
                let (signal, at, class) = (forbidden.signal, forbidden.at.owned(), forbidden.class);
                let contradicts = says(row).any(|(other, place, classes)| {
                    signal == other && at == place && (class.is_empty() || class.iter().any(|c| classes.contains(c)))
                });
                assert!(!contradicts, "{}: {signal} is expected and excluded", row.name);
            }
            let slowest = row.must.iter().filter_map(|must| must.within_s).fold(0.0, f64::max);
            assert!(slowest <= row.fault_s as f64, "{} ends before its incidents are due", row.name);
        }
    }
}
