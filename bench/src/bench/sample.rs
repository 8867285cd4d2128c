//! One run of one subject, and the summary of many.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::{
    measure::process::{cpu_ns, rss_bytes},
    results::{Cell, Exact, ProgramRuns},
    statistics::Spread,
    subject::{Running, Subject},
    workload::{Run, Workload},
};

/// One run.
pub(super) struct Sample {
    pub(super) run: Run,
    /// The runs of nothing that it is compared with: their mean.
    pub(super) references: Vec<Run>,
    agent: Option<Agent>,
    documents: Vec<Value>,
}

/// What the reading process used meanwhile.
struct Agent {
    cpu_share: f64,
    rss_bytes: u64,
}

impl Sample {
    /// Runs the workload, detaches the subject.
    pub(super) fn take(running: Running, workload: &mut dyn Workload) -> Result<Self> {
        let pid = running.pid();
        let used = || pid.and_then(cpu_ns);
        let (start, before) = (Instant::now(), used());
        let run = workload.run()?;
        let (elapsed, after) = (start.elapsed(), used());
        let agent = before.zip(after).zip(pid.and_then(rss_bytes)).map(|((before, after), rss_bytes)| Agent {
            cpu_share: Duration::from_nanos(after - before).as_secs_f64() / elapsed.as_secs_f64(),
            rss_bytes,
        });
        Ok(Self { run, references: Vec::new(), agent, documents: running.stop()? })
    }
}

impl Run {
    fn rate(&self) -> f64 {
        self.units / self.elapsed_ns * 1e9
    }

    /// None of an idle run.
    fn cpu_per_unit(&self) -> Option<f64> {
        (self.cpu_ns > 0.0).then(|| self.cpu_ns / self.units)
    }
}

/// The cell of a subject.
pub(super) fn cell(subject: Subject, samples: &[Sample]) -> Cell {
    let spread = |value: &dyn Fn(&Run) -> Option<f64>| Spread::of(samples.iter().filter_map(|s| value(&s.run)));
    let paired = |value: &dyn Fn(&Run) -> Option<f64>, compare: &dyn Fn(f64, f64) -> f64| {
        Spread::of(samples.iter().filter_map(|sample| {
            let references: Vec<f64> = sample.references.iter().filter_map(value).collect();
            Some(compare(value(&sample.run)?, references.iter().sum::<f64>() / references.len() as f64))
        }))
    };
    let agent = |value: fn(&Agent) -> f64| Spread::of(samples.iter().filter_map(|s| s.agent.as_ref().map(value)));
    let ratio = |a: f64, b: f64| a / b;
    let difference = |a: f64, b: f64| a - b;
    let rate = |run: &Run| Some(run.rate());
    let p99 = |run: &Run| run.latency.map(|latency| latency.p99_ns);
    let last = samples.last();
    Cell {
        subject: subject.name().into(),
        not_measured: None,
        rate: spread(&rate),
        rate_ratio: paired(&rate, &ratio),
        cpu_ns: spread(&Run::cpu_per_unit),
        added_cpu_ns: paired(&Run::cpu_per_unit, &difference),
        added_best_ns: paired(&|run| run.best_ns, &difference),
        p50_ns: spread(&|run| run.latency.map(|latency| latency.p50_ns)),
        p99_ns: spread(&p99),
        p99_ratio: paired(&p99, &ratio),
        agent_cpu_share: agent(|agent| agent.cpu_share),
        agent_rss_bytes: samples.iter().filter_map(|sample| Some(sample.agent.as_ref()?.rss_bytes)).max(),
        map_bytes: last.and_then(|sample| sample.documents.last()?["cost"]["map_bytes"].as_u64()),
    }
}

/// The generator's counts against weir's, where both are known.
pub(super) fn compare(sample: &Sample) -> Option<Exact> {
    let truth = sample.run.truth?;
    if sample.documents.is_empty() {
        return None;
    }
    // One document a window.
    let all = |name: &str| sample.documents.iter().map(|document| &document[name]).collect::<Vec<_>>();
    let edges = all("edges").into_iter().filter_map(Value::as_array).flatten();
    let edges: Vec<&Value> = edges.filter(|edge| edge["server"]["port"] == truth.port).collect();
    let sum = |of: &dyn Fn(&Value) -> &Value| edges.iter().filter_map(|edge| of(edge).as_u64()).sum::<u64>();
    let (rounds, connects) = (sum(&|edge| &edge["rounds"]), sum(&|edge| &edge["connects"]["ok"]));
    let losses = all("losses").into_iter().filter_map(Value::as_object).flat_map(|losses| losses.values());
    let losses = losses.filter_map(Value::as_u64).sum();
    let within = |(from, to): (u64, u64), count| (from..=to).contains(&count);
    Some(Exact {
        runs: 1,
        equal: u64::from(within(truth.rounds, rounds) && within(truth.connects, connects) && losses == 0),
        rounds: truth.rounds,
        rounds_weir: rounds,
        connects: truth.connects,
        connects_weir: connects,
        losses,
    })
}

impl Exact {
    /// Two runs together.
    pub(super) fn and(self, other: Self) -> Self {
        let both = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
        Self {
            runs: self.runs + other.runs,
            equal: self.equal + other.equal,
            rounds: both(self.rounds, other.rounds),
            rounds_weir: self.rounds_weir + other.rounds_weir,
            connects: both(self.connects, other.connects),
            connects_weir: self.connects_weir + other.connects_weir,
            losses: self.losses + other.losses,
        }
    }
}

/// Runs of weir's programs, per unit of work; those that never ran are left out.
pub(super) fn programs(documents: &[Value], units: f64) -> Vec<ProgramRuns> {
    let programs = documents.last().and_then(|document| document["cost"]["programs"].as_array());
    let of = |program: &Value| {
        let runs = program["runs"].as_u64().filter(|runs| *runs > 0)? as f64;
        let ns_per_run = program["run_time_ns"].as_u64()? as f64 / runs;
        Some(ProgramRuns { name: program["name"].as_str()?.to_owned(), runs_per_unit: runs / units, ns_per_run })
    };
    programs.into_iter().flatten().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workload::Truth;

    fn run(cpu_ns: f64, elapsed_ns: f64) -> Run {
        Run { units: 10.0, elapsed_ns, cpu_ns, ..Run::default() }
    }

    fn sample(run: Run, references: Vec<Run>) -> Sample {
        Sample { run, references, agent: None, documents: Vec::new() }
    }

    #[test]
    fn a_sample_is_compared_with_the_mean_of_its_references() {
        let weir = [
            sample(run(2000.0, 200.0), vec![run(1000.0, 100.0), run(1200.0, 100.0)]),
            sample(run(1500.0, 100.0), vec![run(1000.0, 100.0)]),
        ];
        let cell = cell(Subject::Weir, &weir);
        assert_eq!(cell.added_cpu_ns, Some(Spread { median: 70.0, min: 50.0, max: 90.0 }));
        assert_eq!(cell.rate_ratio, Some(Spread { median: 0.75, min: 0.5, max: 1.0 }));
        assert_eq!(cell.p99_ratio, None);
    }

    #[test]
    fn counts_are_those_of_edges_to_the_generators_port() {
        let edge = |port, rounds| json!({"server": {"port": port}, "rounds": rounds, "connects": {"ok": 1}});
        let document = |losses| json!({"edges": [edge(80, 5), edge(80, 2), edge(81, 9)], "losses": {"a": losses}});
        let of = |losses| {
            let truth = Truth { port: 80, rounds: (7, 8), connects: (2, 2) };
            let mut sample = sample(run(1.0, 1.0), Vec::new());
            sample.run.truth = Some(truth);
            sample.documents = vec![document(losses)];
            compare(&sample).expect("both are known")
        };
        assert_eq!((of(0).equal, of(0).rounds_weir, of(0).connects_weir), (1, 7, 2));
        assert_eq!((of(3).equal, of(3).losses), (0, 3));
        assert_eq!(of(0).and(of(3)).equal, 1);
    }

    #[test]
    fn programs_that_did_not_run_are_left_out() {
        let program = |name, runs, ns| json!({"name": name, "runs": runs, "run_time_ns": ns});
        let document = json!({"cost": {"programs": [program("a", 20, 400), program("b", 0, 0)]}});
        let programs = programs(&[document], 10.0);
        assert_eq!(programs.len(), 1);
        assert_eq!((programs[0].runs_per_unit, programs[0].ns_per_run), (2.0, 20.0));
    }
}
