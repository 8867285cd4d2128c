//! Recently used values, in bounded memory.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// A map that evicts entries that were not used recently: between `half` and twice `half` entries are kept.
///
/// Two generations instead of a list by age: an entry that is used moves to the young one, and when that is full, the old one
/// is dropped. Constant time, no list to keep in order, and no dependency.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    pub(crate) fn of(bound: usize) -> Self {
        Self { half: (bound / 2).max(1), young: HashMap::new(), old: HashMap::new() }
    }

    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if self.young.remove(key).is_none() {
            self.old.remove(key);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut recent = Recent::of(100);
        recent.insert(0u32, "kept");
        for key in 1..10_000 {
            recent.insert(key, "passing");
            assert_eq!(recent.get(&0), Some(&"kept"));
            assert!(recent.len() <= 100);
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&9_999), Some(&"passing"));
    }

    #[test]
    fn the_newer_value_wins() {
        let mut recent = Recent::of(4);
        for key in 0..3 {
            recent.insert(key, 1);
        }
        recent.insert(0, 2);
        assert_eq!((recent.len(), recent.get(&0)), (3, Some(&2)));
    }
}
