//! Interned names: those that many objects share are kept once.

use std::{collections::HashSet, sync::Arc};

/// The first clean-up is at this many names: a choice.
const SMALL: usize = 1024;
/// Longer than any name that the API accepts (253), and than usual names of images. Longer names are cut.
const LONGEST: usize = 512;

/// Namespaces, workloads, images.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashSet<Arc<str>>,
    clean_at: usize,
}

impl Names {
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        let name = shortened(name);
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        if self.known.len() >= self.clean_at.max(SMALL) {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.clean_at = self.known.len() * 2;
        }
        let new: Arc<str> = name.into();
        self.known.insert(new.clone());
        new
    }

    /// `None` for an empty name.
    pub(super) fn some(&mut self, name: &str) -> Option<Arc<str>> {
        (!name.is_empty()).then(|| self.get(name))
    }
}

pub(super) fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_memory() {
        let mut names = Names::default();
        let (first, second) = (names.get("shop"), names.get("shop"));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(names.some(""), None);
    }

    #[test]
    fn names_without_an_object_do_not_accumulate() {
        let mut names = Names::default();
        let held = names.get("held");
        for number in 0..100_000 {
            names.get(&number.to_string());
        }
        assert!(names.known.len() <= SMALL + 1, "{}", names.known.len());
        assert!(Arc::ptr_eq(&held, &names.get("held")));
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let long = format!("{}ä", "x".repeat(LONGEST - 1));
        assert_eq!(&*Names::default().get(&long), "x".repeat(LONGEST - 1));
    }
}
