//! What the host and the guest of a kernel test say to each other: the host lays a [`Plan`] into the image, the guest
//! answers with [`Report`]s, one line of JSON each, on a serial port of their own, apart from the kernel's messages.

pub mod age;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the plan lies in the image.
pub const PLAN: &str = "/weir-vm/plan.json";
/// Name of the port that takes the reports.
pub const PORT: &str = "weir.reports";

/// What the guest does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Kernel modules, each after those it needs.
    pub modules: Vec<String>,
    /// The binary under test.
    pub weir: String,
    /// Test programs, in order.
    pub programs: Vec<TestProgram>,
    /// Only tests whose `file::name` contains one of these; all if there are none.
    pub filters: Vec<String>,
    /// Tests that no guest runs, by a part of `file::name`, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// For the test programs.
    pub environment: Vec<(String, String)>,
    /// Whether the processor is emulated.
    pub emulated: bool,
    /// What one test may take, seconds.
    pub limit_s: u64,
}

/// A program of tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestProgram {
    /// The file that it was built from, without `.rs`.
    pub file: String,
    /// Where it is in the image.
    pub path: String,
}

/// What happened in the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The first process runs.
    Booted {
        /// As `uname -r` says.
        release: String,
        /// As `uname -m` says.
        machine: String,
        /// Since the kernel took over, seconds.
        uptime_s: f64,
    },
    /// Something is not as the plan wants it.
    Wrong {
        /// What, and why.
        what: String,
    },
    /// What `weir doctor` says of this kernel.
    Doctor {
        /// Its document; null if it printed none.
        document: Value,
        /// Its exit code, if it had one.
        status: Option<i32>,
        /// What it said beside it.
        errors: String,
    },
    /// A test begins: what a guest that dies in it was doing.
    Began {
        /// `file::name`.
        test: String,
    },
    /// A test has come to its end, or was never begun.
    Test {
        /// `file::name`.
        test: String,
        /// How it ended.
        outcome: Outcome,
        /// Why, unless it passed at the first try: the end of its output, or the reason to leave it out.
        why: String,
        /// How long it took.
        seconds: f64,
        /// How often it ran.
        attempts: u32,
    },
    /// Everything of the plan has been done.
    Done {
        /// Since the kernel took over, seconds.
        uptime_s: f64,
    },
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything held.
    Passed,
    /// Something did not hold, or took too long.
    Failed,
    /// The kernel is too old for what it tests.
    Skipped,
    /// No guest runs it.
    LeftOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line() {
        let report = Report::Test {
            test: "bytes::curl".into(),
            outcome: Outcome::Failed,
            why: "left\nright".into(),
            seconds: 1.5,
            attempts: 1,
        };
        let line = serde_json::to_string(&report).expect("encode");
        assert_eq!(
            line,
            r#"{"test":{"test":"bytes::curl","outcome":"failed","why":"left\nright","seconds":1.5,"attempts":1}}"#
        );
        assert_eq!(serde_json::from_str::<Report>(&line).expect("decode"), report);
    }
}
