//! Fields of the document of `weir edges`, but for those of its edges.

use std::sync::Arc;

use super::{
    ACCEPT_QUEUE, EDGE, Field, Label, Part, Unit, Value, abouts, counter, counters, estimated, flag, gauge, label,
    list, machine::of_document, object, seconds,
};
use crate::{
    degraded::{CPU_STEPS, Degradation, Degraded, MEMORY_STEPS},
    input::{Naming, ProbeState, ProgramCost},
    snapshot::{Cost, Coverage, Losses, Snapshot},
};

/// The document.
pub const SNAPSHOT: &[Field<Snapshot>] = &[
    gauge("window_s", "the length of the window", |snapshot: &Snapshot| seconds(snapshot.window_ns).into())
        .unit(Unit::Seconds),
    gauge("end_unix_s", "its end, seconds since 1970", |snapshot: &Snapshot| seconds(snapshot.end_unix_ns).into())
        .unit(Unit::Seconds),
    flag("complete", "nothing was lost, missed, unavailable or left out", |snapshot: &Snapshot| {
        snapshot.is_complete().into()
    }),
    object("losses", "what was lost in the window, by name", |snapshot: &Snapshot| {
        Part::Losses(&snapshot.losses).into()
    })
    .parts(|| abouts(LOSSES)),
    object("coverage", "how many connections were seen whole", |snapshot: &Snapshot| {
        Part::Coverage(&snapshot.coverage).into()
    })
    .parts(|| abouts(COVERAGE)),
    list("missing_probes", "probes that do not run", |snapshot: &Snapshot| {
        snapshot.missing_probes.iter().map(Part::Probe).collect()
    })
    .parts(|| abouts(PROBE)),
    object(
        "naming",
        "how well ends could be named since weir's start ([identity](identity.md))",
        |snapshot: &Snapshot| Part::Naming(&snapshot.naming).into(),
    )
    .parts(|| abouts(NAMING)),
    object(
        "degraded",
        "how far weir had stepped back to keep `--cpu-budget` and `--memory-limit` \
         ([self-protection](self-protection.md))",
        |snapshot: &Snapshot| Part::Degraded(&snapshot.degradation).into(),
    )
    .parts(|| abouts(DEGRADED)),
    flag("estimated", "a sample of sockets was followed at some time of the window", |snapshot: &Snapshot| {
        snapshot.degradation.estimated().into()
    }),
    list("estimated_fields", "the fields of an edge that are estimates therefore", |snapshot: &Snapshot| {
        estimated().filter(|_| snapshot.degradation.estimated()).collect()
    }),
    object("cost", "what weir itself used", |snapshot: &Snapshot| Part::Cost(snapshot).into()).parts(|| abouts(COST)),
    label("kernel", "the kernel's release", |snapshot: &Snapshot| snapshot.kernel.as_str().into()),
    label("version", "weir's version", |snapshot: &Snapshot| snapshot.version.as_str().into()),
    of_document(0),
    of_document(1),
    of_document(2),
    gauge("edges_total", "edges before `--filter`", |snapshot: &Snapshot| (snapshot.edges_total as u64).into()),
    list(
        "accept_queues",
        "listening ports that connections came to. Watched by `weir signals`, `weir explain` and `weir record` only",
        |snapshot: &Snapshot| {
            let queues = snapshot.accept_queues.iter();
            queues.filter(|queue| queue.arrivals > 0 || queue.wait.count > 0).map(Part::AcceptQueue).collect()
        },
    )
    .parts(|| abouts(ACCEPT_QUEUE)),
    list(
        "groups",
        "rules of `--group` and `--group-file`, in order ([identity](identity.md#your-own-services))",
        |_| Value::OfTheWriter,
    )
    .parts(|| abouts(GROUP)),
    list(
        "edges",
        "one object per pair of services and port; with `--instances` one per client process and dialled \
         address. Filters choose among the latter, before they are put together",
        |_| Value::OfTheWriter,
    )
    .parts(|| abouts(EDGE)),
];

/// Declares `LOSSES`, and that each loss is in it.
macro_rules! losses {
    ($($name:ident: $help:literal, remedy: $remedy:literal;)*) => {
        /// `losses`.
        pub const LOSSES: &[Field<Losses>] =
            &[$(counter(stringify!($name), $help, |losses: &Losses| losses.$name.into()).remedy($remedy),)*];

        const _: fn(&Losses) = |losses| {
            let Losses { $($name: _),* } = losses;
        };

        impl Losses {
            /// Every loss with its name.
            pub fn named(&self) -> [(&'static str, u64); LOSSES.len()] {
                [$((stringify!($name), self.$name),)*]
            }
        }
    };
}

losses! {
    ring_full: "examples of failed connects (`last_connect_failure`); counts are not affected", remedy: "";
    edges_over_limit: "sockets counted in `other` instead of their own edge", remedy: "`--max-edges`";
    sockets_over_limit: "connections without timing; their connects, bytes and retransmitted segments are in `other`",
        remedy: "`--max-sockets`";
    socket_storage_failed: "the same, because the kernel had no memory", remedy: "";
    unknown_sockets: "connections that ended before any process used them, on a port whose listener is unknown; in \
         `other`",
        remedy: "";
    listeners_over_limit: "listening ports not remembered (2,048)", remedy: "";
    unreadable_connects: "failed connects whose target was not readable", remedy: "";
    sends_missed: "sends whose return no kretprobe caught (only where kprobes serve)", remedy: "";
    dns_replies_dropped: "replies of name servers, and with them `dns_name`s, beyond 500 a second; counts are not affected",
        remedy: "";
    dns_replies_unread:
        "the same, where the process read them in a way that weir cannot follow \
         ([probes](probes.md#dns-replies))", remedy: "";
    recursion_misses: "program runs that the kernel skipped because the program was already running on that processor",
        remedy: "";
    services_over_limit:
        "edges of ended processes counted in `other`, because more than 2,048 pairs of services had some in \
         the window",
        remedy: "";
}

/// `coverage`.
pub const COVERAGE: &[Field<Coverage>] = &[
    counter("tracked", "connections with a record of their own", |coverage: &Coverage| coverage.tracked.into()),
    counter("missed", "connections without", |coverage: &Coverage| coverage.missed.into()),
    gauge("share", "of all connections: those with a record", |coverage: &Coverage| {
        let connections = coverage.tracked.wrapping_add(coverage.missed);
        match connections {
            0 => Value::Absent("no connections"),
            _ => Value::Number(coverage.tracked as f64 / connections as f64),
        }
    })
    .unit(Unit::Share)
    .nullable(),
    gauge("accepted_pending", "accepted connections that no process has read or written yet", |coverage: &Coverage| {
        coverage.accepted_pending.into()
    }),
    gauge("sockets_now", "sockets tracked, now", |coverage: &Coverage| coverage.sockets_now.into()),
    gauge("evicted_edges", "edges retired because they fell silent, since weir's start", |coverage: &Coverage| {
        coverage.evicted_edges.into()
    }),
    counter(
        "synack_retransmits",
        "SYN-ACKs retransmitted by the host, of all handshakes, complete or not",
        |coverage: &Coverage| coverage.synack_retransmits.into(),
    ),
];

/// `missing_probes`.
pub const PROBE: &[Field<ProbeState>] = &[
    label("name", "the probe", |probe: &ProbeState| probe.name.as_str().into()),
    label("reason", "why it does not run", |probe: &ProbeState| probe.missing.as_deref().unwrap_or_default().into()),
    label("unknown_without_it", "what is unknown without it", |probe: &ProbeState| probe.provides.as_str().into()),
];

/// `naming`.
pub const NAMING: &[Field<Naming>] = &[
    counters(
        "counts",
        Label { name: "what", values: Vec::new },
        "what was lost or not found, by name",
        |naming: &Naming| Value::Counts(naming.counts.iter().map(|(name, n)| (&**name, *n)).collect()),
    ),
    list("unavailable", "sources of names that do not answer", |naming: &Naming| {
        naming.unavailable.iter().map(Part::Unavailable).collect()
    })
    .parts(|| abouts(UNAVAILABLE)),
];

type Source = Arc<str>;
type Reason = Arc<str>;

/// `naming.unavailable`.
pub const UNAVAILABLE: &[Field<(Source, Reason)>] = &[
    label("source", "the source", |(source, _): &(Source, Reason)| (&**source).into()),
    label("reason", "why it does not answer", |(_, reason): &(Source, Reason)| (&**reason).into()),
];

/// `groups`, which the writer of the document counts.
pub const GROUP: &[Field<()>] = &[
    label("name", "the service's name", |(): &()| Value::OfTheWriter),
    label("rule", "the rule as it was written", |()| Value::OfTheWriter),
    counter("ends", "how many ends it named", |()| Value::OfTheWriter),
];

const NO_CPU_BUDGET: &str = "no --cpu-budget was given";
const NOT_YET: &str = "measured over 5 s, which are not over";
const NO_MEMORY_LIMIT: &str = "no --memory-limit was given";

/// `degraded`.
pub const DEGRADED: &[Field<Degradation>] = &[
    flag("now", "it does less than it could at the window's end", |it: &Degradation| {
        (it.now.cpu_step > 0 || it.now.memory_step > 0).into()
    }),
    flag("in_window", "it did so at some time of the window", |it: &Degradation| {
        (it.worst_cpu_step > 0 || it.worst_memory_step > 0).into()
    }),
    gauge("cpu_step", "the step of the processor's ladder at the window's end", |it: &Degradation| {
        u32::from(it.now.cpu_step).into()
    }),
    gauge("cpu_step_worst", "the highest in the window", |it: &Degradation| u32::from(it.worst_cpu_step).into()),
    gauge("cpu_steps", "the last that there is", |_| (CPU_STEPS.len() as u64 - 1).into()),
    gauge("cpu_budget_share", "`--cpu-budget`, of one core", |it: &Degradation| {
        it.now.cpu_budget_ppm.map(share).ok_or(NO_CPU_BUDGET).into()
    })
    .unit(Unit::Share)
    .nullable(),
    gauge("cpu_share", "what weir uses, of one core", |it: &Degradation| {
        it.now.cpu_ppm.map(share).ok_or(no_cpu(it)).into()
    })
    .unit(Unit::Share)
    .nullable(),
    flag("cpu_includes_programs", "its programs' run time is in that", |it: &Degradation| {
        it.now.cpu_ppm.map(|_| it.now.programs_timed).ok_or(no_cpu(it)).into()
    })
    .nullable(),
    gauge("memory_step", "the step of the memory's ladder at the window's end", |it: &Degradation| {
        u32::from(it.now.memory_step).into()
    }),
    gauge("memory_step_worst", "the highest in the window", |it: &Degradation| u32::from(it.worst_memory_step).into()),
    gauge("memory_steps", "the last that there is", |_| (MEMORY_STEPS.len() as u64 - 1).into()),
    gauge("memory_limit_bytes", "`--memory-limit`", |it: &Degradation| {
        it.now.memory_limit_bytes.ok_or(NO_MEMORY_LIMIT).into()
    })
    .unit(Unit::Bytes)
    .nullable(),
    gauge("memory_bytes", "what weir uses, maps and sockets' records included", |it: &Degradation| {
        it.now.memory_limit_bytes.map(|_| it.now.memory_bytes).ok_or(NO_MEMORY_LIMIT).into()
    })
    .unit(Unit::Bytes)
    .nullable(),
    gauge("followed_sockets_1_in", "one socket in so many was followed, at worst", |it: &Degradation| {
        (1u64 << it.worst().sampling_shift()).into()
    }),
    list("does", "the steps that were taken, in words", |it: &Degradation| {
        it.texts(|step| step.does).into_iter().collect()
    }),
    list("costs", "what is not known, or known less well, meanwhile", |it: &Degradation| {
        it.texts(|step| step.costs).into_iter().collect()
    }),
];

fn share(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

/// Why weir's use of the processor is not known.
fn no_cpu(degradation: &Degradation) -> &'static str {
    if degradation.now.cpu_budget_ppm.is_none() { NO_CPU_BUDGET } else { NOT_YET }
}

/// `cost`.
pub const COST: &[Field<Snapshot>] = &[
    counter("agent_cpu_s", "processor time in the window", |snapshot: &Snapshot| {
        seconds(snapshot.cost.agent_cpu_ns).into()
    })
    .unit(Unit::Seconds),
    gauge("agent_cpu_share", "the same of one core", |snapshot: &Snapshot| {
        (snapshot.cost.agent_cpu_ns as f64 / snapshot.window_ns.max(1) as f64).into()
    })
    .unit(Unit::Share),
    gauge("agent_rss_bytes", "resident memory, now", |snapshot: &Snapshot| snapshot.cost.agent_rss_bytes.into())
        .unit(Unit::Bytes),
    gauge("map_bytes", "kernel memory of the maps", |snapshot: &Snapshot| snapshot.cost.map_bytes.into())
        .unit(Unit::Bytes),
    list("programs", "each program's runs in the window", |snapshot: &Snapshot| {
        snapshot.cost.programs.iter().map(Part::Program).collect()
    })
    .parts(|| abouts(PROGRAM)),
];

const NOT_COUNTED: &str = "kernel.bpf_stats_enabled is 0 (sysctl -w kernel.bpf_stats_enabled=1, or --stats)";

/// `cost.programs`.
pub const PROGRAM: &[Field<ProgramCost>] = &[
    label("name", "its name", |program: &ProgramCost| (&*program.name).into()),
    counter("runs", "its runs, where the kernel counts them (`--stats`)", |program: &ProgramCost| {
        program.runs.map(|(runs, _)| runs).ok_or(NOT_COUNTED).into()
    })
    .nullable(),
    counter("run_time_ns", "and how long they took", |program: &ProgramCost| {
        program.runs.map(|(_, ns)| ns).ok_or(NOT_COUNTED).into()
    })
    .unit(Unit::Nanoseconds)
    .nullable(),
    counter(
        "recursion_misses",
        "runs that the kernel skipped because it was already running on that processor",
        |program: &ProgramCost| program.recursion_misses.into(),
    ),
];

/// Every field of these is in a row above, or left out for the reason beside it.
const _: fn(&Snapshot, &Coverage, &Cost, &ProgramCost, &ProbeState, &Naming, &Degradation) =
    |snapshot, coverage, cost, program, probe, naming, degradation| {
        let Snapshot {
            window_ns: _,
            end_monotonic_ns: _, // of this boot only
            end_unix_ns: _,
            kernel: _,
            version: _,
            machine: _,
            losses: _,
            coverage: _,
            missing_probes: _,
            naming: _,
            degradation: _,
            cost: _,
            accept_queues: _,
            host: _, // for signals and `weir explain`
            edges_total: _,
            edges: _,
        } = snapshot;
        let Coverage {
            tracked: _,
            missed: _,
            accepted_pending: _,
            sockets_now: _,
            evicted_edges: _,
            synack_retransmits: _,
        } = coverage;
        let Cost { agent_cpu_ns: _, agent_rss_bytes: _, map_bytes: _, programs: _ } = cost;
        let ProgramCost { name: _, runs: _, recursion_misses: _ } = program;
        let ProbeState { name: _, missing: _, provides: _ } = probe;
        let Naming { counts: _, unavailable: _ } = naming;
        let Degradation { now, worst_cpu_step: _, worst_memory_step: _ } = degradation;
        let Degraded {
            cpu_step: _,
            memory_step: _,
            cpu_budget_ppm: _,
            cpu_ppm: _,
            programs_timed: _,
            memory_limit_bytes: _,
            memory_bytes: _,
        } = now;
    };
