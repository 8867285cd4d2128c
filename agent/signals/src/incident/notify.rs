//! Who reads alerts can read only so many: who is notified of what, and when.

use std::collections::VecDeque;

use crate::report::alert::Alert;

/// The limits are for spans of this length.
pub(crate) const SPAN_NS: u64 = 600_000_000_000;
/// Notifications of a host in such a span. Of one incident: one.
pub(crate) const MAX_A_SPAN: usize = 5;

/// What somebody is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Of this.
    pub alert: Alert,
    /// Incidents that nobody was told of since the last notification, because there were too many.
    pub rolled_up: u64,
}

/// Keeps to the host's limit.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    sent_ns: VecDeque<u64>,
    rolled_up: u64,
    rolled_up_total: u64,
}

impl Limiter {
    /// Whether one more may go out; if so it has. Says how many others did not.
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

    /// One did not go out.
    pub fn roll_up(&mut self) {
        self.rolled_up += 1;
        self.rolled_up_total += 1;
    }

    /// All that did not go out.
    pub fn rolled_up_in_all(&self) -> u64 {
        self.rolled_up_total
    }
}

/// Whether a time is within a span of now. One that is to come, by a clock that went back, is.
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
        assert_eq!(limiter.send(SPAN_NS), Some(1), "and says what did not go out");
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
