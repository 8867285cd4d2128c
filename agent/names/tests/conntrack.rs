//! The real back end behind a translated address, from this kernel's connection tracking: nft translates, in network
//! namespaces of the test's own, one of which stands for the initial one, whose rules are the host's.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with},
    thread::{CapabilitySet, capabilities, set_capabilities},
};
use weir_names::conntrack::{Answer, Conntrack, Counts, Obstacle, Options, Question};
use weir_tests::{Lab, Netns, process::Process, wait_until};

/// The client's port, everywhere.
const PORT: u16 = 40_000;
/// An answer takes 0.1 ms at most; a loaded machine is slower.
const PATIENCE: Duration = Duration::from_secs(20);

fn lab() -> Lab {
    // These tests do not run the traffic helper.
    Lab::enter("")
}

/// A namespace with a process in it.
fn resident(netns: &Netns) -> Process {
    let mut command = Command::new("sleep");
    netns.enter(command.arg("600").stdin(Stdio::null()));
    Process::start(&mut command)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// Connects from this address of the namespace, without waiting.
fn dial(netns: &Netns, from: SocketAddr, to: SocketAddr) -> OwnedFd {
    netns.within(|| {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
        bind(&socket, &from).unwrap_or_else(|error| panic!("bind {from}: {error}"));
        let connected = connect(&socket, &to);
        assert!(matches!(connected, Ok(()) | Err(rustix::io::Errno::INPROGRESS)), "dial {to}: {connected:?}");
        socket
    })
}

/// Lookups with another initial namespace and list of zones.
fn asking(initial: &Netns, zones: &[u16]) -> Conntrack {
    Conntrack::start_with(Options { initial: initial.path(), zones: zones.to_vec(), ..Options::default() })
}

/// Asks all and waits for the answers.
fn ask(conntrack: &mut Conntrack, questions: &[Question]) -> Vec<Answer> {
    for question in questions {
        assert!(conntrack.ask(*question), "the queue is full: {question:?}");
    }
    let mut answers = Vec::new();
    let start = Instant::now();
    while conntrack.waiting() > 0 && start.elapsed() < PATIENCE {
        answers.extend(conntrack.answers());
        thread::sleep(Duration::from_micros(100));
    }
    assert_eq!(answers.len(), questions.len());
    for (answer, question) in answers.iter().zip(questions) {
        assert_eq!((answer.slot, answer.dialled), (question.slot, question.dialled));
    }
    answers
}

fn backend(conntrack: &mut Conntrack, question: Question) -> Option<SocketAddr> {
    ask(conntrack, &[question])[0].backend
}

fn question(netns: &Netns, resident: &Process, client: SocketAddr, dialled: SocketAddr) -> Question {
    Question { slot: 7, pid: resident.pid(), netns: netns.inode(), client, dialled }
}

const BY_THE_CLIENT: &str = "
table ip t { chain c { type nat hook output priority -100;
    ip daddr 10.77.0.99 tcp dport 9000 dnat to 10.77.0.2:7000; }; }
table ip6 t { chain c { type nat hook output priority -100;
    ip6 daddr fd77::99 tcp dport 9000 dnat to [fd77::2]:7000; }; }";

/// A client in this namespace that connects to an address translated there, and the question about it.
fn dial_translated(near: &Netns) -> (Process, OwnedFd, Question) {
    near.nft(BY_THE_CLIENT);
    let process = resident(near);
    let [client, dialled] = [address(&format!("10.77.0.1:{PORT}")), address("10.77.0.99:9000")];
    let asked = question(near, &process, client, dialled);
    (process, dial(near, client, dialled), asked)
}

#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn in_the_clients_namespace() {
    let _lab = lab();
    let (near, far) = &Netns::pair();
    let elsewhere = Netns::new();
    near.nft(BY_THE_CLIENT);
    let process = resident(near);
    let mut conntrack = asking(&elsewhere, &[0]);
    let cases =
        [("10.77.0.1", "10.77.0.99:9000", "10.77.0.2:7000"), ("[fd77::1]", "[fd77::99]:9000", "[fd77::2]:7000")];
    for (client, dialled, real) in cases {
        let [client, dialled] = [format!("{client}:{PORT}"), dialled.into()].map(|text| address(&text));
        let asked = question(near, &process, client, dialled);
        assert_eq!(backend(&mut conntrack, asked), None, "before it dials");
        let _listener = far.within(|| TcpListener::bind(real).expect("listen"));
        let _connection = dial(near, client, dialled);
        assert_eq!(backend(&mut conntrack, asked), Some(address(real)));
        // A dual-stack socket has IPv4 addresses in this form.
        if let [SocketAddr::V4(client), SocketAddr::V4(dialled)] = [client, dialled] {
            let mapped = |v4: std::net::SocketAddrV4| SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()));
            let asked = question(near, &process, mapped(client), mapped(dialled));
            assert_eq!(backend(&mut conntrack, asked), Some(address(real)));
        }
        // The reply direction is no connection of its own.
        assert_eq!(backend(&mut conntrack, question(near, &process, address(real), client)), None);
    }
    assert_eq!(conntrack.counts(), Counts { asked: 7, translated: 3, untracked: 4, ..Counts::default() });
    assert_eq!(conntrack.obstacle(), None);
}

/// A row with IPv6 too: near fd77:1::1, far fd77:2::1.
fn row() -> [Netns; 3] {
    let row = Netns::row();
    let [near, router, far] = &row;
    for (end, n) in [(near, 1), (far, 2)] {
        end.ip(&format!("address add fd77:{n}::1/64 dev eth0 nodad"));
        router.ip(&format!("address add fd77:{n}::254/64 dev eth{n} nodad"));
        end.ip(&format!("route add default via fd77:{n}::254"));
    }
    router.set("net.ipv6.conf.all.forwarding", "1");
    row
}

/// As kube-proxy does it: the client's namespace does not translate.
#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn in_the_initial_namespace() {
    let _lab = lab();
    let [near, router, far] = &row();
    router.nft(
        "table ip t {
            chain to { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.77.2.1:7000; }
            chain from { type nat hook postrouting priority 100; masquerade; }; }
        table ip6 t {
            chain to { type nat hook prerouting priority -100; ip6 daddr fd96::1 tcp dport 80 dnat to [fd77:2::1]:7000; }
        }",
    );
    let process = resident(near);
    let mut conntrack = asking(router, &[0]);
    let cases = [("10.77.1.1", "10.96.0.1:80", "10.77.2.1:7000"), ("[fd77:1::1]", "[fd96::1]:80", "[fd77:2::1]:7000")];
    for (client, dialled, real) in cases {
        let [client, dialled] = [format!("{client}:{PORT}"), dialled.into()].map(|text| address(&text));
        let _listener = far.within(|| TcpListener::bind(real).expect("listen"));
        let _connection = dial(near, client, dialled);
        let asked = question(near, &process, client, dialled);
        wait_until(PATIENCE, "the first packet to be routed", || backend(&mut conntrack, asked) == Some(address(real)));
        // A client in the initial namespace itself is looked up there, once.
        let there = Question { pid: std::process::id(), netns: router.inode(), ..asked };
        assert_eq!(backend(&mut conntrack, there), Some(address(real)));
        // Its process has ended: the initial namespace still tracks the connection.
        let gone = Question { pid: u32::MAX >> 1, netns: 1, ..asked };
        assert_eq!(backend(&mut conntrack, gone), Some(address(real)));
    }
    let counts = conntrack.counts();
    assert_eq!((counts.namespaces_gone, counts.unanswered), (2, 0));
    assert_eq!(conntrack.obstacle(), None);
}

/// The client's namespace translates to an address that the initial one translates on.
#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn twice_on_the_way() {
    let _lab = lab();
    let [near, router, far] = &Netns::row();
    near.nft("table ip t { chain c { type nat hook output priority -100; ip daddr 10.96.0.2 dnat to 10.96.0.1; }; }");
    near.nft(
        "table ip u { chain c { type nat hook postrouting priority 100; meta l4proto tcp masquerade to :50000; }; }",
    );
    router.nft(
        "table ip t { chain c { type nat hook prerouting priority -100; ip daddr 10.96.0.1 dnat to 10.77.2.1; }; }",
    );
    let _listener = far.within(|| TcpListener::bind("10.77.2.1:7000").expect("listen"));
    let process = resident(near);
    let mut conntrack = asking(router, &[0]);
    let [client, dialled] = [address(&format!("10.77.1.1:{PORT}")), address("10.96.0.2:7000")];
    let _connection = dial(near, client, dialled);
    wait_until(PATIENCE, "both translations", || {
        backend(&mut conntrack, question(near, &process, client, dialled)) == Some(address("10.77.2.1:7000"))
    });
}

/// The back end does not answer: the connect hangs, and the edge is named all the same.
#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn a_backend_that_is_silent() {
    let _lab = lab();
    let (near, far) = &Netns::pair();
    far.filter("input", &["tcp dport 7000 drop"]);
    let (_process, _connection, asked) = dial_translated(near);
    assert_eq!(backend(&mut asking(far, &[0]), asked), Some(address("10.77.0.2:7000")));
}

#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn what_is_not_translated() {
    let _lab = lab();
    let (near, far) = &Netns::pair();
    // A rule for another address turns on tracking.
    near.nft(BY_THE_CLIENT);
    let _listener = far.within(|| TcpListener::bind("10.77.0.2:7000").expect("listen"));
    let process = resident(near);
    let mut conntrack = asking(far, &[0]);
    let [client, dialled] = [address(&format!("10.77.0.1:{PORT}")), address("10.77.0.2:7000")];
    let _connection = dial(near, client, dialled);
    assert_eq!(backend(&mut conntrack, question(near, &process, client, dialled)), None);
    let other_families = question(near, &process, client, address("[fd77::2]:7000"));
    assert_eq!(backend(&mut conntrack, other_families), None);
    assert_eq!(conntrack.counts(), Counts { asked: 2, untranslated: 1, untracked: 1, ..Counts::default() });
}

#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn in_a_zone() {
    let _lab = lab();
    let (near, far) = &Netns::pair();
    near.nft("table ip z { chain c { type filter hook output priority raw; ct zone set 7; }; }");
    let (_process, _connection, asked) = dial_translated(near);
    assert_eq!(backend(&mut asking(far, &[0]), asked), None);
    assert_eq!(backend(&mut asking(far, &[0, 7]), asked), Some(address("10.77.0.2:7000")));
}

/// More namespaces than sockets are kept, each with the same addresses and another back end.
#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn the_same_addresses_in_forty_namespaces() {
    let _lab = lab();
    let [client, dialled] = [address(&format!("127.0.0.1:{PORT}")), address("127.0.0.2:9000")];
    let elsewhere = Netns::new();
    let mut conntrack = asking(&elsewhere, &[0]);
    let mut held = Vec::new();
    let mut questions = Vec::new();
    for slot in 0..40 {
        let netns = Netns::new();
        netns.nft(&format!(
            "table ip t {{ chain c {{ type nat hook output priority -100; \
             tcp dport 9000 dnat to 127.0.0.1:{}; }}; }}",
            7000 + slot
        ));
        // A refused connection is not tracked any more.
        let listener = netns.within(|| TcpListener::bind(("127.0.0.1", 7000 + slot as u16)).expect("listen"));
        let (process, connection) = (resident(&netns), dial(&netns, client, dialled));
        questions.push(Question { slot, ..question(&netns, &process, client, dialled) });
        held.push((process, listener, connection, netns));
    }
    for _ in 0..3 {
        for answer in ask(&mut conntrack, &questions) {
            assert_eq!(answer.backend, Some(address(&format!("127.0.0.1:{}", 7000 + answer.slot))));
        }
    }
}

/// A namespace ends with its last process: weir does not keep it alive.
#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn no_namespace_is_kept_alive() {
    let _lab = lab();
    let (near, far) = Netns::pair();
    let process = resident(&near);
    let mut conntrack = asking(&far, &[0]);
    let [client, dialled] = [address(&format!("10.77.0.1:{PORT}")), address("10.77.0.2:7000")];
    assert_eq!(backend(&mut conntrack, question(&near, &process, client, dialled)), None);
    assert_eq!(conntrack.counts().untracked, 1);
    drop(process);
    drop(near);
    // One end of a veth pair is removed with the other.
    wait_until(PATIENCE, "the namespace to be gone", || !far.run("ip", &["link"]).contains("eth0"));
}

/// Asks in a thread that lacks a capability: threads inherit the capabilities of the one that starts them.
fn obstacle_without(capability: CapabilitySet, netns: &Netns, asked: Question) -> (Option<Obstacle>, Counts) {
    let ask_without = || {
        let mut sets = capabilities(None).expect("the capabilities of this thread");
        sets.effective -= capability;
        sets.permitted -= capability;
        set_capabilities(None, sets).expect("give up a capability");
        let mut conntrack = asking(netns, &[0]);
        assert_eq!(backend(&mut conntrack, asked), None);
        (conntrack.obstacle(), conntrack.counts())
    };
    thread::scope(|scope| scope.spawn(ask_without).join().expect("a thread without the capability"))
}

#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn what_is_not_allowed_is_said() {
    let _lab = lab();
    let (near, far) = &Netns::pair();
    let (_process, _connection, asked) = dial_translated(near);
    let unanswered = Counts { asked: 1, unanswered: 1, ..Counts::default() };
    let may_not_ask = obstacle_without(CapabilitySet::NET_ADMIN, far, asked);
    assert_eq!(may_not_ask, (Some(Obstacle::MayNotAsk), unanswered));
    let may_not_enter = obstacle_without(CapabilitySet::SYS_ADMIN, far, asked);
    assert_eq!(may_not_enter, (Some(Obstacle::MayNotEnter), unanswered));
}

/// The cost of a question, with 10,000 connections tracked.
#[test]
#[ignore = "makes network namespaces, which needs root: cargo xtask test runs it"]
fn ten_thousand_questions() {
    const QUESTIONS: u16 = 10_000;
    let _lab = lab();
    let (near, far) = &Netns::pair();
    near.nft(BY_THE_CLIENT);
    let _listener = far.within(|| TcpListener::bind("10.77.0.2:7000").expect("listen"));
    let process = resident(near);
    let mut conntrack = asking(far, &[0]);
    let dialled = address("10.77.0.99:9000");
    let clients: Vec<SocketAddr> = (0..QUESTIONS).map(|n| (([10, 77, 0, 1]), 20_000 + n).into()).collect();
    // Closed at once: tracking keeps closed connections for a while.
    clients.iter().for_each(|client| drop(dial(near, *client, dialled)));
    let questions: Vec<Question> = clients.iter().map(|client| question(near, &process, *client, dialled)).collect();

    let start = Instant::now();
    let mut translated = 0;
    for batch in questions.chunks(1000) {
        let answers = ask(&mut conntrack, batch);
        translated += answers.iter().filter(|answer| answer.backend == Some(address("10.77.0.2:7000"))).count();
    }
    let took = start.elapsed();
    assert_eq!(translated, usize::from(QUESTIONS));
    assert_eq!((conntrack.counts().dropped, conntrack.obstacle()), (0, None));
    println!("{QUESTIONS} questions, two namespaces each: {:.1} µs a question", took.as_secs_f64() * 1e6 / 1e4);
    assert!(took < Duration::from_secs(5), "{took:?}");
}
