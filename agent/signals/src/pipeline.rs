//! From inputs to updates: windows, decisions and incidents behind one call.
//!
//! ```text
//! Input ─▶ Engine ─▶ windows: live │ decision │ total │ since the last export ─┐
//!                                      ▼                                       ▼
//!                                   Decider ─▶ incidents ───────────────────▶ Update ─▶ sinks
//! ```
//!
//! No clock, no I/O, and it cannot fail: the same inputs come to the same updates, live and from a recording.

use std::sync::Arc;

use weir_engine::{Cadence, Ended, Engine, Gaps, Input, Schedule, Snapshot, WindowId};

use crate::{
    decider::Decider,
    incident::journal::{Journal, Standing},
    learn::baseline::Learning,
    rules::Rules,
    window::{Moment, WINDOW_NS},
};

/// Which windows an update is to have: only these are kept, and snapshots are made of no others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    /// What is going on.
    pub live: Option<Live>,
    /// Windows of five seconds, judged.
    pub decisions: Option<Deciding>,
    /// Everything since the start, with the last update.
    pub total: bool,
    /// What an exporter of differences sends, after each span of so many nanoseconds.
    pub export_every_ns: Option<u64>,
}

/// A live window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// What it covers.
    pub schedule: Schedule,
    /// How often an update has it, nanoseconds: the span of a tumbling window, the refresh of a sliding one.
    pub every_ns: u64,
}

/// How windows are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deciding {
    /// By which rules.
    pub rules: Rules,
    /// What it takes to know what is normal.
    pub learning: Learning,
}

/// What the pipeline hands out: immutable, and shared with any number of sinks.
#[derive(Clone, Debug)]
pub struct Update {
    /// The tick that it is of.
    pub at: Moment,
    /// The stream has ended: windows are as far as they got.
    pub is_final: bool,
    /// The live window.
    pub live: Option<Arc<Snapshot>>,
    /// Everything since the start.
    pub total: Option<Arc<Snapshot>>,
    /// What there was since the last export.
    pub since_export: Option<Arc<Snapshot>>,
    /// Incidents as they stand; with windows that are judged.
    pub incidents: Option<Arc<Standing>>,
    /// Inputs that a recording could not take.
    pub gaps: Gaps,
}

/// The whole user half between its sources and its sinks.
#[derive(Debug)]
pub struct Pipeline {
    engine: Engine,
    at: Moment,
    live: Option<(WindowId, LiveDue)>,
    decisions: Option<(WindowId, Decider, Journal)>,
    total: Option<WindowId>,
    export: Option<WindowId>,
    /// As of the last decision.
    standing: Option<Arc<Standing>>,
    /// Windows that ended with the last input: their update was handed out with it.
    ended: Ended,
}

/// When an update has the live window.
#[derive(Clone, Copy, Debug)]
enum LiveDue {
    /// When it ends.
    AtItsEnd,
    /// In between.
    Every(Cadence),
}

impl Pipeline {
    /// One without inputs.
    pub fn new(wanted: Wanted) -> Self {
        let Wanted { live, decisions, total, export_every_ns } = wanted;
        let mut schedules = Vec::new();
        let mut window = |schedule| {
            schedules.push(schedule);
            WindowId::nth(schedules.len() - 1)
        };
        let live = live.map(|Live { schedule, every_ns }| {
            let due = match schedule {
                Schedule::Tumbling { .. } => LiveDue::AtItsEnd,
                Schedule::Sliding { .. } | Schedule::Whole => LiveDue::Every(Cadence::every(every_ns)),
            };
            (window(schedule), due)
        });
        let decisions = decisions.map(|Deciding { rules, learning }| {
            let id = window(Schedule::Tumbling { span_ns: WINDOW_NS });
            (id, Decider::following(rules, learning), Journal::default())
        });
        let total = total.then(|| window(Schedule::Whole));
        let export = export_every_ns.map(|span_ns| window(Schedule::Tumbling { span_ns }));
        Self {
            standing: decisions.as_ref().map(|_| Arc::default()),
            engine: Engine::new(schedules),
            at: Moment::default(),
            live,
            decisions,
            total,
            export,
            ended: Ended::default(),
        }
    }

    /// Takes one input. An update comes of a tick that ends a window, or at which a sliding one is due.
    pub fn take(&mut self, input: Input<'_>) -> Option<Update> {
        let tick = self.note(&input);
        let ended = self.engine.take(input);
        self.ended = ended;
        let now_ns = tick?;
        let is_live = self.live.as_mut().is_some_and(|(window, due)| match due {
            LiveDue::AtItsEnd => ended.contains(*window),
            LiveDue::Every(cadence) => cadence.tick(now_ns),
        });
        let is_judged = self.decisions.as_ref().is_some_and(|(window, ..)| ended.contains(*window));
        let is_exported = self.export.is_some_and(|window| ended.contains(window));
        if !(is_live || is_judged || is_exported) {
            return None;
        }
        if is_judged {
            self.decide();
        }
        Some(Update {
            live: self.live.filter(|_| is_live).map(|(window, _)| self.snapshot(window)),
            since_export: self.export.filter(|_| is_exported).map(|window| self.snapshot(window)),
            ..self.update()
        })
    }

    /// The stream has ended, with a tick: what all windows hold. Of a decision's window at least half must be there: less
    /// is no window. A window that ended with the last tick was handed out with it, and nothing has come since.
    pub fn finish(&mut self) -> Update {
        let is_open = |window: &WindowId| !self.ended.contains(*window);
        let live = self.live.map(|(window, _)| window).filter(is_open);
        let export = self.export.filter(is_open);
        if self.decisions.as_ref().is_some_and(|(window, ..)| is_open(window)) {
            self.decide();
        }
        Update {
            is_final: true,
            live: live.map(|window| self.snapshot(window)),
            total: self.total.map(|window| self.snapshot(window)),
            since_export: export.map(|window| self.snapshot(window)),
            ..self.update()
        }
    }

    /// Whether a tick at that time would end a window: what is idle or gathered in the kernel half must come out with it.
    pub fn would_end(&self, monotonic_ns: u64) -> bool {
        self.engine.would_end(monotonic_ns)
    }

    /// What the stream is of, or the time of a tick.
    fn note(&mut self, input: &Input<'_>) -> Option<u64> {
        match *input {
            Input::Started(ref started) => {
                if let Some((_, LiveDue::Every(cadence))) = &mut self.live {
                    cadence.start(started.monotonic_ns);
                }
                if let Some((.., journal)) = &mut self.decisions {
                    self.standing = Some(Arc::new(journal.begin(started)));
                }
                None
            }
            Input::Tick { monotonic_ns, unix_ns } => {
                self.at = Moment { monotonic_ns, unix_ns };
                Some(monotonic_ns)
            }
            _ => None,
        }
    }

    fn decide(&mut self) {
        let Some((window, decider, journal)) = &mut self.decisions else { return };
        let snapshot = self.engine.snapshot(*window);
        if snapshot.window_ns < WINDOW_NS / 2 {
            return;
        }
        let decisions = decider.window(snapshot.end_monotonic_ns, &snapshot);
        self.standing = Some(Arc::new(journal.add(&snapshot, decisions, decider)));
    }

    fn snapshot(&self, window: WindowId) -> Arc<Snapshot> {
        Arc::new(self.engine.snapshot(window))
    }

    fn update(&self) -> Update {
        Update {
            at: self.at,
            is_final: false,
            live: None,
            total: None,
            since_export: None,
            incidents: self.standing.clone(),
            gaps: self.engine.gaps(),
        }
    }
}

#[cfg(test)]
mod tests;
