//! Fields of accept queues, listeners, processes and cgroups.

use super::{
    Field, Part, Unit, Value, abouts, counter, flag, gauge, histogram, id, label, list, object, rounded, seconds,
};
use crate::{
    polled::{Pressure, Throttle},
    state::{
        host::{CgroupView, ListenerView, ProcessView},
        queues::AcceptQueueView,
    },
};

const NOT_POLLED_TWICE: &str = "polled only once in this window";
const NOT_VISIBLE: &str = "not to be seen";

/// `accept_queues`.
pub const ACCEPT_QUEUE: &[Field<AcceptQueueView>] = &[
    id("netns", "the network namespace's inode number", |queue: &AcceptQueueView| queue.at.netns.into()),
    id("port", "the listening port", |queue: &AcceptQueueView| queue.at.port.into()),
    id("pid", "the process that accepted last, or else the one that listens", |queue: &AcceptQueueView| {
        queue.pid.into()
    }),
    label("comm", "the name of its main thread", |queue: &AcceptQueueView| queue.comm.as_str().into()),
    gauge("limit", "it is full when there are more", |queue: &AcceptQueueView| queue.limit.into()),
    gauge("depth", "its length after the last arrival", |queue: &AcceptQueueView| queue.depth.into()),
    counter("arrivals", "connections that entered it", |queue: &AcceptQueueView| queue.arrivals.into()),
    gauge("mean_depth", "its mean length as arrivals found it, each counting itself", |queue: &AcceptQueueView| {
        rounded(queue.mean_depth).into()
    }),
    list("fill", "arrivals by how full they left it: eighths, then full", |queue: &AcceptQueueView| {
        queue.fill.iter().copied().collect()
    }),
    histogram("accept_wait_s", "handshake complete to accepted", |queue: &AcceptQueueView| {
        Value::Distribution(&queue.wait, "no connection was accepted in the window")
    })
    .source("`sys_exit_accept`"),
];

/// `listeners` of `weir explain`.
pub const LISTENER: &[Field<ListenerView>] = &[
    label("address", "the address and port", |listener: &ListenerView| listener.last.address.to_string().into()),
    gauge("limit", "it is full when there are more", |listener: &ListenerView| listener.last.max.into()),
    gauge("waiting", "connections waiting in it at the last poll", |listener: &ListenerView| {
        listener.last.backlog.into()
    }),
    gauge("waiting_most", "the most that waited at any poll of the window", |listener: &ListenerView| {
        listener.peak.into()
    }),
    flag("was_full", "it was full at one of the polls", |listener: &ListenerView| listener.was_full().into()),
];

/// `processes` of `weir explain`.
pub const PROCESS: &[Field<ProcessView>] = &[
    id("pid", "its id", |process: &ProcessView| process.last.pid.into()),
    gauge("descriptors", "file descriptors open", |process: &ProcessView| process.last.fds.ok_or(NOT_VISIBLE).into())
        .nullable(),
    gauge("descriptors_limit", "and how many may be", |process: &ProcessView| {
        process.last.fds_limit.ok_or(NOT_VISIBLE).into()
    })
    .nullable(),
    gauge(
        "waited_for_processor",
        "seconds a second that its threads, all together, were ready to run and did not",
        |process: &ProcessView| share(process.run_delay_ns, process.over_ns),
    )
    .nullable(),
    gauge("processors_used", "seconds a second that its threads, all together, ran", |process: &ProcessView| {
        share(process.on_cpu_ns, process.over_ns)
    })
    .nullable(),
    label("cgroup", "the cgroup that shares out its processor time", |process: &ProcessView| {
        process.last.cgroup.as_deref().ok_or(NOT_VISIBLE).into()
    })
    .nullable(),
];

/// `cgroups` of `weir explain`.
pub const CGROUP: &[Field<CgroupView>] = &[
    label("path", "its path", |cgroup: &CgroupView| (&*cgroup.path).into()),
    object("throttle", "how it was kept from running", |cgroup: &CgroupView| {
        cgroup.throttle.as_ref().map(Part::Throttle).ok_or("it has no processor limit").into()
    })
    .nullable()
    .parts(|| abouts(THROTTLE)),
    object("pressure", "the share of time that its tasks stalled (PSI)", |cgroup: &CgroupView| {
        let known = cgroup.pressure.is_some() && cgroup.over_ns > 0;
        known.then_some(Part::Pressure(cgroup)).ok_or("the kernel does not say, or it was polled only once").into()
    })
    .nullable()
    .parts(|| abouts(PRESSURE)),
];

/// `throttle` of a cgroup.
pub const THROTTLE: &[Field<Throttle>] = &[
    counter("periods", "periods in which it ran", |throttle: &Throttle| throttle.periods.into()),
    counter("throttled", "of these: those in which it used up its quota", |throttle: &Throttle| {
        throttle.throttled.into()
    }),
    counter("throttled_s", "how long it was throttled, over all processors", |throttle: &Throttle| {
        seconds(throttle.throttled_ns).into()
    })
    .unit(Unit::Seconds),
];

/// `pressure` of a cgroup.
pub const PRESSURE: &[Field<CgroupView>] = &[
    gauge("cpu_some", "some task waited for a processor", |cgroup: &CgroupView| stalled(cgroup, |p| p.cpu_some_us))
        .unit(Unit::Share),
    gauge("memory_some", "some task waited for memory", |cgroup: &CgroupView| stalled(cgroup, |p| p.memory_some_us))
        .unit(Unit::Share),
    gauge("memory_full", "every task waited for memory", |cgroup: &CgroupView| stalled(cgroup, |p| p.memory_full_us))
        .unit(Unit::Share),
    gauge("io_some", "some task waited for a device", |cgroup: &CgroupView| stalled(cgroup, |p| p.io_some_us))
        .unit(Unit::Share),
    gauge("io_full", "every task waited for a device", |cgroup: &CgroupView| stalled(cgroup, |p| p.io_full_us))
        .unit(Unit::Share),
];

/// Every field of these is in a row above, or left out for the reason beside it.
const _: fn(&AcceptQueueView, &ListenerView, &ProcessView, &CgroupView, &Throttle, &Pressure) =
    |queue, listener, process, cgroup, throttle, pressure| {
        let AcceptQueueView {
            at: _,
            pid: _,
            comm: _,
            limit: _,
            depth: _,
            arrivals: _,
            mean_depth: _,
            fill: _,
            wait: _,
        } = queue;
        let ListenerView { last: _, peak: _, least: _, half_open: _ } = listener; // the last two for signals
        let ProcessView { last: _, run_delay_ns: _, on_cpu_ns: _, over_ns: _ } = process;
        let CgroupView { path: _, throttle: _, pressure: _, over_ns: _ } = cgroup;
        let Throttle { periods: _, throttled: _, throttled_ns: _ } = throttle;
        let Pressure { cpu_some_us: _, memory_some_us: _, memory_full_us: _, io_some_us: _, io_full_us: _ } = pressure;
    };

/// Of the time between two polls.
fn share<'a>(ns: u64, over_ns: u64) -> Value<'a> {
    if over_ns == 0 { Value::Absent(NOT_POLLED_TWICE) } else { rounded(ns as f64 / over_ns as f64).into() }
}

fn stalled<'a>(cgroup: &CgroupView, us: fn(&Pressure) -> u64) -> Value<'a> {
    let us = cgroup.pressure.as_ref().map_or(0, us);
    rounded(us as f64 * 1e3 / cgroup.over_ns as f64).into()
}
