//! A recording beside a running pipeline: lines are made by the reading thread and written by one of its own, so that a slow
//! disk does not hold up the ring.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use weir_engine::Input;

use super::{Compressor, Encoder, VERSION, wire::Header, wire::Line};

/// Lines that wait for the disk. A choice: some twenty ticks of 1,000 edges that all change, in memory that is taken only
/// when a disk is that slow.
const MAX_WAITING: usize = 8 << 20;
/// The writer is woken for so much, or for a tick.
const BATCH: usize = 64 << 10;

/// What to do with an input while so many lines wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Hold the reader: a recording of limited length is whole, or fails.
    Wait,
    /// Leave it out, count it, and write a gap once there is space: an agent goes on.
    Skip,
}

/// Takes inputs for a recording.
#[derive(Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    line: BytesBuffer,
    when_full: WhenFull,
    /// Inputs left out since the last line.
    skipped: u64,
}

/// Kept apart for `Debug`.
struct BytesBuffer(Encoder);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_closed: bool,
    /// The writer has ended.
    is_over: bool,
    /// How it ended.
    outcome: Option<Result<()>>,
}

impl Tap {
    /// Starts a file and its writer.
    ///
    /// # Errors
    /// When the file cannot be written, or no thread can be started.
    pub fn create(path: &Path, when_full: WhenFull) -> Result<Self> {
        let file = Compressor::create(path)?;
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        let thread = thread::Builder::new().name("recording".into());
        thread.spawn(move || writer.write(file)).context("start a thread for the recording")?;
        let mut tap = Self { shared, line: BytesBuffer(Encoder::default()), when_full, skipped: 0 };
        let header = Line::Header(Header::of_version(VERSION));
        tap.shared.lock().waiting.extend_from_slice(tap.line.0.encode(&header)?);
        Ok(tap)
    }

    /// Takes one input. In a gap it is left out, and counted.
    ///
    /// # Errors
    /// When the file could not be written: it is not whole, and takes no more.
    pub fn take(&mut self, input: &Input<'_>) -> Result<()> {
        let is_tick = matches!(input, Input::Tick { .. });
        let mut state = self.shared.lock();
        while !state.is_over && state.waiting.len() >= MAX_WAITING && self.when_full == WhenFull::Wait {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_over {
            // Reported once: what follows in the same reading is not for this file any more.
            return state.outcome.take().unwrap_or(Ok(()));
        }
        if self.skipped > 0 || state.waiting.len() >= MAX_WAITING {
            self.skipped += 1;
            return Ok(());
        }
        state.waiting.extend_from_slice(self.line.0.encode(&Line::from(input))?);
        if is_tick || state.waiting.len() >= BATCH {
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Whether a gap can end: there is space again. What was left out may have changed what holds, so all of that must be
    /// said again after `resume`, before the next tick.
    pub fn can_resume(&self) -> bool {
        self.skipped > 0 && self.shared.lock().waiting.len() < MAX_WAITING / 2
    }

    /// Ends the gap.
    ///
    /// # Errors
    /// When its line cannot be made.
    pub fn resume(&mut self) -> Result<()> {
        let gap = Line::Gap { inputs: std::mem::take(&mut self.skipped) };
        self.shared.lock().waiting.extend_from_slice(self.line.0.encode(&gap)?);
        Ok(())
    }

    /// Inputs left out since the last that was taken.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// No more will come. The file is closed properly once all is written; `is_finished` tells when.
    ///
    /// # Errors
    /// When the last line cannot be made.
    pub fn close(&mut self) -> Result<()> {
        let mut state = self.shared.lock();
        if self.skipped > 0 {
            state.waiting.extend_from_slice(self.line.0.encode(&Line::Gap { inputs: self.skipped })?);
        }
        state.waiting.extend_from_slice(self.line.0.encode(&Line::End)?);
        state.is_closed = true;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// How writing ended, once it has.
    pub fn finished(&self) -> Option<Result<()>> {
        self.shared.lock().outcome.take()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A writer that panicked has left a state that is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, file: Compressor) {
        let over = Over(self);
        let outcome = self.write_all(file);
        self.lock().outcome = Some(outcome);
        drop(over);
        self.changed.notify_all();
    }

    fn write_all(&self, mut file: Compressor) -> Result<()> {
        let mut lines = Vec::new();
        loop {
            lines.clear();
            let is_closed = {
                let mut state = self.lock();
                while state.waiting.is_empty() && !state.is_closed {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                // The two buffers change places: writing allocates nothing once they are large enough.
                std::mem::swap(&mut state.waiting, &mut lines);
                state.is_closed
            };
            self.changed.notify_all();
            file.append(&lines)?;
            if is_closed {
                return file.finish();
            }
        }
    }
}

/// The writer ends, however it ends: nothing waits for it any more.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_over = true;
        state.outcome.get_or_insert_with(|| Err(anyhow!("the recording's writer has panicked")));
        drop(state);
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for BytesBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BytesBuffer")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, process::Command, time::Duration};

    use weir_engine::{AgentCost, Naming, Started};

    use super::*;
    use crate::play;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("weir-tap-{}-{name}", std::process::id()))
    }

    fn finish(mut tap: Tap) -> Result<()> {
        tap.close()?;
        loop {
            match tap.finished() {
                Some(outcome) => return outcome,
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn tick(second: u64) -> Input<'static> {
        Input::Tick { monotonic_ns: second, unix_ns: second }
    }

    /// An input that takes 100 KiB.
    fn long() -> Input<'static> {
        let counts = (0..1000).map(|n| (format!("{n:0>90}").into(), n)).collect();
        Input::Naming(Naming { counts, unavailable: Vec::new() })
    }

    fn played(path: &Path) -> Vec<String> {
        let mut seen = Vec::new();
        play(path, &mut |input| {
            seen.push(match input {
                Input::Gap { inputs } => format!("gap {inputs}"),
                Input::Tick { monotonic_ns, .. } => format!("tick {monotonic_ns}"),
                Input::Naming(_) => "naming".into(),
                _ => "other".into(),
            });
        })
        .expect("a whole recording");
        seen
    }

    #[test]
    fn what_is_taken_is_what_is_played() {
        let path = scratch("whole");
        let mut tap = Tap::create(&path, WhenFull::Skip).expect("create");
        let inputs = [Input::Started(Started::default()), Input::Agent(AgentCost::default()), tick(1), tick(2)];
        for input in &inputs {
            tap.take(input).expect("take");
        }
        finish(tap).expect("finish");
        assert_eq!(played(&path), ["other", "other", "tick 1", "tick 2"]);
        fs::remove_file(&path).expect("remove");
    }

    /// A pipe that is not read stands for a disk that does not write.
    #[test]
    fn a_slow_disk_makes_a_counted_gap_and_never_holds_the_reader() {
        let (pipe, path) = (scratch("pipe"), scratch("copied"));
        let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        // Held open for reading, so that writing begins; nothing is read yet.
        let reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("open the pipe");
        let mut tap = Tap::create(&pipe, WhenFull::Skip).expect("create");
        for second in 0..300 {
            tap.take(&long()).expect("take");
            tap.take(&tick(second)).expect("take");
        }
        let skipped = tap.skipped();
        assert!(skipped > 100 && !tap.can_resume(), "{skipped} skipped");
        let (from, to) = (pipe.clone(), path.clone());
        let copied = thread::spawn(move || {
            let mut from = fs::File::open(from).expect("open");
            drop(reader);
            std::io::copy(&mut from, &mut fs::File::create(to).expect("create")).expect("copy")
        });
        while !tap.can_resume() {
            thread::sleep(Duration::from_millis(5));
        }
        tap.resume().expect("resume");
        tap.take(&Input::Agent(AgentCost::default())).expect("take");
        tap.take(&tick(1000)).expect("take");
        finish(tap).expect("finish");
        copied.join().expect("copied");
        let seen = played(&path);
        assert_eq!(seen[seen.len() - 3..], [format!("gap {skipped}"), "other".into(), "tick 1000".into()]);
        assert!(seen.iter().filter(|line| line.starts_with("gap")).count() == 1);
        [pipe, path].iter().for_each(|path| fs::remove_file(path).expect("remove"));
    }

    #[test]
    fn a_disk_that_fails_says_so() {
        let mut tap = Tap::create(Path::new("/dev/full"), WhenFull::Wait).expect("create");
        // More than may wait, so that a reader would wait for ever for a writer that has ended.
        let failed = (0..1000).find_map(|_| tap.take(&long()).err());
        (0..200).for_each(|_| tap.take(&long()).expect("reported once"));
        let failed = failed.or_else(|| finish(tap).err()).expect("an error");
        assert!(format!("{failed:#}").contains("No space left"), "{failed:#}");
    }
}
