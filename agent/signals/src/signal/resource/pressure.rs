//! Q8: tasks wait for memory, devices or processors, as the kernel measures it (pressure stall information).
//!
//! Of the window, and not the kernel's averages: the share of the time in which every task waited for memory, or for a
//! device, or some task for a processor. Of a cgroup where version 2 has one, else of the host.
//!
//! It warns at 5% for memory, and at 20% for devices when a service takes half as long again to answer; then it pages with
//! 20% for memory. 20% for devices that nobody feels, and 60% for processors, are for who looks. It is over below half of these.

use crate::{
    evaluate::{Evaluator, Judge},
    facts::{answers::Answers, owners::Known},
    finding::Finding,
    incident::{
        alarm::Rule,
        severity::{Effect, Level, Resource, Severity},
    },
    learn::baseline::Learning,
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
    worst::Worst,
};
use weir_engine::{CgroupView, Service};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "pressure",
    says: "tasks wait for memory, devices or processors",
    rule: Rule::USUAL,
    minds_changes: true,
};

const MEMORY: f64 = 0.05;
const MEMORY_PAGE: f64 = 0.20;
const DEVICES: f64 = 0.20;
const PROCESSORS: f64 = 0.60;

/// The evaluator.
#[derive(Debug)]
pub(crate) struct PressureStall {
    answers: Answers,
}

impl PressureStall {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { answers: Answers::new(learning) }
    }
}

impl Evaluator for PressureStall {
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
        let mut worst = Worst::new();
        for cgroup in &snapshot.host.cgroups {
            let Some(shares) = Shares::of(cgroup) else { continue };
            let is_host = &*cgroup.path == "/";
            let inside = snapshot.host.processes.iter().filter(|p| p.last.cgroup.as_deref() == Some(&*cgroup.path));
            let known = inside.filter_map(|process| owners.get(process.last.pid));
            let service: Option<Service> = known.max_by_key(|known| known.rounds).map(Known::service);
            let felt = match &service {
                Some(service) => self.answers.felt(service),
                None => self.answers.felt_by_some(),
            };
            let unit = match &service {
                Some(service) => Subject::server(service.clone(), None),
                None if is_host => Subject::host(),
                None => continue,
            };
            worst.add(unit, shares.finding(felt), (service, shares, cgroup));
        }
        let mut states = Vec::new();
        for (unit, finding, (service, shares, cgroup)) in worst.into_each() {
            let state = judge.judge(&unit, finding, Trust::Unchecked, || report(&unit, &shares, cgroup));
            states.extend(service.map(|service| (service, state)));
        }
        self.answers.learn(&states);
    }
}

/// Shares of the window.
#[derive(Clone, Copy, Debug)]
struct Shares {
    memory: f64,
    devices: f64,
    processors: f64,
}

impl Shares {
    fn of(cgroup: &CgroupView) -> Option<Self> {
        let pressure = cgroup.pressure.filter(|_| cgroup.over_ns > 0)?;
        let share = |us: u64| us as f64 * 1000.0 / cgroup.over_ns as f64;
        Some(Self {
            memory: share(pressure.memory_full_us),
            devices: share(pressure.io_full_us),
            processors: share(pressure.cpu_some_us),
        })
    }

    /// Each against its line: what, share, line.
    fn lines(&self) -> [(&'static str, f64, f64); 3] {
        [
            ("memory", self.memory, MEMORY),
            ("devices", self.devices, DEVICES),
            ("processors", self.processors, PROCESSORS),
        ]
    }

    /// What is furthest above its line; memory before devices before processors.
    fn worst(&self) -> (&'static str, f64, f64) {
        let lines = self.lines();
        lines.into_iter().find(|(_, share, line)| share >= line).unwrap_or(lines[0])
    }

    fn finding(&self, felt: bool) -> Finding {
        match self.worst() {
            (_, share, line) if share < line => {
                let over = self.lines().iter().all(|(_, share, line)| *share < line / 2.0);
                if over { Finding::Clear } else { Finding::Between }
            }
            ("memory", share, _) if share >= MEMORY_PAGE => {
                let effect = felt.then_some(Effect::LatencyUp);
                Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), effect))
            }
            // A disk that is written to by night hurts nobody as long as no service feels it.
            ("processors", ..) => Finding::Raise(Severity::Info),
            ("devices", ..) if !felt => Finding::Raise(Severity::Info),
            _ => Finding::Raise(Severity::Warn),
        }
    }
}

fn report(unit: &Subject, shares: &Shares, cgroup: &CgroupView) -> Result<Report, Defect> {
    let (class, share, line) = shares.worst();
    let evidence = |name, value: f64, line: f64| {
        // Stalls are a time, of which the kernel counts the microseconds.
        let n = (value * cgroup.over_ns as f64 / 1e3) as u64;
        let most = Some(Compared::AtMost(line));
        Evidence::new(name, Quantity::new(value, Measure::Ratio)?, most, cgroup.over_ns, n.max(1))
    };
    let all = [
        evidence("every task waits for memory", shares.memory, MEMORY)?,
        evidence("every task waits for devices", shares.devices, DEVICES)?,
        evidence("some task waits for a processor", shares.processors, PROCESSORS)?,
    ];
    let (measured, words) = match class {
        "memory" => (&all[0], "of the time every task that could run waited for memory"),
        "devices" => (&all[1], "of the time every task that could run waited for a device"),
        _ => (&all[2], "of the time some task waited for a processor"),
    };
    let what = What::new(measured, words)?;
    let why = Why::new(Quantity::new(share, Measure::Rate("s/s"))?, "of all work stand still, whoever waits for it")?;
    let (look, command) = match class {
        "memory" => ("memory limit, leaks and reclaim of", "cat /proc/pressure/memory; vmstat 1"),
        "devices" => ("disks, and who writes to them, in", "cat /proc/pressure/io; iostat -x 1"),
        _ => ("who runs, and how many processors there are, in", "cat /proc/pressure/cpu; top"),
    };
    let place = match unit.services() {
        [Some(service), _] => Place::Service(service.clone()),
        _ => Place::File("/proc/pressure".into()),
    };
    let other = shares.lines().into_iter().find(|(name, share, line)| *name != class && share < line);
    let (name, other, _) = other.unwrap_or((class, share, line));
    let not = RuledOut::new(name, Quantity::new(other, Measure::Ratio)?, "of the time was waited for that")?;
    let sure = Confidence::new(0.9)?;
    Report::new(Some(class), what, Where::new(look, &place, command)?, why, all, Origin::new(unit, sure)?, not, sure)
}

#[cfg(test)]
mod tests {
    use weir_abi::EdgeRecord;
    use weir_ebpf::histogram::index;

    use crate::{
        incident::decisions::Happened,
        lab::{Lab, MS, answer, client, server},
        report::alert::MAX_TEXT,
    };
    use weir_engine::{CgroupPoll, Polled, Pressure};

    /// The host, with so many milliseconds a second for memory, devices and processors.
    fn run(lab: &mut Lab, seconds: u64, ms: [u64; 3]) {
        run_with(lab, seconds, ms, |_, _| ());
    }

    fn run_with(
        lab: &mut Lab,
        seconds: u64,
        [memory, io, cpu]: [u64; 3],
        mut second: impl FnMut(u64, &mut [(u32, EdgeRecord)]),
    ) {
        for _ in 0..seconds {
            let before = lab.polls.iter().find_map(|polled| match polled {
                Polled::Cgroup(poll) => poll.pressure,
                _ => None,
            });
            let before = before.unwrap_or_default();
            let pressure = Some(Pressure {
                memory_full_us: before.memory_full_us + 1000 * memory,
                io_full_us: before.io_full_us + 1000 * io,
                cpu_some_us: before.cpu_some_us + 1000 * cpu,
                ..before
            });
            lab.polls = vec![Polled::Cgroup(CgroupPoll { path: "/".into(), throttle: None, pressure })];
            lab.run(1, &mut second);
        }
    }

    #[test]
    fn each_kind_has_its_line() {
        for (ms, class, severity) in [
            ([60, 0, 0], "memory", "warn"),
            ([300, 900, 900], "memory", "warn"),
            ([0, 250, 900], "devices", "info"),
            ([0, 0, 700], "processors", "info"),
        ] {
            let mut lab = Lab::new([]);
            run(&mut lab, 15, ms);
            assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
            let (_, event) = lab.events.first().expect("an incident");
            assert_eq!(event.happened, Happened::Raised);
            let document = event.alert.document();
            assert_eq!((document.signal, document.class, document.severity), ("pressure", Some(class), severity));
            assert!(event.alert.text().chars().count() <= MAX_TEXT, "{}", event.alert.text());
        }
    }

    /// The same disks, and a service that takes three times as long to answer.
    #[test]
    fn devices_that_a_service_waits_for_are_a_warning() {
        let caller = client(7, 2);
        let mut lab = Lab::new([caller, server(8, &caller)]).only("pressure");
        run_with(&mut lab, 60, [0, 0, 0], |_, records| records.iter_mut().for_each(|(_, record)| answer(record, 20)));
        run_with(&mut lab, 15, [0, 250, 0], |_, records| {
            for (_, record) in records {
                record.latency.buckets[index(3 * MS)] += 20;
                record.latency.sum_ns += 20 * 3 * MS;
            }
        });
        let document = lab.events.first().expect("an incident").1.alert.document();
        assert_eq!((document.class, document.severity), (Some("devices"), "warn"));
    }

    #[test]
    fn a_busy_host_stays_silent() {
        let mut lab = Lab::new([]);
        run(&mut lab, 60, [20, 100, 500]);
        run(&mut lab, 5, [500, 0, 0]);
        run(&mut lab, 30, [0, 0, 0]);
        assert_eq!(lab.happened(), []);
    }
}
