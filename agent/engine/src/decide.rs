//! The decision engine: from windows of edges to incidents that say what, where and why.
//!
//! ```text
//! Snapshot ─▶ Evaluator (one a signal) ─▶ Alarm (one a signal and unit) ─▶ Incident ─▶ Event, Notification
//!              │ reads counts, compares     │ k of n, hysteresis             │ Alert: the contract
//!              │ with what is normal        │ held back around restarts      │ limits: per incident and host
//! ```
//!
//! Pure like the engine that it stands behind: the same windows come to the same incidents, from a recording too. A window
//! is five seconds of `Engine::snapshot` by process and address, closed with `Engine::close_window`.
//!
//! # Adding a signal
//!
//! A file with a `Signal` (its row: name, sentence, how many windows it takes, whether restarts explain it) and an
//! `Evaluator`; a line in `decider::evaluators`; a row of `SIGNALS`. The evaluator
//!
//! 1. puts together what the window says of each unit (`Unit`: an edge between services, a process's pool, a listener, …);
//! 2. finds a `Finding` for each: `Raise` with a `Severity`, which is critical only with a `Resource` and an `Effect` key;
//!    `Clear` below a lower line; `Between`; or `NoData` where the counts gate (`Proportion::gated`) says so;
//! 3. tells `Judge::judge`, with `Trust::of` the views that it timed anything with, and a closure that makes the `Report`
//!    if it will be read;
//! 4. learns what is normal (`Baseline::take`), frozen unless the answer is `State::Ok`.
//!
//! What it must not do: keep time by itself, count windows, remember what it raised, or decide who is told.

mod abandoned_work;
mod accept_queue;
mod alarm;
mod alert;
mod answers;
mod baseline;
mod callees;
mod changes;
mod client_stall;
mod contract;
mod cpu_throttled;
mod cpu_wait;
mod decider;
mod decisions;
mod edge_errors;
mod evaluate;
mod evidence;
mod fds_exhausted;
mod forecast;
mod host_limits;
mod hung_request;
mod incidents;
#[cfg(test)]
mod lab;
mod listen_overflow;
mod notify;
mod observed;
mod owners;
mod peer_not_reading;
mod pool;
mod ports_exhausted;
mod pressure;
mod proportion;
mod quantity;
mod receive_queue;
mod report;
mod rules;
mod send_limited;
mod senders;
mod severity;
mod signal;
mod suspects;
mod trust;
mod unit;
mod units;
mod unix_queue;
mod waits;
mod worst;

pub use abandoned_work::AbandonedWork;
pub use accept_queue::AcceptQueueEvaluator;
pub use alarm::{Alarm, Ended, Rule, State, Transition, Verdict};
pub use alert::{Alert, Document, Heading, Item, MAX_TEXT, Suspect};
pub use baseline::{Baseline, Learning, Normal};
pub use callees::Callees;
pub use changes::{Change, ChangeKind, Changes};
pub use client_stall::ClientStall;
pub use contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why};
pub use cpu_throttled::CpuThrottled;
pub use cpu_wait::CpuWait;
pub use decider::Decider;
pub use decisions::{Decisions, Event, Happened, Lost, Pending};
pub use edge_errors::EdgeErrors;
pub use evaluate::{Evaluator, Judge};
pub use evidence::{Compared, Evidence};
pub use fds_exhausted::FdsExhausted;
pub use forecast::{Exhaustion, Forecast};
pub use host_limits::HostLimit;
pub use hung_request::HungRequest;
pub use incidents::{Incidents, MAX_ALARMS, MAX_INCIDENTS};
pub use listen_overflow::ListenOverflow;
pub use notify::{Limiter, Notification};
pub use peer_not_reading::PeerNotReading;
pub use pool::{PoolExhausted, PoolNearLimit, PoolRefused};
pub use ports_exhausted::PortsExhausted;
pub use pressure::PressureStall;
pub use proportion::{MIN_EVENTS, Proportion};
pub use quantity::{Measure, Quantity};
pub use receive_queue::ReceiveQueue;
pub use report::Report;
pub use rules::Rules;
pub use send_limited::SendLimited;
pub use severity::{Effect, Level, Resource, Severity, TwoKeys};
pub use signal::{Finding, Moment, Signal, WINDOW_NS, Window};
pub use trust::Trust;
pub use unit::{Service, Unit};
pub use unix_queue::UnixQueue;

/// Every signal that is decided on: pools first, then edges, queues, and resources.
pub const SIGNALS: &[&Signal] = &[
    &pool::EXHAUSTED,
    &pool::NEAR_LIMIT,
    &pool::REFUSED,
    &edge_errors::SIGNAL,
    &abandoned_work::SIGNAL,
    &hung_request::SIGNAL,
    &accept_queue::SIGNAL,
    &receive_queue::SIGNAL,
    &client_stall::SIGNAL,
    &listen_overflow::SIGNAL,
    &peer_not_reading::SIGNAL,
    &send_limited::SIGNAL,
    &ports_exhausted::SIGNAL,
    &cpu_throttled::SIGNAL,
    &cpu_wait::SIGNAL,
    &pressure::SIGNAL,
    &fds_exhausted::SIGNAL,
    &host_limits::CONNTRACK_FULL,
    &host_limits::TIME_WAIT,
    &host_limits::TCP_MEMORY,
    &host_limits::UDP_QUEUE,
    &unix_queue::SIGNAL,
];
