//! The JSON document (docs/edges.md): field names are a contract, frozen by a test.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use weir_engine::{
    Cost, Counted, Counts, Coverage, Distribution, Edge, End, Failure, Identity, LittlesLaw, Losses, Naming,
    ProbeState, Reused, ServerProcess, Snapshot, View,
};

use super::{
    Shown, degraded,
    facts::Facts,
    group::Grouped,
    json::{Json, Object},
    known::{ERRORS, Known, QUEUE_WAIT, RECEIVED, RESETS, RESETS_RECEIVED, RESETS_SENT, ROUNDS, SENT},
    queues,
};

const LOWER_BOUND: &str = "a lower bound of requests";
const NO_ROUNDS: &str = "no round was answered in this window";
const NO_CONNECTS: &str = "no connect succeeded in this window";
const NO_FAILURES: &str = "no connect failed in this window";
const NO_READS: &str = "no data was read at the turn of a round in this window";
const NO_HANDSHAKES: &str = "no handshake was timed in this window";
const NO_COMPLETE_ROUNDS: &str = "no round was completed in this window";
const SEE_CLIENT: &str = "the client is not on this host: see service_s for the server's own time";

/// The document of what is shown. An edge becomes JSON when its turn to be written comes: a thousand of them at once would
/// take 20 MiB.
pub(super) struct Document<'a>(pub(super) &'a Shown<'a>);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Shown { snapshot, edges, groups } = self.0;
        let mut map = to.serialize_map(None)?;
        for (name, value) in heading(snapshot).with("groups", groups_of(groups)).fields() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("edges", &Edges { snapshot, edges })?;
        map.end()
    }
}

struct Edges<'a> {
    snapshot: &'a Snapshot,
    edges: &'a [&'a Edge],
}

impl Serialize for Edges<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.edges.iter().map(|edge| edge_of(edge, self.snapshot)))
    }
}

/// All but the edges.
fn heading(snapshot: &Snapshot) -> Object {
    let Snapshot {
        window_ns,
        end_monotonic_ns: _, // of this boot only
        end_unix_ns,
        kernel,
        version,
        losses,
        coverage,
        missing_probes,
        naming,
        degradation,
        cost,
        edges_total,
        accept_queues,
        host: _,  // for signals
        edges: _, // one by one: `Edges`
    } = snapshot;
    let complete = losses.none() && coverage.missed == 0 && missing_probes.is_empty() && degradation.lossless();
    Object::new()
        .with("window_s", seconds(*window_ns))
        .with("end_unix_s", seconds(*end_unix_ns))
        .with("complete", complete)
        .with("losses", losses_of(losses))
        .with("coverage", coverage_of(coverage))
        .with("missing_probes", missing_probes.iter().map(probe_of).collect::<Vec<_>>())
        .with("naming", naming_of(naming))
        .with("degraded", degraded::object(degradation))
        .with("estimated", degradation.estimated())
        .with("estimated_fields", degraded::estimated_fields(degradation))
        .with("cost", cost_of(cost, *window_ns))
        .with("kernel", kernel.as_str())
        .with("version", version.as_str())
        .with("edges_total", *edges_total as u64)
        .with("accept_queues", queues::list(accept_queues))
}

pub(super) fn losses_of(losses: &Losses) -> Object {
    losses.named().iter().fold(Object::new(), |object, (name, count)| object.with(name, *count))
}

pub(super) fn coverage_of(coverage: &Coverage) -> Object {
    let Coverage { tracked, missed, accepted_pending, sockets_now, evicted_edges, synack_retransmits } = *coverage;
    let connections = tracked.wrapping_add(missed);
    Object::new()
        .with("tracked", tracked)
        .with("missed", missed)
        .maybe("share", if connections == 0 { Err("no connections") } else { Ok(tracked as f64 / connections as f64) })
        .with("accepted_pending", accepted_pending)
        .with("sockets_now", sockets_now)
        .with("evicted_edges", evicted_edges)
        .with("synack_retransmits", synack_retransmits)
}

fn naming_of(naming: &Naming) -> Object {
    let Naming { counts, unavailable } = naming;
    let counts = counts.iter().fold(Object::new(), |object, (name, count)| object.with(name, *count));
    let unavailable =
        unavailable.iter().map(|(source, why)| Object::new().with("source", &**source).with("reason", &**why).into());
    Object::new().with("counts", counts).with("unavailable", unavailable.collect::<Vec<Json>>())
}

fn groups_of(groups: &[Grouped]) -> Vec<Json> {
    let group = |Grouped { name, rule, ends }: &Grouped| {
        Object::new().with("name", &**name).with("rule", rule.as_str()).with("ends", *ends).into()
    };
    groups.iter().map(group).collect()
}

pub(super) fn probe_of(probe: &ProbeState) -> Json {
    let ProbeState { name, missing, provides } = probe;
    Object::new()
        .with("name", name.as_str())
        .with("reason", missing.as_deref().unwrap_or_default())
        .with("unknown_without_it", provides.as_str())
        .into()
}

fn cost_of(cost: &Cost, window_ns: u64) -> Object {
    let Cost { agent_cpu_ns, agent_rss_bytes, map_bytes, programs } = cost;
    let programs = programs.iter().map(|program| {
        let off = "kernel.bpf_stats_enabled is 0 (sysctl -w kernel.bpf_stats_enabled=1, or --stats)";
        Object::new()
            .with("name", &*program.name)
            .maybe("runs", program.runs.map(|(runs, _)| runs).ok_or(off))
            .maybe("run_time_ns", program.runs.map(|(_, ns)| ns).ok_or(off))
            .with("recursion_misses", program.recursion_misses)
            .into()
    });
    Object::new()
        .with("agent_cpu_s", seconds(*agent_cpu_ns))
        .with("agent_cpu_share", *agent_cpu_ns as f64 / window_ns.max(1) as f64)
        .with("agent_rss_bytes", *agent_rss_bytes)
        .with("map_bytes", *map_bytes)
        .with("programs", programs.collect::<Vec<Json>>())
}

pub(super) fn edge_of(edge: &Edge, snapshot: &Snapshot) -> Object {
    let Edge { client, server, server_processes, client_view, server_view, unpaired_view: _, last_failure, is_other } =
        edge;
    let client_view = client_view.as_ref().map_err(|absent| absent.reason());
    let server_view = server_view.as_ref().map_err(|absent| absent.reason());
    let facts = Facts::of(edge);
    let known = Known(&snapshot.missing_probes);
    let of_client = |f: fn(&View) -> &Distribution, nothing| match client_view {
        Ok(view) => distribution(f(view), nothing),
        Err(_) => Err(SEE_CLIENT),
    };
    let queue_wait = server_view.and_then(|view| queue_wait(view, snapshot));
    let of_server = |f: fn(&View) -> &Distribution, nothing| server_view.and_then(|v| distribution(f(v), nothing));
    Object::new()
        .with("client", end_of(client))
        .with("server", server_of(server, server_processes))
        .with("transport", "tcp")
        .with("connects", by_name(&facts.connects))
        .with("connects_timeout_by_caller", facts.timeout_by_caller)
        .maybe("last_connect_failure", last_failure.as_ref().map(failure_of).ok_or(NO_FAILURES))
        .with("open_connections", facts.open_connections)
        .maybe("rounds", known.of(ROUNDS, facts.rounds))
        .maybe("rounds_are", known.of(ROUNDS, if facts.lower_bound() { LOWER_BOUND } else { "round trips" }))
        .maybe("in_flight", known.of(ROUNDS, facts.in_flight))
        .maybe("abandoned", known.of(ROUNDS, facts.abandoned))
        .maybe("broken", known.of(ROUNDS, facts.broken))
        .maybe("unobserved", known.of(ROUNDS, facts.unobserved))
        .maybe("latency_s", known.maybe(ROUNDS, of_client(|v| &v.latency, NO_ROUNDS)))
        .maybe("full_latency_s", known.maybe(ROUNDS, of_client(|v| &v.full_latency, NO_COMPLETE_ROUNDS)))
        .maybe("connect_latency_s", of_client(|v| &v.connect_latency, NO_CONNECTS))
        .maybe("connect_failed_latency_s", of_client(|v| &v.connect_failed_latency, NO_FAILURES))
        .maybe("handshake_s", distribution(facts.handshake, NO_HANDSHAKES))
        .maybe("receive_queue_wait_s", known.maybe(QUEUE_WAIT, queue_wait))
        .maybe("service_s", known.maybe(ROUNDS, of_server(|v| &v.latency, NO_ROUNDS)))
        .maybe("bytes_sent", known.of(SENT, facts.bytes_sent))
        .maybe("bytes_received", known.of(RECEIVED, facts.bytes_received))
        .with("retransmitted_segments", facts.retransmitted_segments)
        .maybe("resets", known.of(RESETS, facts.resets))
        .maybe("srtt_s", srtt(facts.srtt_us))
        .maybe("multiplexed", known.of(ROUNDS, facts.multiplexed))
        .maybe("pipelined", known.of(ROUNDS, facts.pipelined))
        .maybe("push", known.of(ROUNDS, facts.push))
        .with("partial", facts.partial)
        .with("other", *is_other)
        .with(
            "views",
            Object::new()
                .maybe("client", client_view.map(|view| view_of(view, snapshot)))
                .maybe("server", server_view.map(|view| view_of(view, snapshot))),
        )
}

fn view_of(view: &View, snapshot: &Snapshot) -> Object {
    let known = Known(&snapshot.missing_probes);
    let law = view.littles_law(snapshot.window_ns);
    let queue_wait = queue_wait(view, snapshot);
    let View {
        connects,
        timeout_by_caller: _, // of the client alone: beside the connects
        open_connections,
        closed,
        partial,
        rounds,
        in_flight,
        in_flight_age_ns: _, // for signals
        abandoned,
        broken,
        unobserved,
        unanswered_ns: _,    // for decisions alone
        in_flight_before: _, // for
        in_flight_ns: _,     // in littles_law
        multiplexed,
        push,
        pipelined: (sampled, repeated),
        bytes_sent,
        bytes_received,
        retransmitted_segments,
        resets_sent,
        resets_received,
        errors,
        reused_by_same_thread: _,  // in
        reused_by_other_thread: _, // reused
        threads,
        closed_early,
        closed_after_login,
        srtt_us,
        latency,
        full_latency,
        receive_queue_wait: _, // in queue_wait
        connect_latency: _,    // of the client alone: on the edge
        connect_failed_latency: _,
        handshake,
    } = view;
    Object::new()
        .with("connects", by_name(connects))
        .with("open_connections", *open_connections)
        .with("closed_connections", *closed)
        .with("partial_connections", *partial)
        .maybe("rounds", known.of(ROUNDS, *rounds))
        .maybe("in_flight", known.of(ROUNDS, *in_flight))
        .maybe("abandoned", known.of(ROUNDS, *abandoned))
        .maybe("broken", known.of(ROUNDS, *broken))
        .maybe("unobserved", known.of(ROUNDS, *unobserved))
        .maybe("latency_s", known.maybe(ROUNDS, distribution(latency, NO_ROUNDS)))
        .maybe("full_latency_s", known.maybe(ROUNDS, distribution(full_latency, NO_COMPLETE_ROUNDS)))
        .maybe("receive_queue_wait_s", known.maybe(QUEUE_WAIT, queue_wait))
        .maybe("handshake_s", distribution(handshake, NO_HANDSHAKES))
        .maybe("bytes_sent", known.of(SENT, *bytes_sent))
        .maybe("bytes_received", known.of(RECEIVED, *bytes_received))
        .with("retransmitted_segments", *retransmitted_segments)
        .maybe("resets_sent", known.of(RESETS_SENT, *resets_sent))
        .maybe("resets_received", known.of(RESETS_RECEIVED, *resets_received))
        .maybe("errors", known.of(ERRORS, by_name(errors)))
        .with("reused", reused(view.reused()))
        .with("threads", *threads)
        .with("closed_early", *closed_early)
        .with("closed_after_login", *closed_after_login)
        .maybe("srtt_s", srtt(*srtt_us))
        .maybe("multiplexed", known.of(ROUNDS, *multiplexed))
        .maybe("push", known.of(ROUNDS, *push))
        .maybe("pipeline_sampled", known.of(ROUNDS, *sampled))
        .maybe("pipeline_repeated", known.of(ROUNDS, *repeated))
        .maybe("littles_law", known.of(ROUNDS, law_of(law)))
}

pub(super) fn reused(reused: Reused) -> Object {
    let Reused { by_same_thread, by_same_thread_at_once, by_other_thread, by_other_thread_at_once } = reused;
    Object::new()
        .with("by_same_thread", by_same_thread)
        .with("by_same_thread_at_once", by_same_thread_at_once)
        .with("by_other_thread", by_other_thread)
        .with("by_other_thread_at_once", by_other_thread_at_once)
}

fn law_of(law: LittlesLaw) -> Object {
    match law {
        LittlesLaw::Holds { concurrency } => {
            Object::new().with("state", "holds").with("concurrency", rounded(concurrency))
        }
        LittlesLaw::Broken { counted, timed } => Object::new()
            .with("state", "broken")
            .with("concurrency_counted", rounded(counted))
            .with("concurrency_timed", rounded(timed)),
        LittlesLaw::CutByWindow => Object::new().with("state", "cut by the window"),
        LittlesLaw::TooFew => Object::new().with("state", "too few rounds"),
    }
}

fn end_of(end: &End) -> Object {
    let End { identity, unknown, pids, process, address, port: _, backends: _ } = end;
    let process = process.as_ref().map_err(|absent| absent.reason());
    let object = Object::new()
        .with("name", &*identity.name)
        .maybe("pid", process.map(|p| p.pid))
        .maybe("comm", process.map(|p| p.comm.as_str()))
        .maybe("executable", process.and_then(|p| non_empty(&p.exe)))
        .maybe("cgroup_id", process.map(|p| p.cgroup_id))
        .maybe("address", address.map(|a| a.to_string()).ok_or("stands for many addresses"));
    identity_of(object, identity)
        .with("unknown_reason", unknown.as_deref().map_or(Json::Null, Json::from))
        .with("pids", pids.iter().map(|pid| (*pid).into()).collect::<Vec<Json>>())
}

/// Names that do not apply are null without a reason each: the kind says it.
pub(super) fn identity_of(object: Object, identity: &Identity) -> Object {
    let object = object.with("kind", identity.kind.name());
    let details = identity.details().into_iter();
    details.fold(object, |object, (name, detail)| object.with(name, detail.map_or(Json::Null, Json::from)))
}

fn server_of(end: &End, processes: &[ServerProcess]) -> Object {
    let processes = processes.iter().map(|share| {
        let ServerProcess { process, accepted, open_connections, rounds } = share;
        Object::new()
            .with("name", process.name())
            .with("pid", process.pid)
            .with("comm", process.comm.as_str())
            .with("accepted", *accepted)
            .with("open_connections", *open_connections)
            .with("rounds", *rounds)
            .into()
    });
    end_of(end)
        .maybe("port", end.port.map(u32::from).ok_or("stands for many ports"))
        .with("backend_addresses", end.backends.iter().map(|b| b.to_string().into()).collect::<Vec<Json>>())
        .with("processes", processes.collect::<Vec<Json>>())
}

fn failure_of(failure: &Failure) -> Object {
    let Failure { outcome, errno, after_ns, syn_retransmits, ago_ns } = *failure;
    Object::new()
        .with("outcome", outcome.name())
        .with("errno", u64::from(errno.unsigned_abs()))
        .maybe("after_s", if after_ns == 0 { Err("no SYN was sent") } else { Ok(seconds(after_ns)) })
        .with("syn_retransmits", syn_retransmits)
        .with("ago_s", seconds(ago_ns))
}

pub(super) fn distribution<'r>(d: &Distribution, nothing: &'r str) -> Result<Object, &'r str> {
    let mean = d.mean_s().ok_or(nothing)?;
    let quantile = |q| rounded(d.quantile_s(q).unwrap_or(mean));
    Ok(Object::new()
        .with("count", d.count)
        .with("mean", rounded(mean))
        .with("p50", quantile(0.5))
        .with("p95", quantile(0.95))
        .with("p99", quantile(0.99)))
}

/// Where arrivals were not timed all the window, the waits that there are would mislead.
fn queue_wait(view: &View, snapshot: &Snapshot) -> Result<Object, &'static str> {
    if !snapshot.degradation.times_queue_wait() {
        return Err(degraded::QUEUE_WAIT_OFF);
    }
    distribution(&view.receive_queue_wait, NO_READS)
}

fn by_name<K: Counted>(counts: &Counts<K>) -> Object {
    counts.iter().fold(Object::new(), |object, (variant, count)| object.with(variant.name(), count))
}

fn srtt(us: u32) -> Result<f64, &'static str> {
    if us == 0 { Err("the kernel has not sampled a round trip") } else { Ok(f64::from(us) / 1e6) }
}

fn non_empty(text: &str) -> Result<&str, &'static str> {
    if text.is_empty() { Err("a kernel thread") } else { Ok(text) }
}

pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// To the nanosecond: more digits would be noise.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e9
}
