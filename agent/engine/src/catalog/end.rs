//! Fields of an edge's ends.

use super::{About, Field, Part, Value, abouts, counter, gauge, id, label, list, name};
use crate::{
    identity::Identity,
    snapshot::{Edge, End, Process, ServerProcess},
};

/// `client` and `server` of an edge.
pub const END: &[Field<End>] = &[
    label("name", "the service's name ([identity](identity.md))", |end: &End| (&*end.identity.name).into()),
    id("pid", "the process; with several of a server and `--instances`, the busiest", |end: &End| {
        of_process(end, |p| p.pid.into())
    })
    .nullable()
    .source("the task that connected, or first read or wrote"),
    label("comm", "the name of its main thread", |end: &End| of_process(end, |p| p.comm.as_str().into())).nullable(),
    label("executable", "the file name of its executable", |end: &End| {
        of_process(end, |p| if p.exe.is_empty() { Value::Absent("a kernel thread") } else { p.exe.as_str().into() })
    })
    .nullable(),
    id(
        "cgroup_id",
        "the inode number of its cgroup's directory in version 2's hierarchy; where that is only the root \
         (1), as for containers on hosts of version 1 and hybrid ones, it is the one in version 1's `pids` \
         hierarchy (else `memory`, `cpu`) plus 2^52, since ids of two hierarchies may be equal",
        |end: &End| of_process(end, |p| p.cgroup_id.into()),
    )
    .nullable(),
    label("address", "its address", |end: &End| {
        end.address.map(|address| address.to_string()).ok_or("stands for many addresses").into()
    })
    .nullable(),
    label("kind", "what the name stands for ([identity](identity.md))", |end: &End| end.identity.kind.name().into()),
    name("namespace", "the Kubernetes namespace, or the declared `service.namespace`", |end: &End| {
        detail(end, "namespace")
    }),
    name("workload", "the Kubernetes workload, such as `deployment/checkout`", |end: &End| detail(end, "workload")),
    name("pod", "the Kubernetes pod", |end: &End| detail(end, "pod")),
    name("container", "the container's name", |end: &End| detail(end, "container")),
    name("image", "the container's image", |end: &End| detail(end, "image")),
    name("unit", "the systemd unit", |end: &End| detail(end, "unit")),
    name("dns_name", "the host name that the process asked for when it got this address", |end: &End| {
        detail(end, "dns_name")
    }),
    name("unknown_reason", "why there is no better name than an address", |end: &End| end.unknown.as_deref().into()),
    list("pids", "its processes on this host", |end: &End| end.pids.iter().copied().collect()),
];

/// What only `server` has, after the fields of every end.
pub const SERVER: &[Field<Edge>] = &[
    id("port", "the port that was dialled", |edge: &Edge| {
        edge.server.port.map(u32::from).ok_or("stands for many ports").into()
    })
    .nullable(),
    list("backend_addresses", "where connections really go, where that is another address (DNAT)", |edge: &Edge| {
        edge.server.backends.iter().map(ToString::to_string).collect()
    }),
    list("processes", "every process on this host that served the edge, busiest first", |edge: &Edge| {
        edge.server_processes.iter().map(Part::ServerProcess).collect()
    })
    .parts(|| abouts(SERVER_PROCESS)),
];

/// `server.processes`.
pub const SERVER_PROCESS: &[Field<ServerProcess>] = &[
    label("name", "its name", |share: &ServerProcess| share.process.name().into()),
    id("pid", "its id", |share: &ServerProcess| share.process.pid.into()),
    label("comm", "the name of its main thread", |share: &ServerProcess| share.process.comm.as_str().into()),
    counter("accepted", "connections accepted", |share: &ServerProcess| share.accepted.into()),
    gauge("open_connections", "connections open, now", |share: &ServerProcess| share.open_connections.into()),
    counter("rounds", "rounds served", |share: &ServerProcess| share.rounds.into()),
];

/// All fields of `server`.
pub(super) fn server() -> Vec<About> {
    abouts(END).into_iter().chain(abouts(SERVER)).collect()
}

/// Every field of these is in a row above.
const _: fn(&End, &ServerProcess, &Process) = |end, share, process| {
    let End { identity: _, unknown: _, pids: _, process: _, address: _, port: _, backends: _ } = end;
    let ServerProcess { process: _, accepted: _, open_connections: _, rounds: _ } = share;
    let Process { pid: _, comm: _, exe: _, cgroup_id: _, start_ns: _ } = process; // of this boot only
};

fn of_process<'a>(end: &'a End, field: fn(&'a Process) -> Value<'a>) -> Value<'a> {
    end.process.as_ref().map_or_else(|absent| Value::Absent(absent.reason()), field)
}

fn detail<'a>(end: &'a End, name: &str) -> Value<'a> {
    let details = Identity::details(&end.identity);
    details.into_iter().find(|(known, _)| *known == name).and_then(|(_, detail)| detail).into()
}
