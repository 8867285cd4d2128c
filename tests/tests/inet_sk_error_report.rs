//! Errors of connections that were open, by cause.

use weir_tests::{Edge, Netns, lab};

fn errors(edge: &Edge<'_>, end: &str) -> Vec<(String, u64)> {
    let view = edge.seen_by(end).value()["errors"].as_object().expect("errors by cause");
    let counts = view.iter().map(|(cause, n)| (cause.clone(), n.as_u64().expect("a count")));
    counts.filter(|(_, n)| *n > 0).collect()
}

/// The far end falls silent, and the caller gives up after half a second.
#[test]
fn a_connection_that_times_out() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 2", "opened 2");
    client.must("rounds 1 1", "done");
    far.filter("input", &["meta l4proto tcp drop"]);
    client.must("patience 500", "done");
    client.must("write 1", "done");
    client.must("ends", &format!("ended 0 {}:2", libc::ETIMEDOUT));
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!(errors(&edge, "client"), [("timeout".to_owned(), 2)]);
    assert_eq!(errors(&edge, "server"), []);
    edge.assert_connects(&[("ok", 2)]);
    assert_eq!((edge.count("open_connections"), edge.count("rounds")), (0, 2));
    assert_eq!(edge.count("broken") + edge.count("abandoned"), 2, "two requests have no answer: {edge}");
    assert_eq!(edge.seen_by("server").count("open_connections"), 2, "the server knows of nothing");
}

#[test]
fn a_connection_that_is_reset() {
    let lab = lab!();
    let server = lab.serve("abort", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 4", "opened 4");
    client.must("write 1", "done");
    client.must("ends", "ended 0 104:4");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!(errors(&edge, "client"), [("reset".to_owned(), 4)]);
    assert_eq!(errors(&edge, "server"), []);
    document.assert_lossless();
}

/// A failed connect is counted by its outcome, not here.
#[test]
fn a_failed_connect_is_no_error_of_a_connection() {
    let lab = lab!();
    let port = weir_tests::lab::free_port();
    let mut client = lab.client(&format!("127.0.0.1:{port}"));
    let weir = lab.weir(&[]);
    client.must("open 3", "opened 0 111:3");
    let document = weir.finish();
    let edge = document.edge(client.pid(), port);
    assert_eq!(errors(&edge, "client"), []);
}
