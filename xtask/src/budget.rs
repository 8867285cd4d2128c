//! The size of each program in the kernel, compared with its budget.

use anyhow::{Result, bail};
use weir_tests::budget::{Budget, Measured};

use crate::command::{Elevation, output, run};
use crate::run::{binary, build_command};
use crate::setup::{Extra, setup};

/// What to do with the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Show,
    Check,
    Write,
}

/// Builds weir, has its doctor load every program, and compares.
pub(crate) fn budget(then: Then) -> Result<()> {
    let elevation = Elevation::find("load programs into the kernel")?;
    setup(Extra::None)?;
    run(&mut build_command(false))?;
    let doctor = output(elevation.command(binary(false)).args(["doctor", "-o", "json"]))?;
    let measured = Measured::of_doctor(&doctor)?;
    // The first entry is written into nothing.
    let budget = if Budget::path().exists() { Budget::read()? } else { Budget::default() };
    let comparison = budget.compare(&measured);
    println!("{comparison}");
    let findings = comparison.findings();
    match then {
        Then::Write => budget.write(measured),
        Then::Check if !findings.is_empty() => {
            bail!(
                "over budget; shrink it, or raise the budget with `cargo xtask budget --write`:\n{}",
                findings.join("\n")
            )
        }
        Then::Check | Then::Show => Ok(()),
    }
}
