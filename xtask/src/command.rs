//! Running other programs, with errors that name the command to repeat.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's directory: all commands run there, wherever the task was started.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// A cargo command. By name, not by `$CARGO`: rustup's proxy keeps the toolchain, and the printed command can be pasted.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut cargo = command("cargo");
    cargo.args(args);
    cargo
}

/// Runs `command` on our terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", describe(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", describe(command));
    }
    Ok(())
}

/// The output of `command`.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run `{}`", describe(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}: {}", describe(command), output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` prints no UTF-8", describe(command)))
}

/// `command` as it would be typed into a shell.
pub(crate) fn describe(command: &Command) -> String {
    let envs = command
        .get_envs()
        .filter_map(|(key, value)| Some(format!("{}={}", key.to_string_lossy(), quote(&value?.to_string_lossy()))));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    envs.chain(words.map(|word| quote(&word.to_string_lossy()))).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Where `program` is. Also looks in /usr/sbin, which Debian leaves out of an unprivileged user's PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|dir| dir.join(program)).find(|candidate| {
        candidate.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// How a command becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elevation {
    /// We are root.
    None,
    Sudo,
}

impl Elevation {
    /// `purpose` completes "root is needed to ...".
    pub(crate) fn find(purpose: &str) -> Result<Self> {
        if rustix::process::geteuid().is_root() {
            Ok(Self::None)
        } else if find("sudo").is_some() {
            Ok(Self::Sudo)
        } else {
            bail!("root is needed to {purpose}: repeat this as root, or install sudo")
        }
    }

    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::None => command(program),
            Self::Sudo => {
                let mut sudo = command("sudo");
                sudo.arg(program);
                sudo
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_described_command_can_be_pasted() {
        let mut command = cargo(["test", "it's", "", "a b"]);
        command.env("WEIR_BIN", "/a b/weir").env_remove("HOME");
        assert_eq!(describe(&command), r"WEIR_BIN='/a b/weir' cargo test 'it'\''s' '' 'a b'");
    }

    #[test]
    fn a_failure_names_the_command_and_its_status() {
        let error = run(command("sh").args(["-c", "exit 3"])).expect_err("it exits with 3");
        assert_eq!(error.to_string(), "`sh -c 'exit 3'` failed: exit status: 3");
    }

    #[test]
    fn an_absent_program_is_named() {
        let error = output(&mut command("weir-no-such-program")).expect_err("there is no such program");
        assert_eq!(error.to_string(), "cannot run `weir-no-such-program`");
        assert_eq!(find("weir-no-such-program"), None);
        assert!(find("sh").is_some());
    }

    #[test]
    fn sudo_precedes_the_program() {
        assert_eq!(describe(Elevation::Sudo.command("env").arg("A=1")), "sudo env A=1");
        assert_eq!(describe(&Elevation::None.command("env")), "env");
    }
}
