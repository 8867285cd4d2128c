//! Links of Markdown files to files of the repository.

use std::path::Path;

use super::Finding;
use super::prose::without_code;

/// The links in `text`, the contents of `file`, that lead to no file.
pub(super) fn dead_links(root: &Path, file: &Path, text: &str) -> Vec<Finding> {
    let dead = |(line, target): (usize, String)| {
        let path = local_path(&target)?;
        // As GitHub resolves them.
        let path = match path.strip_prefix('/') {
            Some(path) => root.join(path),
            None => root.join(file).with_file_name("").join(path),
        };
        (!path.exists()).then(|| Finding {
            place: format!("{}:{line}", file.display()),
            problem: format!("link to {target}, which is not there"),
            fix: "correct the link or write the file".into(),
        })
    };
    links(text).into_iter().filter_map(dead).collect()
}

/// The file a link leads to; `None` if it leads out of the repository, or to a heading of its own file.
fn local_path(target: &str) -> Option<String> {
    let path = target.split(['#', '?']).next().unwrap_or_default();
    let scheme = path.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    });
    (!path.is_empty() && !scheme && !path.starts_with("//")).then(|| path.replace("%20", " "))
}

/// Line and target of each link: inline links, images, and reference definitions; none in code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark)) {
            match fence {
                None => fence = Some(mark),
                Some(open) if open == mark => fence = None,
                Some(_) => {}
            }
            continue;
        }
        if fence.is_some() {
            continue;
        }
        let line = without_code(line);
        found.extend(definition(&line).map(|target| (index + 1, target.to_owned())));
        found.extend(
            line.match_indices("](").map(|(at, mark)| (index + 1, target(&line[at + mark.len()..]).to_owned())),
        );
    }
    found
}

/// The target at the start of `text`, which follows the `](` of a link; a title is left out.
fn target(text: &str) -> &str {
    let text = text.trim_start();
    if let Some(bracketed) = text.strip_prefix('<') {
        return bracketed.split('>').next().unwrap_or_default();
    }
    let mut depth = 0;
    let end = text.find(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth < 0 || c.is_whitespace()
    });
    &text[..end.unwrap_or(text.len())]
}

/// The target of a reference definition, `[name]: target`; a footnote, `[^1]: text`, is none.
fn definition(line: &str) -> Option<&str> {
    let (name, rest) = line.trim_start().strip_prefix('[')?.split_once("]:")?;
    (!name.starts_with('^') && !name.contains(']')).then(|| target(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<String> {
        links(text).into_iter().map(|(_, target)| target).collect()
    }

    #[test]
    fn links_of_every_form_are_found() {
        assert_eq!(targets("see [a](a.md), ![b](<b c.svg>) and [c](c.md \"title\")"), ["a.md", "b c.svg", "c.md"]);
        assert_eq!(targets("[a](docs/a_(b).md)."), ["docs/a_(b).md"]);
        assert_eq!(targets("[![badge](badge.svg)](ci.md)"), ["badge.svg", "ci.md"]);
        assert_eq!(targets("[a]: docs/a.md\n[^1]: a footnote"), ["docs/a.md"]);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(targets("```\n[a](a.md)\n~~~\n[b](b.md)\n```\n[c](c.md)"), ["c.md"]);
        assert_eq!(targets("`[a](a.md)` and ``[b`](b.md)`` and [c](c.md)"), ["c.md"]);
        assert_eq!(targets("a lone ` and [a](a.md)"), ["a.md"]);
    }

    #[test]
    fn only_links_to_files_are_local() {
        for elsewhere in ["https://example.com/a.md", "mailto:a@example.com", "#heading", "//example.com", ""] {
            assert_eq!(local_path(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(local_path("../a%20b.md#heading").as_deref(), Some("../a b.md"));
        assert_eq!(local_path("/docs/a.md").as_deref(), Some("/docs/a.md"));
    }

    #[test]
    fn a_dead_link_is_reported_with_its_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "[self](main.rs) [up](../Cargo.toml#L1) [root](/src)\n\n[dead](gone.md) [web](https://gone.md)";
        let findings = dead_links(root, Path::new("src/x.md"), text);
        let printed = findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = "src/x.md:3: link to gone.md, which is not there: correct the link or write the file";
        assert_eq!(printed, [expected]);
    }
}
