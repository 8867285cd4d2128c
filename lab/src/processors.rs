//! How busy the machine is: a load that uses most of it would be a fault of its own.

use std::fs;

/// The machine's time so far, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    pub(crate) fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// The first line is of all processors: user, nice, system, idle, iowait and more.
    fn parse(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        // Guests' time, the ninth and tenth, is in user and nice already.
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(|n| n.parse().unwrap_or(0)).collect();
        Self { all: ticks.iter().sum(), idle: ticks.iter().skip(3).take(2).sum() }
    }

    /// The busy share of the time since then.
    pub(crate) fn busy_since(self, then: Self) -> f64 {
        let (all, idle) = (self.all.saturating_sub(then.all), self.idle.saturating_sub(then.idle));
        if all == 0 { 0.0 } else { all.saturating_sub(idle) as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_not_idle() {
        let then = Ticks::parse("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n");
        let now = Ticks::parse("cpu  130 0 110 750 110 0 0 0 80 0\n");
        assert_eq!(then, Ticks { all: 1000, idle: 800 });
        assert!((now.busy_since(then) - 0.4).abs() < 1e-9);
        assert_eq!((then.busy_since(then), Ticks::parse("nonsense")), (0.0, Ticks::default()));
    }
}
