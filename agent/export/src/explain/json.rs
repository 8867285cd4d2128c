//! The picture as a document (docs/explain.md).

use weir_engine::{AcceptQueueView, CgroupView, Edge, ListenerView, PortUse, PortsPoll, ProcessView, Snapshot, View};

use super::{Line, Picture, split::Split};
use crate::{
    degraded,
    document::{coverage_of, edge_of, identity_of, losses_of, probe_of, reused, rounded, seconds},
    facts::Facts,
    json::{Json, Object},
    known::{Known, ROUNDS},
    queues,
    signals::{object, pending_of},
};

const NOT_POLLED_TWICE: &str = "polled only once in this window";

pub(super) fn document(picture: &Picture<'_>) -> Object {
    let Picture { asked, snapshot, services, instances, callers, callees, limits, incidents, pending, watch, learn } =
        picture;
    let Snapshot { losses, coverage, missing_probes, degradation, .. } = snapshot;
    let complete = losses.none() && coverage.missed == 0 && missing_probes.is_empty() && degradation.lossless();
    let services = services.iter().map(|service| {
        Object::new()
            .with("kind", service.kind.name())
            .with("namespace", service.namespace.as_deref().map_or(Json::Null, Json::from))
            .with("name", &*service.name)
    });
    let instances = instances.values().map(|instance| {
        let process = Object::new()
            .with("pid", instance.process.pid)
            .with("comm", instance.process.comm.as_str())
            .with("executable", instance.process.exe.as_str())
            .with("name", &*instance.identity.name);
        identity_of(process, instance.identity)
    });
    let (windows, watched_ns) = watch.judged();
    let judged = Object::new()
        .with("windows", windows)
        .with("watched_s", seconds(watched_ns))
        .with("learn_s", learn.as_secs_f64())
        .with("not_judged", picture.unjudged().map_or(Json::Null, Json::from));
    Object::new()
        .with("asked", asked.to_string())
        .with("window_s", seconds(snapshot.window_ns))
        .with("end_unix_s", seconds(snapshot.end_unix_ns))
        .with("complete", complete)
        .with("losses", losses_of(losses))
        .with("coverage", coverage_of(coverage))
        .with("missing_probes", missing_probes.iter().map(probe_of).collect::<Vec<_>>())
        .with("degraded", degraded::object(degradation))
        .with("estimated", degradation.estimated())
        .with("kernel", snapshot.kernel.as_str())
        .with("version", snapshot.version.as_str())
        .with("services", list(services))
        .with("instances", list(instances))
        .with("callers", list(callers.iter().map(|line| line_of(line, snapshot))))
        .with("callees", list(callees.iter().map(|line| line_of(line, snapshot))))
        .with("accept_queues", list(limits.accept_queues.iter().map(|queue: &&AcceptQueueView| queues::one(queue))))
        .with("listeners", list(limits.listeners.iter().map(|listener| listener_of(listener))))
        .with("processes", list(limits.processes.iter().map(|process| process_of(process))))
        .with("cgroups", list(limits.cgroups.iter().map(|cgroup| cgroup_of(cgroup))))
        .with("local_ports", list(limits.ports.iter().map(|(ports, towards)| ports_of(ports, towards))))
        .with("judged", judged)
        .with("incidents", list(incidents.iter().map(|alert| object(&alert.document()))))
        .with("pending", list(pending.iter().map(pending_of)))
}

fn list(objects: impl Iterator<Item = Object>) -> Vec<Json> {
    objects.map(Json::from).collect()
}

/// The edge as in `weir edges`, and what is only here.
fn line_of(line: &Line, snapshot: &Snapshot) -> Object {
    let Line { edge, time } = line;
    let facts = Facts::of(edge);
    let known = Known(&snapshot.missing_probes);
    let per_s = |n: u64| rounded(n as f64 / seconds(snapshot.window_ns.max(1)));
    edge_of(edge, snapshot)
        .with("connects_per_s", per_s(facts.connects.total()))
        .with("failed_connects", facts.failed_connects())
        .maybe("rounds_per_s", known.of(ROUNDS, per_s(facts.rounds)))
        .maybe("pool", pool_of(edge, snapshot))
        .maybe("time_s", time.as_ref().map(split_of).map_err(String::as_str))
}

fn pool_of(edge: &Edge, snapshot: &Snapshot) -> Result<Object, &'static str> {
    let view = edge.client_view.as_ref().map_err(|absent| absent.reason())?;
    Ok(Object::new()
        .with("connections_open", view.open_connections)
        .maybe("busy_share", busy_share(view, snapshot).ok_or("no connection is open, or no round was timed"))
        .with("threads", view.threads)
        .with("reused", reused(view.reused())))
}

/// Which part of the window the connections that are open now spent with a request in flight, each on average. Above one
/// where there were more of them before, or requests overlap.
pub(super) fn busy_share(view: &View, snapshot: &Snapshot) -> Option<f64> {
    let of = snapshot.window_ns as f64 * view.open_connections as f64;
    let timed = Known(&snapshot.missing_probes).has(ROUNDS);
    (of > 0.0 && timed).then(|| rounded(view.in_flight_ns as f64 / of))
}

fn split_of(split: &Split) -> Object {
    let Split { rounds, whole, network, network_from, peer_queue, peer_work, own_wait, rest } = *split;
    Object::new()
        .with("rounds", rounds)
        .with("mean", rounded(whole))
        .with("network", rounded(network))
        .with("network_from", network_from)
        .with("peer_queue", rounded(peer_queue))
        .with("peer_work", rounded(peer_work))
        .with("own_wait", rounded(own_wait))
        .with("not_explained", rounded(rest))
}

fn listener_of(listener: &ListenerView) -> Object {
    Object::new()
        .with("address", listener.last.address.to_string())
        .with("limit", listener.last.max)
        .with("waiting", listener.last.backlog)
        .with("waiting_most", listener.peak)
        .with("was_full", listener.was_full())
}

fn process_of(process: &ProcessView) -> Object {
    let ProcessView { last, run_delay_ns, on_cpu_ns, over_ns } = process;
    let share = |ns: u64| if *over_ns == 0 { Err(NOT_POLLED_TWICE) } else { Ok(rounded(ns as f64 / *over_ns as f64)) };
    Object::new()
        .with("pid", last.pid)
        .maybe("descriptors", last.fds.ok_or("not to be seen"))
        .maybe("descriptors_limit", last.fds_limit.ok_or("not to be seen"))
        .maybe("waited_for_processor", share(*run_delay_ns))
        .maybe("processors_used", share(*on_cpu_ns))
        .maybe("cgroup", last.cgroup.as_deref().ok_or("not to be seen"))
}

fn cgroup_of(cgroup: &CgroupView) -> Object {
    let CgroupView { path, throttle, pressure, over_ns } = cgroup;
    let throttle = throttle.map(|throttle| {
        Object::new()
            .with("periods", throttle.periods)
            .with("throttled", throttle.throttled)
            .with("throttled_s", seconds(throttle.throttled_ns))
    });
    let pressure = pressure.filter(|_| *over_ns > 0).map(|pressure| {
        let share = |us: u64| rounded(us as f64 * 1e3 / *over_ns as f64);
        Object::new()
            .with("cpu_some", share(pressure.cpu_some_us))
            .with("memory_some", share(pressure.memory_some_us))
            .with("memory_full", share(pressure.memory_full_us))
            .with("io_some", share(pressure.io_some_us))
            .with("io_full", share(pressure.io_full_us))
    });
    Object::new()
        .with("path", &**path)
        .maybe("throttle", throttle.ok_or("it has no processor limit"))
        .maybe("pressure", pressure.ok_or("the kernel does not say, or it was polled only once"))
}

fn ports_of(ports: &PortsPoll, towards: &[&PortUse]) -> Object {
    let towards = towards.iter().map(|tuple| {
        Object::new()
            .with("from", tuple.local.to_string())
            .with("to", tuple.remote.to_string())
            .with("taken", ports.taken(tuple))
            .with("time_wait", tuple.time_wait)
    });
    Object::new().with("netns", ports.netns).with("available", ports.available()).with("towards", list(towards))
}
