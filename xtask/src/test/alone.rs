//! Which tests must have the kernel to themselves. A test says so where it is written, with the reason: `/// Alone: <reason>`
//! directly above its `#[test]`, or `//! Alone: <reason>` at the top of a file for all of its tests.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

const OF_A_FILE: &str = "//! Alone:";
const OF_A_TEST: &str = "/// Alone:";

/// Those of one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alone {
    All,
    These(BTreeSet<String>),
}

impl Alone {
    /// Reads the source of a test program.
    pub(super) fn of(source: &str) -> Result<Self> {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let reason = line.strip_prefix(OF_A_FILE).or_else(|| line.strip_prefix(OF_A_TEST));
            ensure!(reason.is_none_or(|reason| !reason.trim().is_empty()), "line {}: no reason", index + 1);
        }
        if lines.iter().any(|line| line.starts_with(OF_A_FILE)) {
            return Ok(Self::All);
        }
        let marked = lines.iter().enumerate().filter(|(_, line)| line.starts_with(OF_A_TEST));
        marked.map(|(index, _)| test_below(&lines, index)).collect::<Result<_>>().map(Self::These)
    }

    pub(super) fn contains(&self, test: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(test),
        }
    }

    /// Fails if a test is marked that does not exist.
    pub(super) fn check(&self, tests: &[String]) -> Result<()> {
        let Self::These(names) = self else { return Ok(()) };
        let unknown: Vec<&String> = names.iter().filter(|name| !tests.contains(name)).collect();
        ensure!(unknown.is_empty(), "marked as alone, and no test: {unknown:?}");
        Ok(())
    }
}

/// The test whose documentation contains this line.
fn test_below(lines: &[&str], index: usize) -> Result<String> {
    let below =
        lines[index..].iter().skip_while(|line| line.starts_with("///")).skip_while(|line| line.starts_with("#["));
    let name = below.copied().next().and_then(|line| line.strip_prefix("fn ")?.split_once('('));
    ensure!(name.is_some(), "line {}: no test below it", index + 1);
    Ok(name.map(|(name, _)| name.into()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_a_test_is_alone() {
        let source = "//! What.\n\n/// Why.\n///\n/// Alone: for a reason.\n#[test]\nfn a() {}\n\n#[test]\nfn b() {}\n";
        let alone = Alone::of(source).expect("marks");
        assert!(alone.contains("a") && !alone.contains("b"));
        assert!(alone.check(&["a".into(), "b".into()]).is_ok());
        assert!(alone.check(&["b".into()]).is_err());
        let alone = Alone::of(&format!("//!\n//! Alone: for a reason.\n{source}")).expect("marks");
        assert!(alone.contains("a") && alone.contains("b"));
    }

    #[test]
    fn a_mark_needs_a_reason_and_a_test() {
        assert!(Alone::of("//! Alone:\n").is_err());
        assert!(Alone::of("/// Alone: \n#[test]\nfn a() {}\n").is_err());
        let error = Alone::of("/// Alone: for a reason.\nconst A: u8 = 0;\n").expect_err("no test");
        assert_eq!(error.to_string(), "line 1: no test below it");
    }
}
