use weir_abi::ConnectOutcome;

use crate::{
    incident::{alarm::Ended, decisions::Happened},
    lab::{Lab, MS, client, connect, server},
    report::alert::MAX_TEXT,
};
use weir_engine::{BusiestPoll, Busy, Polled, ProcessPoll};

/// The server's threads wait and run so many milliseconds more each second, the client runs 900.
fn run(lab: &mut Lab, seconds: u64, wait_ms: u64, run_ms: u64) {
    run_beside(lab, seconds, wait_ms, run_ms, &[]);
}

/// While others, without edges, run so many milliseconds each second: name, processes, milliseconds.
fn run_beside(lab: &mut Lab, seconds: u64, wait_ms: u64, run_ms: u64, others: &[(&str, u32, u64)]) {
    for _ in 0..seconds {
        let before = lab.polls.iter().find_map(|polled| match polled {
            Polled::Process(poll) if poll.pid == 9 => Some((poll.run_delay_ns, poll.on_cpu_ns)),
            _ => None,
        });
        let (wait_ns, run_ns) = before.unwrap_or_default();
        let process = |pid, run_delay_ns, on_cpu_ns| {
            let threads = (4, 4);
            Polled::Process(ProcessPoll { pid, netns: 1, threads, run_delay_ns, on_cpu_ns, ..ProcessPoll::default() })
        };
        lab.polls =
            vec![process(9, wait_ns + wait_ms * MS, run_ns + run_ms * MS), process(7, 0, (lab.now_s + 1) * 900 * MS)];
        let busy = |(n, &(comm, processes, ms)): (usize, &(&str, u32, u64))| {
            let (pid, ran_ns) = (70 + n as u32, 5 * ms * MS);
            Busy { comm: comm.into(), pid, most_ns: ran_ns / u64::from(processes), processes, ran_ns }
        };
        if !others.is_empty() {
            let busiest = others.iter().enumerate().map(busy).collect();
            lab.polls.push(Polled::Busiest(BusiestPoll { over_ns: 5000 * MS, busiest }));
        }
        lab.run(1, |_, records| {
            records.iter_mut().for_each(|(_, record)| connect(record, ConnectOutcome::Ok, 1));
        });
    }
}

fn lab() -> Lab {
    let calling = client(7, 2);
    let serving = server(9, &calling);
    Lab::new([calling, serving])
}

#[test]
fn threads_that_wait_name_who_runs() {
    let mut lab = lab();
    run(&mut lab, 20, 100, 300);
    assert_eq!(lab.happened(), []);
    run(&mut lab, 10, 800, 300);
    assert_eq!(lab.happened(), [(30, Happened::Raised)]);
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!((document.signal, document.severity, document.class), ("cpu_wait", "warn", Some("neighbour")));
    assert_eq!((document.server.as_deref(), document.origin.node), (Some("redis (pid 9)"), "app (pid 7)"));
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    run(&mut lab, 15, 100, 300);
    assert_eq!(lab.happened()[1..], [(45, Happened::Resolved(Ended::Cleared))]);
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

#[test]
fn a_busy_process_that_waits_little_stays_silent() {
    let mut lab = lab();
    run(&mut lab, 60, 600, 3000);
    run(&mut lab, 5, 2000, 300);
    run(&mut lab, 30, 0, 0);
    assert_eq!(lab.happened(), []);
}

/// What takes the processors has no edges: four of one name.
#[test]
fn who_runs_without_edges_is_named_too() {
    let mut lab = lab();
    run(&mut lab, 20, 100, 300);
    run_beside(&mut lab, 10, 800, 300, &[("cc1", 4, 1700), ("sh", 1, 10)]);
    assert_eq!(lab.happened(), [(30, Happened::Raised)]);
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.class, document.origin.node), (Some("neighbour"), "cc1 (pid 70) and 3 more of that name"));
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

/// Threads that found no time in the poll may wait: that they were not seen to is no proof that all is well.
#[test]
fn threads_that_were_not_looked_at_may_wait() {
    let mut lab = lab();
    run(&mut lab, 20, 100, 300);
    run(&mut lab, 10, 800, 300);
    for _ in 0..30 {
        let Some(Polled::Process(poll)) = lab.polls.iter_mut().find(|p| matches!(p, Polled::Process(p) if p.pid == 9))
        else {
            panic!("a poll of the server");
        };
        poll.threads = (0, 4);
        lab.run(1, |_, records| records.iter_mut().for_each(|(_, r)| connect(r, ConnectOutcome::Ok, 1)));
    }
    assert!(!lab.happened().contains(&(45, Happened::Resolved(Ended::Cleared))), "{:?}", lab.happened());
}
