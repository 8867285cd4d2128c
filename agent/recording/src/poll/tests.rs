use super::*;

fn all() -> Vec<Polled> {
    let address = "[::1]:80".parse().expect("an address");
    let owner = Some(Owner { pid: 7, comm: "nginx".into() });
    let listeners = vec![
        Listener { address, inode: 3, backlog: 4, max: 5, owner, half_open: None },
        Listener { address, inode: 6, backlog: 0, max: 5, owner: None, half_open: None },
    ];
    let counters = NetCounters { listen_overflows: 1, udp_receive_errors: 2, ..NetCounters::default() };
    let local = "10.0.0.1".parse().expect("an address");
    let tuples = vec![PortUse { local, remote: address, sockets: 60, time_wait: 59 }];
    let (throttle, pressure) = (Throttle { periods: 1, throttled: 2, throttled_ns: 3 }, Pressure::default());
    let process = ProcessPoll {
        pid: 7,
        netns: 1,
        fds: Some(9),
        threads: (1, 2),
        run_delay_ns: 3,
        on_cpu_ns: 4,
        ..Default::default()
    };
    let sender = Sender {
        cookie: 1,
        local: address,
        remote: address,
        queued_bytes: 2,
        unsent_bytes: 3,
        acked_bytes: 4,
        busy_us: 5,
        receiver_limited_us: 6,
        buffer_limited_us: 7,
        segments: 8,
        retransmitted: 9,
        srtt_us: 10,
        min_rtt_us: 11,
    };
    let unix = UnixListener { name: "/a".into(), inode: 1, backlog: 2, max: 3, owner: None };
    let half_open = Some(HalfOpen { count: 1, limit: 2, from: local, of_it: 3 });
    let asked = vec![Listener { address, inode: 7, backlog: 0, max: 5, owner: None, half_open }];
    vec![
        Polled::Namespace(NamespacePoll { netns: 1, counters, in_use: 3, time_wait: 4, listeners, unix: Vec::new() }),
        Polled::Ports(PortsPoll {
            netns: 1,
            range: (1, 64),
            reserved: 2,
            time_wait_limit: 3,
            time_wait_reuse: 2,
            tuples,
            is_cut: true,
        }),
        Polled::Conntrack(ConntrackPoll { netns: 1, count: 2, max: 3, dropped: 4, insert_failed: 5, early_drop: 6 }),
        Polled::Process(ProcessPoll { cgroup: Some("/a".into()), fds_limit: Some(64), ..process.clone() }),
        Polled::Process(process),
        Polled::Cgroup(CgroupPoll { path: "/a".into(), throttle: Some(throttle), pressure: None }),
        Polled::Cgroup(CgroupPoll { path: "/".into(), throttle: None, pressure: Some(pressure) }),
        Polled::Missed(PollMisses { counts: vec![("poll_gone".into(), 3)] }),
        Polled::Senders(SendersPoll { netns: 1, senders: vec![sender] }),
        Polled::Busiest(BusiestPoll {
            over_ns: 1,
            busiest: vec![Busy { comm: "cc1".into(), pid: 2, most_ns: 3, processes: 4, ran_ns: 5 }],
        }),
        Polled::Read(ReadAt { monotonic_ns: 5 }),
        Polled::Namespace(NamespacePoll { netns: 1, unix: vec![unix], ..NamespacePoll::default() }),
        Polled::Namespace(NamespacePoll { netns: 1, listeners: asked, ..NamespacePoll::default() }),
    ]
}

/// Lines of the second format, which every later weir can read.
const LINES: &str = include_str!("../format-2.jsonl");

#[test]
fn the_second_format_is_read_and_written() {
    let mut lines = LINES.lines();
    for polled in all() {
        let line = lines.next().expect("a line");
        assert_eq!(serde_json::to_string(&Poll::ToWrite(&polled)).expect("encoded"), line);
        let again: Poll<'_> = serde_json::from_str(line).expect(line);
        assert_eq!(again.get(), &polled);
    }
    assert_eq!(lines.next(), None);
}
