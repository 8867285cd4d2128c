//! Where updates go: each sink on a thread of its own, behind a mailbox of one.
//!
//! A sink that is slow gets the newest update and loses those in between, which are counted; the last update, with the final
//! documents, is never replaced. The reader waits for none of them.

mod latest;
mod mailbox;
mod stdout;

use std::{sync::Arc, thread};

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::Notify;
use weir_signals::Update;

pub(crate) use latest::LatestOutput;
use mailbox::Mailbox;
pub(crate) use stdout::{EdgeOutput, ExplainOutput, IncidentOutput};

/// Something that updates are written to.
pub(crate) trait Sink: Send {
    /// What it is, for messages.
    fn name(&self) -> &'static str;

    /// Takes the newest update. After an error it gets no more.
    fn update(&mut self, update: Update) -> Result<()>;
}

/// What happens to an update when the one before it has not been taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It replaces the older one, which is counted as lost.
    Newest,
    /// The source waits: a replay has all the time there is.
    Wait,
}

/// All sinks.
pub(crate) struct Sinks {
    threads: Vec<SinkThread>,
    delivery: Delivery,
    failed: Arc<Notify>,
}

struct SinkThread {
    name: &'static str,
    mailbox: Arc<Mailbox>,
}

impl Sinks {
    /// Starts their threads.
    pub(crate) fn start(sinks: Vec<Box<dyn Sink>>, delivery: Delivery) -> Result<Self> {
        let failed = Arc::new(Notify::new());
        let threads = sinks.into_iter().map(|sink| SinkThread::start(sink, Arc::clone(&failed)));
        Ok(Self { threads: threads.collect::<Result<_>>()?, delivery, failed })
    }

    /// Notified when a sink has failed.
    pub(crate) fn failed(&self) -> Arc<Notify> {
        Arc::clone(&self.failed)
    }

    /// Hands an update to every sink.
    pub(crate) fn deliver(&mut self, update: Update) {
        // The last sink gets it without a copy: where there is one sink, it alone owns what the update holds.
        if let Some((last, others)) = self.threads.split_last() {
            others.iter().for_each(|thread| thread.mailbox.put(update.clone(), self.delivery));
            last.mailbox.put(update, self.delivery);
        }
    }

    /// Whether all sinks have written the last update, or have failed.
    pub(crate) fn are_done(&self) -> bool {
        self.threads.iter().all(|thread| thread.mailbox.is_done())
    }

    /// What sinks have not written, in words.
    pub(crate) fn not_written(&self) -> Vec<String> {
        let blocked = self.threads.iter().filter(|thread| !thread.mailbox.is_done());
        blocked
            .map(|thread| format!("{} updates of {}, the last one among them", thread.mailbox.unwritten(), thread.name))
            .collect()
    }

    /// The source has failed: waits until all sinks have written what they have.
    pub(crate) fn close(self) {
        self.threads.iter().for_each(|thread| thread.mailbox.close());
        // The source's error is the one to report.
        let _ = self.wait();
    }

    /// Waits until all sinks are done, and says which updates they have lost.
    ///
    /// # Errors
    /// The first error of a sink.
    pub(crate) fn wait(self) -> Result<()> {
        let mut outcome = Ok(());
        for SinkThread { name, mailbox } in self.threads {
            let (ended, lost) = mailbox.wait();
            if lost > 0 {
                eprintln!("weir: {name} did not take {lost} updates in time: they are lost");
            }
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// A sink's thread ends, however it ends: nothing waits for it any more.
struct Ended<'a>(&'a Mailbox);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end(Err(anyhow!("an output has panicked")));
    }
}

impl SinkThread {
    fn start(mut sink: Box<dyn Sink>, failed: Arc<Notify>) -> Result<Self> {
        let (name, mailbox) = (sink.name(), Arc::new(Mailbox::default()));
        let taken = Arc::clone(&mailbox);
        let run = move || {
            let _ended = Ended(&taken);
            let outcome = taken.serve(&mut |update| sink.update(update));
            let has_failed = outcome.is_err();
            taken.end(outcome);
            if has_failed {
                failed.notify_one();
            }
        };
        thread::Builder::new().name("sink".into()).spawn(run).context("start a thread for an output")?;
        Ok(Self { name, mailbox })
    }
}
