//! The whole picture of one service, or of one edge, looked at alone.

mod json;
mod limits;
mod place;
mod split;
mod text;
mod who;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::Duration,
};

use anyhow::Result;
use weir_engine::{Edge, Identity, Process, Service, Snapshot};
use weir_signals::{Alert, PendingAlarm, Standing, Subject as About};

use limits::Limits;
use split::Split;
pub use who::Asked;
use who::Subject;

/// What shape the output has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One screen for people
    Text,
    /// One document
    Json,
}

impl Shape {
    /// Every shape: its name on the command line, and what it is.
    pub const ALL: &[(Self, &str, &str)] =
        &[(Self::Text, "text", "One screen for people"), (Self::Json, "json", "One document")];
}

/// An edge between services, with where its time goes.
struct Line {
    edge: Edge,
    time: Result<Split, String>,
}

/// A process of what was asked for.
struct Instance<'a> {
    process: &'a Process,
    identity: &'a Identity,
}

/// All that is known of what was asked for.
pub struct Picture<'a> {
    asked: &'a Asked,
    snapshot: &'a Snapshot,
    services: BTreeSet<Service>,
    instances: BTreeMap<u32, Instance<'a>>,
    /// Who calls it; of an edge, none.
    callers: Vec<Line>,
    /// Its callees; of an edge, the edge.
    callees: Vec<Line>,
    limits: Limits<'a>,
    incidents: Vec<&'a Alert>,
    pending: Vec<&'a PendingAlarm>,
    standing: &'a Standing,
    learn: Duration,
}

impl<'a> Picture<'a> {
    /// Puts it together.
    ///
    /// # Errors
    /// When nothing of that name was seen.
    pub fn of(asked: &'a Asked, snapshot: &'a Snapshot, standing: &'a Standing, learn: Duration) -> Result<Self> {
        let (ends, callers, callees) = match asked {
            Asked::Service(who) => {
                let subject = who.resolve(snapshot)?;
                let callers = lines(snapshot, |edge| subject.serves(edge));
                let callees = lines(snapshot, |edge| subject.calls(edge));
                (vec![subject], callers, callees)
            }
            Asked::Edge(client, server) => {
                let (client, server) = (client.resolve(snapshot)?, server.resolve(snapshot)?);
                let callees = lines(snapshot, |edge| client.calls(edge) && server.serves(edge));
                if callees.is_empty() {
                    return Err(who::unconnected(&client, &server, snapshot));
                }
                (vec![client, server], Vec::new(), callees)
            }
        };
        let instances = instances(&ends, snapshot);
        let pids: BTreeSet<u32> = instances.keys().copied().collect();
        let limits = Limits::of(&ends, &pids, snapshot);
        let services: BTreeSet<Service> = ends.into_iter().flat_map(|subject| subject.services).collect();
        let concerns = |unit: &About| {
            let [a, b] = unit.services();
            // What the host lacks, everybody on it lacks.
            (a.is_none() && b.is_none()) || [a, b].into_iter().flatten().any(|service| services.contains(service))
        };
        let alerts = standing.incidents.iter().map(|entry| &entry.event.alert);
        let incidents = alerts.filter(|alert| concerns(alert.subject())).collect();
        let pending = standing.pending.iter().filter(|pending| concerns(&pending.subject)).collect();
        Ok(Self { asked, snapshot, services, instances, callers, callees, limits, incidents, pending, standing, learn })
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn write(&self, mut out: &mut impl Write, shape: Shape) -> Result<()> {
        match shape {
            Shape::Text => text::write(&mut out, self)?,
            Shape::Json => {
                serde_json::to_writer_pretty(&mut out, &json::document(self))?;
                out.write_all(b"\n")?;
            }
        }
        out.flush()?;
        Ok(())
    }

    /// What was not judged, and why.
    fn unjudged(&self) -> Option<String> {
        let Standing { windows, watched_ns, .. } = *self.standing;
        if windows == 0 {
            return Some("no window of 5 s was seen whole: nothing was judged".to_owned());
        }
        let watched = Duration::from_nanos(watched_ns);
        (watched <= self.learn).then(|| {
            format!(
                "only what is wrong by itself was judged: what is normal takes {} s (--learn), {} s were watched",
                self.learn.as_secs(),
                watched.as_secs()
            )
        })
    }
}

/// Edges between services, of what is wanted; busiest first. What is beyond a limit is of no one service.
fn lines(snapshot: &Snapshot, wanted: impl Fn(&Edge) -> bool) -> Vec<Line> {
    let of = |wanted: &dyn Fn(&Edge) -> bool| {
        snapshot.clone().only(|edge| !edge.is_other && wanted(edge)).by_service(|_| true).edges
    };
    // Connections whose two ends are here can be separated only before they are put together with others.
    let pairs = of(&|edge| wanted(edge) && edge.client_view.is_ok() && edge.server_view.is_ok());
    let key = |edge: &Edge| (Service::of(&edge.client.identity), Service::of(&edge.server.identity), edge.server.port);
    let pairs: BTreeMap<_, Edge> = pairs.into_iter().map(|edge| (key(&edge), edge)).collect();
    let mut lines: Vec<Line> = of(&wanted)
        .into_iter()
        .map(|edge| Line { time: split::of(pairs.get(&key(&edge)), &edge, snapshot), edge })
        .collect();
    lines.sort_by_cached_key(|line| std::cmp::Reverse((line.edge.total(|v| v.rounds), line.edge.connects().total())));
    lines
}

/// The processes of these subjects.
fn instances<'a>(subjects: &[Subject], snapshot: &'a Snapshot) -> BTreeMap<u32, Instance<'a>> {
    let mut instances = BTreeMap::new();
    let mut add = |process: &'a Process, identity: &'a Identity| {
        if subjects.iter().any(|subject| subject.is_of(process.pid)) {
            instances.entry(process.pid).or_insert(Instance { process, identity });
        }
    };
    for edge in snapshot.edges.iter().filter(|edge| !edge.is_other) {
        let is_one = |identity: &Identity| subjects.iter().any(|s| s.services.contains(&Service::of(identity)));
        if is_one(&edge.client.identity) {
            edge.client.process.iter().for_each(|process| add(process, &edge.client.identity));
        }
        if is_one(&edge.server.identity) {
            let shares = edge.server_processes.iter().map(|share| &share.process);
            shares.chain(&edge.server.process).for_each(|process| add(process, &edge.server.identity));
        }
    }
    instances
}
