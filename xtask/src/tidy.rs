//! Checks across files that no compiler makes.

mod crates;
mod links;
mod paths;
mod prose;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::root;

/// A file longer than this holds more than one concept.
const LONG: usize = 400;
/// Longer than this fails.
const TOO_LONG: usize = 600;
/// Files that may be longer, each with the reason.
const MAY_BE_LONG: &[(&str, &str)] = &[];

/// Macros for work in progress, without the `!(` that would make this line a finding.
const LEFTOVERS: [&str; 3] = ["todo", "unimplemented", "dbg"];

const PROBES: &str = "ebpf/src/probe";
const PROBE_NAMES: &str = "ebpf/abi/src/probe.rs";
const PROBE_TESTS: &str = "tests/tests";

/// One problem, and its fix.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Relative to the root, with a line where there is one.
    place: String,
    problem: String,
    fix: String,
}

/// Prints every finding; fails if there is one.
pub(crate) fn tidy() -> Result<()> {
    let root = root();
    let mut findings = Vec::new();
    let mut files = Vec::new();
    walk(root, root, &mut files)?;

    for file in files.iter().filter(|file| has_extension(file, "rs")) {
        let (name, text) = (file.display().to_string(), read(root, file)?);
        findings.extend(length(&name, text.lines().count()));
        findings.extend(leftovers(&name, &text));
    }

    let names = probe_names(&read(root, Path::new(PROBE_NAMES))?);
    findings.extend(probes(&stems(&files, PROBES), &names, &stems(&files, PROBE_TESTS)));

    let documented =
        |file: &Path| file.starts_with("docs") || ["README.md", "ARCHITECTURE.md"].map(Path::new).contains(&file);
    for file in files.iter().filter(|file| has_extension(file, "md") && documented(file)) {
        findings.extend(links::dead_links(root, file, &read(root, file)?));
    }

    findings.extend(crates::crates(root, &read(root, Path::new("ARCHITECTURE.md"))?)?);

    let mut listed = Vec::new();
    for file in files.iter().filter(|file| may_hold_prose(file)) {
        let text = read(root, file)?;
        findings.extend(paths::dead_paths(root, file, &text));
        listed.extend(words::words(file, &text));
    }
    findings.extend(words::over_budget(listed));

    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 thing to tidy"),
        n => bail!("{n} things to tidy"),
    }
}

/// Prints every word of the list in the tree, allowed or not.
pub(crate) fn list_words() -> Result<()> {
    let root = root();
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    for file in files.iter().filter(|file| may_hold_prose(file)) {
        words::words(file, &read(root, file)?).iter().for_each(|finding| println!("{finding}"));
    }
    Ok(())
}

/// Files whose comments or text people read.
fn may_hold_prose(file: &Path) -> bool {
    ["rs", "md", "py", "go", "java", "toml", "yaml", "service", "sh"].iter().any(|kind| has_extension(file, kind))
}

/// All files below `dir`, relative to `root`, in order. Hidden directories and build output hold nothing of ours.
fn walk(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("cannot list {}", dir.display());
    let mut entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().with_context(context)?;
        if kind.is_dir() && name != "target" && !name.as_encoded_bytes().starts_with(b".") {
            walk(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path.strip_prefix(root).unwrap_or(&path).into());
        }
    }
    Ok(())
}

fn read(root: &Path, file: &Path) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {}", file.display()))
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// Names of the Rust files directly in `dir`.
fn stems(files: &[PathBuf], dir: &str) -> BTreeSet<String> {
    let direct = files.iter().filter(|file| has_extension(file, "rs") && file.parent() == Some(Path::new(dir)));
    direct.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect()
}

fn length(file: &str, lines: usize) -> Option<Finding> {
    if lines <= LONG || MAY_BE_LONG.iter().any(|(exempt, _)| *exempt == file) {
        return None;
    }
    if lines <= TOO_LONG {
        eprintln!("warning: {file}: {lines} lines; split it by concept before it reaches {TOO_LONG}");
        return None;
    }
    let fix = "split it by concept, or add it with a reason to MAY_BE_LONG in xtask/src/tidy.rs";
    Some(Finding { place: file.into(), problem: format!("{lines} lines, more than {TOO_LONG}"), fix: fix.into() })
}

fn leftovers(file: &str, text: &str) -> Vec<Finding> {
    let finding = |line: usize, name: &str| Finding {
        place: format!("{file}:{line}"),
        problem: format!("{name}! left over"),
        fix: "finish the work or take it out".into(),
    };
    let on_line = |(index, line)| {
        LEFTOVERS.iter().filter(move |name| calls(line, name)).map(move |name| finding(index + 1, name))
    };
    text.lines().enumerate().flat_map(on_line).collect()
}

/// Whether `line` calls the macro `name`, and not one whose name only ends so.
fn calls(line: &str, name: &str) -> bool {
    line.match_indices(&format!("{name}!("))
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The probes in the text of the ABI's enum: `Variant = "name",`. A test of the agent compares its table with the enum.
fn probe_names(text: &str) -> BTreeSet<String> {
    let name = |line: &str| Some(line.split_once(" = \"")?.1.strip_suffix("\",")?.to_owned());
    text.lines().filter_map(name).collect()
}

/// A probe is a kernel file, a name in the ABI's enum and a test, all of the same name.
fn probes(files: &BTreeSet<String>, names: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut finding = |place: String, problem: &str, fix: String| {
        findings.push(Finding { place, problem: problem.into(), fix });
    };
    for name in files.difference(names) {
        finding(format!("{PROBES}/{name}.rs"), "probe without a name", format!("add \"{name}\" to {PROBE_NAMES}"));
    }
    for name in names.difference(files) {
        let fix = format!("write {PROBES}/{name}.rs, or remove the name");
        finding(PROBE_NAMES.into(), &format!("name \"{name}\" without a probe"), fix);
    }
    for name in files.difference(tests) {
        finding(format!("{PROBES}/{name}.rs"), "probe without a test", format!("write {PROBE_TESTS}/{name}.rs"));
    }
    findings
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, problem, fix } = self;
        write!(f, "{place}: {problem}: {fix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().copied().map(Into::into).collect()
    }

    #[test]
    fn only_a_much_too_long_file_fails() {
        assert_eq!(length("a.rs", LONG), None);
        assert_eq!(length("a.rs", TOO_LONG), None);
        assert!(length("a.rs", TOO_LONG + 1).is_some());
    }

    #[test]
    fn leftovers_are_found_where_they_are() {
        let text = LEFTOVERS.map(|name| format!("fn f() {{\n    {name}!(1);\n}}\n")).concat();
        let places = leftovers("a.rs", &text).into_iter().map(|finding| finding.place).collect::<Vec<_>>();
        assert_eq!(places, ["a.rs:2", "a.rs:5", "a.rs:8"]);
    }

    #[test]
    fn names_that_only_look_like_leftovers_pass() {
        assert_eq!(leftovers("a.rs", &format!("my_{}!(); todo(); // todo", LEFTOVERS[0])), []);
    }

    #[test]
    fn the_enum_gives_its_names() {
        let text = "probes! {\n    /// One.\n    First = \"a\",\n    Second = \"b\",\n}\nlet other = \"c\";\n";
        assert_eq!(probe_names(text), set(&["a", "b"]));
    }

    #[test]
    fn stems_are_of_rust_files_directly_in_the_directory() {
        let files = ["p/a.rs", "p/b.md", "p/deep/c.rs", "p.rs"].map(PathBuf::from);
        assert_eq!(stems(&files, "p"), set(&["a"]));
    }

    #[test]
    fn a_probe_needs_a_row_and_a_test() {
        assert_eq!(probes(&set(&["a"]), &set(&["a"]), &set(&["a", "lab"])), []);
        let findings = probes(&set(&["a", "b"]), &set(&["b", "c"]), &set(&["a"]));
        assert_eq!(
            findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "ebpf/src/probe/a.rs: probe without a name: add \"a\" to ebpf/abi/src/probe.rs",
                "ebpf/abi/src/probe.rs: name \"c\" without a probe: write ebpf/src/probe/c.rs, or remove the name",
                "ebpf/src/probe/b.rs: probe without a test: write tests/tests/b.rs",
            ]
        );
    }
}
