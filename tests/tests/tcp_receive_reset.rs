//! Resets received, by connections that were open.

use weir_tests::{lab, lab::free_port};

#[test]
fn a_server_that_resets_instead_of_answering() {
    let lab = lab!();
    let server = lab.serve("abort", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 8", "opened 8");
    client.must("write 1", "done");
    client.must("ends", "ended 0 104:8");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    let (called, served) = (edge.seen_by("client"), edge.seen_by("server"));
    assert_eq!((called.count("resets_received"), called.count("resets_sent")), (8, 0));
    assert_eq!((served.count("resets_received"), served.count("resets_sent")), (0, 8));
    assert_eq!(edge.count("resets"), 8, "each reset once");
    // The requests were never answered: broken by the far end, as the caller sees it.
    assert_eq!((edge.count("rounds"), edge.count("broken"), edge.count("abandoned")), (0, 8, 0));
    assert_eq!((served.count("rounds"), served.count("broken"), served.count("abandoned")), (0, 0, 8));
    assert_eq!((edge.count("open_connections"), edge.count("in_flight")), (0, 0));
    document.assert_lossless();
}

/// The reset that answers a SYN is the connect's outcome.
#[test]
fn a_refusal_is_no_reset() {
    let lab = lab!();
    let port = free_port();
    let mut client = lab.client(&format!("127.0.0.1:{port}"));
    let weir = lab.weir(&[]);
    client.must("open 5", "opened 0 111:5");
    let document = weir.finish();
    let edge = document.edge(client.pid(), port);
    assert_eq!(edge.count("resets"), 0);
    edge.assert_connects(&[("refused", 5)]);
}
