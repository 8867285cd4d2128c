//! The holders of an address over time: addresses are reused, and a name must not be carried over.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
};

use weir_engine::Identity;

/// Ended tenures are remembered this long: an edge is named seconds after its first packet, an idle one at its next. A choice.
pub(super) const REMEMBERED_NS: u64 = 600_000_000_000;
/// Holders remembered of one address. A pod that restarts every ten seconds may get a new address each time, depending on the
/// network plugin; 16 cover two minutes of that.
const HOLDERS: usize = 16;
/// Ended tenures remembered: 2 MiB.
const ENDED: usize = 16_384;
/// How much a node's clock may differ from this one, and the kubelet's seconds from the kernel's nanoseconds: a choice.
const SKEW_NS: u64 = 2_000_000_000;

/// The time during which one holder has an address.
#[derive(Clone, Debug)]
struct Tenure {
    /// The holder.
    uid: u128,
    /// Unix time.
    from_ns: u64,
    /// `u64::MAX` while it lasts.
    to_ns: u64,
    /// The end is the time of the event, not of its arrival here.
    exact: bool,
    identity: Arc<Identity>,
}

/// A key that can be held.
pub(super) trait Held: Copy + Eq + Hash {
    /// Has one holder at a time: a new holder ends the tenure of the former one. Other keys may have several holders, which are
    /// named only if they agree.
    fn exclusive(&self) -> bool;
}

/// The tenures of addresses, by address.
#[derive(Debug)]
pub(super) struct Tenures<K> {
    by_key: HashMap<K, Vec<Tenure>>,
    /// Ended tenures in order of arrival: end, key, holder.
    ended: VecDeque<(u64, K, u128)>,
    forgotten_early: u64,
}

impl<K: Held> Tenures<K> {
    pub(super) fn new() -> Self {
        Self { by_key: HashMap::new(), ended: VecDeque::new(), forgotten_early: 0 }
    }

    /// `uid` has held it since `from_ns`. If it holds it already, only its identity is replaced.
    pub(super) fn begin(&mut self, key: K, uid: u128, from_ns: u64, identity: Arc<Identity>) {
        let holders = self.by_key.get_mut(&key);
        if let Some(own) = holders.and_then(|all| all.iter_mut().find(|own| own.uid == uid && own.lasts())) {
            own.identity = identity;
            return;
        }
        self.insert(key, Tenure { uid, from_ns, to_ns: u64::MAX, exact: false, identity });
    }

    /// `uid` held it in the past, which became known only now.
    pub(super) fn past(&mut self, key: K, uid: u128, from_ns: u64, to_ns: u64, identity: Arc<Identity>) {
        self.insert(key, Tenure { uid, from_ns, to_ns, exact: true, identity });
    }

    /// `uid` does not hold it any more. `exact`: the time is that of the event, not of its arrival here.
    pub(super) fn end(&mut self, key: K, uid: u128, to_ns: u64, exact: bool) {
        let holders = self.by_key.get_mut(&key);
        let own = holders.and_then(|holders| holders.iter_mut().find(|own| own.uid == uid && own.lasts()));
        let Some(own) = own else {
            return;
        };
        own.to_ns = to_ns.max(own.from_ns);
        own.exact = exact;
        self.ended.push_back((own.to_ns, key, uid));
        self.bound();
    }

    /// The holder at that time; the clock of the node that reported it may be a little ahead.
    pub(super) fn at(&self, key: &K, unix_ns: u64) -> Option<&Arc<Identity>> {
        let holders = self.by_key.get(key)?;
        let held = |at: u64| holders.iter().filter(move |tenure| tenure.from_ns <= at && at < tenure.to_ns);
        let at = if held(unix_ns).next().is_some() { unix_ns } else { unix_ns.saturating_add(SKEW_NS) };
        let mut found = held(at);
        let first = found.next()?;
        // Several may agree: two slices of one service's endpoints.
        found.all(|other| other.identity == first.identity).then_some(&first.identity)
    }

    /// Forgets tenures that ended before.
    pub(super) fn forget(&mut self, before_ns: u64) {
        while self.ended.front().is_some_and(|(ended, ..)| *ended < before_ns) {
            self.forget_first();
        }
    }

    /// Ended tenures that were forgotten early, because of the limits.
    pub(super) fn forgotten_early(&self) -> u64 {
        self.forgotten_early
    }

    fn insert(&mut self, key: K, mut new: Tenure) {
        // Most addresses only ever have one holder; a vector would allocate four by default.
        let holders = self.by_key.entry(key).or_insert_with(|| Vec::with_capacity(1));
        if key.exclusive() {
            for known in holders.iter_mut() {
                let lasted = known.lasts();
                hand_over(known, &mut new);
                if lasted && !known.lasts() {
                    self.ended.push_back((known.to_ns, key, known.uid));
                }
            }
        }
        if !new.lasts() {
            self.ended.push_back((new.to_ns, key, new.uid));
        }
        if holders.len() >= HOLDERS {
            // The one that ended first: a lasting one only if all last.
            let first = (0..holders.len()).min_by_key(|&at| holders[at].to_ns).unwrap_or(0);
            holders.remove(first);
            self.forgotten_early += 1;
        }
        holders.push(new);
        self.bound();
    }

    fn bound(&mut self) {
        while self.ended.len() > ENDED {
            self.forgotten_early += 1;
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((ended, key, uid)) = self.ended.pop_front() else {
            return;
        };
        let Some(holders) = self.by_key.get_mut(&key) else {
            return;
        };
        holders.retain(|tenure| tenure.uid != uid || tenure.to_ns > ended);
        if holders.is_empty() {
            self.by_key.remove(&key);
        }
    }
}

/// Sets the boundary between a known holder and a new one.
fn hand_over(known: &mut Tenure, new: &mut Tenure) {
    if known.to_ns > new.to_ns {
        // The new holder had ended before the known one began.
        known.from_ns = known.from_ns.max(new.to_ns);
    } else if known.from_ns > new.from_ns {
        // The new holder began first: its event is late.
        new.to_ns = new.to_ns.min(known.from_ns);
    } else if !known.exact {
        // The known holder's end is a late estimate: the new one's beginning is the better boundary.
        known.to_ns = known.to_ns.min(new.from_ns);
    } else {
        // The new holder was waiting for the address.
        new.from_ns = new.from_ns.max(known.to_ns);
    }
}

impl Tenure {
    fn lasts(&self) -> bool {
        self.to_ns == u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;
    use weir_engine::Kind;

    use super::*;

    const S: u64 = 1_000_000_000;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Key {
        Own(u8),
        Shared(u8),
    }

    impl Held for Key {
        fn exclusive(&self) -> bool {
            matches!(self, Self::Own(_))
        }
    }

    const IP: Key = Key::Own(1);

    fn identity(name: &str) -> Arc<Identity> {
        Arc::new(Identity::new(Kind::KubernetesWorkload, name))
    }

    fn name(tenures: &Tenures<Key>, key: Key, at: u64) -> Option<&str> {
        tenures.at(&key, at).map(|identity| &*identity.name)
    }

    fn assert_named(tenures: &Tenures<Key>, seconds: Range<u64>, expected: Option<&str>) {
        for at in seconds {
            assert_eq!(name(tenures, IP, at * S), expected, "at {at} s");
        }
    }

    #[test]
    fn an_address_is_the_holders_of_that_time() {
        let mut tenures = Tenures::new();
        tenures.begin(IP, 1, 100 * S, identity("old"));
        tenures.end(IP, 1, 200 * S, true);
        tenures.begin(IP, 2, 300 * S, identity("new"));
        assert_named(&tenures, 0..98, None);
        assert_named(&tenures, 98..200, Some("old"));
        assert_named(&tenures, 200..298, None);
        assert_named(&tenures, 298..999, Some("new"));
        assert_eq!(name(&tenures, Key::Own(2), 150 * S), None);
    }

    #[test]
    fn a_new_holder_ends_the_former_one_and_a_late_event_changes_nothing() {
        let mut tenures = Tenures::new();
        tenures.begin(IP, 1, 100 * S, identity("old"));
        tenures.begin(IP, 2, 300 * S, identity("new"));
        tenures.end(IP, 1, 310 * S, false);
        assert_named(&tenures, 100..300, Some("old"));
        assert_named(&tenures, 300..999, Some("new"));
    }

    #[test]
    fn an_inexact_end_yields_to_the_next_beginning() {
        let mut tenures = Tenures::new();
        tenures.begin(IP, 1, 100 * S, identity("old"));
        tenures.end(IP, 1, 310 * S, false);
        tenures.begin(IP, 2, 300 * S, identity("new"));
        assert_named(&tenures, 300..999, Some("new"));
    }

    #[test]
    fn one_that_waited_for_the_address_has_it_after_the_end() {
        let mut tenures = Tenures::new();
        tenures.begin(IP, 1, 100 * S, identity("old"));
        tenures.end(IP, 1, 310 * S, true);
        tenures.begin(IP, 2, 300 * S, identity("new"));
        assert_named(&tenures, 100..310, Some("old"));
        assert_named(&tenures, 310..999, Some("new"));
    }

    #[test]
    fn a_late_event_of_a_former_holder_takes_nothing() {
        let mut tenures = Tenures::new();
        tenures.begin(IP, 2, 300 * S, identity("new"));
        tenures.begin(IP, 1, 100 * S, identity("old"));
        assert_named(&tenures, 100..300, Some("old"));
        assert_named(&tenures, 300..999, Some("new"));
    }

    #[test]
    fn a_late_event_of_a_past_holder_moves_the_one_that_waited() {
        let mut tenures = Tenures::new();
        tenures.begin(IP, 2, 150 * S, identity("new"));
        tenures.past(IP, 1, 100 * S, 200 * S, identity("old"));
        assert_named(&tenures, 100..200, Some("old"));
        assert_named(&tenures, 200..999, Some("new"));
        tenures.past(IP, 3, 20 * S, 40 * S, identity("first"));
        assert_named(&tenures, 20..40, Some("first"));
        assert_named(&tenures, 40..98, None);
    }

    #[test]
    fn shared_ones_are_named_when_the_claims_agree() {
        let mut tenures = Tenures::new();
        let key = Key::Shared(1);
        tenures.begin(key, 1, 0, identity("a"));
        tenures.begin(key, 2, 0, identity("a"));
        assert_eq!(name(&tenures, key, S), Some("a"));
        tenures.begin(key, 3, 0, identity("b"));
        assert_eq!(name(&tenures, key, S), None);
        tenures.end(key, 3, 5 * S, true);
        assert_eq!(name(&tenures, key, 4 * S), None);
        assert_eq!(name(&tenures, key, 6 * S), Some("a"));
    }

    #[test]
    fn what_ended_is_forgotten_and_what_lasts_is_not() {
        let mut tenures = Tenures::new();
        for holder in 0..5u64 {
            tenures.begin(IP, holder.into(), holder * 10 * S, identity("x"));
        }
        tenures.begin(Key::Own(9), 1, S, identity("y"));
        tenures.end(Key::Own(9), 1, 2 * S, true);
        tenures.forget(35 * S);
        assert_eq!(name(&tenures, IP, 15 * S), None);
        assert_eq!(name(&tenures, IP, 35 * S), Some("x"));
        assert_eq!(name(&tenures, IP, 999 * S), Some("x"));
        tenures.forget(u64::MAX);
        assert_eq!(tenures.by_key.values().map(Vec::len).collect::<Vec<_>>(), [1]);
        assert!(tenures.ended.is_empty());
    }

    #[test]
    fn many_that_end_are_bounded_and_the_loss_is_counted() {
        let mut tenures = Tenures::new();
        for holder in 0..100_000u32 {
            tenures.begin(Key::Own(holder as u8), holder.into(), u64::from(holder) * S, identity("x"));
        }
        let remembered: usize = tenures.by_key.values().map(Vec::len).sum();
        assert!(remembered <= 256 * HOLDERS && tenures.ended.len() <= ENDED, "{remembered}");
        assert!(tenures.forgotten_early() > 0);
    }

    proptest! {
        /// In whatever order events arrive, an exclusive address never has two holders at one time.
        #[test]
        fn never_two_holders(events in prop::collection::vec((0u8..2, 0u128..6, 0u64..50, 0u64..50, any::<[bool; 2]>()), 0..60)) {
            let mut tenures = Tenures::new();
            for (key, uid, from, length, [ends, exact]) in events {
                let key = Key::Own(key);
                if ends {
                    tenures.end(key, uid, (from + length) * S, exact);
                } else if exact {
                    tenures.past(key, uid, from * S, (from + length) * S, identity(&uid.to_string()));
                } else {
                    tenures.begin(key, uid, from * S, identity(&uid.to_string()));
                }
            }
            for holders in tenures.by_key.values() {
                for at in 0..100 {
                    let held = holders.iter().filter(|t| t.from_ns <= at * S && at * S < t.to_ns);
                    prop_assert!(held.count() <= 1, "at {at}: {holders:?}");
                }
            }
        }
    }
}
