//! The doctor's view of this machine, where weir runs.

use serde_json::Value;
use weir_tests::{
    lab,
    machine::{absent_probes, kernel_is_older},
    probes::PROBES,
    weir,
};

#[test]
fn every_check_has_a_state_a_cause_and_a_fix() {
    let _lab = lab!();
    let output = weir::run(&["doctor", "-o", "json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "weir can run here, as the other tests show: {text}");
    let document: Value = serde_json::from_str(&text).expect("a JSON document");
    let checks = document["checks"].as_array().expect("a list of checks");
    for check in checks {
        let state = check["state"].as_str().unwrap_or_else(|| panic!("no state in {check}"));
        assert!(["ok", "warn", "fail"].contains(&state), "state of {check}");
        assert_ne!(state, "fail", "weir runs here: {check}");
        for field in ["name", "cause"] {
            assert!(check[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {check}");
        }
        let fix = &check["fix"];
        assert!(fix.is_null() || fix.as_str().is_some_and(|text| !text.is_empty()), "fix of {check}");
        assert!(state == "ok" || fix.is_string(), "a fault without a fix: {check}");
    }
    let named = |part: &str| checks.iter().any(|check| check["name"].as_str().is_some_and(|name| name.contains(part)));
    for part in ["kernel", "btf", "bpf", "tracepoints", "cgroups"] {
        assert!(named(part), "nothing is said of {part}: {text}");
    }
    let absent = absent_probes();
    for probe in PROBES.iter().map(|probe| probe.name) {
        let check = checks.iter().find(|check| check["name"].as_str().is_some_and(|name| name.ends_with(probe)));
        let check = check.unwrap_or_else(|| panic!("nothing is said of probe {probe}: {text}"));
        if absent.iter().any(|absent| absent == probe) {
            assert_eq!(check["state"], "warn", "{check}");
            continue;
        }
        assert_eq!(check["state"], "ok", "{check}");
        assert!(check["cause"].as_str().is_some_and(|cause| cause.starts_with("tier T")), "no tier: {check}");
        assert!(check["entry"].as_str().is_some_and(|entry| !entry.is_empty()), "no entry: {check}");
        let program = &check["program"];
        for field in ["verified_instructions", "translated_bytes", "machine_code_bytes"] {
            assert!(program[field].as_u64().is_some_and(|n| n > 0), "{field} of {check}");
        }
        // Kernels of 7 refuse a load without a free descriptor at once, before the verifier has reported the stack.
        assert!(program["stack_bytes"].is_u64() || !kernel_is_older("7.0"), "stack_bytes of {check}");
        assert!(program["load_ms"].as_f64().is_some_and(|ms| ms > 0.0), "load_ms of {check}");
    }
}

/// Without rights it says so, and the exit code says that weir cannot run.
#[test]
fn without_rights_it_says_what_is_missing() {
    use std::{os::unix::process::CommandExt as _, process::Command, time::Duration};
    const NOBODY: u32 = 65_534;
    let lab = lab!();
    // A place that anyone may execute from.
    let binary = lab.path("weir");
    std::fs::copy(weir::binary(), &binary).expect("copy weir");
    let mut command = Command::new(&binary);
    command.args(["doctor", "-o", "json"]).uid(NOBODY).gid(NOBODY);
    let output = weir_tests::process::output(&mut command, Duration::from_secs(20));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_str(&text).expect("a JSON document");
    let checks = document["checks"].as_array().expect("a list of checks");
    let failed: Vec<&Value> = checks.iter().filter(|check| check["state"] == "fail").collect();
    assert!(!failed.is_empty(), "nothing failed: {text}");
    for check in failed {
        assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "a fault without a fix: {check}");
    }
}

/// Observing without rights fails in one plain line, with the exit code that says so.
#[test]
fn observing_without_rights_fails_plainly() {
    use std::{os::unix::process::CommandExt as _, process::Command, time::Duration};
    const NOBODY: u32 = 65_534;
    let lab = lab!();
    let binary = lab.path("weir");
    std::fs::copy(weir::binary(), &binary).expect("copy weir");
    let mut command = Command::new(&binary);
    command.args(["edges", "-o", "json", "--for", "1s"]).uid(NOBODY).gid(NOBODY);
    let output = weir_tests::process::output(&mut command, Duration::from_secs(20));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.starts_with("weir: ") && !errors.contains("panicked"), "{errors}");
    assert!(output.stdout.is_empty());
}
