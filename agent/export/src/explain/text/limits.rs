//! Queues and limits, a line each.

use std::io::{self, Write};

use weir_engine::{AcceptQueueView, CgroupView, ListenerView, PortUse, PortsPoll, ProcessView};

use super::{MOST, WIDTH, more};
use crate::{
    explain::limits::Limits,
    table::{cut, duration},
};

pub(super) fn write(out: &mut impl Write, limits: &Limits<'_>) -> io::Result<()> {
    let Limits { accept_queues, listeners, processes, cgroups, ports } = limits;
    let groups: [(&str, Vec<String>); 5] = [
        ("accept queues", accept_queues.iter().map(|queue| accept_queue(queue)).collect()),
        ("listeners", listeners.iter().map(|view| listener(view)).collect()),
        ("processes", processes.iter().map(|view| process(view)).collect()),
        ("cgroups", cgroups.iter().map(|view| cgroup(view)).collect()),
        ("network namespaces", ports.iter().map(|(ports, towards)| local_ports(ports, towards)).collect()),
    ];
    let none = groups.iter().all(|(_, lines)| lines.is_empty());
    writeln!(out, "\nQUEUES AND LIMITS{}", if none { ": none were seen on this host" } else { "" })?;
    for (what, lines) in groups {
        for line in lines.iter().take(MOST) {
            writeln!(out, "{}", cut(&format!("  {line}"), WIDTH))?;
        }
        more(out, lines.len(), what)?;
    }
    Ok(())
}

fn accept_queue(queue: &AcceptQueueView) -> String {
    let AcceptQueueView { at, pid, limit, depth, arrivals, mean_depth, wait, .. } = queue;
    let waited = match (wait.mean_s(), wait.quantile_s(0.95)) {
        (Some(mean), Some(p95)) => format!("waited {} mean, {} p95", duration(mean), duration(p95)),
        _ => "none was accepted".to_owned(),
    };
    format!(
        "accept queue :{} (pid {pid}): last seen {depth} of {limit}, mean {mean_depth:.1}; {arrivals} came; {waited}",
        at.port
    )
}

fn listener(view: &ListenerView) -> String {
    let (last, full) = (&view.last, if view.was_full() { ", FULL" } else { "" });
    format!("listener {}: {} of {} wait, {} at most{full} (polled)", last.address, last.backlog, last.max, view.peak)
}

fn process(view: &ProcessView) -> String {
    let ProcessView { last, run_delay_ns, on_cpu_ns, over_ns } = view;
    let descriptors = match (last.fds, last.fds_limit) {
        (Some(used), Some(limit)) => {
            format!("{used} of {limit} descriptors ({:.1}%)", used as f64 / limit.max(1) as f64 * 100.0)
        }
        _ => "descriptors unknown".to_owned(),
    };
    // Of all its threads together, so either may be more than a second.
    let per_s = |ns: u64| duration(ns as f64 / *over_ns as f64);
    let processor = match over_ns {
        0 => "processor not known yet (polled once)".to_owned(),
        _ => format!("ran {} and waited for a processor {} each second", per_s(*on_cpu_ns), per_s(*run_delay_ns)),
    };
    format!("pid {}: {descriptors}; {processor}", last.pid)
}

fn cgroup(view: &CgroupView) -> String {
    let CgroupView { path, throttle, pressure, over_ns } = view;
    let throttled = match throttle {
        Some(throttle) => format!(
            "throttled in {} of {} periods, {} in all",
            throttle.throttled,
            throttle.periods,
            duration(throttle.throttled_ns as f64 / 1e9)
        ),
        None => "no processor limit".to_owned(),
    };
    let stalled = pressure.filter(|_| *over_ns > 0).map(|pressure| {
        let share = |us: u64| us as f64 * 1e3 / *over_ns as f64 * 100.0;
        let (cpu, memory, io) = (pressure.cpu_some_us, pressure.memory_some_us, pressure.io_some_us);
        format!("; stalled for cpu {:.0}%, memory {:.0}%, io {:.0}%", share(cpu), share(memory), share(io))
    });
    format!("cgroup {path}: {throttled}{}", stalled.unwrap_or_default())
}

fn local_ports(ports: &PortsPoll, towards: &[&PortUse]) -> String {
    let towards: Vec<String> =
        towards.iter().take(3).map(|tuple| format!("{} taken to {}", ports.taken(tuple), tuple.remote)).collect();
    let towards = if towards.is_empty() { "few are used".to_owned() } else { towards.join(", ") };
    format!("local ports: {} to each address; {towards}", ports.available())
}
