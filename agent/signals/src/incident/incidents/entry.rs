//! One signal of one subject: its alarm, and the incident that the alarm has opened.

use crate::{
    finding::Finding,
    incident::{
        alarm::{Alarm, Rule, State, Transition},
        decisions::{Event, Happened, Lost},
        incidents::MAX_INCIDENTS,
        severity::{Level, Severity, TwoKeys},
    },
    report::{
        Report,
        alert::{Alert, Heading},
        defect::Defect,
    },
    subject::Subject,
    window::Moment,
};

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) alarm: Alarm,
    /// The last window with a finding.
    pub(super) window: u64,
    /// Proof of a page, of the last window that had one.
    pub(super) keys: Option<TwoKeys>,
    /// Proof of a page of an incident that follows from this one, while one would page.
    pub(super) inherited_keys: Option<TwoKeys>,
    /// What holds the alarm back, in words.
    pub(super) held: Option<String>,
    pub(super) incident: Option<Box<Incident>>,
    /// Already counted in `Lost::incidents_over_limit`.
    left_out: bool,
}

#[derive(Debug)]
pub(super) struct Incident {
    pub(super) alert: Alert,
    pub(super) opened_ns: u64,
    /// Id of the nearest cause; `Alert::caused_by` is the root of the chain.
    pub(super) nearest_cause: Option<String>,
    /// The level in the last event.
    announced_level: Level,
    /// When it was last notified of, and at which level.
    pub(super) notified: Option<(u64, Level)>,
    /// Counted among the notifications that the limit withheld.
    pub(super) rolled_up: bool,
}

/// What a window adds to a report to make an alert of it.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) signal: &'static str,
    pub(super) subject: &'a Subject,
    pub(super) at: Moment,
    /// A change of a service of the subject, in words.
    pub(super) during: Option<String>,
}

impl Entry {
    /// Takes a window's finding. `held`: the change that holds the alarm back, if one does.
    pub(super) fn advance(&mut self, rule: Rule, now_ns: u64, finding: Finding, held: Option<&str>) -> Transition {
        let transition = self.alarm.judge(rule, now_ns, finding.verdict(), held.is_some());
        self.held = held.filter(|_| self.alarm.state() == State::Pending).map(str::to_owned);
        if let Some(severity) = finding.raised() {
            self.keys = severity.keys().or(self.keys);
        }
        transition
    }

    /// Drops the incident of an earlier alarm, as the alarm fires anew. Returns whether there was one.
    pub(super) fn start_anew(&mut self) -> bool {
        self.left_out = false;
        self.incident.take().is_some()
    }

    /// By its own windows; `Info` when it follows from another incident; a page when one that follows from it is.
    pub(super) fn severity(&self) -> Option<Severity> {
        let level = self.alarm.level()?;
        if self.current_alert().is_some_and(|alert| alert.caused_by().is_some()) {
            return Some(Severity::Info);
        }
        let own = Severity::of(level, self.keys.map(|keys| keys.resource), self.keys.map(|keys| keys.effect));
        Some(match (own, self.inherited_keys) {
            (Severity::Info | Severity::Warn, Some(keys)) => Severity::Critical(keys),
            _ => own,
        })
    }

    /// Makes the alert of a window that raises, if the alarm fires. Returns whether this has opened an incident. `open` is
    /// the number of open incidents.
    pub(super) fn update(
        &mut self,
        context: Context<'_>,
        open: &mut usize,
        lost: &mut Lost,
        report: impl FnOnce() -> Result<Report, Defect>,
    ) -> bool {
        let Some(severity) = self.severity() else { return false };
        let opens = self.incident.is_none();
        if opens && *open >= MAX_INCIDENTS {
            lost.incidents_over_limit += u64::from(!std::mem::replace(&mut self.left_out, true));
            return false;
        }
        let now_ns = context.at.monotonic_ns;
        match report().and_then(|report| Alert::new(self.heading(context, severity), report)) {
            Ok(alert) => {
                *open += usize::from(opens);
                self.update_alert(alert, now_ns);
                opens
            }
            Err(defect) => {
                lost.rejected[defect as usize] += 1;
                false
            }
        }
    }

    fn heading(&self, context: Context<'_>, severity: Severity) -> Heading {
        let Context { signal, subject, at, during } = context;
        let known = self.current_alert().map(|alert| alert.id().to_owned());
        let id = known
            .unwrap_or_else(|| format!("{signal}-{:016x}-{:x}", subject.stable_hash(), at.unix_ns / 1_000_000_000));
        Heading {
            unix_ns: at.unix_ns,
            id,
            signal,
            severity,
            state: self.alarm.state(),
            subject: subject.clone(),
            during,
        }
    }

    fn update_alert(&mut self, mut alert: Alert, now_ns: u64) {
        match &mut self.incident {
            Some(incident) => {
                alert.set_caused_by(incident.alert.caused_by().map(str::to_owned));
                incident.alert = alert;
            }
            None => {
                let announced_level = alert.severity().level();
                self.incident = Some(Box::new(Incident {
                    alert,
                    opened_ns: now_ns,
                    nearest_cause: None,
                    announced_level,
                    notified: None,
                    rolled_up: false,
                }));
            }
        }
    }

    /// Brings time, state and severity of the alert up to the end of the window; an alarm that is over keeps its severity.
    pub(super) fn set_status(&mut self, at: Moment) {
        let (state, severity) = (self.alarm.state(), self.severity());
        if let Some(incident) = &mut self.incident {
            let severity = severity.unwrap_or(incident.alert.severity());
            incident.alert.set_status(at.unix_ns, state, severity);
        }
    }

    pub(super) fn current_alert(&self) -> Option<&Alert> {
        self.incident.as_ref().map(|incident| &incident.alert)
    }

    pub(super) fn event(&mut self, happened: Happened) -> Option<Event> {
        let incident = self.incident.as_deref_mut()?;
        incident.announced_level = incident.alert.severity().level();
        Some(Event { happened, alert: incident.alert.clone() })
    }

    /// The event of an incident that is better or worse than in its last event.
    pub(super) fn level_event(&mut self) -> Option<Event> {
        let now = self.severity()?.level();
        let from = self.incident.as_deref()?.announced_level;
        if now == from { None } else { self.event(Happened::Level { from }) }
    }
}
