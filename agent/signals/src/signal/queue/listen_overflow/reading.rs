//! What a window says of a namespace's listeners.

use weir_abi::ConnectOutcome;

use crate::{
    finding::Finding,
    incident::severity::{Effect, Level, Resource, Severity},
};
use weir_engine::{HalfOpen, ListenerView, NamespaceView, NetCounters, Snapshot};

/// So many at once are no accident of a moment.
const MANY: u64 = 10;

/// Which queue it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Connections that wait for accept.
    AcceptQueue,
    /// SYNs that wait for the handshake to be completed.
    RequestQueue,
    /// Neither: no memory, no route back.
    Dropped,
}

impl Class {
    /// None where nothing was dropped.
    pub(super) fn of(namespace: &NamespaceView) -> Option<Self> {
        let NetCounters { listen_overflows, listen_drops, request_queue_cookies, request_queue_drops, .. } =
            namespace.counters;
        // Without cookies the kernel has no counter of its own for those that `tcp_max_syn_backlog` leaves no room for.
        let no_room = || namespace.listeners.iter().any(ListenerView::requests_fill_it);
        if listen_overflows > 0 {
            Some(Self::AcceptQueue)
        } else if request_queue_drops > 0 || request_queue_cookies > 0 || (listen_drops > 0 && no_room()) {
            Some(Self::RequestQueue)
        } else {
            (listen_drops > 0).then_some(Self::Dropped)
        }
    }

    /// Whose queue was fullest, if one was full or as good as that.
    pub(super) fn culprit(self, namespace: &NamespaceView) -> Option<&ListenerView> {
        let listeners = namespace.listeners.iter();
        if self == Self::RequestQueue {
            let full = listeners.filter(|listener| listener.requests_fill_it());
            return full.max_by_key(|listener| listener.half_open.map(|queue| queue.count));
        }
        let full = listeners.filter(|listener| listener.peak > 0 && listener.peak >= listener.last.max);
        full.max_by_key(|listener| (listener.was_full(), listener.peak, std::cmp::Reverse(listener.last.address)))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AcceptQueue => "accept queue",
            Self::RequestQueue => "request queue",
            Self::Dropped => "dropped",
        }
    }
}

/// A namespace's drops, and the listener whose they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    /// Something was dropped for this reason, or answered by a cookie.
    is_bad: bool,
    pub(super) counters: NetCounters,
    pub(super) culprit: Option<&'a ListenerView>,
    pub(super) class: Class,
    /// Listeners of the namespace.
    pub(super) listeners: u64,
    /// What clients on this host saw of the port: segments sent again, and connects without an answer.
    pub(super) sent_again: u64,
    pub(super) unanswered: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        namespace: &NamespaceView,
        culprit: Option<&'a ListenerView>,
        class: Class,
        snapshot: &Snapshot,
    ) -> Self {
        let port = culprit.map(|culprit| culprit.last.address.port());
        let to_it = snapshot.edges.iter().filter(|edge| port.is_some() && edge.server.port == port);
        let views = to_it.filter_map(|edge| edge.client_view.as_ref().ok());
        let (sent_again, unanswered) = views.fold((0u64, 0u64), |(sent_again, unanswered), view| {
            let timeouts = view.connects[ConnectOutcome::Timeout];
            (sent_again.saturating_add(view.retransmitted_segments), unanswered.saturating_add(timeouts))
        });
        Self { is_bad: true, sent_again, unanswered, culprit, class, ..Self::well(namespace) }
    }

    /// Others of its namespace may drop; this one does not.
    pub(super) fn well(namespace: &NamespaceView) -> Self {
        Self {
            is_bad: false,
            counters: namespace.counters,
            culprit: None,
            class: Class::Dropped,
            listeners: namespace.listeners.len() as u64,
            sent_again: 0,
            unanswered: 0,
        }
    }

    /// The request queue that is full, where it was looked at.
    pub(super) fn half_open(&self) -> Option<HalfOpen> {
        self.culprit.filter(|_| self.class == Class::RequestQueue)?.half_open
    }

    /// What was dropped; cookies are as good as answers.
    pub(super) fn dropped(&self) -> u64 {
        let NetCounters { listen_overflows, listen_drops, request_queue_drops, .. } = self.counters;
        listen_drops.max(listen_overflows).max(request_queue_drops)
    }

    pub(super) fn finding(&self) -> Finding {
        if !self.is_bad {
            return Finding::Clear;
        }
        match self.dropped() {
            0 => Finding::Raise(Severity::Warn),
            n => {
                let severity = Severity::of(Level::Critical, Some(Resource::Queue), Some(Effect::Refused));
                if n >= MANY { Finding::Proven(severity) } else { Finding::Raise(severity) }
            }
        }
    }
}
