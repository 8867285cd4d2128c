//! What an evaluator remembers of its units: within a bound, and as long as they are heard of.

use std::collections::BTreeMap;

use crate::subject::Subject;

/// A unit that is silent for so long is forgotten, with what was normal for it.
const FORGOTTEN_NS: u64 = 3_600_000_000_000;

/// Subjects, each with what is remembered of it; beyond the limit the first ones.
#[derive(Debug)]
pub(crate) struct Subjects<T> {
    /// Boxed: nodes of the tree are half empty.
    known: BTreeMap<Subject, Box<Known<T>>>,
    limit: usize,
    now_ns: u64,
    window: u64,
    over_limit: u64,
}

#[derive(Debug, Default)]
struct Known<T> {
    heard_ns: u64,
    window: u64,
    of: T,
}

impl<T: Default> Subjects<T> {
    pub(crate) fn up_to(limit: usize) -> Self {
        Self { known: BTreeMap::new(), limit, now_ns: 0, window: 0, over_limit: 0 }
    }

    /// A window begins to be read.
    pub(crate) fn begin(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.window += 1;
        self.known.retain(|_, known| now_ns.saturating_sub(known.heard_ns) <= FORGOTTEN_NS);
    }

    /// What is remembered of a unit that the window speaks of; none, and counted, where there is no room. `anew` is done
    /// when it is the first time in the window.
    pub(crate) fn hear(&mut self, unit: Subject, anew: impl FnOnce(&mut T)) -> Option<&mut T> {
        if self.known.len() >= self.limit && !self.known.contains_key(&unit) {
            self.over_limit += 1;
            return None;
        }
        let known = self.known.entry(unit).or_default();
        if known.window != self.window {
            (known.window, known.heard_ns) = (self.window, self.now_ns);
            anew(&mut known.of);
        }
        Some(&mut known.of)
    }

    /// Whether anything is remembered of it.
    pub(crate) fn knows(&self, unit: &Subject) -> bool {
        self.known.contains_key(unit)
    }

    /// All that the window has spoken of.
    pub(crate) fn heard(&mut self) -> impl Iterator<Item = (&Subject, &mut T)> {
        let window = self.window;
        let heard = self.known.iter_mut().filter(move |(_, known)| known.window == window);
        heard.map(|(unit, known)| (unit, &mut known.of))
    }

    /// Subjects that found no room, each time that they were heard of.
    pub(crate) fn over_limit(&self) -> u64 {
        self.over_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_anew_and_the_silent_are_forgotten() {
        let mut units: Subjects<u32> = Subjects::up_to(8);
        for (now_ns, expected) in [(1, 2), (2, 2), (FORGOTTEN_NS + 2, 2), (2 * FORGOTTEN_NS + 3, 2)] {
            units.begin(now_ns);
            for _ in 0..2 {
                *units.hear(Subject::host(), |count| *count = 0).expect("room") += 1;
            }
            assert_eq!(units.heard().map(|(_, count)| *count).collect::<Vec<_>>(), [expected]);
        }
        units.begin(2 * FORGOTTEN_NS + 4);
        assert_eq!((units.heard().count(), units.known.len()), (0, 1), "remembered, and not heard");
        units.begin(4 * FORGOTTEN_NS);
        assert_eq!(units.known.len(), 0);
    }

    #[test]
    fn of_too_many_the_first_have_room() {
        let service = |n: u32| {
            let identity = weir_engine::Identity::new(weir_engine::Kind::Executable, n.to_string());
            Subject::process(weir_engine::Service::of(&identity), n)
        };
        let mut units: Subjects<u32> = Subjects::up_to(2);
        units.begin(1);
        let heard = [0, 1, 2, 0].map(|n| units.hear(service(n), |_| ()).is_some());
        assert_eq!((heard, units.over_limit()), ([true, true, false, true], 1));
    }
}
