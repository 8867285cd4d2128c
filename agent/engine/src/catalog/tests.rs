use super::*;
use crate::{Engine, Schedule, WindowId};

/// `path type`, a line each, and `or null` where the field may be null with a reason beside it.
const CONTRACT: &str = include_str!("contract.txt");

fn json_type(about: &About) -> &'static str {
    match about.kind {
        Kind::Counter | Kind::Gauge | Kind::Id => "number",
        Kind::Label => "text",
        Kind::Name => "name",
        Kind::Flag => "flag",
        Kind::Counters | Kind::Histogram | Kind::Object => "object",
        Kind::List => "list",
    }
}

fn lines() -> Vec<String> {
    let documents = [abouts(SNAPSHOT), abouts(LISTENER), abouts(PROCESS), abouts(CGROUP)];
    let names = ["", "explain.listeners[].", "explain.processes[].", "explain.cgroups[]."];
    let mut lines = Vec::new();
    for (document, prefix) in documents.iter().zip(names) {
        for (path, about) in paths(document) {
            let null = if about.nullable { " or null" } else { "" };
            lines.push(format!("{prefix}{path} {}{null}", json_type(&about)));
        }
    }
    lines
}

/// Fields may be added; none is renamed, removed or changes its type.
#[test]
fn the_contract_holds() {
    let lines = lines();
    let broken: Vec<&str> = CONTRACT.lines().filter(|line| !lines.iter().any(|known| known == line)).collect();
    assert!(broken.is_empty(), "fields of the contract that are not as they were: {broken:#?}");
    let new: Vec<&String> = lines.iter().filter(|line| !CONTRACT.lines().any(|known| known == *line)).collect();
    assert!(new.is_empty(), "new fields, to add to catalog/contract.txt: {new:#?}");
}

/// Of what a table reads, the kind of each value is the row's.
fn check<T>(table: &[Field<T>], subject: &T) {
    for Field { about, read } in table {
        let fits = match read(subject) {
            Value::Count(_) => matches!(about.kind, Kind::Counter | Kind::Gauge | Kind::Id),
            Value::Number(_) => matches!(about.kind, Kind::Counter | Kind::Gauge),
            Value::Text(_) => matches!(about.kind, Kind::Label | Kind::Name),
            Value::Flag(_) => about.kind == Kind::Flag,
            Value::Distribution(..) => about.kind == Kind::Histogram,
            Value::Counts(_) => about.kind == Kind::Counters,
            Value::Part(_) => about.kind == Kind::Object && about.parts.is_some(),
            Value::List(_) => about.kind == Kind::List,
            Value::NotApplicable => about.kind == Kind::Name,
            Value::Absent(_) => about.nullable,
            Value::OfTheWriter => matches!(about.name, "groups" | "edges"),
        };
        assert!(fits, "{} is a {:?}, and reads {:?}", about.name, about.kind, read(subject));
    }
}

#[test]
fn values_are_of_the_kind_that_their_rows_have() {
    let snapshot = Engine::new([Schedule::Whole]).snapshot(WindowId::FIRST);
    check(SNAPSHOT, &snapshot);
    check(LOSSES, &snapshot.losses);
    check(COVERAGE, &snapshot.coverage);
    check(DEGRADED, &snapshot.degradation);
    check(COST, &snapshot);
    check(NAMING, &snapshot.naming);
    let other = crate::edge::join::other_edge(Ok(crate::View::nothing()), Err(crate::Absent::ManyInOne));
    check(EDGE, &other);
    check(END, &other.client);
    check(SERVER, &other);
    check(VIEW, &crate::View::nothing());
}

#[test]
fn names_are_unique_within_an_object() {
    let mut paths: Vec<String> = paths(&abouts(SNAPSHOT)).into_iter().map(|(path, _)| path).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all);
}

#[test]
fn fields_that_end_in_s_are_in_seconds() {
    for (path, about) in paths(&abouts(SNAPSHOT)) {
        assert!(about.unit == Unit::Seconds || !path.ends_with("_s"), "{path}: {:?}", about.unit);
    }
}

#[test]
fn metrics_have_their_unit_and_counters_end_in_total() {
    let metric = |name| named(EDGE, name).about.metric("edge");
    assert_eq!(metric("latency_s"), "weir_edge_latency_seconds");
    assert_eq!(metric("bytes_sent"), "weir_edge_bytes_sent_total");
    assert_eq!(metric("connects"), "weir_edge_connects_total");
    assert_eq!(metric("open_connections"), "weir_edge_open_connections");
    assert_eq!(named(COST, "map_bytes").about.metric("self"), "weir_self_map_bytes");
    assert_eq!(named(COST, "agent_cpu_s").about.metric("self"), "weir_self_agent_cpu_seconds_total");
}

#[test]
fn what_the_data_hooks_count_is_an_estimate_in_a_sample() {
    let fields = [
        "rounds",
        "in_flight",
        "in_flight_age_s",
        "abandoned",
        "broken",
        "unobserved",
        "latency_s",
        "full_latency_s",
        "receive_queue_wait_s",
        "service_s",
        "bytes_sent",
        "bytes_received",
    ];
    assert_eq!(estimated().collect::<Vec<_>>(), fields);
}

#[test]
fn unanswered_requests_have_a_mean_age() {
    let age = |in_flight, in_flight_age_ns| {
        let mut view = crate::View::nothing();
        (view.in_flight, view.in_flight_age_ns) = (in_flight, in_flight_age_ns);
        let edge = crate::edge::join::other_edge(Ok(view), Err(crate::Absent::ManyInOne));
        match (named(EDGE, "in_flight_age_s").read)(&edge) {
            Value::Number(seconds) => Some(seconds),
            _ => None,
        }
    };
    assert_eq!((age(2, 5_000_000_000), age(0, 0)), (Some(2.5), None));
}
