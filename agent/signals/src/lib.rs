//! The decision engine: from windows of edges to incidents that say what, where and why.
//!
//! ```text
//! Snapshot ─▶ Evaluator (one a signal) ─▶ Alarm (one a signal and unit) ─▶ Incident ─▶ Event, Notification
//!              │ reads counts, compares     │ k of n, hysteresis             │ Alert: the contract
//!              │ with what is normal        │ held back around restarts      │ limits: per incident and host
//! ```
//!
//! Pure like the engine that it stands behind: the same windows come to the same incidents, from a recording too. A window
//! is five seconds of `Engine::snapshot` by process and address, which ends at a tick.
//!
//! # Adding a signal
//!
//! A file with a `Signal` (its row: name, sentence, how many windows it takes, whether restarts explain it) and an
//! `Evaluator`; a line in `decider::evaluators`; a row of `SIGNALS`. The evaluator
//!
//! 1. puts together what the window says of each unit (`Subject`: an edge between services, a process's pool, a listener, …);
//! 2. finds a `Finding` for each: `Raise` with a `Severity`, which is critical only with a `Resource` and an `Effect` key;
//!    `Clear` below a lower line; `Between`; or `NoData` where the counts gate (`Proportion::gated`) says so;
//! 3. tells `Judge::judge`, with `Trust::of` the views that it timed anything with, and a closure that makes the `Report`
//!    if it will be read;
//! 4. learns what is normal (`Baseline::take`), frozen unless the answer is `State::Ok`.
//!
//! What it must not do: keep time by itself, count windows, remember what it raised, or decide who is told.

#![forbid(unsafe_code)]

mod decider;
mod evaluate;
mod facts;
mod finding;
mod incident;
#[cfg(test)]
mod lab;
mod learn;
mod pipeline;
mod report;
mod rules;
mod signal;
mod subject;
mod table;
mod trust;
mod window;
mod worst;

pub use decider::Decider;
pub use evaluate::{Evaluator, Judge};
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
pub use report::contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why};
pub use report::evidence::{Compared, Evidence};
pub use report::quantity::{Measure, Quantity};
pub use rules::Rules;
pub use subject::Subject;
pub use table::{SIGNALS, Signal};
pub use trust::Trust;
pub use window::{Moment, WINDOW_NS, Window};
