//! One finding of a window: it moves the alarm of its subject and updates the incident.

use super::{
    Entries, Incidents, MAX_ALARMS,
    entry::{Context, Entry},
};
use crate::{
    finding::Finding,
    incident::{
        alarm::{State, Transition},
        decisions::Happened,
    },
    report::{Report, defect::Defect},
    row::Signal,
    subject::Subject,
};

impl Incidents {
    /// Takes the finding of a window on a subject. `report` is called only when the report will be shown. Returns the state
    /// of the alarm: baselines learn only while it is `Ok`.
    pub fn judge(
        &mut self,
        signal: &Signal,
        subject: &Subject,
        finding: Finding,
        report: impl FnOnce() -> Result<Report, Defect>,
    ) -> State {
        let Self { entries, alarms, open, lost, changes, rules, window, at, happened, .. } = self;
        let finding = finding.of(*rules);
        let raises = finding.raised().is_some();
        let Some(entry) = entry_or_insert(entries, alarms, signal, subject, raises) else {
            lost.alarms_over_limit += u64::from(raises);
            return if raises { State::Pending } else { State::Ok };
        };
        let now_ns = at.monotonic_ns;
        let during = changes.around(subject, now_ns).map(|change| change.description(now_ns));
        let held = during.as_deref().filter(|_| rules.changes && signal.held_during_changes);
        entry.window = *window;
        let transition = entry.advance(signal.rule, now_ns, finding, held);
        if transition == (Transition::Fired { again: false }) {
            *open -= usize::from(entry.start_anew());
        }
        let context = Context { signal: signal.name, subject, at: *at, during };
        let opened = raises && entry.update(context, open, lost, report);
        let news = match transition {
            _ if opened => Some(Happened::Raised),
            Transition::Fired { again: true } => Some(Happened::Continued),
            Transition::Resolved(ended) => Some(Happened::Resolved(ended)),
            // The level depends on the causes, which are known at the end of the window.
            Transition::Fired { again: false } | Transition::Level { .. } | Transition::None => None,
        };
        happened.extend(news.map(|news| (news, signal.name, subject.clone())));
        entry.alarm.state()
    }
}

/// The entry of a subject, which the first window that raises makes. `None` without one, or when there are too many.
fn entry_or_insert<'a>(
    entries: &'a mut Entries,
    alarms: &mut usize,
    signal: &Signal,
    subject: &Subject,
    raises: bool,
) -> Option<&'a mut Entry> {
    let subjects = entries.entry(signal.name).or_default();
    if !subjects.contains_key(subject) {
        if !raises || *alarms >= MAX_ALARMS {
            return None;
        }
        *alarms += 1;
        subjects.insert(subject.clone(), Entry::default());
    }
    subjects.get_mut(subject)
}
