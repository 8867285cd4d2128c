//! One run of a scenario: three phases, and the truth written down.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};

use crate::{
    interrupt,
    measured::{Measured, Second},
    processors::Ticks,
    stage::{App, Stage},
    store::Kept,
    truth::{Kind, Truth},
    weir::Watching,
};

/// How long phases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As in the published table.
    Full,
    /// As short as the signals allow.
    Fast,
}

const FULL: Duration = Duration::from_secs(40);
const FAST: Duration = Duration::from_secs(12);

/// A run in progress. A scenario sets up its stage and then passes through `baseline`, `fault` and `recovery`.
pub(crate) struct Run<'a> {
    pub(crate) stage: &'a Stage,
    /// What is known of it before it begins.
    outline: Truth,
    /// The least duration of the fault, seconds.
    fault_s: u64,
    kept: &'a Kept,
    pace: Pace,
    label: String,
    watching: Option<Watching>,
    from: f64,
    t0: f64,
    t1: f64,
    busy: BTreeMap<String, f64>,
    /// What each application measured, by its name.
    reported: BTreeMap<String, Vec<Second>>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(stage: &'a Stage, outline: Truth, fault_s: u64, pace: Pace, kept: &'a Kept, label: &str) -> Self {
        let (busy, reported) = (BTreeMap::new(), BTreeMap::new());
        let (watching, label) = (None, label.to_owned());
        Self { stage, outline, fault_s, kept, pace, label, watching, from: 0.0, t0: 0.0, t1: 0.0, busy, reported }
    }

    /// Starts weir; then nothing changes for a phase and an offset, so that windows begin at another time for each seed.
    pub(crate) fn baseline(&mut self) -> Result<()> {
        progress(&self.label, "starting weir");
        self.watching = Some(Watching::start(self.learn(), &self.kept.recording(), &self.kept.live())?);
        self.from = now_s();
        let offset = Duration::from_millis(self.stage.seed * 1700 % 5000);
        self.pass("baseline", self.phase() + offset)
    }

    /// The fault begins: everything that `change` does is part of it.
    pub(crate) fn fault(&mut self, change: impl FnOnce(&Stage)) -> Result<()> {
        self.t0 = now_s();
        change(self.stage);
        let phase = match self.pace {
            Pace::Full => FULL.max(Duration::from_secs(self.fault_s)),
            Pace::Fast => FAST.max(Duration::from_secs(self.fault_s)),
        };
        self.pass("fault", phase)
    }

    /// The fault is over. At the end of this phase the applications report what they measured, the first of them the numbers of
    /// the phases; that is written down with the rest of the truth, before any output of weir is read. Then weir ends.
    pub(crate) fn recovery(
        &mut self,
        change: impl FnOnce(&Stage),
        applications: &mut [(&str, &mut App)],
    ) -> Result<()> {
        self.t1 = now_s();
        change(self.stage);
        self.pass("recovery", self.phase())?;
        let until = now_s();
        let subject = applications.first().map(|(name, _)| (*name).to_owned()).unwrap_or_default();
        for (name, application) in applications {
            let text = application.ask("truth");
            let seconds = serde_json::from_str(&text).with_context(|| format!("the truth of {name}: {text:.80}"))?;
            self.reported.insert((*name).to_owned(), seconds);
        }
        self.truth(until, &subject).write(&self.kept.truth())?;
        self.watching.take().context("weir was not started")?.finish()
    }

    /// `subject`: the application whose numbers are those of the phases.
    fn truth(&self, until: f64, subject: &str) -> Truth {
        let Self { outline, from, t0, t1, busy, reported, .. } = self;
        let all = reported.get(subject).map(Vec::as_slice).unwrap_or_default();
        let phases = [("baseline", *from, *t0), ("fault", *t0, *t1), ("recovery", *t1, until)];
        let measured = phases.map(|(name, from, until)| (name.to_owned(), Measured::between(all, from, until)));
        Truth {
            seed: self.stage.seed,
            from: *from,
            t0: *t0,
            t1: *t1,
            until,
            learn_s: self.learn().as_secs(),
            measured: measured.into(),
            busy: busy.clone(),
            seconds: reported.clone(),
            ..outline.clone()
        }
    }

    fn phase(&self) -> Duration {
        match self.pace {
            Pace::Full => FULL,
            Pace::Fast => FAST,
        }
    }

    /// Shorter than the baseline by more than two windows: learning begins with the end of the first window that has the edge, and
    /// normal must be known before the first window that contains a part of the fault.
    fn learn(&self) -> Duration {
        match self.pace {
            Pace::Full => Duration::from_secs(30),
            Pace::Fast => Duration::from_secs(5),
        }
    }

    fn pass(&mut self, phase: &str, span: Duration) -> Result<()> {
        let shown = if phase == "fault" && self.outline.kind == Kind::Healthy { "look-alike" } else { phase };
        let before = Ticks::now();
        interrupt::wait(span, |left| progress(&self.label, &format!("{shown}, {} s left", left.as_secs() + 1)))?;
        self.busy.insert(phase.to_owned(), Ticks::now().busy_since(before));
        Ok(())
    }
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// On a terminal one line, overwritten; elsewhere a line every ten seconds.
pub(crate) fn progress(label: &str, what: &str) {
    let mut stderr = std::io::stderr();
    let count = what.split(' ').find_map(|word| word.parse::<u64>().ok());
    let _ = if stderr.is_terminal() {
        write!(stderr, "\r\x1b[K{label}: {what}")
    } else if count.is_none_or(|left| left % 10 == 0) {
        writeln!(stderr, "{label}: {what}")
    } else {
        Ok(())
    };
    let _ = stderr.flush();
}

pub(crate) fn end_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
