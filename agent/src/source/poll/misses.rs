//! What a poll did not get, by why.

use std::{collections::BTreeMap, io, sync::Arc};

use weir_engine::PollMisses;

/// Why something was not polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Miss {
    /// More namespaces than are looked at.
    NamespacesOverLimit,
    /// More processes.
    ProcessesOverLimit,
    /// More threads.
    ThreadsOverLimit,
    /// More listening sockets than are told.
    ListenersOverLimit,
    /// More sockets than are counted by what they are used for.
    SocketsOverLimit,
    /// More connections that have more to send than they may.
    SendersOverLimit,
    /// The time for a poll was up.
    OutOfTime,
    /// The process, or the last one of the namespace, was gone.
    Gone,
    /// The kernel does not let weir look.
    MayNotLook,
    /// The kernel does not have it.
    NotThere,
    /// What was read has another shape.
    Garbled,
    /// Something else.
    Failed,
}

impl Miss {
    fn name(self) -> &'static str {
        match self {
            Self::NamespacesOverLimit => "poll_namespaces_over_limit",
            Self::ProcessesOverLimit => "poll_processes_over_limit",
            Self::ThreadsOverLimit => "poll_threads_over_limit",
            Self::ListenersOverLimit => "poll_listeners_over_limit",
            Self::SocketsOverLimit => "poll_sockets_over_limit",
            Self::SendersOverLimit => "poll_senders_over_limit",
            Self::OutOfTime => "poll_out_of_time",
            Self::Gone => "poll_gone",
            Self::MayNotLook => "poll_may_not_look",
            Self::NotThere => "poll_not_there",
            Self::Garbled => "poll_garbled",
            Self::Failed => "poll_failed",
        }
    }
}

impl From<io::Error> for Miss {
    fn from(error: io::Error) -> Self {
        match (error.kind(), error.raw_os_error()) {
            // ESRCH from a process that ends just now.
            (_, Some(libc::ESRCH)) => Self::Gone,
            (io::ErrorKind::NotFound, _) => Self::NotThere,
            (io::ErrorKind::PermissionDenied, _) => Self::MayNotLook,
            _ => Self::Failed,
        }
    }
}

impl From<rustix::io::Errno> for Miss {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// All misses since the start.
#[derive(Debug, Default)]
pub(super) struct Misses {
    counts: BTreeMap<Miss, u64>,
    told: BTreeMap<Miss, u64>,
}

impl Misses {
    pub(super) fn add(&mut self, miss: Miss, n: u64) {
        if n > 0 {
            *self.counts.entry(miss).or_default() += n;
        }
    }

    /// Counts what was missed instead of the value.
    pub(super) fn or_count<T>(&mut self, result: Result<T, Miss>) -> Option<T> {
        result.inspect_err(|miss| self.add(*miss, 1)).ok()
    }

    /// All of them, if one is new since the last time.
    pub(super) fn news(&mut self) -> Option<PollMisses> {
        if self.counts == self.told {
            return None;
        }
        self.told.clone_from(&self.counts);
        Some(PollMisses { counts: self.counts.iter().map(|(miss, n)| (Arc::from(miss.name()), *n)).collect() })
    }
}
