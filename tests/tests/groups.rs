//! Services as the user cuts them: `--group` and `--group-file`.

use std::fs;

use weir_tests::{Document, Netns, Traffic, Weir, lab};

fn groups(document: &Document) -> Vec<(String, u64)> {
    let groups = document.value()["groups"].as_array().expect("a list");
    let one = |group: &serde_json::Value| {
        (group["name"].as_str().expect("a name").into(), group["ends"].as_u64().expect("a number"))
    };
    groups.iter().map(one).collect()
}

/// Two servers behind two addresses, both called by one client: one service each, and one where a rule says so.
///
/// Alone: its rules name addresses that other tests have, too.
#[test]
fn a_rule_makes_a_service() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    far.ip("address add 10.77.0.3/24 dev eth0");
    let at = ["10.77.0.2:7001", "10.77.0.3:7001"];
    let servers = at.map(|address| lab.serve_in(&far, "echo", address));
    let mut client = lab.client_in(&near, at[0]);
    let rules = lab.path("rules");
    fs::write(&rules, "# The far side, however many there are.\nstock = kind:executable, address:10.77.0.0/24\n")
        .expect("write the rules");
    let rules = rules.to_str().expect("a path in UTF-8");
    let by_network = ["--group", "till=address:10.77.0.1", "--group", "absent=name:no-such-*", "--group-file", rules];
    let weir = Weir::start_by_service(&by_network);
    for address in at {
        client.must(&format!("to {address}"), "done");
        client.must("open 2", "opened 2");
    }
    client.must("rounds 5 1", "done");
    let document = weir.finish();
    let edge = document.only("of the group", |edge| edge.text("client", "name") == "till");
    assert_eq!((edge.text("server", "name"), edge.text("server", "kind")), ("stock", "group"));
    assert_eq!(edge.text("client", "kind"), "group");
    assert_eq!(edge.count("rounds"), 20, "both servers' in one edge");
    edge.assert_connects(&[("ok", 4)]);
    let mut pids = servers.each_ref().map(Traffic::pid);
    pids.sort_unstable();
    assert_eq!(edge.server_pids(), pids);
    assert_eq!(groups(&document), [("till".into(), 2), ("absent".into(), 0), ("stock".into(), 2)]);
}
