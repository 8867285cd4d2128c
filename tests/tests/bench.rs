//! The bench runs: every kind of subject once, on the precise row, with less work than means anything.
//!
//! Alone: measures the processor time that weir adds.

use std::{fs, process::Command};

use serde_json::Value;
use weir_tests::{Lab, lab, process, weir};

/// One short run, with its report.
fn run(lab: &Lab) -> (Value, String) {
    let bench = weir::binary().with_file_name("weir-bench");
    assert!(bench.exists(), "{} is not there: run `cargo build --release -p weir-bench`", bench.display());
    let file = lab.path("results.json");
    let mut command = Command::new(bench);
    command.args(["pair", "--fast", "--pairs", "3", "--subjects", "floor_empty,weir", "--json"]).arg(&file);
    let report = process::succeed(command.env("WEIR_BIN", weir::binary()));
    assert!(report.contains("pair: weir over empty programs"), "{report}");
    (serde_json::from_str(&fs::read_to_string(file).expect("results")).expect("JSON"), report)
}

fn is_between(results: &Value) -> bool {
    let cells = results["rows"][0]["cells"].as_array().expect("subjects");
    let added = |subject: &str| {
        let cell = cells.iter().find(|cell| cell["subject"] == subject).expect("a subject");
        cell["added_cpu_ns"]["median"].as_f64().expect("a number")
    };
    0.0 < added("floor_empty") && added("floor_empty") < added("weir")
}

#[test]
fn the_bench_measures_weir_between_its_floor_and_nothing() {
    /// A second each: the figures contain whatever else runs on the machine just then.
    const ATTEMPTS: usize = 4;
    let lab = lab!();
    let (mut results, mut report) = run(&lab);
    for _ in 1..ATTEMPTS {
        if !is_between(&results) {
            (results, report) = run(&lab);
        }
    }
    assert!(is_between(&results), "in none of {ATTEMPTS} runs: {report}");
    let programs = results["rows"][0]["programs"].as_array().expect("programs");
    for hook in ["sock_send_length", "sock_recv_length", "sk_data_ready"] {
        assert!(programs.iter().any(|program| program["name"] == hook), "{hook} did not run: {report}");
    }
}
