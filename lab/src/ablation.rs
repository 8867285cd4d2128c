//! The same runs judged without one of weir's rules at a time: the effect of each rule.

use anyhow::Result;

use crate::{
    judge::Judgement,
    score::{Ablation, Board},
    store::Kept,
};

/// The names that `weir signals --ablate` knows, and what replaces the rule.
const ABLATIONS: &[(&str, &str)] = &[
    ("all-busy", "a pool is exhausted when its connections are busy"),
    ("fixed-lines", "nothing is compared with a baseline, and every incident is critical"),
    ("one-key", "every incident is critical"),
    ("no-changes", "restarts hold nothing back"),
    ("raw-shares", "a share is taken as it is, not at the low end of its interval"),
];

impl Ablation {
    /// Scores these runs and compares their mistakes with those by all rules.
    fn of(name: &'static str, instead: &'static str, judgements: &[Judgement], all_rules: &[String]) -> Self {
        let Board { precision, recall, false_alarms_healthy, criticals, .. } = Board::of(judgements);
        let wrong = || judgements.iter().flat_map(|judgement| &judgement.wrong);
        let mistakes = mistakes(judgements);
        let beyond = |these: &[String], those: &[String]| {
            these.iter().filter(|mistake| !those.contains(mistake)).cloned().collect()
        };
        Self {
            name,
            instead,
            precision,
            recall,
            false_alarms: wrong().count(),
            false_alarms_healthy,
            false_criticals: wrong().filter(|wrong| wrong.critical).count(),
            criticals,
            more: beyond(&mistakes, all_rules),
            fewer: beyond(all_rules, &mistakes),
        }
    }
}

/// All ablations, after the row of all rules.
pub(crate) fn all(kept: &[Kept], judged: &[Judgement], known: &[String], only_lab: bool) -> Result<Vec<Ablation>> {
    let by_all_rules = mistakes(judged);
    let mut rows = vec![Ablation::of("none", "all rules", judged, &by_all_rules)];
    for (name, instead) in ABLATIONS {
        let judged = kept.iter().map(|kept| kept.judge_without(name, known, only_lab)).collect::<Result<Vec<_>>>()?;
        rows.push(Ablation::of(name, instead, &judged, &by_all_rules));
    }
    Ok(rows)
}

/// Misses and false alarms, without times and numbers: the same mistake has the same text.
fn mistakes(judgements: &[Judgement]) -> Vec<String> {
    let of_run = |judgement: &Judgement| {
        let truth = &judgement.truth;
        let run = format!("{}-{}", truth.scenario, truth.seed);
        let misses = judgement.musts.iter().filter(|(_, outcome)| outcome.is_miss());
        let misses = misses.map(|(must, _)| format!("{run} missed {} {}", must.signal, must.at.text()));
        let wrong = judgement.wrong.iter();
        let wrong = wrong.map(|wrong| format!("{run} false alarm ({}): {}", wrong.reason.text(), wrong.alert.text()));
        misses.chain(wrong).collect::<Vec<_>>()
    };
    judgements.iter().flat_map(of_run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        incident::{Severity, tests::event},
        judge::tests::judged,
        truth::{
            Kind,
            tests::{expected, truth},
        },
    };

    #[test]
    fn an_ablation_tells_what_it_makes_worse_and_what_better() {
        let pool = "pool_exhausted";
        let fault = || truth(Kind::Fault, vec![expected(pool, Some(15.0))]);
        let healthy = || truth(Kind::Healthy, Vec::new());
        let critical = event(1050.0, "raised", pool, Severity::Critical);
        let other = event(1050.0, "raised", "edge_errors", Severity::Warn);
        let right = [judged(fault(), &[critical.clone(), other]), judged(healthy(), &[])];
        let all_rules = mistakes(&right);
        let ablated = [judged(fault(), &[]), judged(healthy(), &[critical])];
        let row = Ablation::of("x", "nothing", &ablated, &all_rules);
        let edge = "app.py -> postgres:5432";
        let more =
            [format!("F01-1 missed {pool} {edge}"), format!("F01-1 false alarm (nothing was wrong): {pool} {edge}")];
        assert_eq!(row.more, more);
        assert_eq!(row.fewer, [format!("F01-1 false alarm (not expected): edge_errors {edge}")]);
        assert_eq!((row.false_alarms, row.false_alarms_healthy, row.false_criticals, row.criticals), (1, 1, 1, 1));
        assert_eq!(row.recall.map(|recall| recall.hits), Some(0));
    }
}
