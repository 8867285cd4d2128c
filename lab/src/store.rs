//! Where runs are kept, and how a kept run is judged.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    incident,
    judge::{Judgement, judge},
    truth::Truth,
    weir,
};

/// A kept run: a directory with `truth.jsonl`, `recording.weir`, weir's live output, and the applications' stderr.
#[derive(Clone, Debug)]
pub(crate) struct Kept(PathBuf);

impl Kept {
    /// The directory of a run; that of an earlier run is removed.
    pub(crate) fn create(directory: &Path, scenario: &str, seed: u64) -> Result<Self> {
        let path = directory.join(format!("{scenario}-{seed}"));
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }

    /// All in a directory, in order of name.
    pub(crate) fn all(directory: &Path) -> Result<Vec<Self>> {
        let context = || format!("list {}", directory.display());
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(context)?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.retain(|path| path.join("truth.jsonl").exists());
        paths.sort();
        ensure!(!paths.is_empty(), "no kept run is in {}: no directory with a truth.jsonl", directory.display());
        Ok(paths.into_iter().map(Self).collect())
    }

    pub(crate) fn recording(&self) -> PathBuf {
        self.0.join("recording.weir")
    }

    pub(crate) fn truth(&self) -> PathBuf {
        self.0.join("truth.jsonl")
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.0.join("live.jsonl")
    }

    /// The applications' stderr.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("applications.log")
    }

    /// Judges the incidents that this weir finds in the recording; they are kept too, for readers.
    pub(crate) fn judge(&self, known: &[String], only_lab: bool) -> Result<Judgement> {
        let truth = Truth::read(&self.truth())?;
        let said = weir::replay(&self.recording(), truth.learn_s, None)?;
        let path = self.0.join("replayed.jsonl");
        fs::write(&path, &said).with_context(|| format!("write {}", path.display()))?;
        self.judge_by(truth, &said, known, only_lab)
    }

    /// The same without one of weir's rules.
    pub(crate) fn judge_without(&self, rule: &str, known: &[String], only_lab: bool) -> Result<Judgement> {
        let truth = Truth::read(&self.truth())?;
        let said = weir::replay(&self.recording(), truth.learn_s, Some(rule))?;
        self.judge_by(truth, &said, known, only_lab)
    }

    fn judge_by(&self, truth: Truth, said: &str, known: &[String], only_lab: bool) -> Result<Judgement> {
        let episodes = incident::parse(said).and_then(|events| incident::episodes(&events));
        let episodes = episodes.with_context(|| format!("the incidents of {}", self.recording().display()))?;
        Ok(judge(truth, episodes, known, only_lab))
    }

    /// Whether the replay equals the live output.
    pub(crate) fn replays_as_it_was(&self) -> Result<bool> {
        let read = |path: PathBuf| fs::read(&path).with_context(|| format!("read {}", path.display()));
        Ok(read(self.live())? == read(self.0.join("replayed.jsonl"))?)
    }
}
