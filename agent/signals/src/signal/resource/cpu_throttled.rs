//! Q7: a cgroup has used up its share of the processors, and its tasks are kept from running.
//!
//! A CPU limit is so much time in each period, 100 ms as a rule. Who has used it up early waits for the next one, however
//! idle the host is: a request that needs 30 ms of several threads may take 200.
//!
//! It raises when a quarter of the periods were cut short so, and tasks waited for 5% of the time; it is over below 5% of
//! the periods. It pages when a service in the cgroup takes half as long again to answer.
//!
//! Where it is blind: limits far above the process (more than six cgroups); cgroups of processes without edges.

use crate::{
    evaluate::{Evaluator, Judge},
    facts::{
        answers::Answers,
        owners::{Known, Owners},
    },
    finding::Finding,
    incident::{
        alarm::Rule,
        severity::{Effect, Level, Resource, Severity},
    },
    learn::baseline::Learning,
    report::{
        Report,
        contract::{Confidence, Defect, Origin, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
    worst::Worst,
};
use weir_engine::{CgroupView, HostView, Throttle};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "cpu_throttled",
    says: "a cgroup has used up its CPU limit, and its tasks are kept from running",
    rule: Rule::USUAL,
    // A service that starts uses up its limit once.
    minds_changes: true,
};

/// Of fewer periods there is no share: a second's.
const MIN_PERIODS: u64 = 10;
/// Shares of periods cut short: to raise, to be over.
const RAISE: f64 = 0.25;
const CLEAR: f64 = 0.05;
/// And of the time.
const KEPT: f64 = 0.05;

/// The evaluator.
#[derive(Debug)]
pub(crate) struct CpuThrottled {
    answers: Answers,
}

impl CpuThrottled {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { answers: Answers::new(learning) }
    }
}

impl Evaluator for CpuThrottled {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.answers.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let snapshot = window.snapshot;
        if snapshot.host.cgroups.is_empty() {
            return;
        }
        self.answers.gather(window);
        let owners = window.owners();
        // A pod's container and the pod itself are both limited, and a service may have several.
        let mut worst = Worst::new();
        for cgroup in &snapshot.host.cgroups {
            let Some(throttle) = cgroup.throttle.filter(|_| cgroup.over_ns > 0) else { continue };
            let Some(known) = busiest(&snapshot.host, cgroup, owners) else { continue };
            let service = known.service();
            let reading = Reading {
                throttle,
                over_ns: cgroup.over_ns,
                slower: self.answers.times(&service),
                felt: self.answers.felt(&service),
            };
            worst.add(Subject::server(service.clone(), None), reading.finding(), (service, known, reading));
        }
        let states: Vec<_> = worst
            .into_each()
            .map(|(unit, finding, (service, known, reading))| {
                (service, judge.judge(&unit, finding, Trust::Unchecked, || report(&unit, known, &reading)))
            })
            .collect();
        self.answers.learn(&states);
    }
}

/// The process in a cgroup, or below it, that had most to do on its edges.
fn busiest<'a>(host: &HostView, cgroup: &CgroupView, owners: &'a Owners<'_>) -> Option<&'a Known<'a>> {
    let is_in =
        |path: &str| path.strip_prefix(&*cgroup.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let inside = host.processes.iter().filter(|process| process.last.cgroup.as_deref().is_some_and(is_in));
    let known = inside.filter_map(|process| owners.get(process.last.pid));
    known.max_by_key(|known| (known.rounds, std::cmp::Reverse(known.pid())))
}

/// A cgroup's throttling in a window.
#[derive(Debug)]
struct Reading {
    throttle: Throttle,
    over_ns: u64,
    /// How many times as long as normal its service takes to answer, where that is known; whether callers feel it.
    slower: Option<f64>,
    felt: bool,
}

impl Reading {
    fn share(&self) -> f64 {
        self.throttle.throttled as f64 / self.throttle.periods.max(1) as f64
    }

    /// Seconds a second, over all processors.
    fn kept(&self) -> f64 {
        self.throttle.throttled_ns as f64 / self.over_ns.max(1) as f64
    }

    fn finding(&self) -> Finding {
        // Who hardly runs is hardly kept from it.
        if self.throttle.periods < MIN_PERIODS {
            return if self.throttle.throttled == 0 { Finding::Clear } else { Finding::NoData };
        }
        if self.share() >= RAISE && self.kept() >= KEPT {
            let effect = self.felt.then_some(Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), effect));
        }
        if self.share() < CLEAR { Finding::Clear } else { Finding::Between }
    }
}

fn report(unit: &Subject, known: &Known<'_>, reading: &Reading) -> Result<Report, Defect> {
    let Throttle { periods, throttled, throttled_ns } = reading.throttle;
    let n = periods.max(1);
    let evidence = |name, value: f64, measure, compared| {
        Evidence::new(name, Quantity::new(value, measure)?, compared, reading.over_ns, n)
    };
    let share = evidence("periods cut short", reading.share(), Measure::Ratio, Some(Compared::AtMost(RAISE)))?;
    let kept = evidence("kept from running", reading.kept(), Measure::Rate("s/s"), Some(Compared::AtMost(KEPT)))?;
    let each = throttled_ns as f64 / 1e9 / throttled.max(1) as f64;
    let each_time = evidence("each time, over all processors", each, Measure::Seconds, None)?;
    let what = What::new(&share, "of the periods in which it ran, its CPU limit was used up")?;
    let why = match reading.slower.filter(|_| reading.felt) {
        Some(times) => {
            Why::new(Quantity::new(times, Measure::Times)?, "the normal time is what its callers wait for an answer")?
        }
        None => Why::new(
            Quantity::new(each, Measure::Seconds)?,
            "each time is what its tasks stand still, whoever waits for them",
        )?,
    };
    let pid = known.pid();
    let place = Where::new(
        "CPU limit (cpu.max, cfs_quota_us) and threads of",
        &known.place(),
        &format!("cat /proc/{pid}/cgroup"),
    )?;
    let cut = Quantity::new(throttled as f64, Measure::Count("periods"))?;
    let ruled_out = RuledOut::new("a single burst", cut, "were cut short, one after the other")?;
    let sure = Confidence::new(0.95)?;
    let origin = Origin::new(&unit.callee().unwrap_or_else(|| unit.to_string()), sure)?;
    Report::new(Some("limit"), what, place, why, [share, kept, each_time], origin, ruled_out, sure)
}

#[cfg(test)]
mod tests;
