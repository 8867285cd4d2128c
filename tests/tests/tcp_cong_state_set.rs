//! A retransmission timer that expires shows what was retransmitted before it.

use std::time::Duration;

use weir_tests::{Netns, lab, wait_until};

/// Without `tcp_retransmit_skb` each expiry shows the retransmissions before it.
#[test]
fn an_open_connection_shows_its_loss_without_the_better_probe() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let seen = |refuse: &[&str], client: &mut weir_tests::Traffic| {
        let before = near.tcp("RetransSegs");
        let weir = lab.weir(refuse);
        client.must("open 1", "opened 1");
        client.must("rounds 3 1", "done");
        far.filter("input", &["meta l4proto tcp drop"]);
        client.must("write 1", "done");
        wait_until(Duration::from_secs(20), "three retransmissions", || near.tcp("RetransSegs") >= before + 3);
        // The connection is still open, and in loss.
        let document = weir.finish();
        let truth = near.tcp("RetransSegs") - before;
        let counted = document.edge(client.pid(), server.port()).seen_by("client").count("retransmitted_segments");
        far.filter("input", &["accept"]);
        client.must("read 1", "done");
        client.must("close", "done");
        (counted, truth)
    };
    let (neither, _) =
        seen(&["--refuse-probe", "tcp_retransmit_skb", "--refuse-probe", "tcp_cong_state_set"], &mut client);
    let (timers, truth) = seen(&["--refuse-probe", "tcp_retransmit_skb"], &mut client);
    // The state is set before the segment is retransmitted.
    assert_eq!((neither, timers), (0, truth - 1), "retransmissions of an open connection");
}
