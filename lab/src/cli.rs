//! The command line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;

use crate::{
    ablation, golden, interrupt,
    judge::Judgement,
    play::play,
    report,
    run::Pace,
    scenario::{self, Scenario},
    score::Board,
    store::Kept,
    weir,
};

/// Break real software in known ways, and score the incidents that `weir signals` raises.
///
/// Each scenario runs PostgreSQL, Redis, nginx and applications in their own network namespaces through a baseline, a fault
/// (or a healthy look-alike) and a recovery, while weir records. The truth of the run is written down before any output of
/// weir is read. Then `weir signals --replay` judges the recording, and the scoreboard shows which incidents were raised, how
/// soon, and which should not have been.
#[derive(Debug, Parser)]
#[command(name = "weir-lab", bin_name = "cargo xtask lab", max_term_width = 110, after_help = AFTER)]
struct Cli {
    /// Scenarios to run, such as F01,H01 [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenario: Vec<String>,
    /// Runs of each: arrivals and offsets differ, the fault is the same [default: 5, or 1 with --fast]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// Phases of 12 s rather than 40, a fault as long as its signal needs: weir learns less, and few incidents end
    #[arg(long)]
    fast: bool,
    /// Keep runs here, each in a directory: its truth, weir's recording, its incidents [default: target/lab]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Run nothing: judge all runs that are kept here again, with the current weir; needs neither root nor BPF
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "seeds", "fast", "keep"])]
    score: Option<PathBuf>,
    /// Judge the kept runs also without one of weir's rules at a time, to see what each rule is for
    #[arg(long, requires = "score")]
    ablate: bool,
    /// Leave out incidents of services outside the lab: for machines with other work
    #[arg(long)]
    only_lab: bool,
    /// Also write the scoreboard to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run nothing: write the current incidents of the recordings in lab/golden, to review the difference
    #[arg(long, conflicts_with_all = ["scenario", "seeds", "fast", "keep", "score", "only_lab", "json"])]
    golden: bool,
    /// List the scenarios, with the incidents due in each
    #[arg(long, conflicts_with_all = ["scenario", "seeds", "fast", "keep", "score", "golden"])]
    list: bool,
}

const AFTER: &str = "\
Examples:
  cargo xtask lab --fast                       everything once, some 25 minutes
  cargo xtask lab --scenario F24,H11 --fast    a minute each
  cargo xtask lab --keep runs                  five seeds of everything in full, 5 hours
  cargo xtask lab --score runs                 judge these again, in seconds
  cargo xtask lab --score runs --ablate        and without each of weir's rules in turn
Exit status: 0 if all targets are met, 1 if one is missed, 2 if something could not run.
WEIR_BIN names another weir than the built one. docs/lab.md describes the scenarios and the scores.";

/// Parses the command line and runs it; whether all targets are met.
pub(crate) fn run() -> Result<bool> {
    let cli = Cli::parse();
    if cli.list {
        scenario::all().into_iter().for_each(list);
        return Ok(true);
    }
    if cli.golden {
        golden::rewrite()?;
        return Ok(true);
    }
    weir::binary()?;
    let (kept, problem) = match &cli.score {
        Some(directory) => (Kept::all(directory)?, None),
        None => run_all(&cli)?,
    };
    let mut met = true;
    if !kept.is_empty() {
        let (judgements, known) = judge(&kept, &cli)?;
        let mut board = Board::of(&judgements);
        if cli.ablate {
            board.ablations = ablation::all(&kept, &judgements, &known, cli.only_lab)?;
        }
        print!("{}", report::text(&board));
        if let Some(path) = &cli.json {
            let text = serde_json::to_string_pretty(&board).context("encode the scoreboard")? + "\n";
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        }
        met = board.missed_targets.is_empty();
    }
    match problem {
        Some(problem) => bail!(problem),
        None => Ok(met),
    }
}

/// Runs the chosen scenarios; those that cannot run are reported at the end, after all others have run.
fn run_all(cli: &Cli) -> Result<(Vec<Kept>, Option<String>)> {
    ensure!(rustix::process::geteuid().is_root(), "namespaces and BPF need root: run `cargo xtask lab`");
    let scenarios = chosen(&cli.scenario)?;
    let pace = if cli.fast { Pace::Fast } else { Pace::Full };
    let seeds = cli.seeds.unwrap_or(if cli.fast { 1 } else { 5 });
    let directory = cli.keep.clone().unwrap_or_else(default_directory);
    interrupt::listen();
    let (mut kept, mut problems) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        for seed in 1..=seeds {
            if interrupt::asked() {
                bail!("interrupted; the runs until then are in {}", directory.display());
            }
            let run_kept = Kept::create(&directory, scenario.name, seed)?;
            let label = format!("{} seed {seed}/{seeds}", scenario.name);
            match play(scenario, seed, pace, &run_kept, &label) {
                Ok(()) => kept.push(run_kept),
                Err(error) => {
                    eprintln!("{error:#}");
                    problems.push(label);
                }
            }
        }
    }
    eprintln!("runs are kept in {}", directory.display());
    let problem = (!problems.is_empty()).then(|| format!("could not run: {}", problems.join(", ")));
    Ok((kept, problem))
}

/// Judges all kept runs; also returns the signals that this weir has.
fn judge(kept: &[Kept], cli: &Cli) -> Result<(Vec<Judgement>, Vec<String>)> {
    let first = kept.first().context("nothing was kept")?;
    let known = weir::signals(&first.recording())?;
    let mut judgements = Vec::new();
    for kept in kept {
        judgements.push(kept.judge(&known, cli.only_lab)?);
        // Scores come from replays: one that differs from the live output would make them worthless.
        if cli.score.is_none() && !kept.replays_as_it_was()? {
            bail!("the replay of {} differs from weir's live output", kept.recording().display());
        }
    }
    Ok((judgements, known))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    let all = scenario::all();
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|row| row.name.eq_ignore_ascii_case(name)).copied();
        found.with_context(|| {
            let known: Vec<&str> = all.iter().map(|row| row.name).collect();
            format!("no scenario {name:?}; there are {}", known.join(" "))
        })
    };
    names.iter().map(find).collect()
}

fn default_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab")
}

fn list(row: &Scenario) {
    println!("{}  {}", row.name, row.title);
    for must in row.must {
        let must = must.owned();
        let class = if must.class.is_empty() { String::new() } else { format!(" ({})", must.class.join(" or ")) };
        println!("     {}{class} at {}, within {} s", must.signal, must.at.text(), must.ttd_s.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_scenario_is_an_error_that_lists_the_known() {
        let error = chosen(&["F99".to_owned()]).expect_err("there is none").to_string();
        assert!(error.contains("\"F99\"") && error.contains("F01") && error.contains("H24"), "{error}");
        assert_eq!(chosen(&["f24".to_owned()]).expect("in any case")[0].name, "F24");
    }
}
