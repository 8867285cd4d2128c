//! Who is at the ends of an edge: what procfs, cgroups, DNS, connection tracking and Kubernetes tell, put together.

pub(crate) mod dns;

use weir_abi::EdgeRecord;
use weir_engine::Input;

/// Names the ends of edges as they come up.
#[derive(Default)]
pub(crate) struct Identities {}

impl Identities {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An edge is there; the first time is the best to ask who it is.
    pub(crate) fn meet(&mut self, _slot: u32, _record: &EdgeRecord, _now_ns: u64, _sink: &mut dyn FnMut(Input<'_>)) {}

    /// An edge is retired.
    pub(crate) fn part(&mut self, _slot: u32) {}

    /// What has become known since.
    pub(crate) fn tick(&mut self, _now_ns: u64, _sink: &mut dyn FnMut(Input<'_>)) {}
}
