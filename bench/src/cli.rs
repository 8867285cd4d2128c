//! The command line.

use std::{path::PathBuf, process::ExitCode, rc::Rc};

use anyhow::Result;
use clap::{Parser, builder::PossibleValuesParser};

use crate::{
    bench::{self, Plan},
    measure::priority,
    report, scaling,
    site::{Length, Site},
    stored,
    subject::{SUBJECTS, Subject},
    workload::{ROWS, crowd},
};

/// Measure the cost of weir on this machine, compared with nothing, floors and other tools.
///
/// Every row is a workload on loopback. In each round all subjects run once, in an order that rotates, and each is
/// compared with the two runs of the same round that had nothing attached; the difference of these two (`again`) is what
/// the row cannot resolve. Numbers are medians of the rounds, with minimum and maximum.
#[derive(Debug, Parser)]
#[command(name = "weir-bench", bin_name = "cargo xtask bench", max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    /// Rows to measure [default: all]
    #[arg(value_name = "ROW", value_parser = PossibleValuesParser::new(ROWS.iter().map(|row| row.name)))]
    rows: Vec<String>,
    /// Rounds of every row [default: at least 7, and more for the precise rows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pairs: Option<u16>,
    /// Subjects to measure beside nothing [default: all that see the row's events]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = PossibleValuesParser::new(SUBJECTS.map(Subject::name)))]
    subjects: Vec<String>,
    /// A tenth of the work, to see that everything runs: the numbers mean little
    #[arg(long)]
    fast: bool,
    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with bench/results.json; fail and name the rows in which weir costs more
    ///
    /// A median is worse when it lies outside the stored range by more than the stored runs of nothing differed.
    #[arg(long, conflicts_with = "fast")]
    check: bool,
    /// Store the results: bench/results.json, docs/performance.md and its plots
    ///
    /// Rows that are not measured keep their stored results, if these are of the same machine.
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Measure how cost grows with edges, sockets and rounds a second; without rows, only that
    #[arg(long)]
    scaling: bool,
    /// Write docs/performance.md and its plots from the stored results, and measure nothing
    #[arg(long, conflicts_with_all = ["rows", "write", "check", "scaling"])]
    redraw: bool,
    /// Hold connections for another bench
    #[arg(long, hide = true, num_args = 2, value_names = ["ADDRESSES", "CONNECTIONS"])]
    crowd: Vec<u32>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                            everything, some 20 minutes
  cargo xtask bench pair --pairs 15            the cost of a send with its receive, to the nanosecond
  cargo xtask bench redis nginx_close --subjects weir
  cargo xtask bench --scaling                  how cost grows, two minutes
  cargo xtask bench --check                    does weir cost more than in the stored results?
The machine should do nothing else; other BPF programs that observe the kernel must have ended.";

/// Parses the command line and runs it.
pub(crate) fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let [addresses, connections] = cli.crowd[..] {
        crowd::help(addresses, connections)?;
        return Ok(ExitCode::SUCCESS);
    }
    if cli.redraw {
        stored::redraw()?;
        return Ok(ExitCode::SUCCESS);
    }
    bench::check_root()?;
    priority::raise_self();
    let site = Rc::new(Site::new(if cli.fast { Length::Fast } else { Length::Full })?);
    let only_scaling = cli.scaling && cli.rows.is_empty();
    let mut results = bench::run(&if only_scaling { Plan::none() } else { plan(&cli) }, &site)?;
    if cli.scaling {
        results.scaling = Some(scaling::run()?);
    }
    print!("{}", report::terminal::text(&results));
    if let Some(path) = &cli.json {
        stored::write_json(path, &results)?;
    }
    let mut code = ExitCode::SUCCESS;
    if cli.check {
        let worse = stored::worse(&stored::read()?, &results);
        worse.iter().for_each(|sentence| println!("worse than stored: {sentence}"));
        if !worse.is_empty() {
            code = ExitCode::FAILURE;
        }
    }
    if cli.write {
        stored::write(results)?;
    }
    Ok(code)
}

fn plan(cli: &Cli) -> Plan {
    let rows = ROWS.iter().filter(|row| cli.rows.is_empty() || cli.rows.iter().any(|name| name == row.name)).collect();
    let named: Vec<Subject> = cli.subjects.iter().filter_map(|name| Subject::named(name)).collect();
    let subjects = if named.is_empty() { SUBJECTS.to_vec() } else { named };
    Plan { rows, subjects, pairs: cli.pairs.map(usize::from) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
