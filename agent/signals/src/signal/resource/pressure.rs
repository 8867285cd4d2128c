//! Tasks wait for memory, devices or processors, as the kernel measures it (pressure stall information).
//!
//! Of the window, and not the kernel's averages: the share of the time in which every task waited for memory, or for a
//! device, or some task for a processor. Of a cgroup where version 2 has one, else of the host.
//!
//! It warns at 5% for memory, and at 20% for devices when a service takes half as long again to answer; then it pages with
//! 20% for memory. 20% for devices that no caller notices, and 60% for processors, are `info`. It is over below half of these.

use crate::{facts::owners::Owned, signal::prelude::*};
use weir_engine::{CgroupView, Service};

/// Shares of the window from which on tasks wait too long. Choices: every task waiting for memory is thrashing, at whatever
/// rate; devices and processors are shared by design.
const MEMORY: f64 = 0.05;
const MEMORY_PAGE: f64 = 0.20;
const DEVICES: f64 = 0.20;
const PROCESSORS: f64 = 0.60;

classes! {
    /// What tasks wait for, in order of weight.
    enum Class {
        Memory = "memory",
        Devices = "devices",
        Processors = "processors",
    }
}

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct PressureStall;

/// Shares of the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'f> {
    cgroup: &'f CgroupView,
    memory: f64,
    devices: f64,
    processors: f64,
    /// Callers of the service notice; of the host's, those of any.
    is_degraded: bool,
}

impl Detector for PressureStall {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Services in cgroups, of which 1,024 are polled.
    const LIMIT: usize = 1024;

    /// Nothing.
    type Memory = ();
    type Input<'f> = Vec<Reading<'f>>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<()>) -> Inputs<'f, Self::Input<'f>> {
        let cgroups = facts.snapshot.host.cgroups.iter();
        let readings = cgroups.filter_map(|cgroup| {
            let service = service(cgroup, facts);
            let (subject, is_degraded) = match service {
                Some(service) => (Subject::server(service.clone(), None), facts.latency.is_degraded(&service)),
                None if &*cgroup.path == "/" => (Subject::host(), facts.latency.any_is_degraded()),
                None => return None,
            };
            Some((subject, Reading::of(cgroup, is_degraded)?))
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

/// That of the process in a cgroup that had most to do on its edges.
fn service(cgroup: &CgroupView, facts: &Facts<'_>) -> Option<Service> {
    let processes = facts.snapshot.host.processes.iter();
    let inside = processes.filter(|process| process.last.cgroup.as_deref() == Some(&*cgroup.path));
    let owned = inside.filter_map(|process| facts.owners.get(process.last.pid));
    owned.max_by_key(|owned| owned.rounds).map(Owned::service)
}

impl<'f> Reading<'f> {
    fn of(cgroup: &'f CgroupView, is_degraded: bool) -> Option<Self> {
        let pressure = cgroup.pressure.filter(|_| cgroup.over_ns > 0)?;
        let share = |us: u64| us as f64 * 1000.0 / cgroup.over_ns as f64;
        Some(Self {
            cgroup,
            memory: share(pressure.memory_full_us),
            devices: share(pressure.io_full_us),
            processors: share(pressure.cpu_some_us),
            is_degraded,
        })
    }

    /// Each against its line: what, share, line.
    fn lines(&self) -> [(Class, f64, f64); 3] {
        [
            (Class::Memory, self.memory, MEMORY),
            (Class::Devices, self.devices, DEVICES),
            (Class::Processors, self.processors, PROCESSORS),
        ]
    }

    /// What is above its line; memory before devices before processors.
    fn worst(&self) -> (Class, f64, f64) {
        let lines = self.lines();
        lines.into_iter().find(|(_, share, line)| share >= line).unwrap_or(lines[0])
    }

    fn finding(&self) -> Finding {
        match self.worst() {
            (_, share, line) if share < line => {
                let over = self.lines().iter().all(|(_, share, line)| *share < line / 2.0);
                if over { Finding::Clear } else { Finding::Between }
            }
            (Class::Memory, share, _) if share >= MEMORY_PAGE => {
                let effect = self.is_degraded.then_some(Effect::LatencyUp);
                Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), effect))
            }
            // A disk that is written to by night hurts no service as long as none becomes slower.
            (Class::Processors, ..) => Finding::Raise(Severity::Info),
            (Class::Devices, ..) if !self.is_degraded => Finding::Raise(Severity::Info),
            (Class::Memory | Class::Devices, ..) => Finding::Raise(Severity::Warn),
        }
    }
}

fn report(subject: &Subject, reading: &Reading<'_>) -> Result<Report, Defect> {
    let (class, share, _) = reading.worst();
    let over_ns = reading.cgroup.over_ns;
    let evidence = |name, value: f64, line: f64| {
        // Stalls are a time, of which the kernel counts the microseconds.
        let n = (value * over_ns as f64 / 1e3) as u64;
        Sample { window_ns: over_ns, n: n.max(1) }.at_most(name, value, Measure::Ratio, line)
    };
    let all = [
        evidence("every task waits for memory", reading.memory, MEMORY)?,
        evidence("every task waits for devices", reading.devices, DEVICES)?,
        evidence("some task waits for a processor", reading.processors, PROCESSORS)?,
    ];
    let (phrase, look, command) = match class {
        Class::Memory => (
            "of the time every task that could run waited for memory",
            "memory limit, leaks and reclaim of",
            "cat /proc/pressure/memory; vmstat 1",
        ),
        Class::Devices => (
            "of the time every task that could run waited for a device",
            "processes that write to disk in",
            "cat /proc/pressure/io; iostat -x 1",
        ),
        Class::Processors => (
            "of the time some task waited for a processor",
            "running processes and number of processors in",
            "cat /proc/pressure/cpu; top",
        ),
    };
    let service = subject.about().cloned().map(Place::Service);
    let place = service.unwrap_or_else(|| Place::File("/proc/pressure".into()));
    let other = reading.lines().into_iter().find(|(other, share, line)| *other != class && share < line);
    let ruled_out = match other {
        Some((not, other, _)) => {
            RuledOut::new(not.name(), Quantity::new(other, Measure::Ratio)?, "of the time, below its threshold")?
        }
        // All three are above their lines, so that the class is memory.
        None => {
            let devices = Quantity::new(reading.devices, Measure::Ratio)?;
            RuledOut::new("memory alone", devices, "of the time, every task waited for devices")?
        }
    };
    let stalled = match class {
        Class::Memory | Class::Devices => "in which no task could make progress",
        Class::Processors => "in which at least one task waited",
    };
    let noticed = if reading.is_degraded { "; callers wait" } else { "" };
    Parts {
        class: Some(class.name()),
        what: What::new(&all[class as usize], phrase)?,
        place: Where::new(look, &place, command)?,
        why: Why::new(Quantity::new(share, Measure::Rate("s/s"))?, &format!("{stalled}{noticed}"))?,
        evidence: all,
        more: Vec::new(),
        origin: Origin::new(subject, Confidence::new(0.9)?)?,
        ruled_out: vec![ruled_out],
        confidence: 0.9,
    }
    .report()
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
