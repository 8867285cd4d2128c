//! Who is at the ends of an edge: what procfs, cgroups, DNS, connection tracking and Kubernetes tell, put together.

pub mod conntrack;
pub(crate) mod local;

use weir_abi::{CgroupMade, EdgeRecord};
use weir_engine::Input;

/// Names the ends of edges as they come up.
#[derive(Default)]
pub(crate) struct Identities {}

impl Identities {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A cgroup is there, and with it perhaps a container.
    pub(crate) fn cgroup_made(&mut self, _made: &CgroupMade) {}

    /// An edge is there; the first time is the best to ask who it is.
    pub(crate) fn meet(&mut self, _slot: u32, _record: &EdgeRecord, _now_ns: u64, _sink: &mut dyn FnMut(Input<'_>)) {}

    /// An edge is retired.
    pub(crate) fn part(&mut self, _slot: u32) {}

    /// What has become known since.
    pub(crate) fn tick(&mut self, _now_ns: u64, _sink: &mut dyn FnMut(Input<'_>)) {}
}
