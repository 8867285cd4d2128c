//! What a window says of a namespace's listeners.

use weir_abi::ConnectOutcome;

use crate::{
    decide::{
        severity::{Effect, Level, Resource, Severity},
        signal::Finding,
    },
    host::{ListenerView, NamespaceView},
    polled::NetCounters,
    snapshot::Snapshot,
};

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
    pub(super) fn of(counters: &NetCounters) -> Option<Self> {
        let NetCounters { listen_overflows, listen_drops, request_queue_cookies, request_queue_drops, .. } = *counters;
        if listen_overflows > 0 {
            Some(Self::AcceptQueue)
        } else if request_queue_drops > 0 || request_queue_cookies > 0 {
            Some(Self::RequestQueue)
        } else {
            (listen_drops > 0).then_some(Self::Dropped)
        }
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
            let timeouts = view.connects[ConnectOutcome::Timeout as usize];
            (sent_again.saturating_add(view.retransmitted_segments), unanswered.saturating_add(timeouts))
        });
        Self { sent_again, unanswered, culprit, class, ..Self::well(namespace) }
    }

    /// Nobody's queue is full.
    pub(super) fn well(namespace: &NamespaceView) -> Self {
        Self {
            counters: namespace.counters,
            culprit: None,
            class: Class::Dropped,
            listeners: namespace.listeners.len() as u64,
            sent_again: 0,
            unanswered: 0,
        }
    }

    /// What was dropped; cookies are as good as answers.
    pub(super) fn dropped(&self) -> u64 {
        let NetCounters { listen_overflows, listen_drops, request_queue_drops, .. } = self.counters;
        listen_drops.max(listen_overflows).max(request_queue_drops)
    }

    pub(super) fn finding(&self) -> Finding {
        if self.culprit.is_none() && Class::of(&self.counters).is_none_or(|class| class != self.class) {
            // Others of its namespace may drop; this one does not.
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
