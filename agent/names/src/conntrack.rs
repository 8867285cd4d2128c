//! The real back end behind a translated address, from the kernel's connection tracking of one connection.
//!
//! A thread of its own makes the lookups, in the network namespace of the client and then in the initial one, where kube-proxy
//! translates. It enters namespaces and waits for the kernel, so that the reader does neither. A socket keeps its namespace
//! alive, so it is closed after a second without questions.
//!
//! Needs `CAP_NET_ADMIN` (for any query of netfilter), and `CAP_SYS_ADMIN` with `CAP_SYS_PTRACE` for namespaces other than
//! weir's own. Works on all supported kernels.

mod message;
mod namespaces;
mod obstacle;
mod question;
mod socket;
mod tally;
mod worker;

pub use obstacle::Obstacle;
pub use question::{Answer, Options, Question};
pub use tally::Counts;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use tally::Tally;
use worker::Worker;

/// Questions whose answers have not been taken: 10 ms of work (9.6 µs a question with two namespaces, measured by
/// `agent/names/tests/conntrack.rs`), and 160 KiB for both channels.
const QUEUE: usize = 1024;
const STACK: usize = 128 << 10;

/// The thread that makes the lookups, from outside.
pub struct Conntrack {
    questions: Option<SyncSender<Question>>,
    answers: Receiver<Answer>,
    /// Questions whose answers have not been taken: at most as many as the channels hold, so that neither is ever full.
    waiting: usize,
    asked: u64,
    dropped: u64,
    tally: Arc<Tally>,
}

// === impl Conntrack ===

impl Conntrack {
    /// Starts the thread. If that fails, every question is dropped and `obstacle` says why.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// The same with other options.
    pub fn start_with(options: Options) -> Self {
        let tally = Arc::new(Tally::default());
        let (questions, asked) = sync_channel(QUEUE);
        let (answered, answers) = sync_channel(QUEUE);
        let worker = Worker { questions: asked, answers: answered, tally: Arc::clone(&tally), options };
        let thread = thread::Builder::new().name("weir-conntrack".into()).stack_size(STACK);
        // It ends when the sender of questions is dropped; nothing waits for that.
        let questions = match thread.spawn(move || worker.run()) {
            Ok(_) => Some(questions),
            Err(error) => {
                tally.set_obstacle(Some(Obstacle::of(&error)));
                None
            }
        };
        Self { questions, answers, waiting: 0, asked: 0, dropped: 0, tally }
    }

    /// Queues the question, and returns at once. False if too many wait already: then this one is dropped and counted.
    pub fn ask(&mut self, question: Question) -> bool {
        let fits = self.waiting < QUEUE;
        let taken = fits && self.questions.as_ref().is_some_and(|questions| questions.try_send(question).is_ok());
        self.waiting += usize::from(taken);
        self.asked += u64::from(taken);
        self.dropped += u64::from(!taken);
        taken
    }

    /// The answers that have arrived since the last call, in the order of the questions. Does not wait.
    pub fn answers(&mut self) -> impl Iterator<Item = Answer> {
        let Self { answers, waiting, .. } = self;
        answers.try_iter().inspect(|_| *waiting -= 1)
    }

    /// Questions whose answers have not been taken.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether every question has its answer.
    pub fn has_answered(&self) -> bool {
        self.tally.answered.load(Ordering::Acquire) >= self.asked
    }

    /// Outcomes of all questions so far.
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Tally { translated, untranslated, untracked, unanswered, namespaces_gone, answered: _, obstacle: _ } =
            &*self.tally;
        Counts {
            asked: self.asked,
            dropped: self.dropped,
            translated: of(translated),
            untranslated: of(untranslated),
            untracked: of(untracked),
            unanswered: of(unanswered),
            namespaces_gone: of(namespaces_gone),
        }
    }

    /// The obstacle of the latest lookup; none if it met none.
    pub fn obstacle(&self) -> Option<Obstacle> {
        Obstacle::decode(self.tally.obstacle.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn question(slot: u32) -> Question {
        let [client, dialled] = ["127.0.0.1:1", "127.0.0.1:2"].map(|text| text.parse().expect("an address"));
        Question { slot, pid: std::process::id(), netns: 1, client, dialled }
    }

    /// In a kernel without connection tracking no query is made, and every question is answered all the same.
    #[test]
    fn without_connection_tracking() {
        let options = Options { proc: "/nowhere".into(), ..Options::default() };
        let mut conntrack = Conntrack::start_with(options);
        assert!((0..10).all(|slot| conntrack.ask(question(slot))));
        let start = Instant::now();
        let mut slots = Vec::new();
        while conntrack.waiting() > 0 && start.elapsed() < Duration::from_secs(10) {
            slots.extend(conntrack.answers().map(|answer| (answer.slot, answer.backend)));
        }
        assert_eq!(slots, (0..10).map(|slot| (slot, None)).collect::<Vec<_>>());
        assert_eq!(conntrack.counts(), Counts { asked: 10, untracked: 10, ..Counts::default() });
        assert_eq!(conntrack.obstacle(), Some(Obstacle::NotLoaded));
    }

    #[test]
    fn beyond_the_queue_questions_are_dropped_and_counted() {
        let mut conntrack = Conntrack::start_with(Options { proc: "/nowhere".into(), ..Options::default() });
        let taken = (0..QUEUE as u32 + 7).filter(|slot| conntrack.ask(question(*slot))).count();
        assert_eq!((taken, conntrack.waiting(), conntrack.counts().dropped), (QUEUE, QUEUE, 7));
    }
}
