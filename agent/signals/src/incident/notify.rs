//! The limit on notifications of a host: people stop reading alerts of which there are too many.

use std::collections::VecDeque;

use crate::report::alert::Alert;

/// The limits hold for any span of this length. A choice.
pub(crate) const SPAN_NS: u64 = 600_000_000_000;
/// Notifications of a host in a span. A choice: five in ten minutes can be read. An incident has at most one in a span.
pub(crate) const MAX_A_SPAN: usize = 5;

/// An incident to notify of.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The incident.
    pub alert: Alert,
    /// Incidents that the limit has withheld since the last notification.
    pub rolled_up: u64,
}

/// Enforces the host's limit.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    sent_ns: VecDeque<u64>,
    rolled_up: u64,
    rolled_up_total: u64,
}

impl Limiter {
    /// Sends one more if the limit allows: the number withheld since the last one, else `None`.
    pub fn send(&mut self, now_ns: u64) -> Option<u64> {
        while self.sent_ns.front().is_some_and(|at_ns| !within(*at_ns, now_ns)) {
            self.sent_ns.pop_front();
        }
        if self.sent_ns.len() >= MAX_A_SPAN {
            return None;
        }
        self.sent_ns.push_back(now_ns);
        Some(std::mem::take(&mut self.rolled_up))
    }

    /// Counts one that was withheld.
    pub fn roll_up(&mut self) {
        self.rolled_up += 1;
        self.rolled_up_total += 1;
    }

    /// All that were withheld.
    pub fn rolled_up_in_all(&self) -> u64 {
        self.rolled_up_total
    }
}

/// Whether a time is within a span before now. A time after now, from a clock that went back, is.
pub(crate) fn within(at_ns: u64, now_ns: u64) -> bool {
    now_ns.saturating_sub(at_ns) < SPAN_NS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_in_ten_minutes() {
        let mut limiter = Limiter::default();
        assert!((0..5).all(|s| limiter.send(s) == Some(0)));
        assert_eq!(limiter.send(5), None);
        limiter.roll_up();
        assert_eq!(limiter.send(SPAN_NS - 1), None);
        assert_eq!(limiter.send(SPAN_NS), Some(1), "and has the number withheld");
        assert_eq!((limiter.send(SPAN_NS), limiter.rolled_up_in_all()), (None, 1));
    }

    proptest! {
        #[test]
        fn never_more(steps in prop::collection::vec(0u64..200_000_000_000, 0..200)) {
            let (mut limiter, mut now_ns, mut sent) = (Limiter::default(), 0, Vec::new());
            for step in steps {
                now_ns += step;
                sent.extend(limiter.send(now_ns).map(|_| now_ns));
                let recent = sent.iter().filter(|at_ns| now_ns - **at_ns < SPAN_NS).count();
                prop_assert!(recent <= MAX_A_SPAN);
            }
        }
    }
}
