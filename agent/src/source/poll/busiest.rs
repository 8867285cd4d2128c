//! The processes that ran most on this host, with edges or without: a process that takes processors from a service rarely
//! communicates with it.
//!
//! Searched only while threads of services wait for a processor: all processes of the host are read, 5 us each.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    time::Instant,
};

use weir_engine::{BusiestPoll, Busy};

use super::{
    file::read,
    misses::{Miss, Misses},
    table,
};

/// Processes read in one poll: a choice.
const MAX_PROCESSES: usize = 4096;
/// Names reported: a choice.
const MAX_REPORTED: usize = 8;
/// `USER_HZ`, the unit of time in procfs.
const TICK_NS: u64 = 10_000_000;

/// How long processes had run when they were last read.
#[derive(Debug, Default)]
pub(super) struct Busiest {
    looked: Option<(Instant, HashMap<u32, u64>)>,
}

impl Busiest {
    /// No thread waits: the times become too old to be compared with.
    pub(super) fn forget(&mut self) {
        self.looked = None;
    }

    /// The processes that ran most since the last call; none at the first.
    pub(super) fn look(&mut self, proc: &Path, until: Instant, misses: &mut Misses) -> Option<BusiestPoll> {
        let now = Instant::now();
        let entries = misses.or_count(fs::read_dir(proc).map_err(Miss::from))?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let before = self.looked.take();
        let mut ran = HashMap::new();
        let mut names: BTreeMap<String, Busy> = BTreeMap::new();
        for pid in pids {
            if ran.len() == MAX_PROCESSES || Instant::now() >= until {
                misses.add(if ran.len() == MAX_PROCESSES { Miss::ProcessesOverLimit } else { Miss::OutOfTime }, 1);
                break;
            }
            // The process has ended since the directory was read.
            let Ok(text) = read(&proc.join(format!("{pid}/stat"))) else { continue };
            let Some((comm, ticks)) = table::ran(&text) else { continue };
            ran.insert(pid, ticks);
            let last = before.as_ref().and_then(|(_, known)| known.get(&pid));
            let ran_ns = ticks.saturating_sub(*last.unwrap_or(&ticks)).saturating_mul(TICK_NS);
            if ran_ns > 0 {
                add(names.entry(comm.to_owned()).or_default(), comm, pid, ran_ns);
            }
        }
        self.looked = Some((now, ran));
        let over_ns = now.duration_since(before?.0).as_nanos() as u64;
        let mut busiest: Vec<Busy> = names.into_values().collect();
        busiest.sort_by_key(|busy| std::cmp::Reverse(busy.ran_ns));
        busiest.truncate(MAX_REPORTED);
        Some(BusiestPoll { over_ns, busiest })
    }
}

/// Processes of one name count as one, with the sum of their times.
fn add(busy: &mut Busy, comm: &str, pid: u32, ran_ns: u64) {
    if busy.processes == 0 || ran_ns > busy.most_ns {
        (busy.pid, busy.most_ns) = (pid, ran_ns);
    }
    if busy.processes == 0 {
        busy.comm = comm.into();
    }
    busy.processes += 1;
    busy.ran_ns = busy.ran_ns.saturating_add(ran_ns);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    /// Processor time of this thread.
    fn ran_ns() -> i64 {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    #[test]
    fn the_busiest_are_reported_from_the_second_look_on() {
        let (mut busiest, mut misses) = (Busiest::default(), Misses::default());
        let mut look = |busiest: &mut Busiest| {
            busiest.look(Path::new("/proc"), Instant::now() + Duration::from_secs(5), &mut misses)
        };
        assert_eq!(look(&mut busiest), None);
        // Processor time and not elapsed time: the machine may be busy.
        let began = ran_ns();
        while ran_ns() - began < 200_000_000 {}
        let poll = look(&mut busiest).expect("a second look");
        assert!(poll.over_ns >= 200_000_000, "{poll:?}");
        let own = fs::read_to_string("/proc/self/comm").expect("a name");
        let ran = poll.busiest.iter().find(|busy| &*busy.comm == own.trim()).expect("this process");
        assert!(ran.ran_ns >= 100_000_000 && ran.processes >= 1, "{poll:?}");
        busiest.forget();
        assert_eq!(look(&mut busiest), None);
    }
}
