//! Counters that have a name each: indexed by the enum whose variants they count, so that no number stands for an outcome.

use std::ops::{Index, IndexMut};

use weir_abi::{ConnectOutcome, N_CONNECT_OUTCOMES, N_SOCKET_ERRORS, SocketError};

/// An enum whose variants index an array of counters in a record.
pub trait Counted: Copy + 'static {
    /// One counter for each variant.
    type Counters: Copy + Default + Eq + std::fmt::Debug + AsRef<[u64]> + AsMut<[u64]>;
    /// Every variant, in index order.
    const ALL: &'static [Self];

    /// The position in the array.
    fn index(self) -> usize;

    /// The name in JSON and metrics.
    fn name(self) -> &'static str;
}

macro_rules! counted {
    ($($name:ident: $count:expr;)*) => {$(
        impl Counted for $name {
            type Counters = [u64; $count];
            const ALL: &'static [Self] = &$name::ALL;

            fn index(self) -> usize {
                $name::index(self)
            }

            fn name(self) -> &'static str {
                $name::name(self)
            }
        }
    )*};
}

counted! {
    ConnectOutcome: N_CONNECT_OUTCOMES;
    SocketError: N_SOCKET_ERRORS;
}

/// A counter for each variant of `K`. Counters wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts<K: Counted>(K::Counters);

impl<K: Counted> Default for Counts<K> {
    fn default() -> Self {
        Self(K::Counters::default())
    }
}

impl<K: Counted> Counts<K> {
    /// What was counted between two readings of an array of a record.
    pub fn between(before: K::Counters, mut after: K::Counters) -> Self {
        after.as_mut().iter_mut().zip(before.as_ref()).for_each(|(after, before)| *after = after.wrapping_sub(*before));
        Self(after)
    }

    /// Adds another's counters.
    pub fn merge(&mut self, other: &Self) {
        self.0.as_mut().iter_mut().zip(other.0.as_ref()).for_each(|(mine, theirs)| *mine = mine.wrapping_add(*theirs));
    }

    /// Every variant with its counter, in index order.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> + '_ {
        K::ALL.iter().map(|variant| (*variant, self[*variant]))
    }

    /// All counters together.
    pub fn total(&self) -> u64 {
        self.0.as_ref().iter().fold(0, |sum, n| sum.wrapping_add(*n))
    }
}

impl<K: Counted> Index<K> for Counts<K> {
    type Output = u64;

    fn index(&self, variant: K) -> &u64 {
        &self.0.as_ref()[variant.index()]
    }
}

impl<K: Counted> IndexMut<K> for Counts<K> {
    fn index_mut(&mut self, variant: K) -> &mut u64 {
        &mut self.0.as_mut()[variant.index()]
    }
}

impl Counts<ConnectOutcome> {
    /// Connects that succeeded; of a server, accepted connections.
    pub fn ok(&self) -> u64 {
        self[ConnectOutcome::Ok]
    }

    /// Connects that did not succeed, with the way they failed; ways without any are left out.
    pub fn failures(&self) -> impl Iterator<Item = (ConnectOutcome, u64)> + '_ {
        self.iter().filter(|(outcome, n)| *outcome != ConnectOutcome::Ok && *n > 0)
    }

    /// Connects that did not succeed.
    pub fn failed(&self) -> u64 {
        self.total().wrapping_sub(self.ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_variant_and_survive_wrapping() {
        let mut before = [0; N_CONNECT_OUTCOMES];
        before[ConnectOutcome::Refused.index()] = u64::MAX;
        let mut after = [0; N_CONNECT_OUTCOMES];
        (after[ConnectOutcome::Ok.index()], after[ConnectOutcome::Refused.index()]) = (3, 1);
        let mut counts = Counts::<ConnectOutcome>::between(before, after);
        assert_eq!((counts.ok(), counts[ConnectOutcome::Refused], counts.total()), (3, 2, 5));
        counts.merge(&counts.clone());
        assert_eq!((counts.failed(), counts.failures().collect::<Vec<_>>()), (4, vec![(ConnectOutcome::Refused, 4)]));
    }
}
