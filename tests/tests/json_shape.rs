//! The JSON document is a contract: fields may be added, none may be renamed, removed or change its type.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use weir_engine::catalog::{About, Kind, SNAPSHOT, abouts, paths};
use weir_tests::{lab, machine::patient, probes, weir};

/// Fields that were present and not null, of all that were looked at, by their paths.
#[derive(Default)]
struct Seen(BTreeSet<String>);

/// The document is compared with the catalog of fields, whose names and types are frozen by a test of its own.
fn document() -> Vec<About> {
    abouts(SNAPSHOT)
}

/// What this test cannot bring about, so that such a field is null or its list is empty.
const WITHOUT_A_VALUE: &[&str] = &[
    // Measured over 5 s, which this test does not wait.
    "degraded.cpu_share",
    "degraded.cpu_includes_programs",
    // Another test has it counted.
    "cost.programs[].runs",
    "cost.programs[].run_time_ns",
    // Lists that are empty here: nothing is missing, silent, grouped or watched.
    "missing_probes[].",
    "naming.unavailable[].",
    "groups[].",
    "accept_queues[].",
    // Of a law in another state.
    "edges[].views.client.littles_law.concurrency",
];

impl Seen {
    /// Asserts that `value` has all the fields, each of its type, and null only with a reason.
    fn check(&mut self, above: &str, value: &Value, fields: &[About]) {
        for about in fields {
            // Both ends have the same fields, and see different ones.
            let path = format!("{above}{}", about.name).replace("views.server", "views.client");
            let Some(field) = value.get(about.name) else {
                assert!(above.ends_with("littles_law.") && about.name != "state", "no {path}: {value:#}");
                continue;
            };
            let right = match about.kind {
                Kind::Counter | Kind::Gauge | Kind::Id => field.is_number(),
                Kind::Label | Kind::Name => field.is_string(),
                Kind::Flag => field.is_boolean(),
                Kind::List => field.is_array(),
                Kind::Counters | Kind::Histogram | Kind::Object => field.is_object(),
            };
            if right {
                self.check_parts(&path, field, about);
                self.0.insert(path);
                continue;
            }
            assert!(field.is_null(), "{path} is {field}");
            if about.kind == Kind::Name {
                continue;
            }
            assert!(about.nullable, "{path} may not be null");
            let reason = value[format!("{}_reason", about.name)].as_str();
            assert!(reason.is_some_and(|text| !text.is_empty()), "{path} is null without a reason: {value:#}");
        }
    }

    /// The fields of an object, or of a list's objects.
    fn check_parts(&mut self, path: &str, field: &Value, about: &About) {
        let parts = about.parts.map_or_else(Vec::new, |parts| parts());
        match field.as_array() {
            Some(items) => items.iter().for_each(|item| self.check(&format!("{path}[]."), item, &parts)),
            None => self.check(&format!("{path}."), field, &parts),
        }
        for value in about.by.map_or_else(Vec::new, |label| (label.values)()) {
            assert!(field[value].is_number(), "{path}.{value}: {field:#}");
            self.0.insert(format!("{path}.{value}"));
        }
    }

    /// Asserts that each field was there with a value at least once: a field that is always null is no field.
    fn assert_all(&self) {
        let excused = |path: &str| WITHOUT_A_VALUE.iter().any(|without| path.starts_with(without));
        for (path, about) in paths(&document()) {
            let path = path.replace("views.server", "views.client");
            let must = about.kind != Kind::Name && !excused(&path);
            assert!(!must || self.0.contains(&path), "{path} never had a value");
        }
    }
}

/// Alone: five edges are all that it may have, and all must be its own.
#[test]
fn the_contract_holds() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let limits = ["--max-edges", "5", "--cpu-budget", "100%", "--memory-limit", "1GiB"];
    let weir = lab.weir(&[&limits[..], &["--node-name", "node-1"]].concat());
    client.must("open 2", "opened 2");
    client.must("rounds 30 1", "done");
    client.must(&format!("to 127.0.0.1:{}", weir_tests::lab::free_port()), "done");
    client.must("open 1", "opened 0 111:1");
    // Beyond the five: in `other`.
    for i in 1..10 {
        client.must(&format!("to 127.0.1.{i}:{}", weir_tests::lab::free_port()), "done");
        client.must("open 1", "opened 0 111:1");
    }
    // Requests whose answer the client does not read: in flight to the end.
    client.must("write 1", "done");
    let document = weir.finish();
    let in_flight = document.edge(client.pid(), server.port()).count("in_flight");
    assert_eq!(in_flight, 2, "one on each of its connections");
    let mut seen = Seen::default();
    seen.check("", document.value(), &self::document());
    let edges = document.value()["edges"].as_array().expect("a list of edges");
    assert!(edges.iter().any(|edge| edge["other"] == true), "five edges are not enough");
    seen.assert_all();
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
