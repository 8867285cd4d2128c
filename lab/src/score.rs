//! The scoreboard: the sums over all judged runs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    incident::Event,
    judge::{Judgement, Outcome},
    measured::{Measured, Second},
    statistics::{Share, quantile},
    truth::Kind,
};

/// The targets.
pub(crate) const PRECISION: f64 = 0.95;
pub(crate) const RECALL: f64 = 0.90;
pub(crate) const TTD_P95_S: f64 = 15.0;
pub(crate) const FALSE_ALARMS_PER_HOUR: f64 = 0.2;

/// Estimates that an incident's evidence carries, and the truth about them.
const ESTIMATES: &[Estimate] = &[
    Estimate {
        name: "share of checkouts that waited",
        signal: "pool_exhausted",
        evidence: "waited for a connection",
        truth: |measured| measured.share_waited,
    },
    Estimate {
        name: "callers in the pool's queue",
        signal: "pool_exhausted",
        evidence: "callers waiting",
        truth: |measured| measured.mean_waiters,
    },
    Estimate {
        name: "wait for a connection, s",
        signal: "pool_exhausted",
        evidence: "wait for a connection, mean",
        truth: |measured| measured.mean_wait_s,
    },
];

struct Estimate {
    name: &'static str,
    signal: &'static str,
    evidence: &'static str,
    truth: fn(&Measured) -> Option<f64>,
}

/// The scores without a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ablation {
    pub(crate) name: &'static str,
    pub(crate) instead: &'static str,
    pub(crate) precision: Option<Share>,
    pub(crate) recall: Option<Share>,
    pub(crate) false_alarms: usize,
    pub(crate) false_alarms_healthy: usize,
    pub(crate) false_criticals: usize,
    pub(crate) criticals: usize,
    /// Misses and false alarms that weir with all rules does not have, and those that only weir with all rules has.
    pub(crate) more: Vec<String>,
    pub(crate) fewer: Vec<String>,
}

/// The scoreboard, as it is written to JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Board {
    pub(crate) runs: usize,
    /// Right alerts among all alerts.
    pub(crate) precision: Option<Share>,
    /// Incidents raised in time among those due, without signals that this weir does not have.
    pub(crate) recall: Option<Share>,
    pub(crate) signals: BTreeMap<String, SignalScore>,
    pub(crate) healthy_hours: f64,
    pub(crate) false_alarms_healthy: usize,
    pub(crate) criticals_healthy: usize,
    /// Alerts that were critical at some time, of all.
    pub(crate) criticals: usize,
    /// Complete messages among all messages.
    pub(crate) contract: Option<Share>,
    pub(crate) lacking: Vec<String>,
    pub(crate) estimates: Vec<EstimateScore>,
    pub(crate) confusion: Vec<Confusion>,
    /// The busiest phase of all, except where a busy processor is the fault, and its share of the processors' time.
    pub(crate) busiest: Option<(String, f64)>,
    /// Alerts of services outside the lab, left out.
    pub(crate) others: usize,
    /// Targets that are missed, in sentences.
    pub(crate) missed_targets: Vec<String>,
    /// The same runs without each rule, with `--ablate`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ablations: Vec<Ablation>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct SignalScore {
    pub(crate) recall: Option<Share>,
    /// Times that it was due from a weir that lacks it.
    pub(crate) not_built: usize,
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    pub(crate) ttd_median_s: Option<f64>,
    pub(crate) ttd_p95_s: Option<f64>,
    pub(crate) clear_median_s: Option<f64>,
    #[serde(skip)]
    hits: usize,
    #[serde(skip)]
    due: usize,
    #[serde(skip)]
    ttd_s: Vec<f64>,
    /// Only incidents due within the target: no kernel timeout and no queue that has to fill delays them.
    #[serde(skip)]
    prompt_s: Vec<f64>,
    #[serde(skip)]
    clear_s: Vec<f64>,
}

/// The error of an estimate.
#[derive(Debug, Serialize)]
pub(crate) struct EstimateScore {
    pub(crate) name: &'static str,
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) truth: f64,
    pub(crate) said: f64,
    pub(crate) error: f64,
}

/// A miss or a false alarm.
#[derive(Debug, Serialize)]
pub(crate) struct Confusion {
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    pub(crate) what: String,
}

impl Board {
    /// Counts what was judged.
    pub(crate) fn of(judgements: &[Judgement]) -> Self {
        let signals = signals(judgements);
        let right: usize = judgements.iter().map(|judgement| judgement.right.len()).sum();
        let wrong: usize = judgements.iter().map(|judgement| judgement.wrong.len()).sum();
        let healthy = || judgements.iter().filter(|judgement| judgement.truth.kind == Kind::Healthy);
        let healthy_wrong = || healthy().flat_map(|judgement| &judgement.wrong);
        let (hits, due) = signals.values().fold((0, 0), |(hits, due), score| (hits + score.hits, due + score.due));
        let messages: usize = judgements.iter().map(|judgement| judgement.messages).sum();
        let lacking: Vec<String> = judgements.iter().flat_map(|judgement| judgement.lacking.clone()).collect();
        let mut board = Self {
            runs: judgements.len(),
            precision: Share::of(right, right + wrong),
            recall: Share::of(hits, due),
            signals,
            healthy_hours: healthy().fold(0.0, |sum, run| sum + run.truth.until - run.truth.from) / 3600.0,
            false_alarms_healthy: healthy_wrong().count(),
            criticals_healthy: healthy_wrong().filter(|wrong| wrong.critical).count(),
            criticals: judgements.iter().map(|judgement| judgement.criticals).sum(),
            contract: Share::of(messages - lacking.len(), messages),
            lacking,
            estimates: judgements.iter().flat_map(estimates).collect(),
            confusion: judgements.iter().flat_map(confusion).collect(),
            busiest: busiest(judgements),
            others: judgements.iter().map(|judgement| judgement.others).sum(),
            missed_targets: Vec::new(),
            ablations: Vec::new(),
        };
        board.missed_targets = board.misses_of_targets();
        board
    }

    /// False alarms in an hour in which nothing is wrong.
    pub(crate) fn false_alarms_per_hour(&self) -> Option<f64> {
        (self.healthy_hours > 0.0).then(|| self.false_alarms_healthy as f64 / self.healthy_hours)
    }

    fn misses_of_targets(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let mut below = |name: &str, share: Option<Share>, target: f64| {
            if let Some(share) = share.filter(|share| share.value < target) {
                missed.push(format!("{name} is {:.3}, of {}; the target is {target}", share.value, share.of));
            }
        };
        below("precision", self.precision, PRECISION);
        below("recall", self.recall, RECALL);
        below("the share of complete messages", self.contract, 1.0);
        for (signal, score) in &self.signals {
            if let Some(ttd_s) = quantile(&score.prompt_s, 0.95).filter(|ttd_s| *ttd_s > TTD_P95_S) {
                missed.push(format!("{signal} takes {ttd_s:.1} s (95th percentile); the target is {TTD_P95_S}"));
            }
        }
        if let Some(rate) = self.false_alarms_per_hour().filter(|rate| *rate > FALSE_ALARMS_PER_HOUR) {
            missed.push(format!("{rate:.1} false alarms in a healthy hour; the target is {FALSE_ALARMS_PER_HOUR}"));
        }
        missed
    }
}

fn signals(judgements: &[Judgement]) -> BTreeMap<String, SignalScore> {
    let mut signals = BTreeMap::<String, SignalScore>::new();
    for judgement in judgements {
        for (must, outcome) in &judgement.musts {
            let score = signals.entry(must.signal.clone()).or_default();
            score.due += usize::from(*outcome != Outcome::NotBuilt);
            match outcome {
                Outcome::NotBuilt => score.not_built += 1,
                Outcome::Missed { .. } | Outcome::Late { .. } => {}
                Outcome::Raised { cleared_after_s, .. } => {
                    score.hits += 1;
                    score.clear_s.extend(cleared_after_s);
                }
            }
            if let Outcome::Raised { after_s, .. } | Outcome::Late { after_s, .. } = outcome {
                let is_prompt = must.ttd_s.is_some_and(|ttd_s| ttd_s <= TTD_P95_S);
                score.ttd_s.push(*after_s);
                score.prompt_s.extend(is_prompt.then_some(*after_s));
            }
        }
        for alert in &judgement.right {
            signals.entry(alert.signal.clone()).or_default().right += 1;
        }
        for wrong in &judgement.wrong {
            signals.entry(wrong.alert.signal.clone()).or_default().wrong += 1;
        }
    }
    for score in signals.values_mut() {
        score.recall = Share::of(score.hits, score.due);
        (score.ttd_median_s, score.ttd_p95_s) = (quantile(&score.ttd_s, 0.5), quantile(&score.ttd_s, 0.95));
        score.clear_median_s = quantile(&score.clear_s, 0.5);
    }
    signals
}

fn busiest(judgements: &[Judgement]) -> Option<(String, f64)> {
    let phases = judgements.iter().map(|judgement| &judgement.truth).flat_map(|truth| {
        let is_the_fault = |phase: &str| phase == "fault" && truth.must.iter().any(|must| must.signal == "cpu_wait");
        let phases = truth.busy.iter().filter(move |(phase, _)| !is_the_fault(phase));
        phases.map(|(phase, share)| (format!("{phase} of {}-{}", truth.scenario, truth.seed), *share))
    });
    phases.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

fn estimates(judgement: &Judgement) -> Vec<EstimateScore> {
    let truth = &judgement.truth;
    let of_alert = |alert: &Event| {
        let of_estimate = |estimate: &Estimate| {
            let item = alert.evidence.iter().find(|item| item.name == estimate.evidence)?;
            // The truth of that window, by the nearest seconds: queues grow and shrink within a phase.
            let (from, until) = ((alert.ts - item.window_s).round(), alert.ts.round());
            let within = |seconds: &Vec<Second>| (estimate.truth)(&Measured::between(seconds, from, until));
            let truth_is = truth.seconds.values().find_map(within)?;
            let said = item.value;
            Some(EstimateScore {
                name: estimate.name,
                scenario: truth.scenario.clone(),
                seed: truth.seed,
                truth: truth_is,
                said,
                error: (said - truth_is).abs(),
            })
        };
        let fitting = ESTIMATES.iter().filter(|estimate| estimate.signal == alert.signal);
        fitting.filter_map(of_estimate).collect::<Vec<_>>()
    };
    judgement.right.iter().flat_map(of_alert).collect()
}

fn confusion(judgement: &Judgement) -> Vec<Confusion> {
    let truth = &judgement.truth;
    let misses = judgement.musts.iter().filter_map(|(must, outcome)| {
        let class = if must.class.is_empty() { String::new() } else { format!(" ({})", must.class.join(" or ")) };
        let wanted = format!("{}{class} {}", must.signal, must.at.text());
        match outcome {
            Outcome::Missed { instead } if instead.is_empty() => Some(format!("missed {wanted}; nothing was raised")),
            Outcome::Missed { instead } => Some(format!("missed {wanted}; raised instead: {}", instead.join(", "))),
            Outcome::Late { after_s, .. } => Some(format!("late: {wanted} after {after_s:.1} s")),
            Outcome::NotBuilt | Outcome::Raised { .. } => None,
        }
    });
    let alarms = judgement.wrong.iter().map(|wrong| {
        let critical = if wrong.critical { ", critical" } else { "" };
        let at = wrong.alert.ts - truth.t0;
        format!("false alarm ({}{critical}): {} at {at:+.1} s", wrong.reason.text(), wrong.alert.text())
    });
    let row = |what| Confusion { scenario: truth.scenario.clone(), seed: truth.seed, what };
    misses.chain(alarms).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        incident::{Evidence, Severity, tests::event},
        judge::tests::judged,
        truth::tests::{expected, truth},
    };

    const POOL: &str = "pool_exhausted";

    #[test]
    fn a_board_counts_what_was_judged() {
        let fault = || truth(Kind::Fault, vec![expected(POOL, Some(15.0)), expected("accept_queue", Some(15.0))]);
        let healthy = || truth(Kind::Healthy, Vec::new());
        let board = Board::of(&[
            judged(fault(), &[event(1050.0, "raised", POOL, Severity::Warn)]),
            judged(fault(), &[event(1050.0, "raised", "edge_errors", Severity::Warn)]),
            judged(healthy(), &[event(1050.0, "raised", POOL, Severity::Critical)]),
            judged(healthy(), &[]),
        ]);
        let (precision, recall) = (board.precision.expect("alerts"), board.recall.expect("something was due"));
        assert_eq!((precision.hits, precision.of, recall.hits, recall.of), (1, 3, 1, 2));
        let pool = &board.signals[POOL];
        assert_eq!((pool.right, pool.wrong, pool.ttd_median_s), (1, 1, Some(10.0)));
        let queue = &board.signals["accept_queue"];
        assert_eq!((queue.not_built, queue.recall), (2, None));
        assert_eq!((board.false_alarms_healthy, board.criticals_healthy), (1, 1));
        assert!((board.healthy_hours - 240.0 / 3600.0).abs() < 1e-9);
        let confusion: Vec<&str> = board.confusion.iter().map(|row| row.what.as_str()).collect();
        assert_eq!(
            confusion,
            [
                "missed pool_exhausted app.py -> postgres:5432; raised instead: edge_errors app.py -> postgres:5432",
                "false alarm (not expected): edge_errors app.py -> postgres:5432 at +10.0 s",
                "false alarm (nothing was wrong, critical): pool_exhausted app.py -> postgres:5432 at +10.0 s",
            ]
        );
        assert!(board.missed_targets.iter().any(|sentence| sentence.starts_with("precision is 0.333")));
    }

    #[test]
    fn estimates_are_held_against_the_truth() {
        let mut truth = truth(Kind::Fault, vec![expected(POOL, Some(15.0))]);
        let second = |t, waited| {
            let sums = [("t", t), ("checkouts", 10.0), ("waited", waited), ("waiting_s", 1.2 * waited)];
            sums.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Second>()
        };
        // No caller waited until the window began.
        let seconds = (1040..1050).map(|t| second(f64::from(t), if t < 1045 { 0.0 } else { 10.0 })).collect();
        truth.seconds = [("app".to_owned(), seconds), ("load".to_owned(), Vec::new())].into();
        let mut alert = event(1050.0, "raised", POOL, Severity::Warn);
        let item = |name: &str, value, unit: &str| {
            let (name, unit) = (name.into(), unit.into());
            Evidence { name, value, unit, baseline: None, window_s: 5.0 }
        };
        alert.evidence = vec![item("waited for a connection", 0.97, "ratio"), item("callers waiting", 11.5, "callers")];
        let board = Board::of(&[judged(truth, &[alert])]);
        let errors: Vec<f64> = board.estimates.iter().map(|estimate| estimate.error).collect();
        assert!(errors.len() == 2 && (errors[0] - 0.03).abs() < 1e-9 && errors[1] == 0.5, "{errors:?}");
    }

    #[test]
    fn nothing_judged_promises_nothing() {
        let board = Board::of(&[]);
        assert_eq!((board.precision, board.recall, board.false_alarms_per_hour()), (None, None, None));
        assert_eq!(board.missed_targets, [""; 0]);
    }
}
