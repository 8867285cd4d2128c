//! Queues of listeners: how full they were at the polls of a window.

use std::collections::BTreeMap;

use crate::polled::{HalfOpen, Listener, NamespacePoll, UnixListener};

/// More than the poller tells of.
const MAX_LISTENERS: usize = 1024;
/// Sockets come and go in a window that is long.
const MAX_WAITED: usize = 1 << 16;

/// A listening socket in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerView {
    /// As of the last poll.
    pub last: Listener,
    /// The most that waited in it, of all polls in the window.
    pub peak: u32,
    /// The least.
    pub least: u32,
    /// Its request queue when that was longest, where it was looked at.
    pub half_open: Option<HalfOpen>,
}

impl ListenerView {
    /// It was full at one of the polls.
    pub fn was_full(&self) -> bool {
        self.peak > self.last.max
    }

    /// Its request queue was, or as good as that: it is looked at once a second.
    pub fn requests_fill_it(&self) -> bool {
        self.half_open.is_some_and(|queue| queue.count.saturating_mul(4) >= queue.limit.saturating_mul(3))
    }
}

/// A listening UNIX socket in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixView {
    /// As of the last poll at which a connection waited.
    pub last: UnixListener,
    /// The most that waited, of all polls in the window.
    pub peak: u32,
    /// Polls of the window at which its queue was full.
    pub full: u32,
}

/// What waited at a listener in this window.
#[derive(Clone, Copy, Debug)]
struct Waited {
    peak: u32,
    least: u32,
    half_open: Option<HalfOpen>,
}

impl Waited {
    fn of(listener: &Listener) -> Self {
        Self { peak: listener.backlog, least: listener.backlog, half_open: listener.half_open }
    }

    fn and(self, listener: &Listener) -> Self {
        Self {
            peak: self.peak.max(listener.backlog),
            least: self.least.min(listener.backlog),
            half_open: self
                .half_open
                .into_iter()
                .chain(listener.half_open)
                .max_by_key(|queue| (queue.count, queue.of_it)),
        }
    }
}

/// All of a window, by namespace and inode number.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    waited: BTreeMap<(u32, u32), Waited>,
    /// Those in whose queues connections waited.
    unix: BTreeMap<(u32, u32), UnixView>,
}

impl Queues {
    pub(super) fn take(&mut self, poll: &NamespacePoll) {
        let room = MAX_WAITED.saturating_sub(self.waited.len());
        for listener in poll.listeners.iter().take(MAX_LISTENERS.min(room)) {
            let waited = self.waited.entry((poll.netns, listener.inode)).or_insert_with(|| Waited::of(listener));
            *waited = waited.and(listener);
        }
        for listener in poll.unix.iter().take(MAX_LISTENERS) {
            self.take_unix(poll.netns, listener);
        }
    }

    fn take_unix(&mut self, netns: u32, listener: &UnixListener) {
        let (key, full) = ((netns, listener.inode), u32::from(listener.is_full()));
        if let Some(seen) = self.unix.get_mut(&key) {
            seen.peak = seen.peak.max(listener.backlog);
            seen.full = seen.full.saturating_add(full);
            // Who holds it is looked for now and then.
            let owner = listener.owner.clone().or_else(|| seen.last.owner.take());
            seen.last = UnixListener { owner, ..listener.clone() };
        } else if self.unix.len() < MAX_WAITED {
            self.unix.insert(key, UnixView { last: listener.clone(), peak: listener.backlog, full });
        }
    }

    /// These, as of the last poll, and what the window knows of them.
    pub(super) fn listeners(&self, netns: u32, last: &[Listener]) -> Vec<ListenerView> {
        let view = |last: &Listener| {
            let waited = self.waited.get(&(netns, last.inode)).copied();
            let Waited { peak, least, half_open } = waited.unwrap_or_else(|| Waited::of(last));
            ListenerView { last: last.clone(), peak, least, half_open }
        };
        last.iter().take(MAX_LISTENERS).map(view).collect()
    }

    #[cfg(test)]
    pub(super) fn listeners_known(&self) -> usize {
        self.waited.len()
    }

    pub(super) fn unix(&self, netns: u32) -> Vec<UnixView> {
        self.unix.range((netns, 0)..=(netns, u32::MAX)).map(|(_, seen)| seen.clone()).collect()
    }
}
