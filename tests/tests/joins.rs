//! Which two ends are one connection: through address translation, among namespaces with the same addresses, and not
//! where the far end is elsewhere.

use std::time::Duration;

use weir_tests::{Edge, Netns, lab, machine::patient};

/// Every test here makes two rounds on each of three connections.
const CONNECTIONS: u64 = 3;
const ROUNDS: u64 = 6;

fn assert_joined(edge: &Edge<'_>, server_pid: u32) {
    assert_eq!(edge.server_pids(), [server_pid], "of {edge}");
    edge.assert_connects(&[("ok", CONNECTIONS)]);
    edge.seen_by("server").assert_connects(&[("ok", CONNECTIONS)]);
    assert_eq!((edge.count("rounds"), edge.seen_by("server").count("rounds")), (ROUNDS, ROUNDS));
}

/// The client dials the router, which sends it on to another address and port, under its own address.
#[test]
fn through_address_translation_both_ways() {
    let lab = lab!();
    let [near, router, far] = &Netns::row();
    router.nft(
        "table ip t {\n\
         chain to { type nat hook prerouting priority -100; tcp dport 9000 dnat to 10.77.2.1:7000; }\n\
         chain from { type nat hook postrouting priority 100; masquerade; }\n}",
    );
    let server = lab.serve_in(far, "echo", "10.77.2.1:7000");
    let mut client = lab.client_in(near, "10.77.1.254:9000");
    let weir = lab.weir(&[]);
    client.must("open 3", "opened 3");
    client.must("rounds 2 10", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), 9000);
    assert_joined(&edge, server.pid());
    assert_eq!(edge.text("server", "address"), "10.77.1.254", "the address that was dialled");
    let ours = document.edges_where(|edge| edge.server_pids().contains(&server.pid()));
    assert_eq!(ours.len(), 1, "the server's end is in the client's edge");
    document.assert_lossless();
}

/// Connections that were there before weir are joined by what their sockets know, too.
#[test]
fn old_connections_through_address_translation() {
    let lab = lab!();
    let [near, router, far] = &Netns::row();
    router.nft(
        "table ip t {\n\
         chain to { type nat hook prerouting priority -100; tcp dport 9000 dnat to 10.77.2.1:7000; }\n}",
    );
    let server = lab.serve_in(far, "echo", "10.77.2.1:7000");
    let mut client = lab.client_in(near, "10.77.1.254:9000");
    client.must("open 3", "opened 3");
    client.must("rounds 4 1000", "done");
    let weir = lab.weir(&[]);
    client.must("rounds 2 10", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), 9000);
    assert_eq!(edge.server_pids(), [server.pid()]);
    assert_eq!((edge.count("rounds"), edge.seen_by("server").count("rounds")), (ROUNDS, ROUNDS));
    assert!(edge.is("partial"));
    document.assert_lossless();
}

/// Two pairs of namespaces with the same addresses and ports.
#[test]
fn the_same_addresses_twice() {
    let lab = lab!();
    let pairs = [Netns::pair(), Netns::pair()];
    let servers = pairs.each_ref().map(|(_, far)| lab.serve_in(far, "echo", "10.77.0.2:7000"));
    let mut clients = pairs.each_ref().map(|(near, _)| lab.client_in(near, "10.77.0.2:7000"));
    let weir = lab.weir(&[]);
    for client in &mut clients {
        client.must("open 3", "opened 3");
        client.must("rounds 2 10", "done");
    }
    let document = weir.finish();
    for (client, server) in clients.iter().zip(&servers) {
        assert_joined(&document.edge(client.pid(), 7000), server.pid());
    }
    document.assert_lossless();
}

/// The two connections have all four numbers in common, and every process has a name of its own.
#[test]
fn the_same_four_numbers_twice() {
    let lab = lab!();
    let pairs = [Netns::pair(), Netns::pair()];
    let names = [["ant", "anthill"], ["bee", "beehive"]];
    let serve = ["serve", "echo", "10.77.0.2:7000"];
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for ((near, far), [client, server]) in pairs.iter().zip(names) {
        // One port for clients, so it is the same in both.
        near.set("net.ipv4.ip_local_port_range", "40000 40000");
        servers.push(lab.traffic_as(server, far, &serve));
        clients.push(lab.traffic_as(client, near, &["client", "10.77.0.2:7000"]));
    }
    let weir = lab.weir(&[]);
    clients.iter_mut().for_each(|client| client.must("open 1", "opened 1"));
    for (client, rounds) in clients.iter_mut().zip([3, 5]) {
        client.must(&format!("rounds {rounds} 10"), "done");
    }
    let local = |(near, _): &(Netns, Netns)| near.run("ss", &["-Htn", "state", "established"]).contains(":40000 ");
    assert!(pairs.iter().all(local), "both connections are from port 40000");
    let document = weir.finish();
    for (([client_name, server_name], (client, server)), rounds) in
        names.iter().zip(clients.iter().zip(&servers)).zip([3, 5])
    {
        let edge = document.edge(client.pid(), 7000);
        assert_eq!((edge.text("client", "name"), edge.text("server", "name")), (*client_name, *server_name));
        assert_eq!(edge.server_pids(), [server.pid()]);
        edge.assert_connects(&[("ok", 1)]);
        assert_eq!((edge.count("rounds"), edge.seen_by("server").count("rounds")), (rounds, rounds));
    }
    let ours = document.edges_where(|edge| edge.text("server", "address") == "10.77.0.2" && edge.port() == Some(7000));
    assert_eq!(ours.len(), 2, "two connections, two edges");
    document.assert_lossless();
}

/// A router that answers handshakes itself gives each end another sequence: to weir, each has its peer elsewhere, as
/// hosts have that are truly apart.
///
/// Alone: asserts a time to 20 ms.
#[test]
fn a_client_elsewhere() {
    let lab = lab!();
    let [near, router, far] = &Netns::row();
    router.set("net.netfilter.nf_conntrack_tcp_loose", "0");
    router.nft(
        "table ip t {\n\
         chain raw { type filter hook prerouting priority -300; tcp dport 7000 tcp flags syn notrack; }\n\
         chain forward { type filter hook forward priority 0;\n\
         tcp dport 7000 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm;\n\
         ct state invalid drop; }\n}",
    );
    let server = lab.serve_in(far, "slow 0 40", "10.77.2.1:7000");
    let mut client = lab.client_in(near, "10.77.2.1:7000");
    let weir = lab.weir(&[]);
    client.must("open 3", "opened 3");
    for _ in 0..2 {
        client.must("write 50", "done");
        client.must("read 1", "done");
    }
    let document = weir.finish();

    let called = document.edge(client.pid(), 7000);
    called.assert_connects(&[("ok", CONNECTIONS)]);
    assert_eq!((called.server_pid(), called.server_pids()), (None, Vec::new()));
    assert!(called.view("server").is_none() && called.spread("service_s").is_none());
    assert_eq!((called.count("rounds"), called.count("bytes_sent"), called.count("bytes_received")), (ROUNDS, 300, 6));

    let served = document.only("of the server alone", |edge| edge.server_pids() == [server.pid()]);
    assert_eq!((served.client_pid(), served.text("client", "address")), (None, "10.77.1.1"));
    assert_eq!((served.text("server", "address"), served.port()), ("10.77.2.1", Some(7000)));
    served.assert_connects(&[("ok", CONNECTIONS)]);
    assert_eq!((served.count("rounds"), served.count("open_connections")), (ROUNDS, CONNECTIONS));
    assert_eq!((served.count("bytes_sent"), served.count("bytes_received")), (300, 6), "client to server, and back");
    let service = served.observed("service_s").mean;
    let late = patient(Duration::from_millis(20)).as_secs_f64();
    assert!((0.0395..0.04 + late).contains(&service), "{service} s where 40 ms were slept");
    assert!(served.spread("latency_s").is_none(), "the client's wait is not to be seen from here");
    document.assert_lossless();
}
