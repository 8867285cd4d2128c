//! Inputs through `Engine`, windows through `Decider`: what `weir signals` does with a recording.

use std::collections::BTreeSet;

use weir_abi::{ConnectOutcome, EdgeKey, EdgeRecord, ROLE_CLIENT, ROLE_SERVER, SLOT_LIVE};
use weir_ebpf::histogram::index;

use crate::{
    decider::Decider,
    incident::{
        decisions::{Decisions, Event, Happened},
        notify::Notification,
    },
    learn::baseline::Learning,
    rules::Rules,
    table::SIGNALS,
};
use weir_engine::{Engine, Input, Polled, Schedule, Started, WindowId};

pub(crate) const S: u64 = 1_000_000_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const BEGIN_S: u64 = 1000;

pub(crate) fn v4(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]
}

pub(crate) fn client(tgid: u32, last: u8) -> EdgeRecord {
    let key = EdgeKey { tgid, netns: 1, role: ROLE_CLIENT, address: v4(last), port: 6379, ..EdgeKey::default() };
    let mut record = EdgeRecord { key, state: SLOT_LIVE, local_address: v4(1), ..EdgeRecord::EMPTY };
    record.comm[..3].copy_from_slice(b"app");
    record
}

pub(crate) fn server(tgid: u32, client: &EdgeRecord) -> EdgeRecord {
    let EdgeKey { tgid: peer_tgid, address, port, .. } = client.key;
    let key = EdgeKey {
        tgid,
        peer_tgid,
        netns: 1,
        role: ROLE_SERVER,
        address,
        port,
        listen_port: port,
        ..EdgeKey::default()
    };
    let mut record = EdgeRecord { key, state: SLOT_LIVE, local_address: address, peer_netns: 1, ..EdgeRecord::EMPTY };
    record.comm[..5].copy_from_slice(b"redis");
    record
}

pub(crate) fn connect(record: &mut EdgeRecord, outcome: ConnectOutcome, n: u64) {
    record.connects[outcome as usize] += n;
    record.opened += if outcome == ConnectOutcome::Ok { n } else { 0 };
}

/// `n` answered requests of a millisecond.
pub(crate) fn answer(record: &mut EdgeRecord, n: u32) {
    record.latency.buckets[index(MS)] += n;
    record.latency.sum_ns += u64::from(n) * MS;
}

/// `n` requests given up after so long, the books balanced.
pub(crate) fn abandon(record: &mut EdgeRecord, n: u64, after_ns: u64) {
    record.rounds_abandoned += n;
    record.unanswered_ns += n * after_ns;
}

/// An engine and a decider, and what they take each second.
pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) decider: Decider,
    /// Seconds since it began.
    pub(crate) now_s: u64,
    pub(crate) records: Vec<(u32, EdgeRecord)>,
    /// What is polled each second.
    pub(crate) polls: Vec<Polled>,
    /// When, in seconds, and what.
    pub(crate) events: Vec<(u64, Event)>,
    pub(crate) sent: Vec<(u64, Notification)>,
    /// Of this signal alone.
    only: Option<&'static str>,
}

/// Incidents have classes of their signal's row alone, and one of them where it lists some.
fn assert_class_is_listed(event: &Event) {
    let document = event.alert.document();
    let row = SIGNALS.iter().find(|signal| signal.name == document.signal).expect("a row");
    match document.class {
        Some(class) => assert!(row.classes.contains(&class), "{}: class {class} is not in its row", row.name),
        None => assert!(row.classes.is_empty(), "{}: no class", row.name),
    }
}

impl Lab {
    pub(crate) fn new(records: impl IntoIterator<Item = EdgeRecord>) -> Self {
        let mut engine = Engine::new([Schedule::Tumbling { span_ns: 5 * S }]);
        engine.take(Input::Started(Started { monotonic_ns: BEGIN_S * S, unix_ns: S, ..Started::default() }));
        let decider = Decider::new(Learning::of(30 * S));
        let records = (11..).zip(records).collect();
        Self { engine, decider, now_s: 0, records, polls: Vec::new(), events: Vec::new(), sent: Vec::new(), only: None }
    }

    /// By other rules than weir's; before it runs.
    pub(crate) fn following(self, rules: Rules) -> Self {
        Self { decider: Decider::following(rules, Learning::of(30 * S)), ..self }
    }

    /// Events of this signal alone.
    pub(crate) fn only(self, signal: &'static str) -> Self {
        Self { only: Some(signal), ..self }
    }

    /// Lets it run; each second the records go on as `second` has it.
    pub(crate) fn run(&mut self, seconds: u64, mut second: impl FnMut(u64, &mut [(u32, EdgeRecord)])) -> &mut Self {
        for _ in 0..seconds {
            self.now_s += 1;
            second(self.now_s, &mut self.records);
            for (slot, record) in &self.records {
                self.engine.take(Input::Edge { slot: *slot, record });
            }
            for polled in &self.polls {
                self.engine.take(Input::Polled(polled));
            }
            let monotonic_ns = (BEGIN_S + self.now_s) * S;
            let ended = self.engine.take(Input::Tick { monotonic_ns, unix_ns: S + self.now_s * S });
            if ended.contains(WindowId::FIRST) {
                let Decisions { events, notifications } =
                    self.decider.window(monotonic_ns, &self.engine.snapshot(WindowId::FIRST));
                events.iter().for_each(assert_class_is_listed);
                let events = events.into_iter();
                let events = events.filter(|event| self.only.is_none_or(|only| event.alert.document().signal == only));
                self.events.extend(events.map(|event| (self.now_s, event)));
                self.sent.extend(notifications.into_iter().map(|notification| (self.now_s, notification)));
            }
        }
        self
    }

    pub(crate) fn happened(&self) -> Vec<(u64, Happened)> {
        self.events.iter().map(|(at, event)| (*at, event.happened)).collect()
    }

    pub(crate) fn subjects(&self) -> BTreeSet<String> {
        self.events.iter().map(|(_, event)| event.alert.subject().to_string()).collect()
    }
}
