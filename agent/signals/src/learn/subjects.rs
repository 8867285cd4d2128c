//! Per-subject memory of an evaluator: bounded in number, and dropped after an hour without data.

use std::collections::BTreeMap;

use crate::subject::Subject;

/// A subject without data for this long is dropped, with its baseline. A choice: an hour covers a restart and a pause in
/// the load; a baseline learned before that is cheaper to learn again (10 minutes) than to keep for every service that
/// has ever run.
const FORGOTTEN_NS: u64 = 3_600_000_000_000;

/// Subjects and the state `T` kept for each. When `limit` is reached, subjects that are not yet known are refused and
/// counted; known ones are kept.
#[derive(Debug)]
pub(crate) struct Subjects<T> {
    /// Boxed: B-tree nodes are allocated for 11 entries and are half empty on average.
    known: BTreeMap<Subject, Box<Known<T>>>,
    limit: usize,
    now_ns: u64,
    window: u64,
    over_limit: u64,
}

#[derive(Debug, Default)]
struct Known<T> {
    last_seen_ns: u64,
    /// The last window with data.
    window: u64,
    state: T,
}

impl<T: Default> Subjects<T> {
    pub(crate) fn up_to(limit: usize) -> Self {
        Self { known: BTreeMap::new(), limit, now_ns: 0, window: 0, over_limit: 0 }
    }

    /// Begins a window and drops subjects that were last seen more than `FORGOTTEN_NS` ago.
    pub(crate) fn begin(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.window += 1;
        self.known.retain(|_, known| now_ns.saturating_sub(known.last_seen_ns) <= FORGOTTEN_NS);
    }

    /// The state of a subject that has data in this window, created if it is new. `reset` is called on the first access
    /// in a window. `None`, and counted, when the limit is reached.
    pub(crate) fn entry(&mut self, subject: Subject, reset: impl FnOnce(&mut T)) -> Option<&mut T> {
        if self.known.len() >= self.limit && !self.known.contains_key(&subject) {
            self.over_limit += 1;
            return None;
        }
        let known = self.known.entry(subject).or_default();
        if known.window != self.window {
            (known.window, known.last_seen_ns) = (self.window, self.now_ns);
            reset(&mut known.state);
        }
        Some(&mut known.state)
    }

    /// Whether the subject has state, from this window or an earlier one.
    pub(crate) fn contains(&self, subject: &Subject) -> bool {
        self.known.contains_key(subject)
    }

    /// Every subject that has state.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Subject, &T)> {
        self.known.iter().map(|(subject, known)| (subject, &known.state))
    }

    /// Drops a subject's state.
    pub(crate) fn remove(&mut self, subject: &Subject) {
        self.known.remove(subject);
    }

    /// Subjects with data in this window, in order.
    pub(crate) fn seen_in_window(&mut self) -> impl Iterator<Item = (&Subject, &mut T)> {
        let window = self.window;
        let seen = self.known.iter_mut().filter(move |(_, known)| known.window == window);
        seen.map(|(subject, known)| (subject, &mut known.state))
    }

    /// Refused accesses: one for each call of `entry` that the limit turned down.
    pub(crate) fn over_limit(&self) -> u64 {
        self.over_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_reset_once_a_window_and_dropped_after_an_hour() {
        let mut subjects: Subjects<u32> = Subjects::up_to(8);
        for (now_ns, expected) in [(1, 2), (2, 2), (FORGOTTEN_NS + 2, 2), (2 * FORGOTTEN_NS + 3, 2)] {
            subjects.begin(now_ns);
            for _ in 0..2 {
                *subjects.entry(Subject::host(), |count| *count = 0).expect("below the limit") += 1;
            }
            assert_eq!(subjects.seen_in_window().map(|(_, count)| *count).collect::<Vec<_>>(), [expected]);
        }
        subjects.begin(2 * FORGOTTEN_NS + 4);
        assert_eq!((subjects.seen_in_window().count(), subjects.known.len()), (0, 1), "kept, without data");
        subjects.begin(4 * FORGOTTEN_NS);
        assert_eq!(subjects.known.len(), 0);
    }

    #[test]
    fn beyond_the_limit_known_subjects_are_kept_and_new_ones_counted() {
        let process = |n: u32| {
            let identity = weir_engine::Identity::new(weir_engine::Kind::Executable, n.to_string());
            Subject::process(weir_engine::Service::of(&identity), n)
        };
        let mut subjects: Subjects<u32> = Subjects::up_to(2);
        subjects.begin(1);
        let admitted = [0, 1, 2, 0].map(|n| subjects.entry(process(n), |_| ()).is_some());
        assert_eq!((admitted, subjects.over_limit()), ([true, true, false, true], 1));
    }
}
