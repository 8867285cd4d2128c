//! How long a process's threads ran, and waited for a processor. The kernel keeps both per thread until the thread ends: only
//! the sum of the differences from poll to poll never falls.

use std::{collections::HashMap, fs, path::Path};

use super::{file::read, misses::Miss, table};

/// Threads read in one poll, of all processes: 10 ms.
const MAX_THREADS: usize = 2_000;

/// Running, and runnable but waiting for a processor, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) on_cpu_ns: u64,
    pub(super) run_delay_ns: u64,
}

#[derive(Default)]
struct Process {
    /// The last poll that it was in.
    poll: u64,
    /// Living threads, as of the last poll.
    threads: HashMap<u32, Times>,
    sum: Times,
}

/// The threads of all polled processes.
#[derive(Default)]
pub(super) struct Threads {
    processes: HashMap<u32, Process>,
    poll: u64,
    left: usize,
    waited_ns: u64,
    over_limit: u64,
}

impl Threads {
    /// Begins a poll.
    pub(super) fn begin(&mut self) {
        self.poll += 1;
        self.left = MAX_THREADS;
        self.waited_ns = 0;
        self.over_limit = 0;
    }

    /// Adds the times of a process's threads since the last poll. Returns the sum, and how many threads were read, of how many.
    pub(super) fn of(&mut self, proc: &Path, pid: u32) -> Result<(Times, (u32, u32)), Miss> {
        let mut tids: Vec<u32> = fs::read_dir(proc.join(format!("{pid}/task")))?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        let all = tids.len();
        // The same threads each time, so that they can be compared.
        tids.sort_unstable();
        tids.truncate(self.left);
        self.left -= tids.len();
        self.over_limit += (all - tids.len()) as u64;
        let process = self.processes.entry(pid).or_default();
        process.poll = self.poll;
        let mut threads = HashMap::with_capacity(tids.len());
        for tid in tids {
            let stat = read(&proc.join(format!("{pid}/task/{tid}/schedstat")));
            // A thread that has ended since the directory was read: its last seconds are lost.
            let Some((on_cpu_ns, run_delay_ns)) = stat.ok().as_deref().and_then(table::schedstat) else { continue };
            let now = Times { on_cpu_ns, run_delay_ns };
            // The times of a thread that is read for the first time may be of any age.
            let before = process.threads.get(&tid).copied().unwrap_or(now);
            process.sum.on_cpu_ns += on_cpu_ns.saturating_sub(before.on_cpu_ns);
            let waited_ns = run_delay_ns.saturating_sub(before.run_delay_ns);
            process.sum.run_delay_ns += waited_ns;
            self.waited_ns += waited_ns;
            threads.insert(tid, now);
        }
        let seen = threads.len() as u32;
        process.threads = threads;
        Ok((process.sum, (seen, all as u32)))
    }

    /// How long all threads have waited for a processor since the last poll.
    pub(super) fn waited_ns(&self) -> u64 {
        self.waited_ns
    }

    /// Threads that were not read in this poll.
    pub(super) fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// Ends the poll: forgets processes that were not in it.
    pub(super) fn forget_others(&mut self) {
        let poll = self.poll;
        self.processes.retain(|_, process| process.poll == poll);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn what_this_process_runs_is_added_up() {
        let (proc, pid) = (Path::new("/proc"), std::process::id());
        let mut threads = Threads::default();
        threads.begin();
        let (first, seen) = threads.of(proc, pid).expect("itself");
        assert!(first == Times::default() && seen.0 >= 2 && seen.0 <= seen.1, "{first:?} {seen:?}");
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(50) {}
        threads.begin();
        let (second, _) = threads.of(proc, pid).expect("itself");
        assert!(second.on_cpu_ns > 5_000_000, "{second:?}");
        threads.begin();
        threads.forget_others();
        assert!(threads.processes.is_empty());
    }

    #[test]
    fn beyond_the_limit_threads_are_counted() {
        let mut threads = Threads::default();
        threads.begin();
        threads.left = 1;
        let (_, (seen, all)) = threads.of(Path::new("/proc"), std::process::id()).expect("itself");
        assert_eq!((seen, threads.over_limit()), (1, u64::from(all) - 1));
    }
}
