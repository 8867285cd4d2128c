//! Rules that the fault lab switches off, one at a time, to see what each of them is for. weir itself follows all of them.

use crate::{
    incident::severity::{Effect, Resource, Severity, TwoKeys},
    learn::{baseline::Learning, proportion::Proportion},
};

/// Which rules are followed. Each is asked for in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A pool is exhausted when callers wait; without, when its connections are busy.
    pub waiting: bool,
    /// What is measured is held against what is normal; without, against fixed lines alone.
    pub normal: bool,
    /// A page takes two keys; without, whatever raises is one.
    pub two_keys: bool,
    /// Restarts and the like hold back what they explain.
    pub changes: bool,
    /// Of a share the least that it is with 95% confidence is believed; without, the share itself.
    pub confidence: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}

impl Rules {
    /// As weir decides.
    pub const ALL: Self = Self { waiting: true, normal: true, two_keys: true, changes: true, confidence: true };

    /// Ways to decide with less, by name.
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

    /// What a share is believed to be at least.
    pub(crate) fn least(self, share: Proportion) -> f64 {
        if self.confidence { share.low() } else { share.share() }
    }

    /// How what is normal comes to be known.
    pub(crate) fn learning(self, learning: Learning) -> Learning {
        Learning { compares: self.normal, ..learning }
    }

    /// How bad it is. Without the second key a page has a proof that proves nothing.
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
    fn each_ablation_lacks_something_else() {
        let rules: Vec<Rules> =
            Rules::ABLATIONS.iter().map(|(name, _)| Rules::without(name).expect("by name")).collect();
        for (i, one) in rules.iter().enumerate() {
            assert!(*one != Rules::ALL && !rules[..i].contains(one), "{:?}", Rules::ABLATIONS[i]);
        }
        assert_eq!(Rules::without("all"), None);
    }

    #[test]
    fn what_a_rule_does_is_undone_without_it() {
        let [fixed, raw] = ["fixed-lines", "raw-shares"].map(|name| Rules::without(name).expect("one of them"));
        let few = Proportion::new(8, 20);
        assert!(Rules::ALL.least(few) < 0.25 && raw.least(few) == 0.4);
        assert_eq!(Rules::ALL.severity(Severity::Warn), Severity::Warn);
        assert!(fixed.severity(Severity::Warn).keys().is_some(), "a page");
        assert_eq!(fixed.severity(Severity::Info), Severity::Info);
        assert_eq!(Rules::ALL.learning(Learning::USUAL), Learning::USUAL);
    }
}
