//! The applications, and how one of each language is started.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

/// Python imports from here first: no file may have the name of a module that others import, such as `queue`.
const FILES: &[(&str, &str)] = &[
    ("common.py", include_str!("../apps/common.py")),
    ("app.py", include_str!("../apps/app.py")),
    ("app.java", include_str!("../apps/app.java")),
    ("app.go", include_str!("../apps/app.go")),
    ("aioapp.py", include_str!("../apps/aioapp.py")),
    ("cache.py", include_str!("../apps/cache.py")),
    ("consumers.py", include_str!("../apps/consumers.py")),
    ("idle.py", include_str!("../apps/idle.py")),
    ("load.py", include_str!("../apps/load.py")),
    ("push.py", include_str!("../apps/push.py")),
    ("slow.py", include_str!("../apps/slow.py")),
    ("web.py", include_str!("../apps/web.py")),
    ("workers.py", include_str!("../apps/workers.py")),
    // The same server under another name.
    ("up.py", include_str!("../apps/web.py")),
];

/// Debian's own Python: only it has Debian's modules.
const PYTHON: &str = "/usr/bin/python3";
/// Debian's Java libraries, and its sources of Go libraries.
const JARS: &str = "/usr/share/java/HikariCP.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/postgresql.jar";
const GOPATH: &str = "/usr/share/gocode";

/// Writes all of them into a directory, from which they are started.
pub(crate) fn write_all(directory: &Path) -> Result<()> {
    FILES
        .iter()
        .try_for_each(|(name, text)| fs::write(directory.join(name), text).with_context(|| format!("write {name}")))
}

/// The command line that starts one there; a Go program is built first.
pub(crate) fn start(directory: &Path, name: &str) -> Result<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match name.rsplit_once('.') {
        Some((_, "py")) => Ok(words(&[PYTHON, "-u", name])),
        // The dispatcher's two writes for each reply must not wait for each other (Nagle, delayed acknowledgements).
        Some((_, "java")) => Ok(words(&["java", "-Xmx256m", "-Dsun.net.httpserver.nodelay=true", "-cp", JARS, name])),
        Some((stem, "go")) => Ok(words(&[&build(directory, name, &format!("go{stem}"))?])),
        _ => bail!("{name} is in no language that the lab knows"),
    }
}

/// From Debian's packages alone, without modules and without a C compiler; the build is cached.
fn build(directory: &Path, source: &str, program: &str) -> Result<String> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/go");
    let mut go = Command::new("go");
    go.current_dir(directory).args(["build", "-o", program, source]);
    go.env("GO111MODULE", "off").env("GOPATH", GOPATH).env("GOCACHE", kept).env("CGO_ENABLED", "0");
    let output = go.output().with_context(|| format!("run {go:?}"))?;
    ensure!(output.status.success(), "{go:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(directory.join(program).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_started_as_its_language_is() {
        let here = Path::new("/nowhere");
        assert_eq!(start(here, "app.py").expect("Python").join(" "), "/usr/bin/python3 -u app.py");
        assert!(start(here, "app.java").expect("Java").join(" ").ends_with("postgresql.jar app.java"));
        assert!(start(here, "app.rb").expect_err("an unknown language").to_string().contains("app.rb"));
    }
}
