//! A mailbox of one update: the newest.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};
use weir_signals::Update;

use super::Delivery;

/// Between the reader and a sink.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    unread: Option<Update>,
    /// The final one: kept apart, since nothing replaces it.
    last: Option<Update>,
    /// One is being written.
    is_writing: bool,
    lost: u64,
    outcome: Option<Result<()>>,
    is_done: bool,
    /// The source has failed: no more will come, a final update neither.
    is_closed: bool,
}

impl Mailbox {
    /// Leaves an update.
    pub(super) fn put(&self, update: Update, delivery: Delivery) {
        let mut state = self.lock();
        while delivery == Delivery::Wait && !state.is_done && (state.unread.is_some() || state.is_writing) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_done {
            return;
        }
        let slot = if update.is_final { &mut state.last } else { &mut state.unread };
        let replaced = slot.replace(update);
        state.lost += u64::from(replaced.is_some());
        self.changed.notify_all();
    }

    /// The source has failed. What is there is still written.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Hands updates to the sink, up to the final one.
    pub(super) fn serve(&self, sink: &mut dyn FnMut(Update) -> Result<()>) -> Result<()> {
        while let Some(update) = self.next() {
            let is_final = update.is_final;
            let outcome = sink(update);
            self.lock().is_writing = false;
            self.changed.notify_all();
            if is_final || outcome.is_err() {
                return outcome;
            }
        }
        Ok(())
    }

    /// None when no more will come.
    fn next(&self) -> Option<Update> {
        let mut state = self.lock();
        loop {
            if let Some(update) = state.unread.take() {
                state.is_writing = true;
                return Some(update);
            }
            if let Some(update) = state.last.take() {
                state.is_writing = true;
                return Some(update);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The sink has ended.
    pub(super) fn end(&self, outcome: Result<()>) {
        let mut state = self.lock();
        state.outcome.get_or_insert(outcome);
        state.is_done = true;
        self.changed.notify_all();
    }

    pub(super) fn is_done(&self) -> bool {
        self.lock().is_done
    }

    /// Updates that the sink has not finished with.
    pub(super) fn unwritten(&self) -> u64 {
        let state = self.lock();
        state.lost + u64::from(state.is_writing) + u64::from(state.unread.is_some()) + u64::from(state.last.is_some())
    }

    /// Waits for the sink's end: how it ended, and how many updates it lost.
    pub(super) fn wait(&self) -> (Result<()>, u64) {
        let mut state = self.lock();
        while !state.is_done {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let outcome = state.outcome.take().unwrap_or_else(|| Err(anyhow!("an output ended twice")));
        (outcome, state.lost)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        thread,
    };

    use weir_signals::{Pipeline, Wanted};

    use super::*;

    fn update(at_ns: u64, is_final: bool) -> Update {
        let mut update = Pipeline::new(Wanted::default()).finish();
        (update.at.monotonic_ns, update.is_final) = (at_ns, is_final);
        update
    }

    /// A sink that writes one update for each word it gets.
    fn slow() -> (Arc<Mailbox>, mpsc::Sender<()>, mpsc::Receiver<u64>) {
        let mailbox = Arc::new(Mailbox::default());
        let (go, wait) = mpsc::channel::<()>();
        let (written, seen) = mpsc::channel();
        let served = Arc::clone(&mailbox);
        thread::spawn(move || {
            let outcome = served.serve(&mut |update| {
                wait.recv()?;
                Ok(written.send(update.at.monotonic_ns)?)
            });
            served.end(outcome);
        });
        (mailbox, go, seen)
    }

    #[test]
    fn a_slow_sink_gets_the_newest_and_the_last_and_the_rest_is_counted() {
        let (mailbox, go, seen) = slow();
        for at_ns in 0..1000 {
            mailbox.put(update(at_ns, false), Delivery::Newest);
        }
        mailbox.put(update(1000, true), Delivery::Newest);
        assert!(!mailbox.is_done() && mailbox.unwritten() >= 1000);
        (0..3).for_each(|_| go.send(()).unwrap_or(()));
        let (outcome, lost) = mailbox.wait();
        outcome.expect("written");
        let seen: Vec<u64> = seen.try_iter().collect();
        assert_eq!((seen[seen.len() - 2..].to_vec(), lost), (vec![999, 1000], 1001 - seen.len() as u64));
    }

    #[test]
    fn a_source_that_waits_loses_nothing() {
        let (mailbox, go, seen) = slow();
        let source = Arc::clone(&mailbox);
        let source = thread::spawn(move || {
            (0..50).for_each(|at_ns| source.put(update(at_ns, false), Delivery::Wait));
            source.put(update(50, true), Delivery::Wait);
        });
        (0..51).for_each(|_| go.send(()).unwrap_or(()));
        source.join().expect("all was delivered");
        assert_eq!(mailbox.wait().1, 0);
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), (0..=50).collect::<Vec<_>>());
    }

    #[test]
    fn a_sink_that_fails_holds_up_no_source() {
        let (mailbox, go, _) = slow();
        drop(go);
        (0..3).for_each(|at_ns| mailbox.put(update(at_ns, false), Delivery::Wait));
        mailbox.put(update(3, true), Delivery::Wait);
        assert!(mailbox.wait().0.is_err());
    }
}
