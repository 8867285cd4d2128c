//! `weir doctor`

use std::{io::Write as _, process::ExitCode};

use anyhow::Result;

use super::value::RefuseArgs;
use crate::{
    doctor::{self, Check, State},
    probe::size::ProgramSize,
};

/// Check whether this machine can run weir, what is missing, and how to fix it.
///
/// Tries what weir does instead of asking for versions: loads and attaches every probe once, then takes it all down.
/// Beside each probe: instructions the kernel verified, bytes of machine code it made, and how long loading took.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 weir can run (perhaps with less, see the warnings), 2 it cannot.")]
pub(crate) struct Args {
    /// Shape of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    refuse: RefuseArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let checks = doctor::examine(&args.refuse.refuse_probe);
    let can_run = checks.iter().all(|check| check.state != State::Fail);
    let mut out = std::io::stdout().lock();
    match args.output {
        Format::Text => text(&mut out, &checks, can_run)?,
        Format::Json => {
            let document = serde_json::json!({
                "can_run": can_run,
                "version": env!("CARGO_PKG_VERSION"),
                "checks": checks,
            });
            writeln!(out, "{document:#}")?;
        }
    }
    Ok(ExitCode::from(if can_run { 0 } else { 2 }))
}

fn text(out: &mut impl std::io::Write, checks: &[Check], can_run: bool) -> Result<()> {
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    for check in checks {
        let mark = match check.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let program = check.program.as_ref().map(in_short).unwrap_or_default();
        writeln!(out, "{mark}  {:<width$}  {program}{}", check.name, check.cause)?;
        if let Some(fix) = &check.fix {
            writeln!(out, "      {:<width$}  fix: {fix}", "")?;
        }
    }
    let warnings = checks.iter().filter(|c| c.state == State::Warn).count();
    match (can_run, warnings) {
        (true, 0) => writeln!(out, "weir can run here.")?,
        (true, n) => writeln!(out, "weir can run here, with {n} limits (warn).")?,
        (false, _) => writeln!(out, "weir cannot run here: fix what says FAIL.")?,
    }
    Ok(())
}

/// A column for probes, which are listed one after the other.
fn in_short(program: &ProgramSize) -> String {
    let told = |number: Option<u32>| number.map_or("-".into(), |n| n.to_string());
    let (checked, code) = (told(program.verified_instructions), told(program.machine_code_bytes));
    format!("{checked:>6} insns {code:>6} B {:>6.1} ms  ", program.load_ms)
}
