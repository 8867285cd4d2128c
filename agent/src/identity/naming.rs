//! What the asking for names has come to, in numbers and words.

use std::sync::Arc;

use weir_engine::Naming;

use super::{
    dns::DnsCounts,
    local::{ContainerLosses, LocalLosses},
};

/// All of it.
pub(super) fn of(local: LocalLosses, dns: DnsCounts, unavailable: Option<&Arc<str>>) -> Naming {
    let mut naming = Naming::default();
    let mut count = |name: &str, n: u64| naming.counts.push((name.into(), n));
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
    } = local;
    count("processes_gone", gone);
    count("processes_replaced", replaced);
    count("process_ids_reused", reused);
    count("cgroups_unknown", unknown_cgroups);
    count("attributes_malformed", malformed_attributes);
    count("environments_cut", environments_cut);
    count("cgroups_not_awaited", not_awaited);
    count("cgroups_long_paths", long_paths);
    count("containers_unknown", unknown);
    count("container_files_malformed", malformed);
    count("container_files_oversized", oversized);
    count("container_files_unreadable", unreadable);
    dns.losses().into_iter().for_each(|(name, n)| count(name, n));
    if let Some(why) = unavailable {
        naming.unavailable.push(("processes".into(), Arc::clone(why)));
    }
    naming
}
