//! A server that no longer reads what its client writes.

use std::time::Duration;

use weir_tests::{
    Weir,
    incidents::{DETECTED_WITHIN_S, assert_replays, assert_timely, events_at, for_a_while, text, unix_s},
    lab,
};

/// Requests are answered; then the server stands still while the client writes more than all buffers hold.
#[test]
fn a_server_that_stops_reading() {
    let lab = lab!("not-reading");
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let server = lab.serve("echo", any);
        let mut client = lab.client(&any.replace(":0", &format!(":{}", server.port())));
        client.must("open 2", "opened 2");
        let file = lab.path("reading.weir");
        let file = file.to_str().expect("a path in UTF-8");
        let weir = Weir::start_as(&["signals", "-o", "jsonl", "--learn", "5s", "--record", file]);
        for_a_while(Duration::from_secs(16), || client.must("rounds 2 10000", "done"));
        let fault_s = unix_s();
        server.signal(libc::SIGSTOP);
        client.tell("write 33554432");
        for_a_while(Duration::from_secs(16), || ());
        let printed = weir.finish_raw();
        server.signal(libc::SIGCONT);
        let events = events_at(&printed, "peer_not_reading", &format!("not-reading:{}", server.port()));
        let raised = events.first().unwrap_or_else(|| panic!("no incident: {printed}"));
        assert_timely(raised, fault_s, DETECTED_WITHIN_S);
        assert_eq!((text(raised, "severity"), text(raised, "class")), ("warn", "server does not read"));
        assert!(text(raised, "where").contains(&format!("(pid {})", server.pid())), "{raised}");
        assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
        assert_replays(file, &printed, &["--learn", "5s"]);
    }
}
