//! The decision engine: from windows of edges to incidents that say what, where and why.
//!
//! ```text
//! Snapshot ─▶ Facts ─▶ Evaluator (one a signal) ─▶ Alarm (one a signal and subject) ─▶ Incident ─▶ Event, Notification
//!              │ once a    │ reads counts, compares     │ k of n, hysteresis               │ Alert: the contract
//!              │ window    │ with what is normal        │ held back around restarts        │ limits: per incident and host
//! ```
//!
//! Pure like the engine that it stands behind: the same windows come to the same incidents, from a recording too. A window
//! is five seconds of `Engine::snapshot` by process and address, which ends at a tick.
//!
//! # Adding a signal
//!
//! A file with a `Detector`, a row in `table.rs`, a section in docs/signals.md, a scenario of the lab. The detector
//!
//! 1. takes what `Facts` hold of each subject (`Subject`: an edge between services, a process's pool, a listener, …), and
//!    makes a reading of it, beside what is normal. Views that overlap or contradict themselves are left out there;
//! 2. judges the reading, a pure function: `Raise` with a `Severity`, which is critical only with a `Resource` and an
//!    `Effect` key; `Clear` below a lower line; `Between`; or `NoData` where the counts gate (`Proportion::gated`) says so;
//! 3. makes the `Report` of a reading that raises;
//! 4. learns what is normal (`Baselines::learn`), which the driver freezes unless the alarm is OK.
//!
//! What it must not do: keep time by itself, count windows, remember what it raised, or decide who is notified.

#![forbid(unsafe_code)]

mod decider;
mod driver;
mod evaluate;
mod facts;
mod finding;
mod incident;
#[cfg(test)]
mod lab;
mod learn;
mod pipeline;
mod report;
mod row;
mod rules;
mod signal;
mod subject;
mod table;
mod window;

pub use decider::Decider;
pub use finding::Finding;
pub use incident::alarm::{Alarm, Ended, Rule, State, Transition, Verdict};
pub use incident::changes::{Change, ChangeKind, Changes};
pub use incident::decisions::{Decisions, Event, Happened, Lost, Pending};
pub use incident::incidents::{Incidents, MAX_ALARMS, MAX_INCIDENTS};
pub use incident::journal::{Entry, PendingAlarm, Standing};
pub use incident::notify::{Limiter, Notification};
pub use incident::severity::{Effect, Level, Resource, Severity, TwoKeys};
pub use learn::baseline::{Baseline, Learning, Normal};
pub use learn::forecast::{Exhaustion, Forecast};
pub use learn::proportion::{MIN_EVENTS, Proportion};
pub use pipeline::{Deciding, Live, Pipeline, Update, Wanted};
pub use report::Report;
pub use report::alert::{Alert, Document, Heading, Item, MAX_TEXT, Suspect};
pub use report::contract::{Confidence, Origin, Place, RuledOut, What, Where, Why};
pub use report::defect::Defect;
pub use report::evidence::{Compared, Evidence};
pub use report::quantity::{Measure, Quantity};
pub use row::Signal;
pub use rules::Rules;
pub use subject::Subject;
pub use table::{Row, SIGNALS};
pub use window::{Moment, WINDOW_NS};
