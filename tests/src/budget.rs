//! What a kernel made of each program, compared with what was agreed to be enough.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How much a program may grow before the budget has to be raised: a choice.
const TOLERANCE: f64 = 0.05;

/// A number of a size.
type Field = (&'static str, fn(&Size) -> Option<u64>);
/// Hardly depends on the kernel.
const BYTE_CODE: Field = ("translated_bytes", |size| size.translated_bytes);
/// Vary from kernel to kernel.
const OF_KERNEL: [Field; 3] = [
    ("verified_instructions", |size| size.verified_instructions),
    ("machine_code_bytes", |size| size.machine_code_bytes),
    ("stack_bytes", |size| size.stack_bytes),
];

/// A program's size; what a kernel does not report is none. See `weir doctor -o json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Instructions that the verifier walked.
    pub verified_instructions: Option<u64>,
    /// Byte code after the verifier's rewriting.
    pub translated_bytes: Option<u64>,
    /// Machine code.
    pub machine_code_bytes: Option<u64>,
    /// Stack of all its frames.
    pub stack_bytes: Option<u64>,
}

type Sizes = BTreeMap<String, Size>;

/// What this kernel made of weir's programs.
#[derive(Debug)]
pub struct Measured {
    architecture: String,
    series: String,
    programs: Sizes,
}

impl Measured {
    /// From the output of `weir doctor -o json` on this machine.
    ///
    /// # Errors
    /// When that is no doctor's document, or names no program's size.
    pub fn of_doctor(text: &str) -> Result<Self> {
        let document: Value = serde_json::from_str(text).context("weir doctor printed no JSON document")?;
        let mut programs = Sizes::new();
        for check in document["checks"].as_array().context("weir doctor printed no checks")? {
            let name = check["name"].as_str().and_then(|name| name.strip_prefix("probe "));
            if let (Some(name), Some(size)) = (name, check.get("program")) {
                programs.insert(name.into(), Size::deserialize(size).with_context(|| format!("the size of {name}"))?);
            }
        }
        anyhow::ensure!(!programs.is_empty(), "weir doctor reports no program's size");
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        let series = release.split('.').take(2).collect::<Vec<_>>().join(".");
        Ok(Self { architecture: uname.machine().to_string_lossy().into_owned(), series, programs })
    }
}

/// The committed sizes, by architecture and kernel series (`6.18`).
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget(BTreeMap<String, BTreeMap<String, Sizes>>);

impl Budget {
    /// Where it is.
    pub fn path() -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "..", "ebpf", "budget.json"].iter().collect()
    }

    /// Reads it.
    ///
    /// # Errors
    /// When the file is not there, or is no budget.
    pub fn read() -> Result<Self> {
        let path = Self::path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no budget", path.display()))
    }

    /// Writes it, with what this kernel made of the programs as its entry for this kernel.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(mut self, measured: Measured) -> Result<()> {
        let Measured { architecture, series, programs } = measured;
        self.0.entry(architecture).or_default().insert(series, programs);
        let path = Self::path();
        let text = serde_json::to_string_pretty(&self).context("encode the budget")? + "\n";
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Compares with the entry for this kernel; where there is none, the byte code with the nearest one's.
    pub fn compare<'a>(&'a self, measured: &'a Measured) -> Comparison<'a> {
        let entries = self.0.iter().flat_map(|(architecture, by_series)| {
            by_series.iter().map(move |(series, sizes)| (architecture.as_str(), series.as_str(), sizes))
        });
        let distance = |(architecture, series, _): &(&str, &str, _)| {
            (*architecture != measured.architecture, order(series).abs_diff(order(&measured.series)))
        };
        Comparison { measured, entry: entries.min_by_key(distance) }
    }
}

/// `6.18` as a number whose differences are distances.
fn order(series: &str) -> u64 {
    let mut parts = series.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
    parts.next().unwrap_or(0) * 1_000 + parts.next().unwrap_or(0)
}

/// What was measured beside an entry of the budget.
#[derive(Debug)]
pub struct Comparison<'a> {
    measured: &'a Measured,
    entry: Option<(&'a str, &'a str, &'a Sizes)>,
}

impl Comparison<'_> {
    /// Everything that is not as agreed, as sentences; none: all is well.
    pub fn findings(&self) -> Vec<String> {
        let Some((architecture, series, budget)) = self.entry else {
            return vec!["the budget has no entry at all".into()];
        };
        let of_this_kernel = self.is_of_this_kernel();
        let mut findings = Vec::new();
        for (name, size) in &self.measured.programs {
            let Some(budget) = budget.get(name) else {
                findings.push(format!("{name} has no budget for {series} on {architecture}"));
                continue;
            };
            let fields = [BYTE_CODE].into_iter().chain(of_this_kernel.then_some(OF_KERNEL).into_iter().flatten());
            let compared: Vec<_> =
                fields.filter_map(|(field, number)| Some((field, number(size)?, number(budget)?))).collect();
            if compared.is_empty() {
                findings.push(format!("{name}: this kernel reports no number that the budget has"));
            }
            let over = compared.iter().filter(|(_, now, agreed)| *now as f64 > *agreed as f64 * (1.0 + TOLERANCE));
            findings.extend(over.map(|(field, now, agreed)| {
                format!("{name}: {field} is {now}, agreed were {agreed} ({})", change(*now, *agreed))
            }));
        }
        if of_this_kernel {
            let gone = budget.keys().filter(|name| !self.measured.programs.contains_key(*name));
            findings.extend(gone.map(|name| format!("{name} has a budget, but did not load")));
        }
        findings
    }

    fn is_of_this_kernel(&self) -> bool {
        self.entry.is_some_and(|(architecture, series, _)| {
            architecture == self.measured.architecture && series == self.measured.series
        })
    }
}

/// The table, each number with its distance from the budget.
impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { architecture, series, programs } = self.measured;
        let fields = [OF_KERNEL[0], BYTE_CODE, OF_KERNEL[1], OF_KERNEL[2]];
        write!(f, "{:<22}", format!("{series} {architecture}"))?;
        fields.iter().try_for_each(|(field, _)| write!(f, "  {field:>22}"))?;
        for (name, size) in programs {
            write!(f, "\n{name:<22}")?;
            for (_, number) in fields {
                let budget = self.entry.and_then(|(_, _, sizes)| number(sizes.get(name)?));
                let cell = match (number(size), budget) {
                    (None, _) => "-".into(),
                    (Some(now), Some(agreed)) if now != agreed => format!("{now} ({})", change(now, agreed)),
                    (Some(now), _) => now.to_string(),
                };
                write!(f, "  {cell:>22}")?;
            }
        }
        match self.entry {
            Some((architecture, series, _)) if !self.is_of_this_kernel() => {
                write!(f, "\nNo budget for this kernel: byte code is compared with {series} on {architecture}.")
            }
            Some(_) => Ok(()),
            None => write!(f, "\nNo budget yet."),
        }
    }
}

fn change(now: u64, agreed: u64) -> String {
    if agreed == 0 {
        return "new".into();
    }
    format!("{:+.1}%", (now as f64 / agreed as f64 - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(verified: u64, bytes: u64) -> Size {
        Size {
            verified_instructions: Some(verified),
            translated_bytes: Some(bytes),
            machine_code_bytes: None,
            stack_bytes: Some(8),
        }
    }

    fn measured(series: &str, sizes: Size) -> Measured {
        let programs = Sizes::from([("p".into(), sizes)]);
        Measured { architecture: "x86_64".into(), series: series.into(), programs }
    }

    fn budget(entries: &[(&str, &str, Size)]) -> Budget {
        let mut budget = Budget::default();
        for (architecture, series, size) in entries {
            let sizes = Sizes::from([("p".into(), *size)]);
            budget.0.entry((*architecture).into()).or_default().insert((*series).into(), sizes);
        }
        budget
    }

    #[test]
    fn only_what_grew_by_more_than_the_tolerance_is_found() {
        let budget = budget(&[("x86_64", "6.18", size(1_000, 100))]);
        assert_eq!(budget.compare(&measured("6.18", size(1_050, 105))).findings(), [""; 0]);
        let grown = measured("6.18", size(1_051, 100));
        assert_eq!(budget.compare(&grown).findings(), ["p: verified_instructions is 1051, agreed were 1000 (+5.1%)"]);
    }

    #[test]
    fn another_kernel_compares_byte_code_with_the_nearest_entry() {
        let entries =
            [("aarch64", "6.12", size(1, 1)), ("x86_64", "5.15", size(1, 1)), ("x86_64", "6.8", size(1, 1_000))];
        let budget = budget(&entries);
        assert_eq!(budget.compare(&measured("6.12", size(9_999, 1_000))).findings(), [""; 0]);
        let grown = measured("6.12", size(1, 1_100));
        let comparison = budget.compare(&grown);
        assert_eq!(comparison.findings(), ["p: translated_bytes is 1100, agreed were 1000 (+10.0%)"]);
        assert!(comparison.to_string().contains("6.8 on x86_64"), "{comparison}");
    }

    #[test]
    fn nothing_to_compare_with_is_a_finding() {
        let now = measured("6.18", size(1, 1));
        assert_eq!(Budget::default().compare(&now).findings(), ["the budget has no entry at all"]);
        let mut gone = budget(&[("x86_64", "6.18", size(1, 1))]);
        for sizes in gone.0.values_mut().flat_map(BTreeMap::values_mut) {
            let size = sizes.remove("p").expect("p");
            sizes.insert("q".into(), size);
        }
        let findings = ["p has no budget for 6.18 on x86_64", "q has a budget, but did not load"];
        assert_eq!(gone.compare(&now).findings(), findings);
    }
}
