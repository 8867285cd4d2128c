//! Files of the repository that prose names, and that are not there.

use std::path::Path;

use super::Finding;

/// Where a name of a file of ours begins.
const ROOTS: [&str; 8] = ["agent/", "bench/", "deploy/", "docs/", "ebpf/", "lab/", "tests/", "xtask/"];
/// What it ends with: names of directories are left out, as they are words, too.
const ENDS: [&str; 9] = [".rs", ".md", ".json", ".toml", ".yaml", ".service", ".py", ".java", ".go"];

/// Every file that a comment or a text names and that does not exist, by its path from the root or from a directory that
/// `file` lies in. In code spans as well.
pub(super) fn dead_paths(root: &Path, file: &Path, text: &str) -> Vec<Finding> {
    let dead = |(line, path): (usize, &str)| {
        (!file.ancestors().skip(1).any(|above| root.join(above).join(path).exists())).then(|| Finding {
            place: format!("{}:{line}", file.display()),
            problem: format!("names {path}, which is not there"),
            fix: "correct the name".into(),
        })
    };
    let is_source = file.extension().is_some_and(|extension| extension != "md");
    let lines = text.lines().enumerate().filter_map(|(index, line)| {
        // Of source text only comments: a path in a string may be of another tree.
        let prose = if is_source { line.split_once("//").or_else(|| line.split_once('#'))?.1 } else { line };
        Some((index + 1, prose))
    });
    lines.flat_map(|(line, prose)| paths(prose).map(move |path| (line, path))).filter_map(dead).collect()
}

/// The names of files in a line.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./{}*<>".contains(c)));
    let words = words.map(|word| word.trim_end_matches('.'));
    words.filter(|word| {
        ROOTS.iter().any(|root| word.starts_with(root))
            && ENDS.iter().any(|end| word.ends_with(end))
            && !word.contains(['{', '*', '<'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_found_in_prose() {
        let found = |line| paths(line).collect::<Vec<_>>();
        assert_eq!(
            found("see `docs/lab.md`, (lab/src/run.rs:3) and bench/results.json."),
            ["docs/lab.md", "lab/src/run.rs", "bench/results.json"]
        );
        assert_eq!(found("docs/*.md ../docs/a.md net/ipv4/tcp.c tests/vm/ docs/<name>.md lab"), [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_there_is_reported_where_it_is_named() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        // In one piece it would be a finding here.
        let gone = "gone.md";
        let text = format!("// docs/lab.md\nlet a = \"docs/{gone}\"; // as docs/{gone} says\n");
        let findings = dead_paths(root, Path::new("xtask/a.rs"), &text);
        let printed = findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(printed, [format!("xtask/a.rs:2: names docs/{gone}, which is not there: correct the name")]);
    }
}
