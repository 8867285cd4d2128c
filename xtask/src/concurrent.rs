//! Several things at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does `work` for each of `items`, in their order, so many at a time; the results in the order of the items.
pub(crate) fn at_once<I: Sync, R: Send>(count: usize, items: &[I], work: impl Fn(&I) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            done.push((index, work(item)));
        }
        done
    };
    let mut results = thread::scope(|scope| {
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker's thread")).collect::<Vec<_>>()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let slow_first = |n: &u64| {
            thread::sleep(Duration::from_millis(20 * (5 - n)));
            n * 10
        };
        assert_eq!(at_once(2, &[1, 2, 3, 4, 5], slow_first), [10, 20, 30, 40, 50]);
        assert_eq!(at_once(2, &[], slow_first), [0; 0]);
    }
}
