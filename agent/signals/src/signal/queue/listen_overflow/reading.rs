//! What a window says of a namespace's listeners.

use weir_abi::ConnectOutcome;

use crate::signal::prelude::*;
use weir_engine::{HalfOpen, ListenerView, NamespaceView, NetCounters};

/// So many at once are no accident of a moment. A choice: a caller that is dropped sends its SYN again once a second, so that
/// it takes two of them or more.
const MANY: u64 = 10;

classes! {
    /// Which queue it is.
    pub(super) enum Class {
        /// Connections that wait for accept.
        AcceptQueue = "accept queue",
        /// SYNs that wait for the handshake to be completed.
        RequestQueue = "request queue",
        /// Neither: no memory, no route back.
        Dropped = "dropped",
    }
}

impl Class {
    /// None where nothing was dropped.
    pub(super) fn of(namespace: &NamespaceView) -> Option<Self> {
        let NetCounters { listen_overflows, listen_drops, request_queue_cookies, request_queue_drops, .. } =
            namespace.counters;
        // Without cookies the kernel has no counter of its own for those beyond `tcp_max_syn_backlog`.
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
}

/// A namespace's drops, and the listener whose they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(super) netns: u32,
    /// Something was dropped for this reason, or answered by a cookie.
    is_bad: bool,
    pub(super) counters: NetCounters,
    pub(super) culprit: Option<&'a ListenerView>,
    pub(super) class: Class,
    /// Listeners of the namespace.
    pub(super) listeners: u64,
    /// What clients on this host saw of the port: segments retransmitted, and connects without an answer.
    pub(super) retransmitted: u64,
    pub(super) unanswered: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        namespace: &NamespaceView,
        culprit: Option<&'a ListenerView>,
        class: Class,
        facts: &Facts<'_>,
    ) -> Self {
        let port = culprit.map(|culprit| culprit.last.address.port());
        let to_it = facts.edges.iter().filter(|facts| port.is_some() && facts.edge.server.port == port);
        let views = to_it.filter_map(EdgeFacts::client);
        let (retransmitted, unanswered) = views.fold((0u64, 0u64), |(retransmitted, unanswered), view| {
            let timeouts = view.connects[ConnectOutcome::Timeout];
            (retransmitted.saturating_add(view.retransmitted_segments), unanswered.saturating_add(timeouts))
        });
        Self { is_bad: true, retransmitted, unanswered, culprit, class, ..Self::well(namespace) }
    }

    /// Others of its namespace may drop; this one does not.
    pub(super) fn well(namespace: &NamespaceView) -> Self {
        Self {
            netns: namespace.netns,
            is_bad: false,
            counters: namespace.counters,
            culprit: None,
            class: Class::Dropped,
            listeners: namespace.listeners.len() as u64,
            retransmitted: 0,
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
