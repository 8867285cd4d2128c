//! A server accepts connections and closes them after its first words, as it has reached its limit of clients.
//!
//! PostgreSQL's `max_connections`, PgBouncer's `max_client_conn`, MySQL's "Too many connections": the connect succeeds, the
//! server says so much and closes. The kernel half counts connections that the server ends at once after the last operation:
//! within two rounds (`EdgeRecord::closed_early`), and within six (`closed_after_login`), which count where the client has
//! connections that stay: else it may be a short job, whose good-bye is answered (Redis's QUIT, SMTP's). Some clients leave
//! as soon as they have read the refusal, before the server has ended: that these were turned away only the server's
//! end can tell, which has not looked whether they left.
//!
//! It raises when at least 30% of the new connections of 10 s end so with 95% confidence, and three do, while other connections
//! to the same server stay open; it is over below 5%. A server that answers each request on a connection of its own
//! (HTTP/1.0) does the same: only one that closed less than 5% of its connections early before is judged. It pages when
//! none of the client's new connections stays and it has no other.
//!
//! Where it is blind: before it is known what is normal for the server; a server without any lasting connection; clients that
//! leave before a server on another host does.

use std::collections::BTreeMap;

use crate::{learn::baseline::Learning, signal::prelude::*};
use weir_engine::{Edge, View};

/// The id of its only class.
const CLASS: &str = "server limit";

/// Servers remembered, some 200 bytes each; of more the first ones.
const MAX_SERVERS: usize = 8192;
/// Shares of the new connections that are closed early: to raise, to be over, or to be the server's habit.
/// Choices; a server for one-shot requests (H11) closes all of them early.
const RAISE: f64 = 0.30;
const CLEAR: f64 = 0.05;
/// So many new connections, and so many of them closed early, can be judged. A choice.
const MIN_OPENED: u64 = 3;

/// New connections, and those of them that the server closed early.
#[derive(Clone, Copy, Debug, Default)]
struct New {
    opened: u64,
    early: u64,
}

/// All clients of a server.
#[derive(Debug, Default)]
struct Server {
    since_ns: Option<u64>,
    /// Ever, while nothing was wrong.
    well: New,
    now: New,
    open: u64,
}

/// What a client is compared with.
#[derive(Clone, Copy, Debug, Default)]
struct Normal {
    /// The share of its connections that the server closes early when all is well, and how many that is of; none before
    /// that is known.
    habit: Option<(f64, u64)>,
    /// Connections of any client that stay.
    open: u64,
}

/// What is remembered of a client.
#[derive(Debug, Default)]
pub(crate) struct Client {
    before: New,
    /// It has had a connection that stayed.
    stayed: bool,
}

/// What a window holds of a client.
pub(crate) struct Input<'f> {
    now: New,
    open: u64,
    ends: Ends<'f>,
    server: Normal,
}

/// A client's new connections, of two windows.
pub(crate) struct Reading<'f> {
    input: Input<'f>,
    before: New,
    stayed: bool,
}

/// The signal.
#[derive(Debug)]
pub(crate) struct PoolRefused {
    servers: Subjects<Server>,
}

impl Default for PoolRefused {
    fn default() -> Self {
        Self { servers: Subjects::up_to(MAX_SERVERS) }
    }
}

impl Detector for PoolRefused {
    const CLASSES: &'static [&'static str] = &[CLASS];
    /// Clients that were turned away, some 200 bytes each.
    const LIMIT: usize = 8192;

    type Memory = Client;
    type Input<'f> = Input<'f>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Client>) -> Inputs<'f, Input<'f>> {
        let pairs: Inputs<'f, Input<'f>> = facts
            .by_pair()
            .into_iter()
            .filter(|(_, edges)| edges.iter().any(|facts| facts.client().is_some()))
            .map(|(subject, edges)| (subject, Input::of(edges)))
            .collect();
        self.servers.begin(facts.now_ns());
        for (subject, input) in &pairs {
            if let Some(server) = of_server(subject).and_then(|server| self.servers.entry(server, Server::reset)) {
                server.add(facts.now_ns(), input);
            }
        }
        let normal = self.normal(facts.now_ns(), facts.learning);
        let server = |subject: &Subject| of_server(subject).and_then(|server| normal.get(&server).copied());
        let compared = pairs.into_iter().map(|(subject, input)| {
            let server = server(&subject).unwrap_or_default();
            (subject, Input { server, ..input })
        });
        compared.collect()
    }

    /// A client that has not been turned away needs no remembering.
    fn is_notable(input: &Input<'_>) -> bool {
        input.now.early > 0
    }

    fn read<'f>(&self, input: Input<'f>, client: &mut Client, _: &'f Facts<'f>) -> Option<Reading<'f>> {
        Some(Reading { input, before: client.before, stayed: client.stayed })
    }

    fn verdict(&self, reading: &Reading<'_>, rules: Rules) -> Finding {
        reading.finding(rules)
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report(subject, reading, window_ns)
    }

    fn learn(&self, client: &mut Client, reading: &Reading<'_>, _: Learn) {
        client.before = reading.input.now;
        client.stayed |= reading.input.open > 0;
    }

    fn over_limit(&self) -> u64 {
        self.servers.over_limit()
    }
}

impl PoolRefused {
    /// What is normal for each server that the window has data of; and learns it.
    fn normal(&mut self, now_ns: u64, learning: Learning) -> BTreeMap<Subject, Normal> {
        let mut normal = BTreeMap::new();
        for (subject, server) in self.servers.seen_in_window() {
            let habit = server.habit(now_ns, learning);
            normal.insert(subject.clone(), Normal { habit, open: server.open });
            // What is closed early in numbers is not learned as normal, once that is known.
            let is_alarming = habit.is_some_and(|(share, _)| share < CLEAR) && server.now.early >= MIN_OPENED;
            if !is_alarming {
                server.well = server.well.plus(server.now);
            }
        }
        normal
    }
}

fn of_server(pair: &Subject) -> Option<Subject> {
    let (server, port) = pair.called()?;
    Some(Subject::server(server.clone(), port))
}

/// Each end counts those that the other one left first.
fn early(edge: &Edge, view: &View) -> u64 {
    let stays = view.open_connections > 0;
    let at = |view: &View| view.closed_early.saturating_add(if stays { view.closed_after_login } else { 0 });
    at(view).saturating_add(edge.server_view.as_ref().map_or(0, at))
}

impl New {
    /// Counts of a recording may be anything.
    fn plus(self, other: Self) -> Self {
        Self { opened: self.opened.saturating_add(other.opened), early: self.early.saturating_add(other.early) }
    }
}

impl Server {
    fn reset(&mut self) {
        (self.now, self.open) = (New::default(), 0);
    }

    fn add(&mut self, now_ns: u64, client: &Input<'_>) {
        self.since_ns.get_or_insert(now_ns);
        self.now = self.now.plus(client.now);
        self.open = self.open.saturating_add(client.open);
    }

    fn habit(&self, now_ns: u64, learning: Learning) -> Option<(f64, u64)> {
        let age_ns = now_ns.saturating_sub(self.since_ns?);
        let share = self.well.early as f64 / self.well.opened.max(1) as f64;
        (age_ns >= learning.age_ns).then_some((share, self.well.opened))
    }
}

impl<'f> Input<'f> {
    fn of(edges: &[EdgeFacts<'f>]) -> Self {
        let mut input = Self { now: New::default(), open: 0, ends: Ends::default(), server: Normal::default() };
        for facts in edges {
            let Some(view) = facts.client() else { continue };
            let opened = view.connects.ok();
            let new = New { opened, early: early(facts.edge, view).min(opened) };
            input.now = input.now.plus(new);
            input.open = input.open.saturating_add(view.open_connections);
            input.ends.look(facts.edge, new.early);
        }
        input
    }
}

impl Reading<'_> {
    fn refused(&self) -> Proportion {
        let New { opened, early } = self.input.now.plus(self.before);
        Proportion::new(early, opened)
    }

    fn finding(&self, rules: Rules) -> Finding {
        let Input { now, open, server, .. } = self.input;
        let refused = self.refused();
        let Some((habit, of)) = server.habit else { return Finding::NoData };
        if refused.events == 0 && open > 0 {
            return Finding::Clear;
        }
        if refused.events < MIN_OPENED || habit >= CLEAR {
            return Finding::NoData;
        }
        // A client that never had a lasting connection may want none: then it takes a server that is known to let them stay.
        let wants_to_stay = self.stayed || open > 0 || of >= MIN_EVENTS;
        // One burst is in two windows.
        let goes_on = now.early > 0 && self.before.early > 0;
        let many = refused.hits >= MIN_OPENED && rules.least(refused) >= RAISE;
        if server.open > 0 && wants_to_stay && goes_on && many {
            let none_stays = refused.hits == refused.events && open == 0;
            let effect = none_stays.then_some(Effect::Refused);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), effect));
        }
        if refused.share() < CLEAR { Finding::Clear } else { Finding::Between }
    }
}

fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let refused = reading.refused();
    let Normal { habit, open } = reading.input.server;
    let (window_ns, n) = (window_ns.saturating_mul(2), refused.events);
    let sample = Sample { window_ns, n };
    let normal = habit.map_or(0.0, |(share, _)| share);
    let connections = Measure::Count("connections");
    let share = sample.learned("closed at once", refused.share(), Measure::Ratio, normal)?;
    let address = reading.input.ends.address.ok_or(Defect::NoWords)?;
    let command = format!("ss -tn state established 'sport = :{}' | wc -l", address.port());
    let rate = refused.hits as f64 / (window_ns as f64 / 1e9);
    let rate = Quantity::new(rate, Measure::Rate("connections/s"))?;
    let connects = count(n as f64, "connects")?;
    Parts {
        class: Some(CLASS),
        what: What::new(&share, "of new connections are closed by the server after its first words")?,
        place: Where::new("connection limit of what listens at", &Place::Address(address), &command)?,
        why: Why::new(rate, "get no service, though the connect succeeds")?,
        evidence: [
            share,
            sample.evidence("new connections", n as f64, connections)?,
            Sample { window_ns, n: open.max(1) }.evidence("connections that stay", open as f64, connections)?,
        ],
        more: Vec::new(),
        origin: Origin::new(&callee(subject), Confidence::new(0.75)?)?,
        ruled_out: vec![RuledOut::new("network and listener", connects, "succeeded, and the server spoke")?],
        confidence: 0.85,
    }
    .report()
}
