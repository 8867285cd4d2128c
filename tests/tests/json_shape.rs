//! The JSON document is a contract: fields may be added, none may be renamed, removed or change its type.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use weir_tests::{lab, machine::patient, probes, weir};

/// Of one field: its type, and whether it may be null with a reason beside it.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Text,
    Flag,
    List,
    Object,
    MaybeNumber,
    MaybeText,
    MaybeObject,
    /// A name that not everything has: null without a reason of its own, which the kind is.
    Name,
}

use Kind::{Flag, List, MaybeNumber, MaybeObject, MaybeText, Name, Number, Object, Text};

const DOCUMENT: &[(&str, Kind)] = &[
    ("window_s", Number),
    ("end_unix_s", Number),
    ("complete", Flag),
    ("losses", Object),
    ("losses.ring_full", Number),
    ("losses.edges_over_limit", Number),
    ("losses.sockets_over_limit", Number),
    ("losses.socket_storage_failed", Number),
    ("losses.unknown_sockets", Number),
    ("losses.listeners_over_limit", Number),
    ("losses.unreadable_connects", Number),
    ("losses.dns_replies_dropped", Number),
    ("losses.dns_replies_unread", Number),
    ("losses.sends_missed", Number),
    ("losses.recursion_misses", Number),
    ("losses.services_over_limit", Number),
    ("coverage", Object),
    ("coverage.tracked", Number),
    ("coverage.missed", Number),
    ("coverage.share", MaybeNumber),
    ("coverage.accepted_pending", Number),
    ("coverage.sockets_now", Number),
    ("coverage.evicted_edges", Number),
    ("coverage.synack_retransmits", Number),
    ("missing_probes", List),
    ("naming", Object),
    ("naming.counts", Object),
    ("naming.unavailable", List),
    ("groups", List),
    ("degraded", Object),
    ("degraded.now", Flag),
    ("degraded.in_window", Flag),
    ("degraded.cpu_step", Number),
    ("degraded.cpu_step_worst", Number),
    ("degraded.cpu_steps", Number),
    ("degraded.cpu_budget_share", MaybeNumber),
    ("degraded.memory_step", Number),
    ("degraded.memory_step_worst", Number),
    ("degraded.memory_steps", Number),
    ("degraded.memory_limit_bytes", MaybeNumber),
    ("degraded.memory_bytes", MaybeNumber),
    ("degraded.followed_sockets_1_in", Number),
    ("degraded.does", List),
    ("degraded.costs", List),
    ("estimated", Flag),
    ("estimated_fields", List),
    ("cost", Object),
    ("cost.agent_cpu_s", Number),
    ("cost.agent_cpu_share", Number),
    ("cost.agent_rss_bytes", Number),
    ("cost.map_bytes", Number),
    ("cost.programs", List),
    ("kernel", Text),
    ("version", Text),
    ("edges_total", Number),
    ("accept_queues", List),
    ("edges", List),
];

const PROGRAM: &[(&str, Kind)] =
    &[("name", Text), ("runs", MaybeNumber), ("run_time_ns", MaybeNumber), ("recursion_misses", Number)];

const EDGE: &[(&str, Kind)] = &[
    ("client", Object),
    ("client.name", Text),
    ("client.kind", Text),
    ("client.namespace", Name),
    ("client.workload", Name),
    ("client.pod", Name),
    ("client.container", Name),
    ("client.image", Name),
    ("client.unit", Name),
    ("client.dns_name", Name),
    ("client.unknown_reason", Name),
    ("client.pids", List),
    ("client.pid", MaybeNumber),
    ("client.comm", MaybeText),
    ("client.executable", MaybeText),
    ("client.cgroup_id", MaybeNumber),
    ("client.address", MaybeText),
    ("server", Object),
    ("server.name", Text),
    ("server.kind", Text),
    ("server.namespace", Name),
    ("server.workload", Name),
    ("server.pod", Name),
    ("server.container", Name),
    ("server.image", Name),
    ("server.unit", Name),
    ("server.dns_name", Name),
    ("server.unknown_reason", Name),
    ("server.backend_addresses", List),
    ("server.pid", MaybeNumber),
    ("server.comm", MaybeText),
    ("server.executable", MaybeText),
    ("server.cgroup_id", MaybeNumber),
    ("server.address", MaybeText),
    ("server.port", MaybeNumber),
    ("server.pids", List),
    ("server.processes", List),
    ("transport", Text),
    ("connects", Object),
    ("connects.ok", Number),
    ("connects.refused", Number),
    ("connects.timeout", Number),
    ("connects.unreachable", Number),
    ("connects.reset", Number),
    ("connects.cancelled", Number),
    ("connects.address_not_available", Number),
    ("connects.other", Number),
    ("connects_timeout_by_caller", Number),
    ("last_connect_failure", MaybeObject),
    ("open_connections", Number),
    ("rounds", Number),
    ("rounds_are", Text),
    ("in_flight", Number),
    ("abandoned", Number),
    ("broken", Number),
    ("unobserved", Number),
    ("latency_s", MaybeObject),
    ("full_latency_s", MaybeObject),
    ("connect_latency_s", MaybeObject),
    ("connect_failed_latency_s", MaybeObject),
    ("handshake_s", MaybeObject),
    ("receive_queue_wait_s", MaybeObject),
    ("service_s", MaybeObject),
    ("bytes_sent", Number),
    ("bytes_received", Number),
    ("retransmitted_segments", Number),
    ("resets", Number),
    ("srtt_s", MaybeNumber),
    ("multiplexed", Flag),
    ("pipelined", Flag),
    ("push", Flag),
    ("partial", Flag),
    ("other", Flag),
    ("views", Object),
    ("views.client", MaybeObject),
    ("views.server", MaybeObject),
];

const SPREAD: &[(&str, Kind)] =
    &[("count", Number), ("mean", Number), ("p50", Number), ("p95", Number), ("p99", Number)];

const FAILURE: &[(&str, Kind)] =
    &[("outcome", Text), ("errno", Number), ("after_s", MaybeNumber), ("syn_retransmits", Number), ("ago_s", Number)];

const SERVER_PROCESS: &[(&str, Kind)] = &[
    ("name", Text),
    ("pid", Number),
    ("comm", Text),
    ("accepted", Number),
    ("open_connections", Number),
    ("rounds", Number),
];

const VIEW: &[(&str, Kind)] = &[
    ("connects", Object),
    ("connects.ok", Number),
    ("open_connections", Number),
    ("closed_connections", Number),
    ("partial_connections", Number),
    ("rounds", Number),
    ("in_flight", Number),
    ("abandoned", Number),
    ("broken", Number),
    ("unobserved", Number),
    ("latency_s", MaybeObject),
    ("full_latency_s", MaybeObject),
    ("receive_queue_wait_s", MaybeObject),
    ("handshake_s", MaybeObject),
    ("bytes_sent", Number),
    ("bytes_received", Number),
    ("retransmitted_segments", Number),
    ("resets_sent", Number),
    ("resets_received", Number),
    ("errors", Object),
    ("errors.timeout", Number),
    ("errors.reset", Number),
    ("errors.unreachable", Number),
    ("errors.other", Number),
    ("reused", Object),
    ("reused.by_same_thread", Number),
    ("reused.by_same_thread_at_once", Number),
    ("reused.by_other_thread", Number),
    ("reused.by_other_thread_at_once", Number),
    ("threads", Number),
    ("closed_early", Number),
    ("closed_after_login", Number),
    ("srtt_s", MaybeNumber),
    ("multiplexed", Flag),
    ("push", Flag),
    ("littles_law", Object),
    ("littles_law.state", Text),
];

/// Fields that were present and not null, of all that were looked at.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    /// Asserts that `value` has all the fields, each of its type, and null only with a reason.
    fn check(&mut self, what: &str, value: &Value, fields: &[(&str, Kind)]) {
        for &(path, kind) in fields {
            let (parent, name) = match path.rsplit_once('.') {
                Some((parent, name)) => (&value[parent], name),
                None => (value, path),
            };
            let field = parent.get(name).unwrap_or_else(|| panic!("{what} has no {path}: {value:#}"));
            let right = match kind {
                Number | MaybeNumber => field.is_number(),
                Text | MaybeText | Name => field.is_string(),
                Flag => field.is_boolean(),
                List => field.is_array(),
                Object | MaybeObject => field.is_object(),
            };
            if right {
                self.0.insert(format!("{what}.{path}"));
                continue;
            }
            assert!(field.is_null(), "{what}.{path} is {field}");
            if kind == Name {
                continue;
            }
            assert!(matches!(kind, MaybeNumber | MaybeText | MaybeObject), "{what}.{path} may not be null");
            let reason = parent[format!("{name}_reason")].as_str();
            assert!(reason.is_some_and(|text| !text.is_empty()), "{what}.{path} is null without a reason: {parent:#}");
        }
    }

    fn check_each(&mut self, what: &str, list: &Value, fields: &[(&str, Kind)]) {
        for value in list.as_array().expect("a list") {
            self.check(what, value, fields);
        }
    }

    fn check_edge(&mut self, edge: &Value) {
        self.check("edge", edge, EDGE);
        self.check_each("process", &edge["server"]["processes"], SERVER_PROCESS);
        let spreads = EDGE.iter().filter(|(name, _)| name.ends_with("_s") && *name != "srtt_s");
        for (name, _) in spreads.filter(|(name, _)| edge[name].is_object()) {
            self.check("spread", &edge[name], SPREAD);
        }
        if edge["last_connect_failure"].is_object() {
            self.check("failure", &edge["last_connect_failure"], FAILURE);
        }
        for end in ["client", "server"] {
            if edge["views"][end].is_object() {
                self.check("view", &edge["views"][end], VIEW);
            }
        }
    }

    /// Asserts that each field was there with a value at least once: a field that is always null is no field.
    fn assert_all(&self, what: &str, fields: &[(&str, Kind)]) {
        for (path, _) in fields.iter().filter(|(_, kind)| *kind != Name) {
            assert!(self.0.contains(&format!("{what}.{path}")), "{what}.{path} never had a value");
        }
    }
}

/// Alone: five edges are all that it may have, and all must be its own.
#[test]
fn the_contract_holds() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&["--max-edges", "5", "--cpu-budget", "100%", "--memory-limit", "1GiB"]);
    client.must("open 2", "opened 2");
    client.must("rounds 30 1", "done");
    client.must(&format!("to 127.0.0.1:{}", weir_tests::lab::free_port()), "done");
    client.must("open 1", "opened 0 111:1");
    // Beyond the five: in `other`.
    for i in 1..10 {
        client.must(&format!("to 127.0.1.{i}:{}", weir_tests::lab::free_port()), "done");
        client.must("open 1", "opened 0 111:1");
    }
    let document = weir.finish();
    let mut seen = Seen::default();
    seen.check("document", document.value(), DOCUMENT);
    seen.check_each("program", &document.value()["cost"]["programs"], PROGRAM);
    let edges = document.value()["edges"].as_array().expect("a list of edges");
    edges.iter().for_each(|edge| seen.check_edge(edge));
    assert!(edges.iter().any(|edge| edge["other"] == true), "five edges are not enough");
    let tables = [
        ("document", DOCUMENT),
        ("edge", EDGE),
        ("spread", SPREAD),
        ("failure", FAILURE),
        ("process", SERVER_PROCESS),
        ("view", VIEW),
    ];
    for (what, fields) in tables {
        seen.assert_all(what, fields);
    }
}

/// `--for` ends by itself, and says how long it watched.
#[test]
fn an_observation_ends_by_itself() {
    let _lab = lab!();
    let output = weir::run(&["edges", "-o", "json", "--for", "1500ms"]);
    assert!(output.status.success(), "{output:?}");
    let document = weir_tests::Document::parse(&String::from_utf8_lossy(&output.stdout));
    let window = document.value()["window_s"].as_f64().expect("a window");
    let late = patient(Duration::from_millis(300)).as_secs_f64();
    assert!((1.45..1.5 + late).contains(&window), "a window of {window} s where 1.5 s were asked for");
}

/// The kernel counts runs only where a process has asked for it; weir does with `--stats`.
///
/// Alone: the kernel counts runs for all, as soon as one weir has a CPU budget.
#[test]
fn run_times_are_there_when_the_kernel_counts_them() {
    let lab = lab!();
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").expect("kernel.bpf_stats_enabled");
    for (arguments, counted) in [(&[] as &[&str], sysctl.trim() != "0"), (&["--stats"], true)] {
        let document = lab.weir(arguments).finish();
        let programs = document.value()["cost"]["programs"].as_array().expect("a list of programs");
        assert!(programs.len() >= probes::served(), "at least one program for each probe");
        for program in programs {
            assert_eq!(program["runs"].is_number(), counted, "with {arguments:?}: {program}");
            assert!(counted || program["runs_reason"].is_string(), "{program}");
        }
    }
}
