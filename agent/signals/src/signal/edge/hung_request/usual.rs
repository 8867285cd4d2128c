//! What is usual for an edge: how long its answers take, and how old its requests become while all is well.

use super::{
    normal::{LEAST_AGE_S, Normal},
    reading::Reading,
};
use crate::{
    driver::baselines::{Baselines, Learn},
    learn::baseline::Learning,
};

/// Windows that normal is made of: two minutes, as it rises slowly anyhow. A choice, for memory.
const DEPTH: usize = 24;
/// The newest windows are not learned: they may be the onset of a fault, which is raised after so many at the latest, a
/// minute (`FEW_AGE_S`) and three windows.
const LATER: usize = 15;
/// Half a day: the longest seen is remembered for one to two of these. A choice: a report that runs daily is still known.
const GENERATION_NS: u64 = 12 * 3_600_000_000_000;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Usual {
    /// The 99th percentile of answers, and how many come in a second.
    normal: Baselines<2, DEPTH>,
    longest_s: Highest,
    old: Highest,
    /// The longest and the number of old ones of the last windows, latest first.
    recent: [(f32, f32); LATER],
}

impl Usual {
    pub(super) fn known(&self, now_ns: u64, learning: Learning) -> Option<Normal> {
        let [p99_s, rate] = self.normal.all(now_ns, learning)?;
        let [longest_s, old] = [&self.longest_s, &self.old].map(|highest| f64::from(highest.value()));
        Some(Normal { p99_s, rate, longest_s, old })
    }

    pub(super) fn learn(&mut self, learn: Learn, reading: &Reading<'_>) {
        let Learn { now_ns, frozen } = learn;
        let p99 = reading.p99_s.map(|p99_s| (p99_s, reading.answered));
        self.normal.learn(learn, [p99, Some((reading.rate, reading.answered))]);
        if frozen {
            self.recent = Default::default();
            return;
        }
        // Requests that grow old must not teach that they may: beyond half of the line only those that are answered do.
        let most_s = reading.usual.map_or(f64::INFINITY, |known| known.line_s() / 2.0);
        let longest_s = reading.longest_s.max(reading.age_s.min(most_s));
        let old = if reading.age_s >= LEAST_AGE_S / 2.0 { reading.old } else { 0.0 };
        let seen = (longest_s as f32, old as f32);
        // Until it is known what is normal, nothing can be missed: requests that stay open from the start are usual.
        let settled = if reading.usual.is_none() { seen } else { self.recent[LATER - 1] };
        self.recent.rotate_right(1);
        self.recent[0] = seen;
        self.longest_s.take(now_ns, settled.0);
        self.old.take(now_ns, settled.1);
    }
}

/// The most of half a day or a day.
#[derive(Debug, Default)]
struct Highest {
    now: f32,
    before: f32,
    since_ns: Option<u64>,
}

impl Highest {
    fn take(&mut self, now_ns: u64, value: f32) {
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since_ns) >= GENERATION_NS {
            (self.before, self.now, self.since_ns) = (self.now, 0.0, Some(now_ns));
        }
        self.now = self.now.max(value);
    }

    fn value(&self) -> f32 {
        self.now.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_remembered_for_half_a_day_or_a_day() {
        let mut highest = Highest::default();
        highest.take(1, 9.0);
        for (at_ns, value) in
            [(2, 9.0), (GENERATION_NS + 1, 9.0), (2 * GENERATION_NS, 9.0), (2 * GENERATION_NS + 1, 1.0)]
        {
            highest.take(at_ns, 1.0);
            assert_eq!(highest.value(), value, "{at_ns}");
        }
    }
}
