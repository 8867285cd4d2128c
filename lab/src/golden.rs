//! Golden recordings: small runs whose incidents are known, judged by the library, without BPF and without root.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use weir_export::signals::{Form, IncidentWriter};
use weir_signals::{Deciding, Learning, Pipeline, Rules, Update, Wanted};

use crate::incident::{self, Severity};

/// The part of an event that is compared: numbers may change, these fields may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outline {
    event: String,
    signal: String,
    class: Option<String>,
    severity: Severity,
    client: Option<String>,
    server: Option<String>,
}

/// The recordings were made with `--fast`.
const LEARN: Duration = Duration::from_secs(5);

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Every golden recording, in order of name.
fn recordings() -> Result<Vec<PathBuf>> {
    let context = || format!("list {}", directory().display());
    let entries = fs::read_dir(directory()).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(context)?;
    let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path().join("recording.weir")).collect();
    paths.retain(|path| path.exists());
    paths.sort();
    Ok(paths)
}

/// Writes the current events of each recording as the expected ones.
pub(crate) fn rewrite() -> Result<()> {
    for recording in recordings()? {
        let lines = outlines(&recording)?.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let path = recording.with_file_name("expected.jsonl");
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        eprintln!("{}: {} lines", path.display(), lines.len());
    }
    Ok(())
}

/// What `weir signals --replay FILE -o jsonl` prints.
fn judge(recording: &Path) -> Result<String> {
    let deciding = Deciding { rules: Rules::ALL, learning: Learning::of(LEARN.as_nanos() as u64) };
    let mut pipeline = Pipeline::new(Wanted { decisions: Some(deciding), ..Wanted::default() });
    let (mut writer, mut lines, mut outcome) = (IncidentWriter::new(Form::Jsonl), Vec::new(), Ok(()));
    let mut write = |update: &Update| match &update.incidents {
        Some(standing) if outcome.is_ok() => outcome = writer.update(&mut lines, standing),
        _ => {}
    };
    weir_recording::play(recording, &mut |input| pipeline.take(input).iter().for_each(&mut write))?;
    write(&pipeline.finish());
    outcome?;
    Ok(String::from_utf8(lines)?)
}

fn outlines(recording: &Path) -> Result<Vec<Outline>> {
    let events = incident::parse(&judge(recording)?)?;
    let outlines = events.into_iter().map(|event| {
        let incident::Event { event, signal, class, severity, client, server, .. } = event;
        Outline { event, signal, class, severity, client, server }
    });
    Ok(outlines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_recordings_give_the_expected_events() {
        let recordings = recordings().expect("golden recordings");
        assert!(recordings.len() >= 2, "a fault and a healthy one at least: {recordings:?}");
        for recording in recordings {
            let path = recording.with_file_name("expected.jsonl");
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let expected: Vec<Outline> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
            let outlines = outlines(&recording).unwrap_or_else(|error| panic!("{}: {error:#}", recording.display()));
            assert_eq!(
                outlines,
                expected,
                "{} (`cargo xtask lab --golden` rewrites the expected events)",
                path.display()
            );
        }
    }
}
