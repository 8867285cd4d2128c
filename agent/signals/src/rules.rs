//! Decision rules that the fault lab switches off one at a time to measure what each contributes (docs/lab.md). weir itself
//! follows all of them.

use crate::{
    incident::severity::{Effect, Resource, Severity, TwoKeys},
    learn::{baseline::Learning, proportion::Proportion},
};

/// Which rules are followed. Each is read in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A pool is exhausted when callers wait; without the rule, when its connections are busy.
    pub waiting: bool,
    /// Values are compared with their baselines; without the rule, with fixed thresholds alone.
    pub normal: bool,
    /// A page takes two keys; without the rule, every incident at `warn` is a page.
    pub two_keys: bool,
    /// Recent changes such as restarts hold back the alarms that they explain.
    pub changes: bool,
    /// A share counts as the lower end of its 95% interval; without the rule, as itself.
    pub confidence: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}

impl Rules {
    /// weir's own rules.
    pub const ALL: Self = Self { waiting: true, normal: true, two_keys: true, changes: true, confidence: true };

    /// Rule sets with something left out, by name.
    pub const ABLATIONS: &[(&str, Self)] = &[
        ("all-busy", Self { waiting: false, ..Self::ALL }),
        ("fixed-lines", Self { normal: false, two_keys: false, ..Self::ALL }),
        ("one-key", Self { two_keys: false, ..Self::ALL }),
        ("no-changes", Self { changes: false, ..Self::ALL }),
        ("raw-shares", Self { confidence: false, ..Self::ALL }),
    ];

    /// One of `ABLATIONS`.
    pub fn without(name: &str) -> Option<Self> {
        Self::ABLATIONS.iter().find(|(known, _)| *known == name).map(|(_, rules)| *rules)
    }

    /// The value by which a share is judged.
    pub(crate) fn least(self, share: Proportion) -> f64 {
        if self.confidence { share.low() } else { share.share() }
    }

    /// How baselines are learned.
    pub(crate) fn learning(self, learning: Learning) -> Learning {
        Learning { compares: self.normal, ..learning }
    }

    /// Severity by these rules. Without the second key, a page has a placeholder as its proof.
    pub(crate) fn severity(self, found: Severity) -> Severity {
        match found {
            Severity::Warn if !self.two_keys => {
                Severity::Critical(TwoKeys { resource: Resource::Limit, effect: Effect::LatencyUp })
            }
            found => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ablations_differ() {
        let rules: Vec<Rules> =
            Rules::ABLATIONS.iter().map(|(name, _)| Rules::without(name).expect("by name")).collect();
        for (i, one) in rules.iter().enumerate() {
            assert!(*one != Rules::ALL && !rules[..i].contains(one), "{:?}", Rules::ABLATIONS[i]);
        }
        assert_eq!(Rules::without("all"), None);
    }

    #[test]
    fn without_a_rule_its_effect_is_gone() {
        let [fixed, raw] = ["fixed-lines", "raw-shares"].map(|name| Rules::without(name).expect("one of them"));
        let few = Proportion::new(8, 20);
        assert!(Rules::ALL.least(few) < 0.25 && raw.least(few) == 0.4);
        assert_eq!(Rules::ALL.severity(Severity::Warn), Severity::Warn);
        assert!(fixed.severity(Severity::Warn).keys().is_some(), "a page");
        assert_eq!(fixed.severity(Severity::Info), Severity::Info);
        assert_eq!(Rules::ALL.learning(Learning::USUAL), Learning::USUAL);
    }
}
