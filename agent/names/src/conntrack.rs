//! The real backend behind a translated address: what the kernel's connection tracking says of one connection.
//!
//! A thread of its own asks, in the namespace of the client and then in the initial one, where kube-proxy translates: it
//! enters namespaces and waits for the kernel, so that the data path does neither. What it opens in a namespace keeps
//! that namespace alive; it is closed after a second without questions.
//!
//! Needs `CAP_NET_ADMIN` (any question to netfilter), and `CAP_SYS_ADMIN` with `CAP_SYS_PTRACE` for other namespaces
//! than weir's own. Works on all supported kernels.

mod message;
mod namespaces;
mod socket;
mod worker;

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use worker::Worker;

/// Questions that wait for their answers to be taken: 10 ms of work (9.6 µs a question with two namespaces, measured by
/// `agent/tests/conntrack.rs`), and 160 KiB for both channels.
const QUEUE: usize = 1024;
const STACK: usize = 128 << 10;

/// Which connection is asked for, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The edge's slot.
    pub slot: u32,
    /// A process in the client's network namespace.
    pub pid: u32,
    /// That namespace, by its inode number.
    pub netns: u32,
    /// The client's address and port, as its socket has them.
    pub client: SocketAddr,
    /// The address and port that it dialled.
    pub dialled: SocketAddr,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The edge's slot.
    pub slot: u32,
    /// What was dialled: a slot may have been given to another edge in the meantime.
    pub dialled: SocketAddr,
    /// Where the connection really goes, if that is known to be elsewhere.
    pub backend: Option<SocketAddr>,
}

/// How to ask.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where procfs is.
    pub proc: PathBuf,
    /// The namespace to ask after the client's.
    pub initial: PathBuf,
    /// Zones of connection tracking to ask in, in order. Zone 0 is where all connections are that no rule has put
    /// elsewhere.
    pub zones: Vec<u16>,
}

/// What became of all questions so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions taken.
    pub asked: u64,
    /// Questions not taken, because too many were waiting.
    pub dropped: u64,
    /// Answered with a backend.
    pub translated: u64,
    /// Tracked, and going where it was dialled.
    pub untranslated: u64,
    /// Not tracked by any namespace that was asked: never, not yet, or no longer.
    pub untracked: u64,
    /// Asked in vain: the `obstacle` says why.
    pub unanswered: u64,
    /// Of all questions: those whose client's namespace could not be asked, as its processes were gone.
    pub namespaces_gone: u64,
}

/// Why connection tracking could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// There is none in the kernel now. To ask would load it; weir changes nothing, and looks again later.
    NotLoaded,
    /// It is there, but not its netlink interface.
    NoInterface,
    /// The kernel does not let weir ask.
    MayNotAsk,
    /// The kernel does not let weir enter other network namespaces.
    MayNotEnter,
    /// The kernel gave no answer in time.
    TimedOut,
    /// The kernel answered what weir does not understand.
    Garbled,
    /// Something else, with the error number.
    Failed(i32),
}

/// The asking thread, from outside.
pub struct Conntrack {
    questions: Option<SyncSender<Question>>,
    answers: Receiver<Answer>,
    /// Questions whose answers have not been taken: at most as many as the channels hold, so that neither is ever full.
    waiting: usize,
    asked: u64,
    dropped: u64,
    tally: Arc<Tally>,
}

/// What the thread has to say beside the answers.
#[derive(Debug, Default)]
struct Tally {
    translated: AtomicU64,
    untranslated: AtomicU64,
    untracked: AtomicU64,
    unanswered: AtomicU64,
    namespaces_gone: AtomicU64,
    /// Questions that are done with, whatever came of them.
    answered: AtomicU64,
    /// The latest `Obstacle`, encoded; 0 where there is none.
    obstacle: AtomicU64,
}

impl Default for Options {
    fn default() -> Self {
        Self { proc: "/proc".into(), initial: "/proc/1/ns/net".into(), zones: vec![0] }
    }
}

// === impl Conntrack ===

impl Conntrack {
    /// Starts the thread. If that fails, every question is dropped and the obstacle is there.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// The same, asking otherwise.
    pub fn start_with(options: Options) -> Self {
        let tally = Arc::new(Tally::default());
        let (questions, asked) = sync_channel(QUEUE);
        let (answered, answers) = sync_channel(QUEUE);
        let worker = Worker { questions: asked, answers: answered, tally: Arc::clone(&tally), options };
        let thread = thread::Builder::new().name("weir-conntrack".into()).stack_size(STACK);
        // It ends with the sender of questions; nothing waits for that.
        let questions = match thread.spawn(move || worker.run()) {
            Ok(_) => Some(questions),
            Err(error) => {
                tally.meet(Some(Obstacle::of(&error)));
                None
            }
        };
        Self { questions, answers, waiting: 0, asked: 0, dropped: 0, tally }
    }

    /// Asks, and returns at once. False if too many questions wait already: this one is dropped and counted.
    pub fn ask(&mut self, question: Question) -> bool {
        let room = self.waiting < QUEUE;
        let taken = room && self.questions.as_ref().is_some_and(|questions| questions.try_send(question).is_ok());
        self.waiting += usize::from(taken);
        self.asked += u64::from(taken);
        self.dropped += u64::from(!taken);
        taken
    }

    /// The answers that have come since the last time, in the order of the questions. Waits for none.
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

    /// What became of all questions so far.
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

    /// Why the latest lookup that met an obstacle did, if it was not followed by one that met none.
    pub fn obstacle(&self) -> Option<Obstacle> {
        Obstacle::decode(self.tally.obstacle.load(Ordering::Relaxed))
    }
}

// === impl Tally ===

impl Tally {
    fn meet(&self, obstacle: Option<Obstacle>) {
        self.obstacle.store(obstacle.map_or(0, Obstacle::encode), Ordering::Relaxed);
    }
}

// === impl Obstacle ===

impl Obstacle {
    fn of(error: &io::Error) -> Self {
        Self::Failed(error.raw_os_error().unwrap_or(0))
    }

    fn encode(self) -> u64 {
        match self {
            Self::NotLoaded => 1,
            Self::NoInterface => 2,
            Self::MayNotAsk => 3,
            Self::MayNotEnter => 4,
            Self::TimedOut => 5,
            Self::Garbled => 6,
            Self::Failed(errno) => 7 | u64::from(errno as u32) << 32,
        }
    }

    fn decode(code: u64) -> Option<Self> {
        match code as u32 {
            1 => Some(Self::NotLoaded),
            2 => Some(Self::NoInterface),
            3 => Some(Self::MayNotAsk),
            4 => Some(Self::MayNotEnter),
            5 => Some(Self::TimedOut),
            6 => Some(Self::Garbled),
            7 => Some(Self::Failed((code >> 32) as i32)),
            _ => None,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded => f.write_str("no connection tracking in this kernel now, so it translates no addresses"),
            Self::NoInterface => f.write_str("connection tracking cannot be asked: nf_conntrack_netlink is missing"),
            Self::MayNotAsk => f.write_str("connection tracking may not be asked without CAP_NET_ADMIN"),
            Self::MayNotEnter => {
                f.write_str("network namespaces may not be entered without CAP_SYS_ADMIN and CAP_SYS_PTRACE")
            }
            Self::TimedOut => f.write_str("connection tracking did not answer in time"),
            Self::Garbled => f.write_str("connection tracking gave an answer of an unknown shape"),
            Self::Failed(errno) => {
                write!(f, "connection tracking could not be asked: {}", io::Error::from_raw_os_error(*errno))
            }
        }
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

    /// In a kernel without connection tracking nothing is asked, and every question is answered all the same.
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

    #[test]
    fn an_obstacle_is_kept_as_it_was() {
        let all = [
            Obstacle::NotLoaded,
            Obstacle::NoInterface,
            Obstacle::MayNotAsk,
            Obstacle::MayNotEnter,
            Obstacle::TimedOut,
            Obstacle::Garbled,
            Obstacle::Failed(28),
            Obstacle::Failed(-1),
        ];
        for obstacle in all {
            assert_eq!(Obstacle::decode(obstacle.encode()), Some(obstacle));
        }
        assert_eq!(Obstacle::decode(0), None);
    }
}
