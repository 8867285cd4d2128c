//! When to read the ring although the kernel half does not wake its reader: it limits its wake-ups, so events may lie in the
//! ring for a while after one.

/// The kernel half wakes its reader at most once in 150 ms for new edges (200 ms here), and once in 20 ms for new cgroups
/// (25 ms here).
const EDGES_QUIET_NS: u64 = 200_000_000;
pub(super) const CGROUPS_QUIET_NS: u64 = 25_000_000;

/// Until when events may be written without a wake-up.
#[derive(Default)]
pub(super) struct SuppressedWakeUps {
    edges_until_ns: u64,
    cgroups_until_ns: u64,
}

impl SuppressedWakeUps {
    /// A new edge was read from the ring: others may follow without a wake-up.
    pub(super) fn edge_read(&mut self, now_ns: u64) {
        self.edges_until_ns = now_ns + EDGES_QUIET_NS;
    }

    /// The same of a new cgroup.
    pub(super) fn cgroup_read(&mut self, now_ns: u64) {
        self.cgroups_until_ns = now_ns + CGROUPS_QUIET_NS;
    }

    /// When to read the ring again; none while every event comes with a wake-up.
    pub(super) fn next_read_ns(&self, now_ns: u64) -> Option<u64> {
        [self.edges_until_ns, self.cgroups_until_ns].into_iter().filter(|until_ns| *until_ns > now_ns).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_read_again_when_the_shortest_quiet_time_ends() {
        let mut suppressed = SuppressedWakeUps::default();
        assert_eq!(suppressed.next_read_ns(5), None);
        suppressed.edge_read(5);
        suppressed.cgroup_read(5);
        assert_eq!(suppressed.next_read_ns(6), Some(5 + CGROUPS_QUIET_NS));
        assert_eq!(suppressed.next_read_ns(5 + CGROUPS_QUIET_NS), Some(5 + EDGES_QUIET_NS));
        assert_eq!(suppressed.next_read_ns(5 + EDGES_QUIET_NS), None);
    }
}
