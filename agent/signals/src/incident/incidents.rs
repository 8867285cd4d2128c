//! All alarms of all signals, and the incidents that they have made: one for each signal and unit.
//!
//! Only what is not plainly well takes memory: a unit that raises nothing has no alarm.

use std::collections::BTreeMap;

use crate::{
    finding::Finding,
    incident::{
        alarm::{Alarm, Rule, State, Transition, Verdict},
        changes::{Change, Changes},
        decisions::{Decisions, Event, Happened, Lost, Pending},
        notify::{Limiter, Notification, within},
        severity::{Level, Severity, TwoKeys},
    },
    report::{
        Report,
        alert::{Alert, Heading},
        contract::Defect,
    },
    rules::Rules,
    subject::Subject,
    table::Signal,
    window::Moment,
};

mod causes;

/// Alarms that can be other than OK at once, some 300 bytes each.
pub const MAX_ALARMS: usize = 8192;
/// Incidents that can be told apart at once, some 2 KiB each. Nobody reads more.
pub const MAX_INCIDENTS: usize = 512;

#[derive(Debug)]
struct Entry {
    alarm: Alarm,
    /// The last window that said something of it.
    window: u64,
    /// The last proof of a page.
    keys: Option<TwoKeys>,
    /// That of the worst that it leads to.
    lent: Option<TwoKeys>,
    held: Option<String>,
    incident: Option<Box<Incident>>,
    /// It was counted as over the limit.
    left_out: bool,
}

#[derive(Debug)]
struct Incident {
    alert: Alert,
    opened_ns: u64,
    /// How bad it was when it was last told of.
    told: Level,
    notified: Option<(u64, Level)>,
    rolled_up: bool,
}

type Signals = BTreeMap<&'static str, BTreeMap<Subject, Entry>>;

/// The alarms and incidents.
#[derive(Debug, Default)]
pub struct Incidents {
    signals: Signals,
    alarms: usize,
    open: usize,
    window: u64,
    at: Moment,
    changes: Changes,
    limiter: Limiter,
    lost: Lost,
    rules: Rules,
    /// What has happened in this window, to whom.
    happened: Vec<(Happened, &'static str, Subject)>,
}

impl Incidents {
    /// By other rules than weir's.
    pub fn following(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes a change: what explains much that comes after it.
    pub fn changed(&mut self, change: Change) {
        self.changes.add(change);
    }

    /// A window begins to be judged.
    pub fn begin(&mut self, at: Moment) {
        self.window += 1;
        self.at = at;
        self.changes.forget(at.monotonic_ns);
    }

    /// Takes what a window says of a unit. `report` is asked only when it is to be read. Returns how the alarm stands: what
    /// is normal is learned only while that is `Ok`.
    pub fn judge(
        &mut self,
        signal: &Signal,
        unit: &Subject,
        finding: Finding,
        report: impl FnOnce() -> Result<Report, Defect>,
    ) -> State {
        let finding = finding.of(self.rules);
        let Some(entry) = seat(&mut self.signals, &mut self.alarms, signal, unit, finding) else {
            let raises = finding.raised().is_some();
            self.lost.alarms_over_limit += u64::from(raises);
            return if raises { State::Pending } else { State::Ok };
        };
        let now_ns = self.at.monotonic_ns;
        entry.window = self.window;
        let around = self.changes.around(unit, now_ns).map(|change| change.said(now_ns));
        let held = self.rules.changes && signal.held_during_changes && around.is_some();
        let transition = entry.alarm.judge(signal.rule, now_ns, finding.verdict(), held);
        entry.held = around.clone().filter(|_| held && entry.alarm.state() == State::Pending);
        if let Some(severity) = finding.raised() {
            entry.keys = severity.keys().or(entry.keys);
        }
        if transition == (Transition::Fired { again: false }) {
            entry.left_out = false;
            self.open -= usize::from(entry.incident.take().is_some());
        }
        let severity = entry.severity();
        let mut happened = None;
        if let (Some(_), Some(severity)) = (finding.raised(), severity) {
            let opened = entry.incident.is_none();
            if opened && self.open >= MAX_INCIDENTS {
                self.lost.incidents_over_limit += u64::from(!std::mem::replace(&mut entry.left_out, true));
                return entry.alarm.state();
            }
            match report().and_then(|report| entry.alert(signal, unit, self.at, severity, around, report)) {
                Ok(alert) => {
                    self.open += usize::from(opened);
                    entry.tell(alert, now_ns);
                    happened = opened.then_some(Happened::Raised);
                }
                Err(defect) => self.lost.rejected[defect as usize] += 1,
            }
        }
        let happened = happened.or(match transition {
            Transition::Fired { again: true } => Some(Happened::Continued),
            Transition::Resolved(ended) => Some(Happened::Resolved(ended)),
            // How bad it is can be told when it is known what it comes from.
            Transition::Fired { .. } | Transition::Level { .. } | Transition::None => None,
        });
        self.happened.extend(happened.map(|happened| (happened, signal.name, unit.clone())));
        entry.alarm.state()
    }

    /// The window is judged: what no evaluator spoke of had no data.
    pub fn finish(&mut self) -> Decisions {
        let Self { signals, alarms, open, window, at, happened, .. } = self;
        let now_ns = at.monotonic_ns;
        let entries = |signals: &mut Signals, each: &mut dyn FnMut(&'static str, &Subject, &mut Entry)| {
            signals
                .iter_mut()
                .for_each(|(signal, units)| units.iter_mut().for_each(|(u, entry)| each(signal, u, entry)));
        };
        entries(signals, &mut |signal, unit, entry| {
            if entry.window != *window
                && let Transition::Resolved(ended) = entry.alarm.judge(Rule::USUAL, now_ns, Verdict::NoData, false)
            {
                happened.push((Happened::Resolved(ended), signal, unit.clone()));
            }
        });
        causes::link(signals);
        entries(signals, &mut |_, _, entry| entry.stands(*at));
        let told = happened
            .drain(..)
            .filter_map(|(happened, signal, unit)| signals.get_mut(signal)?.get_mut(&unit)?.event(happened));
        let mut events: Vec<Event> = told.collect();
        entries(signals, &mut |_, _, entry| events.extend(entry.changed()));
        for units in signals.values_mut() {
            units.retain(|_, entry| {
                let idle = entry.alarm.is_idle(now_ns);
                *alarms -= usize::from(idle);
                *open -= usize::from(idle && entry.incident.is_some());
                !idle
            });
        }
        Decisions { events, notifications: self.notify() }
    }

    /// Pages first, then who waits longest; within the limits.
    fn notify(&mut self) -> Vec<Notification> {
        let now_ns = self.at.monotonic_ns;
        let mut due: Vec<&mut Incident> =
            self.signals.values_mut().flat_map(BTreeMap::values_mut).filter_map(due).collect();
        due.sort_by_key(|incident| (std::cmp::Reverse(incident.alert.severity().level()), incident.opened_ns));
        let mut sent = Vec::new();
        for incident in due {
            if incident.notified.is_some_and(|(at_ns, _)| within(at_ns, now_ns)) {
                continue;
            }
            match self.limiter.send(now_ns) {
                Some(rolled_up) => {
                    incident.notified = Some((now_ns, incident.alert.severity().level()));
                    sent.push(Notification { alert: incident.alert.clone(), rolled_up });
                }
                None if incident.rolled_up => {}
                None => {
                    incident.rolled_up = true;
                    self.limiter.roll_up();
                }
            }
        }
        sent
    }

    /// What fires now, by signal and unit.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        let entries = self.signals.values().flat_map(BTreeMap::values);
        entries.filter(|entry| entry.alarm.level().is_some()).filter_map(|e| e.incident.as_ref().map(|i| &i.alert))
    }

    /// What may fire soon, and what holds it back.
    pub fn pending(&self) -> impl Iterator<Item = Pending<'_>> {
        let units = self.signals.iter().flat_map(|(signal, units)| units.iter().map(move |(u, e)| (*signal, u, e)));
        units.filter(|(_, _, entry)| entry.alarm.state() == State::Pending).map(|(signal, unit, entry)| Pending {
            signal,
            unit,
            since_ns: entry.alarm.pending_since_ns(),
            held: entry.held.as_deref(),
        })
    }

    /// What was lost so far.
    pub fn lost(&self) -> Lost {
        Lost { rolled_up: self.limiter.rolled_up_in_all(), changes_over_limit: self.changes.forgotten(), ..self.lost }
    }
}

/// The alarm of a unit, which is made by the first window that raises.
fn seat<'a>(
    signals: &'a mut Signals,
    alarms: &mut usize,
    signal: &Signal,
    unit: &Subject,
    finding: Finding,
) -> Option<&'a mut Entry> {
    let units = signals.entry(signal.name).or_default();
    if !units.contains_key(unit) {
        if finding.raised().is_none() || *alarms >= MAX_ALARMS {
            return None;
        }
        *alarms += 1;
        let alarm = Alarm::default();
        let entry = Entry { alarm, window: 0, keys: None, lent: None, held: None, incident: None, left_out: false };
        units.insert(unit.clone(), entry);
    }
    units.get_mut(unit)
}

/// Whether somebody should be told: of what is no mere information, once, and again if it got worse.
fn due(entry: &mut Entry) -> Option<&mut Incident> {
    let level = entry.severity()?.level();
    let incident = entry.incident.as_deref_mut()?;
    let told = incident.notified.map(|(_, level)| level);
    (level >= Level::Warn && told.is_none_or(|told| told < level)).then_some(incident)
}

impl Incident {
    fn id(&self) -> &str {
        self.alert.id()
    }
}

impl Entry {
    /// By its own windows, by what it leads to, and by what it comes from.
    fn severity(&self) -> Option<Severity> {
        let level = self.alarm.level()?;
        if self.incident.as_ref().is_some_and(|incident| incident.alert.caused_by().is_some()) {
            return Some(Severity::Info);
        }
        let own = Severity::of(level, self.keys.map(|keys| keys.resource), self.keys.map(|keys| keys.effect));
        Some(match (own, self.lent) {
            (Severity::Info | Severity::Warn, Some(keys)) => Severity::Critical(keys),
            _ => own,
        })
    }

    fn alert(
        &self,
        signal: &Signal,
        unit: &Subject,
        at: Moment,
        severity: Severity,
        during: Option<String>,
        report: Report,
    ) -> Result<Alert, Defect> {
        let id = self.incident.as_ref().map(|incident| incident.alert.id().to_owned());
        let id = id
            .unwrap_or_else(|| format!("{}-{:016x}-{:x}", signal.name, unit.stable_hash(), at.unix_ns / 1_000_000_000));
        let (unix_ns, signal, state, unit) = (at.unix_ns, signal.name, self.alarm.state(), unit.clone());
        Alert::new(Heading { unix_ns, id, signal, severity, state, unit, during }, report)
    }

    fn tell(&mut self, mut alert: Alert, now_ns: u64) {
        match &mut self.incident {
            Some(incident) => {
                alert.because_of(incident.alert.caused_by().map(str::to_owned));
                incident.alert = alert;
            }
            None => {
                let told = alert.severity().level();
                let incident = Incident { alert, opened_ns: now_ns, told, notified: None, rolled_up: false };
                self.incident = Some(Box::new(incident));
            }
        }
    }

    fn stands(&mut self, at: Moment) {
        let (state, severity) = (self.alarm.state(), self.severity());
        if let Some(incident) = &mut self.incident {
            let severity = severity.unwrap_or(incident.alert.severity());
            incident.alert.stands(at.unix_ns, state, severity);
        }
    }

    fn event(&mut self, happened: Happened) -> Option<Event> {
        let incident = self.incident.as_deref_mut()?;
        incident.told = incident.alert.severity().level();
        Some(Event { happened, alert: incident.alert.clone() })
    }

    /// That it is better or worse than when it was last told of.
    fn changed(&mut self) -> Option<Event> {
        let now = self.severity()?.level();
        let from = self.incident.as_deref()?.told;
        if now == from { None } else { self.event(Happened::Level { from }) }
    }
}

#[cfg(test)]
mod tests;
