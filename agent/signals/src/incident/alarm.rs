//! The alarm of one signal and subject: a state machine from verdicts on windows to a state that does not flap.
//!
//! ```text
//!          a window raises           k of the last n raise, not held back
//!   OK ───────────────────▶ PENDING ────────────────────────────────────────▶ FIRING
//!   ▲ ▲ ◀── none of n does ────┘                                              │   ▲
//!   │ │                                          a window is below the clear line   │ one is not
//!   │ └───────────── m in a row are, 15 s after it fired ──────────────  RESOLVING ◀┘───┘
//! ```
//!
//! A window without enough data is neither one of the n nor one of the m. Such windows do not hold a state for ever: without
//! a window that can be judged a pending alarm is dropped after 30 s, and a firing one ends after 60 s, as `WentSilent`
//! and not as `Cleared`.

use crate::incident::severity::Level;

/// Least time that an alarm fires. A choice: three windows, which is what `Rule::USUAL` takes to clear.
pub(crate) const MIN_FIRING_NS: u64 = 15_000_000_000;
/// An alarm that raises within this time after its end continues the old incident, with its id and without another
/// notification. A choice: a minute covers faults that come and go with a retry or a health check every 10 to 30 s.
pub(crate) const REMEMBERED_NS: u64 = 60_000_000_000;
/// Without a window that can be judged for this long, earlier raises are dropped. A choice: six windows.
pub(crate) const STALE_NS: u64 = 30_000_000_000;
/// And a firing alarm ends. A choice: twice as long, so that a service that a fault silences for a while stays one incident.
pub(crate) const SILENT_NS: u64 = 60_000_000_000;
/// Longest time that changes such as restarts hold an alarm back. A choice: five minutes; a process that restarts in a loop
/// must not hide its own fault.
pub(crate) const MAX_HELD_NS: u64 = 300_000_000_000;

/// How many windows an alarm takes to fire and to clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// k of n: it fires when `raise.0` of the last `raise.1` windows raise. At most `Rule::MAX_WINDOWS`.
    pub raise: (u8, u8),
    /// m: it ends when this many windows in a row are below the clear line.
    pub clear: u8,
}

impl Rule {
    /// Windows that an alarm remembers: two bits each in a `u32`.
    pub const MAX_WINDOWS: u8 = 16;
    /// Two of three windows to fire, three to clear. A choice: one bad window is often noise, and with two the lab's 95th
    /// percentile of the time to detect is 14.5 s, within its target of 15 s (docs/lab.md).
    pub const USUAL: Self = Self { raise: (2, 3), clear: 3 };

    /// k, n and m within `MAX_WINDOWS`, and at least 1.
    fn bounded(self) -> (u32, u32, u8) {
        let n = self.raise.1.clamp(1, Self::MAX_WINDOWS);
        (u32::from(self.raise.0.clamp(1, n)), u32::from(n), self.clear.max(1))
    }
}

/// The verdict of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Above the raise line, at this level.
    Raise(Level),
    /// The same, and sufficient by itself: counts as k windows that raise.
    Proven(Level),
    /// Between the raise and the clear line.
    Between,
    /// Below the clear line.
    Clear,
    /// Too little data.
    NoData,
}

/// State of an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// No fault.
    #[default]
    Ok,
    /// Raised, but not often enough yet, or held back by a change.
    Pending,
    /// A fault.
    Firing,
    /// Still an incident, with the last windows below the clear line.
    Resolving,
}

impl State {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolving => "resolving",
        }
    }

    /// Whether a baseline may learn from this window: only while there is no alarm.
    pub fn is_normal(self) -> bool {
        self == Self::Ok
    }
}

/// How an alarm ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Below the clear line for long enough.
    Cleared,
    /// No data to judge for `SILENT_NS`: not known to be healthy.
    WentSilent,
}

/// The change of state that a window brings, where it matters outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing.
    None,
    /// It fires. `again`: the old incident continues.
    Fired {
        /// The last incident ended at most `REMEMBERED_NS` before the first raise.
        again: bool,
    },
    /// It keeps firing, at another level.
    Level {
        /// The level before.
        from: Level,
    },
    /// It ended.
    Resolved(Ended),
}

/// The state machine. An idle alarm (`is_idle`) can be dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    state: State,
    /// Two bits a window, newest lowest: 0 if it did not raise, else 1 + its level.
    windows: u32,
    clear_run: u8,
    level: Option<Level>,
    /// Times: the first raise, firing, the end of the last incident, the last window that could be judged.
    pending_ns: u64,
    fired_ns: u64,
    ended_ns: Option<u64>,
    judged_ns: u64,
}

impl Alarm {
    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The level while it fires or resolves.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// The first raise, monotonic nanoseconds.
    pub fn pending_since_ns(&self) -> u64 {
        self.pending_ns
    }

    /// Whether dropping it changes nothing: OK, without raises, and with no incident to continue.
    pub fn is_idle(&self, now_ns: u64) -> bool {
        self.state == State::Ok && self.windows == 0 && !self.remembers(now_ns)
    }

    fn remembers(&self, now_ns: u64) -> bool {
        self.ended_ns.is_some_and(|ended_ns| now_ns.saturating_sub(ended_ns) <= REMEMBERED_NS)
    }

    /// Takes a window's verdict. `held`: a recent change of a service of the subject explains a raise.
    pub fn judge(&mut self, rule: Rule, now_ns: u64, verdict: Verdict, held: bool) -> Transition {
        let unjudged_ns = now_ns.saturating_sub(self.judged_ns);
        let firing = matches!(self.state, State::Firing | State::Resolving);
        if !firing && unjudged_ns >= STALE_NS {
            self.windows = 0;
            self.state = State::Ok;
        }
        let long_enough = now_ns.saturating_sub(self.fired_ns) >= MIN_FIRING_NS;
        if verdict == Verdict::NoData {
            return if firing && long_enough && unjudged_ns >= SILENT_NS {
                self.end(now_ns, Ended::WentSilent)
            } else {
                Transition::None
            };
        }
        self.judged_ns = now_ns;
        let (k, n, m) = rule.bounded();
        let (code, times) = match verdict {
            Verdict::Proven(level) => (1 + level as u32, k),
            Verdict::Raise(level) => (1 + level as u32, 1),
            Verdict::Between | Verdict::Clear | Verdict::NoData => (0, 1),
        };
        let windows = (0..times).fold(self.windows, |windows, _| windows << 2 | code);
        self.windows = windows & (u32::MAX >> (32 - 2 * n));
        if firing { self.go_on(now_ns, verdict, (k, n, m)) } else { self.wait(now_ns, verdict, (k, n), held) }
    }

    /// OK or pending.
    fn wait(&mut self, now_ns: u64, verdict: Verdict, (k, n): (u32, u32), held: bool) -> Transition {
        if self.windows == 0 {
            self.state = State::Ok;
            return Transition::None;
        }
        if self.state == State::Ok {
            self.state = State::Pending;
            self.pending_ns = now_ns;
        }
        let held = held && now_ns.saturating_sub(self.pending_ns) < MAX_HELD_NS;
        // Only a window that raises has the evidence for a report.
        let raises = matches!(verdict, Verdict::Raise(_) | Verdict::Proven(_));
        let (Some(level), true, false) = (self.reached(k, n), raises, held) else {
            return Transition::None;
        };
        self.state = State::Firing;
        self.level = Some(level);
        self.fired_ns = now_ns;
        self.clear_run = 0;
        let again = self.ended_ns.take().is_some_and(|at| self.pending_ns.saturating_sub(at) <= REMEMBERED_NS);
        Transition::Fired { again }
    }

    /// Firing or resolving.
    fn go_on(&mut self, now_ns: u64, verdict: Verdict, (k, n, m): (u32, u32, u8)) -> Transition {
        if verdict == Verdict::Clear {
            self.clear_run = self.clear_run.saturating_add(1);
            self.state = State::Resolving;
            let long_enough = now_ns.saturating_sub(self.fired_ns) >= MIN_FIRING_NS;
            return if self.clear_run >= m && long_enough {
                self.end(now_ns, Ended::Cleared)
            } else {
                Transition::None
            };
        }
        self.clear_run = 0;
        self.state = State::Firing;
        let Some(from) = self.level else { return Transition::None };
        // It rises when k of n windows are as bad, and falls only when none of n is. A page needs a window that raises.
        let best = self.worst(n).unwrap_or(from.min(Level::Warn));
        let kept = from.min(best);
        let level = self.reached(k, n).map_or(kept, |level| level.max(kept));
        self.level = Some(level);
        if level == from { Transition::None } else { Transition::Level { from } }
    }

    fn end(&mut self, now_ns: u64, ended: Ended) -> Transition {
        *self = Self { ended_ns: Some(now_ns), judged_ns: self.judged_ns, ..Self::default() };
        Transition::Resolved(ended)
    }

    /// The worst level that k of the last n windows reach.
    fn reached(&self, k: u32, n: u32) -> Option<Level> {
        let as_bad = |level: Level| (0..n).filter(|i| self.code(*i) > level as u32).count() as u32 >= k;
        [Level::Critical, Level::Warn, Level::Info].into_iter().find(|level| as_bad(*level))
    }

    fn worst(&self, n: u32) -> Option<Level> {
        self.reached(1, n)
    }

    fn code(&self, window: u32) -> u32 {
        self.windows >> (2 * window) & 3
    }
}

#[cfg(test)]
mod tests;
