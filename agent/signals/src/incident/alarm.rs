//! One signal of one unit: from verdicts on windows to an alarm that does not flap.
//!
//! ```text
//!          a window raises           k of the last n raise, nothing holds it
//!   OK ───────────────────▶ PENDING ────────────────────────────────────────▶ FIRING
//!   ▲ ▲ ◀── none of n does ────┘                                              │   ▲
//!   │ │                                          a window is below the clear line   │ one is not
//!   │ └───────────── m in a row are, 15 s after it fired ──────────────  RESOLVING ◀┘───┘
//! ```
//!
//! A window without enough data counts neither way: it is none of the n and none of the m. But it holds nothing up for
//! ever: what was raised is forgotten when no window could be judged for 30 s, and an alarm is over, as `WentSilent` and
//! not as `Cleared`, when none could be for 60 s.

use crate::incident::severity::Level;

/// The least that an alarm fires: shorter is noise to who reads it.
pub(crate) const MIN_FIRING_NS: u64 = 15_000_000_000;
/// A raise this soon after the end goes on with the old incident.
pub(crate) const REMEMBERED_NS: u64 = 60_000_000_000;
/// Raises are forgotten when no window could be judged for so long.
pub(crate) const STALE_NS: u64 = 30_000_000_000;
/// And an alarm is over.
pub(crate) const SILENT_NS: u64 = 60_000_000_000;
/// What happens around it (a restart) can hold an alarm back for so long: a process that restarts for ever is no excuse.
pub(crate) const MAX_HELD_NS: u64 = 300_000_000_000;

/// How many windows it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// It fires when `raise.0` of the last `raise.1` windows raise (at most `Rule::MAX_WINDOWS`).
    pub raise: (u8, u8),
    /// It is over when so many in a row are below the clear line.
    pub clear: u8,
}

impl Rule {
    /// As far back as an alarm remembers.
    pub const MAX_WINDOWS: u8 = 16;
    /// What signals start from: two of three windows, three to clear.
    pub const USUAL: Self = Self { raise: (2, 3), clear: 3 };

    /// The rule within what can be remembered: at least 1 of 1.
    fn bounded(self) -> (u32, u32, u8) {
        let n = self.raise.1.clamp(1, Self::MAX_WINDOWS);
        (u32::from(self.raise.0.clamp(1, n)), u32::from(n), self.clear.max(1))
    }
}

/// What one window says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Above the raise line, and how bad.
    Raise(Level),
    /// The same, and proof enough by itself: as good as k windows that raise.
    Proven(Level),
    /// Between the lines.
    Between,
    /// Below the clear line.
    Clear,
    /// Too little to tell.
    NoData,
}

/// Where an alarm stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// Something may be: not often enough yet, or held back.
    Pending,
    /// It is.
    Firing,
    /// It was, and the last windows are below the clear line.
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

    /// Whether what is normal may be learned from this: what an alarm is about is not.
    pub fn is_normal(self) -> bool {
        self == Self::Ok
    }
}

/// How an alarm came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Below the clear line for long enough.
    Cleared,
    /// There has been nothing to judge: not known to be well.
    WentSilent,
}

/// What a window has changed that others should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing.
    None,
    /// It fires. `again`: the old incident goes on.
    Fired {
        /// The last one ended less than `REMEMBERED_NS` before.
        again: bool,
    },
    /// It goes on firing, better or worse than before.
    Level {
        /// How bad it was.
        from: Level,
    },
    /// It is over.
    Resolved(Ended),
}

/// The state machine. An alarm that is OK and remembers nothing need not be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    state: State,
    /// Two bits a window, latest lowest: 0 for one that did not raise, else 1 + its level.
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
    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// How bad it is; none unless it fires.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// Since when something may be wrong.
    pub fn pending_since_ns(&self) -> u64 {
        self.pending_ns
    }

    /// Nothing is lost when it is forgotten.
    pub fn is_idle(&self, now_ns: u64) -> bool {
        self.state == State::Ok && self.windows == 0 && !self.remembers(now_ns)
    }

    fn remembers(&self, now_ns: u64) -> bool {
        self.ended_ns.is_some_and(|ended_ns| now_ns.saturating_sub(ended_ns) <= REMEMBERED_NS)
    }

    /// Takes a window's verdict. `held`: what happens around the unit explains it, for now.
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
        // It fires on a window that raises, which has the evidence.
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
        // Worse when k of n are; better only when none of n is as bad, and no page without a window that raises.
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
