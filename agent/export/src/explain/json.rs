//! The picture as a document (docs/explain.md).

use weir_engine::{
    Edge, PortUse, PortsPoll, Snapshot, View,
    catalog::{self, Field, rounded, seconds},
};
use weir_signals::Standing;

use super::{Line, Picture, split::Split};
use crate::{
    fields::object,
    json::{Json, Object},
    known::{Known, ROUNDS},
    machine,
    signals::{object as alert, pending_of},
};

pub(super) fn document(picture: &Picture<'_>) -> Object {
    let Picture { asked, snapshot, services, instances, callers, callees, limits, incidents, pending, standing, learn } =
        picture;
    let Snapshot { losses, coverage, missing_probes, degradation, .. } = snapshot;
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
        let kind = process.with("kind", instance.identity.kind.name());
        let details = instance.identity.details().into_iter();
        details.fold(kind, |object, (name, detail)| object.with(name, detail.map_or(Json::Null, Json::from)))
    });
    let Standing { windows, watched_ns, .. } = **standing;
    let judged = Object::new()
        .with("windows", windows)
        .with("watched_s", seconds(watched_ns))
        .with("learn_s", learn.as_secs_f64())
        .with("not_judged", picture.unjudged().map_or(Json::Null, Json::from));
    let object = Object::new()
        .with("asked", asked.to_string())
        .with("window_s", seconds(snapshot.window_ns))
        .with("end_unix_s", seconds(snapshot.end_unix_ns))
        .with("complete", snapshot.is_complete())
        .with("losses", object(catalog::LOSSES, losses, snapshot))
        .with("coverage", object(catalog::COVERAGE, coverage, snapshot))
        .with("missing_probes", list(missing_probes.iter().map(|probe| object(catalog::PROBE, probe, snapshot))))
        .with("degraded", object(catalog::DEGRADED, degradation, snapshot))
        .with("estimated", degradation.estimated())
        .with("kernel", snapshot.kernel.as_str());
    machine::with(object, &snapshot.version, &snapshot.machine)
        .with("services", list(services))
        .with("instances", list(instances))
        .with("callers", list(callers.iter().map(|line| line_of(line, snapshot))))
        .with("callees", list(callees.iter().map(|line| line_of(line, snapshot))))
        .with("accept_queues", records(catalog::ACCEPT_QUEUE, &limits.accept_queues, snapshot))
        .with("listeners", records(catalog::LISTENER, &limits.listeners, snapshot))
        .with("processes", records(catalog::PROCESS, &limits.processes, snapshot))
        .with("cgroups", records(catalog::CGROUP, &limits.cgroups, snapshot))
        .with("local_ports", list(limits.ports.iter().map(|(ports, towards)| ports_of(ports, towards))))
        .with("judged", judged)
        .with("incidents", list(incidents.iter().map(|incident| alert(&incident.document()))))
        .with("pending", list(pending.iter().map(|pending| pending_of(pending))))
}

fn list(objects: impl Iterator<Item = Object>) -> Vec<Json> {
    objects.map(Json::from).collect()
}

fn records<T>(fields: &[Field<T>], subjects: &[&T], snapshot: &Snapshot) -> Vec<Json> {
    list(subjects.iter().map(|subject| object(fields, *subject, snapshot)))
}

/// The edge as in `weir edges`, and what is only here.
fn line_of(line: &Line, snapshot: &Snapshot) -> Object {
    let Line { edge, time } = line;
    let known = Known(snapshot);
    let per_s = |n: u64| rounded(n as f64 / seconds(snapshot.window_ns.max(1)));
    object(catalog::EDGE, edge, snapshot)
        .with("connects_per_s", per_s(edge.connects().total()))
        .with("failed_connects", edge.connects().failed())
        .maybe("rounds_per_s", known.of(&ROUNDS, per_s(edge.total(|v| v.rounds))))
        .maybe("pool", pool_of(edge, snapshot))
        .maybe("time_s", time.as_ref().map(split_of).map_err(String::as_str))
}

fn pool_of(edge: &Edge, snapshot: &Snapshot) -> Result<Object, &'static str> {
    let view = edge.client_view.as_ref().map_err(|absent| absent.reason())?;
    Ok(Object::new()
        .with("connections_open", view.open_connections)
        .maybe("busy_share", busy_share(view, snapshot).ok_or("no connection is open, or no round was timed"))
        .with("threads", view.threads)
        .with("reused", object(catalog::REUSED, &view.reused(), snapshot)))
}

/// Which part of the window the connections that are open now spent with a request in flight, each on average. Above one
/// where there were more of them before, or requests overlap.
pub(super) fn busy_share(view: &View, snapshot: &Snapshot) -> Option<f64> {
    let of = snapshot.window_ns as f64 * view.open_connections as f64;
    let timed = Known(snapshot).has(&ROUNDS);
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
