//! P3: a server accepts connections and closes them after its first words, as it has no room for more clients.
//!
//! PostgreSQL's `max_connections`, PgBouncer's `max_client_conn`, MySQL's "Too many connections": the connect succeeds, the
//! server says so much and closes. The kernel half counts connections that the server ends at once after the last operation:
//! within two rounds (`EdgeRecord::closed_early`), and within six (`closed_after_login`), which count where the client has
//! connections that stay: else it may be a short job, whose good-bye is answered (Redis's QUIT, SMTP's). Some clients leave
//! as soon as they have read what they are told, before the server has ended: that these were turned away only the server's
//! end can tell, which has not looked whether they left.
//!
//! It raises when at least 30% of the new connections of 10 s end so with 95% confidence, and three do, while other connections
//! to the same server stay open; it is over below 5%. A server that answers each request on a connection of its own
//! (HTTP/1.0) does the same: only one that closed less than 5% of its connections early before is judged. It pages when
//! none of the client's new connections stays and it has no other.
//!
//! Where it is blind: before it is known what is normal for the server; a server without any lasting connection; clients that
//! leave before a server on another host does.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    evaluate::{Evaluator, Judge},
    finding::Finding,
    incident::{
        alarm::Rule,
        severity::{Effect, Level, Resource, Severity},
    },
    learn::{
        baseline::Learning,
        proportion::{MIN_EVENTS, Proportion},
        subjects::Subjects,
    },
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    rules::Rules,
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::{Edge, Service, View};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "pool_refused",
    says: "a server takes no more connections: it accepts them and closes them after its first words",
    rule: Rule::USUAL,
    minds_changes: false,
};

/// Edges and servers remembered, some 200 bytes each; of more the first ones.
const MAX_UNITS: usize = 8192;
const RAISE: f64 = 0.30;
const CLEAR: f64 = 0.05;
/// So many new connections, and so many of them closed early, can be judged.
const MIN_OPENED: u64 = 3;

/// New connections of one window, and of the one before.
#[derive(Debug, Default)]
struct Client {
    now: (u64, u64),
    before: (u64, u64),
    open: u64,
    /// It has had a connection that stayed.
    stayed: bool,
    address: Option<SocketAddr>,
    process: Option<Place>,
}

/// All clients of a server.
#[derive(Debug, Default)]
struct Server {
    since_ns: Option<u64>,
    /// Ever opened, and closed early, while nothing was wrong.
    opened: u64,
    early: u64,
    now: (u64, u64),
    open: u64,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct PoolRefused {
    learning: Learning,
    clients: Subjects<Client>,
    servers: Subjects<Server>,
}

impl PoolRefused {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, clients: Subjects::up_to(MAX_UNITS), servers: Subjects::up_to(MAX_UNITS) }
    }

    fn gather(&mut self, window: &Window<'_>) {
        self.clients.begin(window.at.monotonic_ns);
        self.servers.begin(window.at.monotonic_ns);
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Ok(view) = &edge.client_view else { continue };
            let service = Service::of(&edge.server.identity);
            let new = (view.connects.ok(), early(edge, view).min(view.connects.ok()));
            if let Some(server) = self.servers.entry(of_server(&service, edge), Server::begin) {
                server.since_ns.get_or_insert(window.at.monotonic_ns);
                server.now = plus(server.now, new);
                server.open = server.open.saturating_add(view.open_connections);
            }
            let unit = Subject::edge(Service::of(&edge.client.identity), service, edge.server.port);
            // Who has not been turned away needs no remembering.
            if new.1 == 0 && !self.clients.contains(&unit) {
                continue;
            }
            if let Some(client) = self.clients.entry(unit, Client::begin) {
                client.add(edge, new, view.open_connections);
            }
        }
    }
}

/// Each end counts those that the other one left first.
fn early(edge: &Edge, view: &View) -> u64 {
    let stays = view.open_connections > 0;
    let at = |view: &View| view.closed_early.saturating_add(if stays { view.closed_after_login } else { 0 });
    at(view).saturating_add(edge.server_view.as_ref().map_or(0, at))
}

fn of_server(service: &Service, edge: &Edge) -> Subject {
    Subject::server(service.clone(), edge.server.port)
}

/// Counts of a recording may be anything.
fn plus(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0.saturating_add(b.0), a.1.saturating_add(b.1))
}

impl Server {
    fn begin(&mut self) {
        (self.now, self.open) = ((0, 0), 0);
    }

    /// How many of its connections it closes early when all is well; none before that is known.
    fn normal(&self, now_ns: u64, learning: Learning) -> Option<(f64, u64)> {
        let age_ns = now_ns.saturating_sub(self.since_ns?);
        (age_ns >= learning.age_ns).then(|| (self.early as f64 / self.opened.max(1) as f64, self.opened))
    }
}

impl Client {
    fn begin(&mut self) {
        *self = Self { before: self.now, stayed: self.stayed || self.open > 0, ..Self::default() };
    }

    fn add(&mut self, edge: &Edge, new: (u64, u64), open: u64) {
        self.now = plus(self.now, new);
        self.open = self.open.saturating_add(open);
        if self.address.is_none() || new.1 > 0 {
            self.address = edge.server.socket_address();
            let process = edge.client.process.as_ref().ok();
            self.process = process.map(Place::of);
        }
    }

    /// Of the last two windows.
    fn refused(&self) -> Proportion {
        let (opened, early) = plus(self.now, self.before);
        Proportion::new(early, opened)
    }

    /// `normal` of the server, and how many connections that is of.
    fn finding(&self, normal: Option<(f64, u64)>, others_stay: bool, rules: Rules) -> Finding {
        let refused = self.refused();
        let Some((normal, of)) = normal else { return Finding::NoData };
        if refused.events == 0 && self.open > 0 {
            return Finding::Clear;
        }
        if refused.events < MIN_OPENED || normal >= CLEAR {
            return Finding::NoData;
        }
        // Whoever never had a lasting connection may ask for none: then it takes a server that is known to let them stay.
        let wants_to_stay = self.stayed || self.open > 0 || of >= MIN_EVENTS;
        // One burst is in two windows.
        let goes_on = self.now.1 > 0 && self.before.1 > 0;
        let many = refused.hits >= MIN_OPENED && rules.least(refused) >= RAISE;
        if others_stay && wants_to_stay && goes_on && many {
            let none_stays = refused.hits == refused.events && self.open == 0;
            return Finding::Raise(Severity::of(
                Level::Critical,
                Some(Resource::Limit),
                none_stays.then_some(Effect::Refused),
            ));
        }
        if refused.share() < CLEAR { Finding::Clear } else { Finding::Between }
    }
}

impl Evaluator for PoolRefused {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.clients.over_limit() + self.servers.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        self.gather(window);
        let now_ns = window.at.monotonic_ns;
        let mut known = BTreeMap::new();
        for (unit, server) in self.servers.seen_in_window() {
            known.insert(unit.clone(), (server.normal(now_ns, self.learning), server.open));
            // What is closed early in numbers is not learned as normal, once that is known.
            let alarming = known[unit].0.is_some_and(|(normal, _)| normal < CLEAR) && server.now.1 >= MIN_OPENED;
            if !alarming {
                (server.opened, server.early) = plus((server.opened, server.early), server.now);
            }
        }
        for (unit, client) in self.clients.seen_in_window() {
            let Some((service, port)) = unit.called() else { continue };
            let (normal, open) = known.get(&Subject::server(service.clone(), port)).copied().unwrap_or_default();
            let finding = client.finding(normal, open > 0, window.rules);
            judge.judge(unit, finding, Trust::Unchecked, || {
                report(unit, client, open, normal.map_or(0.0, |(normal, _)| normal), window.snapshot.window_ns)
            });
        }
    }
}

fn report(unit: &Subject, client: &Client, open: u64, normal: f64, window_ns: u64) -> Result<Report, Defect> {
    let refused = client.refused();
    let (window_ns, n) = (window_ns.saturating_mul(2), refused.events);
    let evidence = |name, value: f64, measure, baseline| {
        Evidence::new(name, Quantity::new(value, measure)?, baseline, window_ns, n)
    };
    let share = evidence("closed at once", refused.share(), Measure::Ratio, Some(Compared::Learned(normal)))?;
    let what = What::new(&share, "of new connections are closed by the server after its first words")?;
    let address = client.address.ok_or(Defect::NoWords)?;
    let command = format!("ss -tn state established 'sport = :{}' | wc -l", address.port());
    let callee = unit.callee().unwrap_or_else(|| unit.to_string());
    let rate = refused.hits as f64 / (window_ns as f64 / 1e9);
    Report::new(
        Some("server limit"),
        what,
        Where::new("connection limit of what listens at", &Place::Address(address), &command)?,
        Why::new(Quantity::new(rate, Measure::Rate("connections/s"))?, "get no service, though the connect succeeds")?,
        [
            share,
            evidence("new connections", n as f64, Measure::Count("connections"), None)?,
            Evidence::new(
                "connections that stay",
                Quantity::new(open as f64, Measure::Count("connections"))?,
                None,
                window_ns,
                open.max(1),
            )?,
        ],
        Origin::new(&callee, Confidence::new(0.75)?)?,
        RuledOut::new(
            "network and listener",
            Quantity::new(n as f64, Measure::Count("connects"))?,
            "succeeded, and the server spoke",
        )?,
        Confidence::new(0.85)?,
    )
}
