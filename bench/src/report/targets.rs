//! weir's promises of cost, and whether they hold.

use crate::{
    results::{Cell, Results},
    statistics::Spread,
};

/// One promise.
pub(crate) struct Target {
    /// What is promised.
    pub(crate) what: String,
    /// The limit, with its unit.
    pub(crate) limit: String,
    /// What was found; none if it was not measured.
    pub(crate) found: Option<String>,
    /// Whether it holds.
    pub(crate) holds: Option<bool>,
    /// Whether the distance to the limit is less than the difference of two runs of nothing: then the row cannot resolve it.
    pub(crate) unresolved: bool,
}

impl Target {
    /// The same, given what was found and how two runs of nothing differed, where none would be `neutral`.
    fn against_again(self, found: Option<f64>, limit: f64, again: Option<Spread>, neutral: f64) -> Self {
        let reach = again.map(|again| (again.min - neutral).abs().max((again.max - neutral).abs()));
        let unresolved = found.zip(reach).is_some_and(|(found, reach)| (found - limit).abs() < reach);
        Self { unresolved, ..self }
    }
}

/// Rows with a limit of added processor time per unit, ns.
const ADDED_CPU: [(&str, f64); 3] = [("redis", 900.0), ("nginx_keepalive", 900.0), ("nginx_close", 3500.0)];
/// Rows with a least ratio of throughput.
const RATE_RATIO: [(&str, f64); 6] = [
    ("redis", 0.96),
    ("nginx_keepalive", 0.96),
    ("pgbench", 0.96),
    ("redis_pipeline", 0.96),
    ("nginx_close", 0.95),
    ("bulk", 0.99),
];
const OVER_FLOOR: f64 = 2.0;
const P99_RATIO: f64 = 1.05;
const AGENT_CPU: f64 = 0.002;
const MEMORY: u64 = 16 << 20;

/// All of them, for these results.
pub(crate) fn of(results: &Results) -> Vec<Target> {
    let weir = |row: &str| results.row(row)?.cell("weir");
    let again = |row: &str| results.row(row)?.cell("again");
    let mut targets = Vec::new();
    let over_floor = results.row("pair").and_then(|row| row.over("floor_empty"));
    targets.push(at_most("pair: weir over empty programs", over_floor, OVER_FLOOR, |v| format!("{v:.2}")));
    for (row, limit) in ADDED_CPU {
        let added = weir(row).and_then(|cell| cell.added_cpu_ns).map(|spread| spread.median);
        let target = at_most(&format!("{row}: added CPU per unit"), added, limit, |v| format!("{v:.0} ns"));
        targets.push(target.against_again(added, limit, again(row).and_then(|cell| cell.added_cpu_ns), 0.0));
    }
    for (row, limit) in RATE_RATIO {
        let ratio = weir(row).and_then(|cell| cell.rate_ratio).map(|spread| spread.median);
        let text = |v: f64| format!("{v:.3}");
        let promise = target(&format!("{row}: throughput ratio"), ratio, limit, "at least", |v, l| v >= l, text);
        targets.push(promise.against_again(ratio, limit, again(row).and_then(|cell| cell.rate_ratio), 1.0));
    }
    let p99 = weir("fixed_rate").and_then(|cell| cell.p99_ratio).map(|spread| spread.median);
    let tail = at_most("fixed_rate: p99 ratio", p99, P99_RATIO, |v| format!("{v:.3}"));
    targets.push(tail.against_again(p99, P99_RATIO, again("fixed_rate").and_then(|cell| cell.p99_ratio), 1.0));
    let busy = weir("redis").and_then(|cell| cell.agent_cpu_share);
    let share = busy.map(|share| share.median);
    targets.push(at_most("redis: agent CPU at full rate", share, AGENT_CPU, |v| format!("{:.3}%", v * 100.0)));
    targets.push(rate_does_not_matter(weir("redis"), weir("fixed_rate")));
    let mib = |v: f64| format!("{:.1} MiB", v / f64::from(1 << 20));
    let memory = |value: fn(&Cell) -> Option<u64>| weir("idle").and_then(value).map(|bytes| bytes as f64);
    targets.push(at_most("idle: resident memory", memory(|cell| cell.agent_rss_bytes), MEMORY as f64, mib));
    targets.push(at_most("idle: maps", memory(|cell| cell.map_bytes), MEMORY as f64, mib));
    targets.push(counts(results));
    targets.extend(cheaper_than_tools(results));
    targets
}

fn at_most(what: &str, found: Option<f64>, limit: f64, text: impl Fn(f64) -> String) -> Target {
    target(what, found, limit, "at most", |found, limit| found <= limit, text)
}

fn target(
    what: &str,
    found: Option<f64>,
    limit: f64,
    relation: &str,
    holds: impl Fn(f64, f64) -> bool,
    text: impl Fn(f64) -> String,
) -> Target {
    Target {
        what: what.into(),
        limit: format!("{relation} {}", text(limit)),
        found: found.map(&text),
        holds: found.map(|found| holds(found, limit)),
        unresolved: false,
    }
}

/// The agent's time at the highest rate against a tenth of it: their ranges must meet.
fn rate_does_not_matter(full: Option<&Cell>, tenth: Option<&Cell>) -> Target {
    let shares = full.and_then(|cell| cell.agent_cpu_share).zip(tenth.and_then(|cell| cell.agent_cpu_share));
    Target {
        what: "redis: agent CPU at full rate and at a tenth (fixed_rate)".into(),
        limit: "ranges meet".into(),
        found: shares.map(|(full, tenth)| format!("{:.3}% and {:.3}%", full.median * 100.0, tenth.median * 100.0)),
        holds: shares.map(|(full, tenth)| full.min <= tenth.max),
        unresolved: false,
    }
}

fn counts(results: &Results) -> Target {
    let exact = || results.rows.iter().filter_map(|row| row.exact.as_ref());
    let (runs, equal) = exact().fold((0, 0), |(runs, equal), exact| (runs + exact.runs, equal + exact.equal));
    Target {
        what: "counts equal the load generators', nothing lost".into(),
        limit: "every run".into(),
        found: (runs > 0).then(|| format!("{equal} of {runs} runs")),
        holds: (runs > 0).then_some(runs == equal),
        unresolved: false,
    }
}

fn cheaper_than_tools(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for row in &results.rows {
        let Some(weir) = row.cell("weir").and_then(|cell| cell.added_cpu_ns) else { continue };
        for tool in ["tcplife", "tcpstates", "bpftrace"] {
            let Some(other) = row.cell(tool).and_then(|cell| cell.added_cpu_ns) else { continue };
            let what = format!("{}: added CPU against {tool}", row.name);
            let target = at_most(&what, Some(weir.median), other.median, |v| format!("{v:.0} ns"));
            let again = row.cell("again").and_then(|cell| cell.added_cpu_ns);
            targets.push(target.against_again(Some(weir.median), other.median, again, 0.0));
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_closer_than_the_noise_is_unresolved() {
        let noise = Spread::of([-50.0, 0.0, 20.0]);
        let of =
            |found| at_most("x", Some(found), 100.0, |v| v.to_string()).against_again(Some(found), 100.0, noise, 0.0);
        let verdict = |target: Target| (target.holds, target.unresolved);
        assert_eq!(verdict(of(60.0)), (Some(true), true));
        assert_eq!(verdict(of(40.0)), (Some(true), false));
        assert_eq!(verdict(of(160.0)), (Some(false), false));
    }
}
