//! What a poll could not read, counted by its reason.

use std::{collections::BTreeMap, io, sync::Arc};

use weir_engine::PollMisses;

/// Why something was not polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Miss {
    /// More network namespaces than one poll reads.
    NamespacesOverLimit,
    /// More processes than one poll reads.
    ProcessesOverLimit,
    /// More threads than one poll reads.
    ThreadsOverLimit,
    /// More listening sockets than are reported.
    ListenersOverLimit,
    /// More sockets than one poll counts by address.
    SocketsOverLimit,
    /// More connections with unsent data than are reported.
    SendersOverLimit,
    /// The time for the poll had run out.
    OutOfTime,
    /// The process, or the last one of the namespace, had ended.
    Gone,
    /// The kernel denied access.
    MayNotLook,
    /// The kernel does not have it.
    NotThere,
    /// What was read has an unknown format.
    Garbled,
    /// Another error.
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
            // ESRCH: the process is ending.
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
    emitted: BTreeMap<Miss, u64>,
}

impl Misses {
    pub(super) fn add(&mut self, miss: Miss, n: u64) {
        if n > 0 {
            *self.counts.entry(miss).or_default() += n;
        }
    }

    /// The value, or none and the miss is counted.
    pub(super) fn or_count<T>(&mut self, result: Result<T, Miss>) -> Option<T> {
        result.inspect_err(|miss| self.add(*miss, 1)).ok()
    }

    /// All counts, if one has changed since the last call.
    pub(super) fn changed(&mut self) -> Option<PollMisses> {
        if self.counts == self.emitted {
            return None;
        }
        self.emitted.clone_from(&self.counts);
        Some(PollMisses { counts: self.counts.iter().map(|(miss, n)| (Arc::from(miss.name()), *n)).collect() })
    }
}
