//! A cgroup has used up its share of the processors, and its tasks are kept from running.
//!
//! A CPU limit is so much time in each period, 100 ms as a rule. Who has used it up early waits for the next one, however
//! idle the host is: a request that needs 30 ms of several threads may take 200.
//!
//! It raises when a quarter of the periods were cut short so, and tasks waited for 5% of the time; it is over below 5% of
//! the periods. It pages when a service in the cgroup takes half as long again to answer.
//!
//! Where it is blind: limits far above the process (more than six cgroups); cgroups of processes without edges.

use crate::{
    facts::owners::{Owned, Owners},
    signal::prelude::*,
};
use weir_engine::{CgroupView, HostView, Throttle};

/// Of fewer periods there is no share: those of a second (`cfs_period_us` is 100 ms as a rule).
const MIN_PERIODS: u64 = 10;
/// Shares of periods cut short: to raise, to be over. Choices; with a quota of two thirds of what a server needs all are
/// (measured for F14: 21 of 21).
const RAISE: f64 = 0.25;
const CLEAR: f64 = 0.05;
/// And of the time. A choice.
const KEPT: f64 = 0.05;

/// The id of its only class.
const CLASS: &str = "limit";

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct CpuThrottled;

/// A cgroup's throttling in a window.
#[derive(Debug)]
pub(crate) struct Reading<'f> {
    throttle: Throttle,
    over_ns: u64,
    busiest: &'f Owned<'f>,
    /// How many times as long as normal its service takes to answer, where callers notice.
    slower: Option<f64>,
}

impl Detector for CpuThrottled {
    const CLASSES: &'static [&'static str] = &[CLASS];
    /// Services in cgroups with a limit, of which 1,024 are polled.
    const LIMIT: usize = 1024;

    /// Nothing.
    type Memory = ();
    /// A pod's container and the pod itself are both limited, and a service may have several.
    type Input<'f> = Vec<Reading<'f>>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<()>) -> Inputs<'f, Self::Input<'f>> {
        let host = &facts.snapshot.host;
        let readings = host.cgroups.iter().filter(|cgroup| cgroup.over_ns > 0).filter_map(|cgroup| {
            let (throttle, busiest) = (cgroup.throttle?, busiest(host, cgroup, &facts.owners)?);
            let service = busiest.service();
            let slower = facts.latency.degraded(&service);
            Some((Subject::server(service, None), Reading { throttle, over_ns: cgroup.over_ns, busiest, slower }))
        });
        grouped(readings)
    }

    fn read<'f>(&self, readings: Vec<Reading<'f>>, _: &mut (), _: &'f Facts<'f>) -> Option<Reading<'f>> {
        worst(readings.into_iter(), Reading::finding)
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, _: u64) -> Result<Report, Defect> {
        report(subject, reading)
    }
}

/// The process in a cgroup, or below it, that had most to do on its edges.
fn busiest<'a>(host: &HostView, cgroup: &CgroupView, owners: &'a Owners<'_>) -> Option<&'a Owned<'a>> {
    let is_in =
        |path: &str| path.strip_prefix(&*cgroup.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let inside = host.processes.iter().filter(|process| process.last.cgroup.as_deref().is_some_and(is_in));
    let owned = inside.filter_map(|process| owners.get(process.last.pid));
    owned.max_by_key(|owned| (owned.rounds, std::cmp::Reverse(owned.pid())))
}

impl Reading<'_> {
    fn share(&self) -> f64 {
        self.throttle.throttled as f64 / self.throttle.periods.max(1) as f64
    }

    /// Seconds a second, over all processors.
    fn kept(&self) -> f64 {
        self.throttle.throttled_ns as f64 / self.over_ns.max(1) as f64
    }

    fn finding(&self) -> Finding {
        // What hardly runs is hardly kept from it.
        if self.throttle.periods < MIN_PERIODS {
            return if self.throttle.throttled == 0 { Finding::Clear } else { Finding::NoData };
        }
        if self.share() >= RAISE && self.kept() >= KEPT {
            let effect = self.slower.map(|_| Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), effect));
        }
        if self.share() < CLEAR { Finding::Clear } else { Finding::Between }
    }
}

fn report(subject: &Subject, reading: &Reading<'_>) -> Result<Report, Defect> {
    let Throttle { periods, throttled, throttled_ns } = reading.throttle;
    let sample = Sample { window_ns: reading.over_ns, n: periods.max(1) };
    let share = sample.at_most("periods cut short", reading.share(), Measure::Ratio, RAISE)?;
    let kept = sample.at_most("kept from running", reading.kept(), Measure::Rate("s/s"), KEPT)?;
    let each = throttled_ns as f64 / 1e9 / throttled.max(1) as f64;
    let each_time = sample.evidence("each time, over all processors", each, Measure::Seconds)?;
    let why = match reading.slower {
        Some(times) => Why::new(Quantity::new(times, Measure::Times)?, "the normal answer time, for its callers")?,
        None => Why::new(each_time.quantity(), "each time, in which its tasks stand still and their callers wait")?,
    };
    let (place, command) = (reading.busiest.place(), format!("cat /proc/{}/cgroup", reading.busiest.pid()));
    let cut = count(throttled as f64, "periods")?;
    Parts {
        class: Some(CLASS),
        what: What::new(&share, "of the periods in which it ran, its CPU limit was used up")?,
        place: Where::new("CPU limit (cpu.max, cfs_quota_us) and threads of", &place, &command)?,
        why,
        evidence: [share, kept, each_time],
        more: Vec::new(),
        origin: Origin::new(&callee(subject), Confidence::new(0.95)?)?,
        ruled_out: vec![RuledOut::new("a single burst", cut, "were throttled in the window")?],
        confidence: 0.95,
    }
    .report()
}

#[cfg(test)]
mod tests;
