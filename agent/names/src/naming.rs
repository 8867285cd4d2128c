//! How well naming works: why addresses have no names, and counts of what was lost.

use std::sync::Arc;

use weir_engine::Naming;

use super::{
    conntrack::{self, Conntrack, Obstacle},
    dns::{DnsCounts, DnsNames},
    kubernetes::{self, Kubernetes, Status},
    local::{ContainerLosses, LocalLosses, LocalNames},
};

/// Why addresses have no names. Each text is shared by all addresses that it applies to.
pub(super) struct Reasons {
    kubernetes: Status,
    dialled: Arc<str>,
    accepted: Arc<str>,
}

impl Reasons {
    pub(super) fn with(kubernetes: Status) -> Self {
        let cluster = match &kubernetes {
            Status::Off => "no Kubernetes API is configured".to_owned(),
            Status::Starting => "the Kubernetes API has not answered yet".to_owned(),
            Status::Connected { .. } => "the Kubernetes API does not know it".to_owned(),
            Status::Failing { cause, .. } => format!("the Kubernetes API does not answer ({cause})"),
        };
        let reason = |asked| format!("no socket of this peer is tracked on this host; {asked}; {cluster}").into();
        Self {
            dialled: reason("no DNS answer with this address was seen"),
            accepted: reason("nothing names addresses of clients"),
            kubernetes,
        }
    }

    /// Follows the state of the Kubernetes API.
    pub(super) fn update(&mut self, kubernetes: Status) {
        if kubernetes != self.kubernetes {
            *self = Self::with(kubernetes);
        }
    }

    /// For an address that a process of this host connected to (`dialled`), or for the address of a client.
    pub(super) fn of(&self, dialled: bool) -> Arc<str> {
        Arc::clone(if dialled { &self.dialled } else { &self.accepted })
    }
}

/// All counts. Compared on every tick, so without allocation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tally {
    local: LocalLosses,
    dns: DnsCounts,
    conntrack: conntrack::Counts,
    obstacle: Option<Obstacle>,
    kubernetes: kubernetes::Counts,
    status: Status,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            local: LocalLosses::default(),
            dns: DnsCounts::default(),
            conntrack: conntrack::Counts::default(),
            obstacle: None,
            kubernetes: kubernetes::Counts::default(),
            status: Status::Off,
        }
    }
}

impl Tally {
    pub(super) fn of(
        local: Result<&LocalNames, &Arc<str>>,
        dns: &DnsNames,
        conntrack: &Conntrack,
        kubernetes: &Kubernetes,
    ) -> Self {
        Self {
            local: local.map_or_else(|_| LocalLosses::default(), LocalNames::losses),
            dns: dns.counts(),
            conntrack: conntrack.counts(),
            obstacle: conntrack.obstacle(),
            kubernetes: kubernetes.counts(),
            status: kubernetes.status(),
        }
    }

    /// The counts as an input. `unreadable`: why processes cannot be read.
    pub(super) fn naming(&self, unreadable: Option<&Arc<str>>) -> Naming {
        let mut unavailable = Vec::new();
        if let Some(why) = unreadable {
            unavailable.push(("processes".into(), Arc::clone(why)));
        }
        if let Some(obstacle) = self.obstacle {
            unavailable.push(("conntrack".into(), obstacle.to_string().into()));
        }
        if let Status::Failing { cause, .. } = &self.status {
            unavailable.push(("kubernetes".into(), Arc::clone(cause)));
        }
        let counts = [self.of_processes(), self.of_addresses()].into_iter().flatten();
        Naming { counts: counts.map(|(name, n)| (name.into(), n)).collect(), unavailable }
    }

    fn of_processes(&self) -> Vec<(&'static str, u64)> {
        let LocalLosses {
            gone,
            reused,
            replaced,
            unknown_cgroups,
            malformed_attributes,
            environments_cut,
            not_awaited,
            long_paths,
            containers: ContainerLosses { unknown, malformed, oversized, unreadable },
        } = self.local;
        vec![
            ("processes_gone", gone),
            ("processes_replaced", replaced),
            ("process_ids_reused", reused),
            ("attributes_malformed", malformed_attributes),
            ("environments_cut", environments_cut),
            ("cgroups_unknown", unknown_cgroups),
            ("cgroups_not_awaited", not_awaited),
            ("cgroups_long_paths", long_paths),
            ("containers_unknown", unknown),
            ("container_files_malformed", malformed),
            ("container_files_oversized", oversized),
            ("container_files_unreadable", unreadable),
        ]
    }

    fn of_addresses(&self) -> Vec<(&'static str, u64)> {
        let conntrack::Counts {
            asked: _,
            dropped,
            translated,
            untranslated: _,
            untracked: _,
            unanswered,
            namespaces_gone,
        } = self.conntrack;
        let kubernetes::Counts { over_limit, unreadable, forgotten_early, .. } = self.kubernetes;
        let of_the_rest = [
            ("conntrack_translated", translated),
            ("conntrack_dropped", dropped),
            ("conntrack_unanswered", unanswered),
            ("conntrack_namespaces_gone", namespaces_gone),
            ("kubernetes_over_limit", over_limit),
            ("kubernetes_unreadable", unreadable),
            ("kubernetes_forgotten_early", forgotten_early),
        ];
        self.dns.losses().into_iter().chain(of_the_rest).collect()
    }
}
