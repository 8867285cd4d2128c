//! The edges between the project's crates, as ARCHITECTURE.md draws them: Cargo keeps those that are declared, and this keeps what
//! is declared to what was agreed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Finding;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// The table in it, by its header.
const HEADER: &str = "| crate | uses | never links |";

/// What a crate may use, and what must not be linked into it, however far down.
#[derive(Debug, Default, PartialEq, Eq)]
struct Agreed {
    uses: BTreeSet<String>,
    never: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// None: a normal one, linked into the program.
#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Compares Cargo's graph with the table.
pub(super) fn crates(root: &Path, architecture: &str) -> Result<Vec<Finding>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    Ok(compare(&metadata, &agreed(architecture)))
}

/// The rows of the table.
fn agreed(architecture: &str) -> BTreeMap<String, Agreed> {
    let mut rows = architecture.lines().skip_while(|line| line.trim() != HEADER).skip(2);
    let mut table = BTreeMap::new();
    for row in rows.by_ref().take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [name, uses, never] = cells[..] else { continue };
        let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let names: BTreeSet<String> = words(name);
        table.extend(names.into_iter().map(|name| (name, Agreed { uses: words(uses), never: words(never) })));
    }
    table
}

fn compare(metadata: &Metadata, agreed: &BTreeMap<String, Agreed>) -> Vec<Finding> {
    let names: BTreeMap<&str, &str> = metadata.packages.iter().map(|package| (&*package.id, &*package.name)).collect();
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (&*node.id, node)).collect();
    let name = |id: &str| names.get(id).copied().unwrap_or_default().to_owned();
    let linked = |id: &str| -> Vec<&str> {
        let node = nodes.get(id).into_iter();
        let normal = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        node.flat_map(|node| node.deps.iter().filter(normal)).map(|dependency| &*dependency.pkg).collect()
    };
    let finding = |problem: String, fix: &str| Finding { place: ARCHITECTURE.into(), problem, fix: fix.into() };
    let mut findings = Vec::new();
    for id in &metadata.workspace_members {
        let crate_name = name(id);
        let Some(Agreed { uses, never }) = agreed.get(&crate_name) else {
            findings
                .push(finding(format!("{crate_name} has no row in the table of crates"), "add one: what may it know?"));
            continue;
        };
        let of_ours = |id: &&str| metadata.workspace_members.contains(*id);
        let used: BTreeSet<String> = linked(id).into_iter().filter(of_ours).map(name).collect();
        for edge in used.difference(uses) {
            let fix = "take the dependency out of its Cargo.toml, or agree on the edge in the table";
            findings.push(finding(format!("{crate_name} uses {edge}"), fix));
        }
        for edge in uses.difference(&used) {
            findings.push(finding(format!("{crate_name} does not use {edge}"), "take it out of the table"));
        }
        let (mut reached, mut open) = (BTreeSet::new(), vec![&**id]);
        while let Some(id) = open.pop() {
            open.extend(linked(id).into_iter().filter(|id| reached.insert(*id)));
        }
        let reached: BTreeSet<String> = reached.into_iter().map(name).collect();
        for linked in reached.intersection(never) {
            let fix = "`cargo tree -e normal -i` shows by which way; take it out";
            findings.push(finding(format!("{crate_name} links {linked}"), fix));
        }
    }
    for gone in agreed.keys().filter(|row| metadata.workspace_members.iter().all(|id| name(id) != **row)) {
        findings.push(finding(format!("no crate is called {gone}"), "take its row out of the table"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "text\n| crate | uses | never links |\n|---|---|---|\n| `a` | | |\n\
                         | `b` | `a` | `kube` |\n\nmore\n";

    fn metadata(edges: &[(&str, &str, Option<&str>)], members: &[&str]) -> Metadata {
        let ids: BTreeSet<&str> =
            edges.iter().flat_map(|(from, to, _)| [*from, *to]).chain(members.iter().copied()).collect();
        let node = |id: &&str| Node {
            id: (*id).into(),
            deps: edges
                .iter()
                .filter(|(from, ..)| from == id)
                .map(|(_, to, kind)| Dependency {
                    pkg: (*to).into(),
                    dep_kinds: vec![Kind { kind: kind.map(Into::into) }],
                })
                .collect(),
        };
        Metadata {
            packages: ids.iter().map(|id| Package { id: (*id).into(), name: (*id).into() }).collect(),
            workspace_members: members.iter().map(|id| (*id).into()).collect(),
            resolve: Resolve { nodes: ids.iter().map(node).collect() },
        }
    }

    fn problems(metadata: &Metadata) -> Vec<String> {
        compare(metadata, &agreed(TABLE)).into_iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn what_is_agreed_passes_and_tests_may_use_more() {
        assert_eq!(problems(&metadata(&[("b", "a", None), ("a", "b", Some("dev"))], &["a", "b"])), [""; 0]);
    }

    #[test]
    fn an_edge_that_was_not_agreed_is_found_either_way() {
        let wrong = metadata(&[("a", "b", None)], &["a", "b"]);
        assert_eq!(problems(&wrong), ["a uses b", "b does not use a"]);
        assert_eq!(problems(&metadata(&[("b", "a", None)], &["a", "b", "c"])), ["c has no row in the table of crates"]);
        assert_eq!(problems(&metadata(&[], &["a"])), ["no crate is called b"]);
    }

    #[test]
    fn a_library_is_found_however_far_down() {
        let deep = metadata(&[("b", "a", None), ("a", "client", None), ("client", "kube", None)], &["a", "b"]);
        assert_eq!(problems(&deep), ["b links kube"]);
    }
}
