use weir_abi::EdgeRecord;
use weir_ebpf::histogram::index;

use crate::{
    incident::{alarm::Ended, decisions::Happened},
    lab::{Lab, MS, client, server},
    report::alert::MAX_TEXT,
};
use weir_engine::{CgroupPoll, Polled, ProcessPoll, Throttle};

const SERVER: u32 = 9;

fn lab() -> Lab {
    let calling = client(7, 2);
    let serving = server(SERVER, &calling);
    Lab::new([calling, serving])
}

/// Ten requests a second of so many milliseconds; ten periods a second, of which so many are cut short.
fn run(lab: &mut Lab, seconds: u64, throttled: u64, ms: u64) {
    for _ in 0..seconds {
        let poll = lab.polls.iter().find_map(|polled| match polled {
            Polled::Cgroup(poll) => poll.throttle,
            _ => None,
        });
        let Throttle { periods, throttled: before, throttled_ns } = poll.unwrap_or_default();
        let throttle = Some(Throttle {
            periods: periods + 10,
            throttled: before + throttled,
            throttled_ns: throttled_ns + throttled * 60 * MS,
        });
        let cgroup = Some("/pod/app".into());
        lab.polls = vec![
            Polled::Process(ProcessPoll { pid: SERVER, netns: 1, cgroup, ..ProcessPoll::default() }),
            Polled::Cgroup(CgroupPoll { path: "/pod".into(), throttle, pressure: None }),
        ];
        lab.run(1, |_, records: &mut [(u32, EdgeRecord)]| {
            records[1].1.latency.buckets[index(ms * MS)] += 10;
            records[1].1.latency.sum_ns += 10 * ms * MS;
        });
    }
}

#[test]
fn a_limit_that_is_used_up_is_a_page_where_callers_feel_it() {
    let mut lab = lab();
    run(&mut lab, 60, 0, 10);
    assert_eq!(lab.happened(), []);
    run(&mut lab, 10, 6, 40);
    assert_eq!(lab.happened(), [(70, Happened::Raised)], "{:?}", lab.decider.incidents().lost());
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!((document.signal, document.severity), ("cpu_throttled", "critical"));
    assert_eq!(document.server.as_deref(), Some("redis"));
    assert_eq!(document.what, "60% of the periods in which it ran, its CPU limit was used up (50 in 5 s, at most 25%)");
    assert!(document.why.ends_with("the normal answer time, for its callers"), "{}", document.why);
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    run(&mut lab, 15, 0, 10);
    assert_eq!(lab.happened()[1..], [(85, Happened::Resolved(Ended::Cleared))]);
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

#[test]
fn one_that_nobody_feels_is_a_warning() {
    let mut lab = lab();
    run(&mut lab, 60, 0, 10);
    run(&mut lab, 10, 6, 10);
    assert_eq!(lab.events[0].1.alert.document().severity, "warn");
}

#[test]
fn a_few_periods_and_a_single_burst_stay_silent() {
    let mut lab = lab();
    for second in 0..30 {
        run(&mut lab, 2, u64::from(second % 5 == 0), 10);
    }
    run(&mut lab, 5, 10, 10);
    run(&mut lab, 60, 0, 10);
    assert_eq!(lab.happened(), []);
}
