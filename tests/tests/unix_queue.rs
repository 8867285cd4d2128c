//! A UNIX socket whose queue is full.

use std::{path::Path, time::Duration};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use weir_tests::{
    Weir,
    incidents::{DETECTED_WITHIN_S, assert_replays, assert_timely, events_of, for_a_while, text, unix_s},
    lab,
};

/// A server that accepts nothing, and more callers than its queue holds.
#[test]
fn a_unix_socket_without_accepts() {
    let lab = lab!();
    let path = lab.path("full.sock");
    let address = SocketAddrUnix::new(Path::new(&path)).expect("a short path");
    let socket = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket")
    };
    let server = socket();
    bind(&server, &address).expect("bind");
    listen(&server, 3).expect("listen");
    let file = lab.path("unix.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--record", file]);
    // Two wait, and the queue holds two more.
    let mut callers: Vec<_> = (0..2).map(|_| socket()).collect();
    callers.iter().for_each(|caller| connect(caller, &address).expect("a place in the queue"));
    for_a_while(Duration::from_secs(7), || ());
    let fault_s = unix_s();
    callers.extend((0..2).map(|_| socket()));
    callers[2..].iter().for_each(|caller| connect(caller, &address).expect("a place in the queue"));
    assert_eq!(connect(socket(), &address), Err(rustix::io::Errno::AGAIN), "the queue is full");
    for_a_while(Duration::from_secs(16), || ());
    let printed = weir.finish_raw();
    let events = events_of(&printed, "unix_queue");
    let raised = events.first().unwrap_or_else(|| panic!("no incident: {printed}"));
    assert_timely(raised, fault_s, DETECTED_WITHIN_S);
    assert_eq!(text(raised, "severity"), "warn");
    assert!(text(raised, "where").contains(&format!("(pid {})", std::process::id())), "{raised}");
    assert!(text(raised, "what").starts_with("4 connections wait"), "{raised}");
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
    assert_replays(file, &printed, &[]);
}
