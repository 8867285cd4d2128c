//! What came of all guests: one table for people, one document for programs, and what is wrong.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use weir_vm_init::{Outcome, Report, age::missing};

use super::boot::Guest;

/// What came of one guest, in the words of its reports.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    series: String,
    arch: &'static str,
    release: String,
    seconds: f64,
    probes: Vec<Probe>,
    passed: usize,
    failed: usize,
    skipped: usize,
    left_out: usize,
    /// Each test that was not run for the kernel's age, with the reason.
    skips: Vec<String>,
    /// Tests that passed, but not at the first try.
    tried_again: Vec<String>,
    /// Everything that is not as it should be; none: all is well.
    wrong: Vec<String>,
    /// What failed, with the end of its output.
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Probe {
    name: String,
    /// The tier and kind of what the probe hangs on.
    entry: String,
    /// `ok`, `not before 6.3`, or what is wrong.
    state: String,
    #[serde(flatten)]
    program: Program,
}

/// The verifier's numbers, as doctor reports them.
#[derive(Debug, Default, Serialize)]
struct Program {
    verified_instructions: Option<u64>,
    translated_bytes: Option<u64>,
    machine_code_bytes: Option<u64>,
    stack_bytes: Option<u64>,
    load_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Failure {
    test: String,
    output: String,
}

impl Findings {
    pub(crate) fn of(guest: &Guest) -> Self {
        let kernel = &guest.kernel;
        let of_reports = Self {
            series: kernel.series.into(),
            arch: kernel.arch.name(),
            release: kernel.release.clone(),
            seconds: guest.seconds,
            ..Self::of_reports(&guest.reports)
        };
        let mut findings = of_reports;
        if !findings.wrong.is_empty() {
            findings.wrong.push(format!("see {}", guest.console.display()));
        }
        findings
    }

    fn of_reports(reports: &[Report]) -> Self {
        let mut findings = Self {
            series: String::new(),
            arch: "",
            release: String::new(),
            seconds: 0.0,
            probes: Vec::new(),
            passed: 0,
            failed: 0,
            skipped: 0,
            left_out: 0,
            skips: Vec::new(),
            tried_again: Vec::new(),
            wrong: Vec::new(),
            failures: Vec::new(),
        };
        let mut release = None;
        let mut running = None;
        let mut doctor = false;
        for report in reports {
            match report {
                Report::Booted { release: booted, .. } => release = Some(booted.as_str()),
                Report::Wrong { what } => findings.wrong.push(what.clone()),
                Report::Doctor { document, status, errors } => {
                    doctor = true;
                    findings.doctor(document, release.unwrap_or_default());
                    if *status != Some(0) {
                        let errors = errors.trim();
                        findings.wrong.push(format!("weir cannot run: doctor ends with {status:?} {errors}"));
                    }
                }
                Report::Began { test } => running = Some(test),
                Report::Test { test, outcome, why, attempts, .. } => {
                    running = None;
                    if *outcome == Outcome::Passed && *attempts > 1 {
                        findings.tried_again.push(test.clone());
                    }
                    findings.test(test, *outcome, why);
                }
                Report::Done { .. } => {}
            }
        }
        if let Some(test) = running {
            findings.wrong.push(format!("the guest ended in {test}"));
        }
        if release.is_none() {
            findings.wrong.push("the guest did not come up".into());
        } else if !doctor {
            findings.wrong.push("the guest ended before doctor did".into());
        } else if !matches!(reports.last(), Some(Report::Done { .. })) {
            findings.wrong.push("the guest did not come to its end".into());
        } else if findings.passed + findings.failed + findings.skipped + findings.left_out == 0 {
            findings.wrong.push("no test has this name".into());
        }
        findings
    }

    fn doctor(&mut self, document: &Value, release: &str) {
        let missing = missing(document, release);
        for check in document["checks"].as_array().map_or(&[][..], Vec::as_slice) {
            let name = check["name"].as_str().unwrap_or_default();
            let Some(probe) = name.strip_prefix("probe ") else {
                if check["state"] == "fail" {
                    self.wrong.push(format!("doctor: {name}: {}", check["cause"].as_str().unwrap_or_default()));
                }
                continue;
            };
            let cause = check["cause"].as_str().unwrap_or_default();
            let state = match missing.iter().find(|missing| missing.probe == probe) {
                None => "ok".into(),
                Some(missing) => match &missing.not_before {
                    Some(since) => format!("not before {since}"),
                    None => {
                        self.wrong.push(format!("probe {probe}: {cause}"));
                        "MISSING".into()
                    }
                },
            };
            let program = &check["program"];
            let number = |name: &str| program[name].as_u64();
            let program = Program {
                verified_instructions: number("verified_instructions"),
                translated_bytes: number("translated_bytes"),
                machine_code_bytes: number("machine_code_bytes"),
                stack_bytes: number("stack_bytes"),
                load_ms: program["load_ms"].as_f64(),
            };
            self.probes.push(Probe { name: probe.into(), entry: entry(cause), state, program });
        }
        if self.probes.is_empty() {
            self.wrong.push("doctor says nothing of any probe".into());
        }
    }

    fn test(&mut self, test: &str, outcome: Outcome, why: &str) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => {
                self.failed += 1;
                self.wrong.push(format!("test {test} fails"));
                self.failures.push(Failure { test: test.into(), output: why.into() });
            }
            Outcome::Skipped => {
                self.skipped += 1;
                self.skips.push(format!("{test}: {why}"));
            }
            Outcome::LeftOut => self.left_out += 1,
        }
    }

    pub(crate) fn is_well(&self) -> bool {
        self.wrong.is_empty()
    }

    fn name(&self) -> String {
        format!("{} {}", self.series, self.arch)
    }
}

/// The entry in doctor's `tier T0, tp_btf sk_data_ready: ...`.
fn entry(cause: &str) -> String {
    let Some(rest) = cause.strip_prefix("tier ") else { return "-".into() };
    let end = rest.find([':', '(']).unwrap_or(rest.len());
    rest[..end].trim().into()
}

/// The failures, then kernel by probe, then kernel by tests.
pub(crate) fn text(guests: &[Findings]) -> String {
    let mut text = String::new();
    for guest in guests {
        for Failure { test, output } in &guest.failures {
            let _ = writeln!(text, "--- {} {test}\n{output}\n", guest.name());
        }
    }
    let width = guests.iter().flat_map(|guest| &guest.probes).map(|probe| probe.entry.len()).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "{:<13} {:<21} {:<width$} {:<16} {:>8} {:>7} {:>7} {:>6} {:>8}",
        "KERNEL", "PROBE", "ENTRY", "STATE", "VERIFIED", "BYTES", "MACHINE", "STACK", "LOAD MS"
    );
    for guest in guests {
        for Probe { name, entry, state, program } in &guest.probes {
            let cell = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
            let _ = writeln!(
                text,
                "{:<13} {name:<21} {entry:<width$} {state:<16} {:>8} {:>7} {:>7} {:>6} {:>8}",
                guest.name(),
                cell(program.verified_instructions),
                cell(program.translated_bytes),
                cell(program.machine_code_bytes),
                cell(program.stack_bytes),
                program.load_ms.map_or("-".into(), |ms| format!("{ms:.1}")),
            );
        }
    }
    let _ = writeln!(
        text,
        "\n{:<13} {:<28} {:>6} {:>6} {:>7} {:>8} {:>8}",
        "KERNEL", "RELEASE", "PASSED", "FAILED", "SKIPPED", "LEFT OUT", "SECONDS"
    );
    for guest in guests {
        let _ = writeln!(
            text,
            "{:<13} {:<28} {:>6} {:>6} {:>7} {:>8} {:>8.0}",
            guest.name(),
            guest.release,
            guest.passed,
            guest.failed,
            guest.skipped,
            guest.left_out,
            guest.seconds
        );
    }
    for guest in guests {
        if !guest.tried_again.is_empty() {
            let _ = writeln!(text, "{}: passed at another try: {}", guest.name(), guest.tried_again.join(", "));
        }
        for wrong in &guest.wrong {
            let _ = writeln!(text, "{}: {wrong}", guest.name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn doctor() -> Report {
        let document = json!({"checks": [
            {"name": "kernel", "state": "ok", "cause": "5.10.0 on x86_64"},
            {"name": "probe a", "state": "ok", "cause": "tier T0, tp_btf a: all of it",
             "program": {"verified_instructions": null, "stack_bytes": 8, "load_ms": 1.5}},
            {"name": "probe b", "state": "warn", "cause": "tier T0, tp_btf b (since 6.3): not in BTF"},
            {"name": "probe c", "state": "warn", "cause": "tier T0, tp_btf c (since 4.16): not in BTF"},
        ]});
        Report::Doctor { document, status: Some(0), errors: String::new() }
    }

    fn test(outcome: Outcome) -> Report {
        Report::Test { test: "a::b".into(), outcome, why: "because".into(), seconds: 1.0, attempts: 1 }
    }

    fn booted() -> Report {
        Report::Booted { release: "5.10.0-46".into(), machine: "x86_64".into(), uptime_s: 3.0 }
    }

    #[test]
    fn age_is_no_fault_and_absence_is() {
        let reports = [booted(), doctor(), test(Outcome::Passed), Report::Done { uptime_s: 9.0 }];
        let findings = Findings::of_reports(&reports);
        let states: Vec<_> = findings.probes.iter().map(|probe| probe.state.as_str()).collect();
        assert_eq!(states, ["ok", "not before 6.3", "MISSING"]);
        assert_eq!(findings.probes[0].entry, "T0, tp_btf a");
        assert_eq!(findings.probes[1].entry, "T0, tp_btf b");
        assert_eq!(findings.wrong, ["probe c: tier T0, tp_btf c (since 4.16): not in BTF"]);
        assert!(text(&[findings]).contains("not before 6.3"));
    }

    #[test]
    fn a_guest_that_does_not_end_well_is_wrong() {
        let ends = |reports: &[Report]| Findings::of_reports(reports).wrong.pop();
        assert_eq!(ends(&[]).as_deref(), Some("the guest did not come up"));
        assert_eq!(ends(&[booted()]).as_deref(), Some("the guest ended before doctor did"));
        assert_eq!(ends(&[booted(), doctor()]).as_deref(), Some("the guest did not come to its end"));
        let done = Report::Done { uptime_s: 9.0 };
        assert_eq!(ends(&[booted(), doctor(), done]).as_deref(), Some("no test has this name"));
        let began = Report::Began { test: "a::b".into() };
        let wrong = Findings::of_reports(&[booted(), doctor(), began]).wrong;
        assert!(wrong.contains(&"the guest ended in a::b".to_owned()), "{wrong:?}");
    }

    #[test]
    fn tests_are_counted_by_their_outcome() {
        let tests = [Outcome::Passed, Outcome::Failed, Outcome::Skipped, Outcome::LeftOut, Outcome::Passed].map(test);
        let findings = Findings::of_reports(&tests);
        assert_eq!((findings.passed, findings.failed, findings.skipped, findings.left_out), (2, 1, 1, 1));
        assert!(findings.wrong.contains(&"test a::b fails".to_owned()));
        assert!(text(&[findings]).contains("because"));
    }
}
