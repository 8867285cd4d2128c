//! Where a connection really goes, behind an address that is translated, when the far end is on another host: then only
//! connection tracking knows.

use std::time::Duration;

use weir_tests::{
    Document, Netns, lab,
    shop::{outside, texts},
    weir::Weir,
};

#[test]
fn translated_where_the_client_is() {
    let lab = lab!();
    let [near, router, _] = &Netns::row();
    let _outside = outside(&lab, router);
    near.nft(
        "table ip t { chain c { type nat hook output priority -100; \
         ip daddr 10.96.0.30 tcp dport 80 dnat to 198.51.100.10:8080; }; }",
    );
    let mut client = lab.client_in(near, "10.96.0.30:80");
    let weir = lab.weir(&[]);
    client.must("open 3", "opened 3");
    let document = weir.finish();
    let edge = document.edge(client.pid(), 80);
    edge.assert_connects(&[("ok", 3)]);
    assert_eq!(edge.text("server", "address"), "10.96.0.30", "what was dialled");
    assert_eq!(texts(&edge.value()["server"]["backend_addresses"]), ["198.51.100.10:8080"]);
    document.assert_lossless();
}

/// Two backends, by turns, as a service has them.
#[test]
fn two_backends_of_one_address() {
    let lab = lab!();
    let [near, router, _] = &Netns::row();
    let _outside = outside(&lab, router);
    near.nft(
        "table ip t { chain c { type nat hook output priority -100; \
         ip daddr 10.96.0.30 tcp dport 80 dnat to numgen random mod 2 map { 0 : 198.51.100.10, 1 : 198.51.100.11 }; }; }",
    );
    let mut client = lab.client_in(near, "10.96.0.30:80");
    let weir = Weir::start_as(&["edges", "--instances", "--every", "1s", "-o", "jsonl"]);
    // The edge's newest connection is asked for at each tick in which it has one: eight times, so that one in 128 runs
    // would find the same backend each time.
    for _ in 0..40 {
        client.must("open 1", "opened 1");
        std::thread::sleep(Duration::from_millis(250));
    }
    let lines = weir.finish_raw();
    let documents: Vec<Document> = lines.lines().map(Document::parse).collect();
    let edges = documents.iter().flat_map(|document| {
        document.edges_where(|edge| edge.client_pid() == Some(client.pid()) && edge.port() == Some(80))
    });
    let edge = edges.last().expect("the edge in some window");
    let mut backends = texts(&edge.value()["server"]["backend_addresses"]);
    backends.sort_unstable();
    assert_eq!(backends, ["198.51.100.10:80", "198.51.100.11:80"]);
}

/// An address that is what it says has no other behind it.
#[test]
fn nothing_behind_a_plain_address() {
    let lab = lab!();
    let [near, router, _] = &Netns::row();
    let _outside = outside(&lab, router);
    // Everything is tracked where anything is translated.
    near.nft(
        "table ip t { chain c { type nat hook output priority -100; ip daddr 10.96.0.30 dnat to 198.51.100.9; }; }",
    );
    let mut client = lab.client_in(near, "198.51.100.10:8080");
    let weir = lab.weir(&[]);
    client.must("open 3", "opened 3");
    let document = weir.finish();
    let edge = document.edge(client.pid(), 8080);
    assert_eq!(texts(&edge.value()["server"]["backend_addresses"]), [""; 0]);
    document.assert_lossless();
}
