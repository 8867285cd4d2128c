//! The thread that makes the lookups.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use super::{
    message::{Flow, Tuple},
    namespaces::{IDLE, Namespaces, Unavailable},
    obstacle::Obstacle,
    question::{Answer, Options, Question},
    socket::Socket,
    tally::Tally,
};

/// How often to check whether connection tracking has been loaded: a choice.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    pub(super) questions: Receiver<Question>,
    pub(super) answers: SyncSender<Answer>,
    pub(super) tally: Arc<Tally>,
    pub(super) options: Options,
}

/// The outcome of a lookup.
enum Finding {
    Backend(SocketAddr),
    Untranslated,
    Untracked,
    Unanswered,
}

/// Whether the kernel has connection tracking. A query would load it, and weir changes nothing.
struct Presence {
    present: bool,
    looked: Option<Instant>,
}

impl Worker {
    /// Answers questions until their sender is dropped.
    pub(super) fn run(self) {
        let mut presence = Presence { present: false, looked: None };
        let mut namespaces = Namespaces::new(self.options.proc.clone(), &self.options.initial);
        while let Some(question) = self.next(&mut namespaces) {
            let finding = match &mut namespaces {
                _ if !presence.look(&self.options.proc) => {
                    self.tally.set_obstacle(Some(Obstacle::NotLoaded));
                    Finding::Untracked
                }
                Ok(namespaces) => self.find(&question, namespaces),
                Err(obstacle) => {
                    self.tally.set_obstacle(Some(*obstacle));
                    Finding::Unanswered
                }
            };
            let sent = self.answers.try_send(self.answer(&question, &finding));
            self.tally.answered.fetch_add(1, Ordering::Release);
            if sent.is_err() {
                // The receiver was dropped: a full channel is impossible, as it holds all outstanding answers.
                return;
            }
        }
    }

    /// The next question. Idle sockets are closed while there is none.
    fn next(&self, namespaces: &mut Result<Namespaces, Obstacle>) -> Option<Question> {
        while namespaces.as_mut().is_ok_and(Namespaces::close_idle) {
            match self.questions.recv_timeout(IDLE) {
                Ok(question) => return Some(question),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.questions.recv().ok()
    }

    fn answer(&self, question: &Question, finding: &Finding) -> Answer {
        let Tally { translated, untranslated, untracked, unanswered, .. } = &*self.tally;
        let (count, backend) = match finding {
            Finding::Backend(address) => (translated, Some(*address)),
            Finding::Untranslated => (untranslated, None),
            Finding::Untracked => (untracked, None),
            Finding::Unanswered => (unanswered, None),
        };
        add(count);
        Answer { slot: question.slot, dialled: question.dialled, backend }
    }

    /// Follows the connection through the client's namespace and the initial one.
    fn find(&self, question: &Question, namespaces: &mut Namespaces) -> Finding {
        let Some(dialled) = Tuple::new(question.client, question.dialled) else { return Finding::Untracked };
        let own = self.ask_own(namespaces, question, &dialled);
        // Where the client's namespace translates, the initial one tracks the connection by the translated addresses.
        let onward = own.as_ref().ok().and_then(Option::as_ref).map_or(dialled, Flow::translated);
        let initial = match namespaces.initial_inode() {
            Some(inode) if inode == u64::from(question.netns) => Ok(None),
            _ => self.ask_initial(namespaces, &onward),
        };
        self.tally.set_obstacle(own.as_ref().err().or(initial.as_ref().err()).copied());
        conclude(&dialled, own, initial)
    }

    fn ask_own(
        &self,
        namespaces: &mut Namespaces,
        question: &Question,
        tuple: &Tuple,
    ) -> Result<Option<Flow>, Obstacle> {
        let inode = u64::from(question.netns);
        let found = match namespaces.of(inode, question.pid) {
            Ok(socket) => self.ask(socket, tuple),
            Err(Unavailable::Obstacle(obstacle)) => Err(obstacle),
            Err(Unavailable::Gone) => {
                add(&self.tally.namespaces_gone);
                Ok(None)
            }
        };
        if found.is_err() {
            namespaces.close(inode);
        }
        found
    }

    fn ask_initial(&self, namespaces: &mut Namespaces, tuple: &Tuple) -> Result<Option<Flow>, Obstacle> {
        let found = namespaces.initial().and_then(|socket| self.ask(socket, tuple));
        if let (Err(_), Some(inode)) = (&found, namespaces.initial_inode()) {
            namespaces.close(inode);
        }
        found
    }

    /// The connection in the first zone that tracks it.
    fn ask(&self, socket: &mut Socket, tuple: &Tuple) -> Result<Option<Flow>, Obstacle> {
        for zone in &self.options.zones {
            if let Some(flow) = socket.look_up(tuple, *zone)? {
                return Ok(Some(flow));
            }
        }
        Ok(None)
    }
}

fn conclude(dialled: &Tuple, own: Result<Option<Flow>, Obstacle>, initial: Result<Option<Flow>, Obstacle>) -> Finding {
    let failed = own.is_err() || initial.is_err();
    let [own, initial] = [own, initial].map(|flow| flow.ok().flatten());
    match initial.or(own).map(|flow| flow.translated().destination) {
        Some(backend) if backend != dialled.destination => Finding::Backend(backend),
        // The namespace that failed may translate.
        _ if failed => Finding::Unanswered,
        Some(_) => Finding::Untranslated,
        None => Finding::Untracked,
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Presence {
    fn look(&mut self, proc: &Path) -> bool {
        if !self.present && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            self.present = proc.join("sys/net/netfilter/nf_conntrack_count").exists();
            self.looked = Some(Instant::now());
        }
        self.present
    }
}
