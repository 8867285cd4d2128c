//! The programs that cargo has built, from its messages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{output, root};

/// Makes cargo print a message for each program, and what the compiler says as ever.
pub(crate) const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The target's name: of an integration test, its file's.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The package's directory, from the root.
    pub(crate) package: PathBuf,
    /// The file that it was built from, from the root.
    pub(crate) source: PathBuf,
    pub(crate) path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The tests inside a library or a binary.
    UnitTests,
    /// A file in `tests/`.
    IntegrationTest,
    /// A binary, as its users or its tests run it.
    Binary,
}

/// Runs a build with `MESSAGES` among its arguments; all programs of it, whether they were built now or before.
pub(crate) fn built(build: &mut Command) -> Result<Vec<Program>> {
    build.stderr(Stdio::inherit());
    programs(&output(build)?)
}

fn programs(messages: &str) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("cargo printed no JSON")?;
        found.extend(program(&message));
    }
    found.sort_by(|one, other| one.source.cmp(&other.source));
    Ok(found)
}

/// The program of a message, if it is about one.
fn program(message: &Value) -> Option<Program> {
    let path = message["executable"].as_str()?;
    let target = &message["target"];
    let is_test_file = target["kind"].as_array()?.iter().any(|kind| kind == "test");
    let kind = match (is_test_file, message["profile"]["test"] == true) {
        (true, _) => Kind::IntegrationTest,
        (false, true) => Kind::UnitTests,
        (false, false) => Kind::Binary,
    };
    let from_root = |path: &Path| path.strip_prefix(root()).unwrap_or(path).to_owned();
    Some(Program {
        name: target["name"].as_str()?.into(),
        kind,
        package: from_root(Path::new(message["manifest_path"].as_str()?).parent()?),
        source: from_root(Path::new(target["src_path"].as_str()?)),
        path: path.into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_say_which_programs_are_tests() {
        let message = |kind: &str, name: &str, test: bool, executable: Option<&str>| {
            let in_root = |path: &str| root().join(path).display().to_string();
            let target = json!({"kind": [kind], "name": name, "src_path": in_root(&format!("p/{name}.rs"))});
            let profile = json!({"test": test});
            json!({"reason": "compiler-artifact", "manifest_path": in_root("p/Cargo.toml"), "target": target,
                "profile": profile, "executable": executable})
            .to_string()
        };
        let messages = [
            message("lib", "l", false, None),
            message("test", "t", true, Some("/t")),
            message("lib", "l", true, Some("/l")),
            message("bin", "b", false, Some("/b")),
            json!({"reason": "build-finished", "success": true}).to_string(),
        ];
        let found = programs(&messages.join("\n")).expect("messages");
        let program = |name: &str, kind| Program {
            name: name.into(),
            kind,
            package: "p".into(),
            source: format!("p/{name}.rs").into(),
            path: format!("/{name}").into(),
        };
        let expected = [program("b", Kind::Binary), program("l", Kind::UnitTests), program("t", Kind::IntegrationTest)];
        assert_eq!(found, expected);
    }
}
