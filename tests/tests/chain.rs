//! A chain of real servers: load, nginx, an application, PostgreSQL and Redis, and a provider outside that the
//! application finds by DNS. Every edge, by the names that people say, and no other.
//!
//! Alone: by service, its edges are one with those of the same servers in other tests.

use weir_tests::{
    Document, Edge, Weir, lab,
    shop::{APPLICATION, PROVIDER, PROVIDER_ADDRESS, PROVIDER_PORT, Shop, texts},
};

const REQUESTS: u64 = 50;

/// The edges, with nginx dialling this port for the application.
fn expected(application_port: u16) -> Vec<String> {
    let mut calls = vec![
        "curl -> nginx:80".to_owned(),
        format!("nginx -> shop.py:{application_port}"),
        "shop.py -> postgres:5432".to_owned(),
        "shop.py -> redis-server:6379".to_owned(),
        format!("shop.py -> {PROVIDER}:{PROVIDER_PORT}"),
    ];
    calls.sort();
    calls
}

fn call<'a>(shop: &Shop, document: &'a Document, client: &str, server: &str) -> Edge<'a> {
    let edges = shop.edges(document);
    let mut wanted = edges.iter().filter(|e| e.text("client", "name") == client && e.text("server", "name") == server);
    *wanted.next().unwrap_or_else(|| panic!("no edge from {client} to {server}"))
}

/// What each edge carried, which the traffic determines.
fn assert_amounts(shop: &Shop, document: &Document) {
    let amounts = [
        ("curl", "nginx", 1, REQUESTS),
        // nginx opens a connection for each request.
        ("nginx", "shop.py", REQUESTS, REQUESTS),
        // Logging in is a round.
        ("shop.py", "postgres", 1, REQUESTS + 1),
        ("shop.py", "redis-server", 1, REQUESTS),
        ("shop.py", PROVIDER, REQUESTS, REQUESTS),
    ];
    for (client, server, connects, rounds) in amounts {
        let edge = call(shop, document, client, server);
        edge.assert_connects(&[("ok", connects)]);
        assert_eq!(edge.count("rounds"), rounds, "rounds of {edge}");
        if server == PROVIDER {
            assert!(edge.view("server").is_none(), "the provider is not on this host: {edge}");
        } else {
            assert_eq!(edge.seen_by("server").count("rounds"), rounds, "rounds at the server of {edge}");
        }
    }
}

/// The provider is known by the name that was asked for, not by the one that the alias stands for.
fn assert_provider(shop: &Shop, document: &Document) {
    let edge = call(shop, document, "shop.py", PROVIDER);
    assert_eq!(edge.text("server", "kind"), "dns_name");
    assert_eq!((edge.text("server", "dns_name"), edge.text("server", "address")), (PROVIDER, PROVIDER_ADDRESS));
    assert!(edge.value()["server"]["unknown_reason"].is_null(), "{edge}");
}

#[test]
fn every_edge_with_both_names() {
    let lab = lab!();
    let shop = Shop::open(&lab, APPLICATION);
    let weir = Weir::start_by_service(&[]);
    shop.visit(REQUESTS as u32);
    let document = weir.finish();
    assert_eq!(shop.calls(&document), expected(8000));
    assert_amounts(&shop, &document);
    assert_provider(&shop, &document);
    let edge = call(&shop, &document, "nginx", "shop.py");
    assert!(edge.server_pids().contains(&shop.application_pid()), "{edge}");
    assert_eq!(texts(&edge.value()["server"]["backend_addresses"]), [""; 0], "nothing is translated");
    document.assert_lossless();
}

/// nginx dials an address that no host has, as a ClusterIP is; the edge names who answers, and keeps what was dialled.
#[test]
fn with_a_virtual_address_between() {
    let lab = lab!();
    let shop = Shop::open(&lab, "10.96.0.20:80");
    shop.router.nft(&format!(
        "table ip t {{ chain c {{ type nat hook prerouting priority -100; \
         ip daddr 10.96.0.20 tcp dport 80 dnat to {APPLICATION}; }}; }}"
    ));
    let weir = Weir::start_by_service(&[]);
    shop.visit(REQUESTS as u32);
    let document = weir.finish();
    assert_eq!(shop.calls(&document), expected(80));
    assert_amounts(&shop, &document);
    assert_provider(&shop, &document);
    let edge = call(&shop, &document, "nginx", "shop.py");
    assert_eq!((edge.text("server", "address"), edge.port()), ("10.96.0.20", Some(80)), "what was dialled");
    assert!(edge.server_pids().contains(&shop.application_pid()), "{edge}");
    document.assert_lossless();
}

/// The same call again and again is one edge, also while other services come and go.
#[test]
fn no_duplicates_over_time() {
    let lab = lab!();
    let shop = Shop::open(&lab, APPLICATION);
    let weir = Weir::start_by_service(&[]);
    for _ in 0..4 {
        // A process of its own each time.
        shop.visit(5);
    }
    let document = weir.finish();
    assert_eq!(shop.calls(&document), expected(8000));
    call(&shop, &document, "curl", "nginx").assert_connects(&[("ok", 4)]);
    document.assert_lossless();
}
