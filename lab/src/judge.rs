//! One run judged: the incidents due, raised or missed, and those raised that should not have been.

use crate::{
    contract,
    incident::{Episode, Event, Severity},
    truth::{Expected, Kind, Truth, same_service},
};

/// Alerts this long after a fault still count as its own: what it left behind.
const AFTERMATH_S: f64 = 15.0;

/// The outcome of an incident that was due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// This weir has no such signal.
    NotBuilt,
    /// Seconds from the fault's begin to the alert, and from the fault's end to the incident's end, if that was seen.
    Raised {
        after_s: f64,
        cleared_after_s: Option<f64>,
        alert: Event,
    },
    Late {
        after_s: f64,
        alert: Event,
    },
    /// With the alerts raised instead in that time.
    Missed {
        instead: Vec<String>,
    },
}

/// An alert that should not have been.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FalseAlarm {
    pub(crate) alert: Event,
    pub(crate) critical: bool,
    pub(crate) reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nothing was wrong.
    Healthy,
    BeforeTheFault,
    AfterTheFault,
    /// The right signal of the wrong class.
    WrongClass,
    /// The right signal of another service.
    WrongPlace,
    /// Neither due nor allowed.
    WrongSignal,
    /// The truth excludes it by name.
    Forbidden,
}

/// A run and its judgement.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) truth: Truth,
    pub(crate) musts: Vec<(Expected, Outcome)>,
    pub(crate) right: Vec<Event>,
    pub(crate) wrong: Vec<FalseAlarm>,
    /// Alerts that were critical at some time, right and wrong.
    pub(crate) criticals: usize,
    /// Messages, and those that are incomplete.
    pub(crate) messages: usize,
    pub(crate) lacking: Vec<String>,
    /// Alerts of other services, left out by `--only-lab`.
    pub(crate) others: usize,
}

/// Judges a run by the episodes of a weir that has the `known` signals.
pub(crate) fn judge(truth: Truth, episodes: Vec<Episode>, known: &[String], only_lab: bool) -> Judgement {
    let (episodes, others): (Vec<_>, Vec<_>) =
        episodes.into_iter().partition(|episode| !only_lab || is_of_lab(&truth, &episode.events[0]));
    let others = others.iter().filter(|episode| episode.first_alert().is_some()).count();
    let musts = truth.must.iter().map(|must| (must.clone(), outcome(&truth, must, &episodes, known))).collect();
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for episode in &episodes {
        let Some(loud) = episode.first_alert() else { continue };
        match wrong_with(&truth, episode) {
            None => right.push(loud.clone()),
            Some(reason) => {
                let critical = episode.worst() == Severity::Critical;
                wrong.push(FalseAlarm { alert: loud.clone(), critical, reason });
            }
        }
    }
    let criticals = episodes.iter().filter(|episode| episode.worst() == Severity::Critical).count();
    let messages: Vec<&Event> = episodes.iter().flat_map(|episode| &episode.events).collect();
    let lacking = messages.iter().filter_map(|event| {
        let lacks = contract::lacks(event);
        (!lacks.is_empty()).then(|| format!("{} lacks {}", event.text(), lacks.join(", ")))
    });
    let (messages, lacking) = (messages.len(), lacking.collect());
    Judgement { musts, right, wrong, criticals, messages, lacking, others, truth }
}

/// Whether one of its ends runs in the scenario.
fn is_of_lab(truth: &Truth, event: &Event) -> bool {
    let ends = [&event.client, &event.server].into_iter().flatten();
    ends.into_iter().any(|end| truth.lab.iter().any(|ours| same_service(end, ours)))
}

fn fits(expected: &Expected, event: &Event) -> bool {
    expected.signal == event.signal && class_fits(expected, event) && place_fits(expected, event)
}

fn class_fits(expected: &Expected, event: &Event) -> bool {
    expected.class.is_empty() || event.class.as_ref().is_some_and(|class| expected.class.contains(class))
}

fn place_fits(expected: &Expected, event: &Event) -> bool {
    expected.at.holds(event.client.as_deref(), event.server.as_deref())
}

/// Whether an alert is in the time of the fault or of its aftermath.
fn is_timely(truth: &Truth, event: &Event) -> bool {
    (truth.t0..=truth.t1 + AFTERMATH_S).contains(&event.ts)
}

fn outcome(truth: &Truth, must: &Expected, episodes: &[Episode], known: &[String]) -> Outcome {
    let is_it = |event: &&Event| event.is_alert() && is_timely(truth, event) && fits(must, event);
    let found = episodes.iter().filter_map(|episode| Some((episode, episode.events.iter().find(is_it)?)));
    let first = found.min_by(|(_, one), (_, other)| one.ts.total_cmp(&other.ts));
    let Some((episode, alert)) = first else {
        if !known.contains(&must.signal) {
            return Outcome::NotBuilt;
        }
        let loud = episodes.iter().filter_map(Episode::first_alert).filter(|event| is_timely(truth, event));
        return Outcome::Missed { instead: loud.map(Event::text).collect() };
    };
    let after_s = alert.ts - truth.t0;
    if must.ttd_s.is_some_and(|ttd_s| after_s > ttd_s) {
        return Outcome::Late { after_s, alert: alert.clone() };
    }
    let cleared_after_s = episode.ended.map(|ended| ended - truth.t1).filter(|after_s| *after_s >= 0.0);
    Outcome::Raised { after_s, cleared_after_s, alert: alert.clone() }
}

/// Why an episode is a false alarm, if it is one. It is right if any of its alerts is.
fn wrong_with(truth: &Truth, episode: &Episode) -> Option<Reason> {
    let loud = episode.first_alert()?;
    if truth.kind == Kind::Healthy {
        return Some(Reason::Healthy);
    }
    let said = || episode.events.iter().filter(|event| event.is_alert());
    if loud.ts < truth.t0 {
        return Some(Reason::BeforeTheFault);
    }
    if !is_timely(truth, loud) {
        return Some(Reason::AfterTheFault);
    }
    let mut expected = truth.must.iter().chain(&truth.may);
    if expected.clone().any(|expected| said().any(|event| fits(expected, event))) {
        return None;
    }
    if truth.must_not.iter().any(|forbidden| said().any(|event| fits(forbidden, event))) {
        return Some(Reason::Forbidden);
    }
    let same = |expected: &&Expected| expected.signal == loud.signal;
    if expected.clone().filter(same).any(|expected| place_fits(expected, loud)) {
        return Some(Reason::WrongClass);
    }
    Some(if expected.any(|expected| same(&expected)) { Reason::WrongPlace } else { Reason::WrongSignal })
}

impl Outcome {
    /// It was due, and was not raised in time.
    pub(crate) fn is_miss(&self) -> bool {
        matches!(self, Self::Missed { .. } | Self::Late { .. })
    }
}

impl Reason {
    /// For readers.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Healthy => "nothing was wrong",
            Self::BeforeTheFault => "before the fault",
            Self::AfterTheFault => "after the fault",
            Self::WrongClass => "wrong class",
            Self::WrongPlace => "wrong place",
            Self::WrongSignal => "not expected",
            Self::Forbidden => "excluded by the truth",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        incident::{self, tests::event},
        truth::tests::{expected, truth},
    };

    const POOL: &str = "pool_exhausted";

    pub(crate) fn judged(truth: Truth, events: &[Event]) -> Judgement {
        let known = [POOL, "edge_errors"].map(str::to_owned);
        judge(truth, incident::episodes(events).expect("in order"), &known, false)
    }

    fn fault() -> Truth {
        truth(Kind::Fault, vec![expected(POOL, Some(15.0))])
    }

    #[test]
    fn what_is_raised_in_time_is_right_and_its_times_are_kept() {
        let events = [
            event(1045.0, "raised", POOL, Severity::Info),
            event(1050.0, "level", POOL, Severity::Warn),
            event(1095.0, "resolved", POOL, Severity::Warn),
        ];
        let judgement = judged(fault(), &events);
        let Outcome::Raised { after_s, cleared_after_s, .. } = &judgement.musts[0].1 else {
            panic!("{:?}", judgement.musts)
        };
        assert_eq!((*after_s, *cleared_after_s), (10.0, Some(15.0)), "info alone is no alert");
        assert_eq!((judgement.right.len(), judgement.wrong.len()), (1, 0));
    }

    #[test]
    fn what_comes_late_is_right_but_no_hit() {
        let judgement = judged(fault(), &[event(1056.0, "raised", POOL, Severity::Warn)]);
        assert!(matches!(judgement.musts[0].1, Outcome::Late { after_s: 16.0, .. }), "{:?}", judgement.musts);
        assert_eq!((judgement.right.len(), judgement.wrong.len()), (1, 0));
    }

    #[test]
    fn a_miss_says_what_was_raised_instead() {
        let judgement = judged(fault(), &[event(1050.0, "raised", "edge_errors", Severity::Critical)]);
        let instead = vec!["edge_errors app.py -> postgres:5432".to_owned()];
        assert_eq!(judgement.musts[0].1, Outcome::Missed { instead });
        let wrong: Vec<_> = judgement.wrong.iter().map(|wrong| (wrong.reason, wrong.critical)).collect();
        assert_eq!(wrong, [(Reason::WrongSignal, true)]);
    }

    #[test]
    fn a_signal_that_this_weir_lacks_is_no_miss() {
        let truth = truth(Kind::Fault, vec![expected("accept_queue", Some(15.0))]);
        assert_eq!(judged(truth, &[]).musts[0].1, Outcome::NotBuilt);
    }

    #[test]
    fn alarms_are_false_for_a_reason() {
        let reason = |change: fn(&mut Truth, &mut Event)| {
            let (mut truth, mut event) = (fault(), event(1050.0, "raised", POOL, Severity::Warn));
            change(&mut truth, &mut event);
            judged(truth, &[event]).wrong.first().map(|wrong| wrong.reason)
        };
        assert_eq!(reason(|_, _| ()), None);
        assert_eq!(reason(|truth, _| truth.kind = Kind::Healthy), Some(Reason::Healthy));
        assert_eq!(reason(|_, event| event.ts = 1039.0), Some(Reason::BeforeTheFault));
        assert_eq!(reason(|_, event| event.ts = 1096.0), Some(Reason::AfterTheFault));
        assert_eq!(reason(|truth, _| truth.must[0].class = vec!["too small".into()]), Some(Reason::WrongClass));
        assert_eq!(reason(|_, event| event.server = Some("redis:6379".into())), Some(Reason::WrongPlace));
        assert_eq!(reason(|_, event| event.signal = "edge_errors".into()), Some(Reason::WrongSignal));
        let forbid = |truth: &mut Truth, event: &mut Event| {
            event.signal = "edge_errors".into();
            truth.must_not = vec![expected("edge_errors", None)];
        };
        assert_eq!(reason(forbid), Some(Reason::Forbidden));
        assert_eq!(reason(|_, event| event.severity = Severity::Info), None, "info is no alert");
    }

    #[test]
    fn an_incident_that_finds_its_class_is_right() {
        let mut truth = fault();
        truth.must[0].class = vec!["too small".into()];
        let mut events =
            [event(1045.0, "raised", POOL, Severity::Warn), event(1050.0, "level", POOL, Severity::Critical)];
        events[1].class = Some("too small".into());
        let judgement = judged(truth, &events);
        assert!(matches!(judgement.musts[0].1, Outcome::Raised { after_s: 10.0, .. }));
        assert_eq!(judgement.wrong, []);
    }

    #[test]
    fn others_are_left_out_only_where_that_is_asked_for() {
        let mut other = event(1050.0, "raised", POOL, Severity::Warn);
        (other.client, other.server) = (Some("cargo".into()), Some("proxy:3128".into()));
        let episodes = incident::episodes(&[other]).expect("in order");
        let all = judge(fault(), episodes.clone(), &[POOL.to_owned()], false);
        let ours = judge(fault(), episodes, &[POOL.to_owned()], true);
        assert_eq!((all.wrong.len(), all.others), (1, 0));
        assert_eq!((ours.wrong.len(), ours.others), (0, 1));
    }
}
