//! Resets sent, by either end.

use weir_tests::lab;

#[test]
fn a_client_that_aborts() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 6", "opened 6");
    client.must("rounds 2 1", "done");
    client.must("abort", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    let (called, served) = (edge.seen_by("client"), edge.seen_by("server"));
    assert_eq!((called.count("resets_sent"), called.count("resets_received")), (6, 0));
    assert_eq!((served.count("resets_sent"), served.count("resets_received")), (0, 6));
    assert_eq!(edge.count("resets"), 6, "each reset once");
    assert_eq!((edge.count("rounds"), edge.count("broken"), edge.count("abandoned")), (12, 0, 0));
    assert_eq!(edge.count("open_connections"), 0);
    document.assert_lossless();
}

/// Closing with data unread resets: the far end must learn that its data was not taken.
#[test]
fn a_server_that_leaves_data_unread() {
    let lab = lab!();
    let server = lab.serve("unread", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 7", "opened 7");
    client.must("write 100", "done");
    client.must("ends", "ended 0 104:7");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!(edge.seen_by("client").count("resets_received"), 7);
    assert_eq!(edge.seen_by("server").count("resets_sent"), 7, "of {edge}");
    assert_eq!(edge.server_pids(), [server.pid()], "nothing was read or written, but the server closed");
    assert_eq!((edge.count("bytes_sent"), edge.seen_by("server").count("bytes_received")), (700, 0));
    assert_eq!((edge.count("rounds"), edge.count("broken")), (0, 7));
    document.assert_lossless();
}
