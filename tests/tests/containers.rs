//! Real containers: the names and images that their edges have.

use std::{collections::BTreeMap, time::Duration};

use weir_tests::{
    Document, Edge, Netns, Weir,
    container::{self, Image},
    lab, process,
};

/// With ports of this file's own: tests beside it have the same addresses, in other namespaces.
const SERVED_AT: &str = "10.77.0.2";

/// Asserts that this end is a container of this name.
fn assert_container(edge: &Edge<'_>, end: &str, name: &str, image: &str) {
    let found = ["kind", "name", "container", "image"].map(|field| edge.text(end, field));
    assert_eq!(found, ["container", name, name, image], "the {end} of {edge}");
}

fn services(document: &Document, image: &str) -> Vec<(String, String)> {
    let of_image = document.edges_where(|edge| edge.text("server", "image") == image);
    let names = |edge: &Edge<'_>| (edge.text("client", "name").into(), edge.text("server", "name").into());
    let mut names = of_image.iter().map(names).collect::<Vec<_>>();
    names.sort_unstable();
    names
}

/// All four run the same executable. One of each was there before weir, the other comes later.
#[test]
fn containers_of_one_executable_are_services_of_their_own() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    let image = Image::import(&lab);
    let [shop, cart, stock, price] = ["shop", "cart", "stock", "price"].map(container::name);
    let at = |port: u16| format!("{SERVED_AT}:{port}");
    let serve = |name: &str, port| image.run(name, &far, &["serve", "echo", &at(port)]);
    let call = |name: &str, port| image.run(name, &near, &["client", &at(port)]);

    let (_stock, mut shop_runs) = (serve(&stock, 7301), call(&shop, 7301));
    let weir = Weir::start_by_service(&[]);
    let (_price, mut cart_runs) = (serve(&price, 7302), call(&cart, 7302));
    for client in [&mut shop_runs, &mut cart_runs] {
        client.must("open 3", "opened 3");
        client.must("rounds 5 1", "done");
    }
    let document = weir.finish();
    let mut expected = vec![(shop.clone(), stock.clone()), (cart.clone(), price.clone())];
    expected.sort_unstable();
    assert_eq!(services(&document, image.name()), expected);
    for (client, server) in [(&shop, &stock), (&cart, &price)] {
        let edge = document.only("of this container", |edge| edge.text("client", "name") == client);
        assert_container(&edge, "client", client, image.name());
        assert_container(&edge, "server", server, image.name());
        assert_eq!(edge.count("rounds"), 15, "of {edge}");
    }
}

/// `--rm`, one connection, and gone with its files.
#[test]
fn a_container_that_is_gone_keeps_its_name() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    let image = Image::import(&lab);
    let _server = lab.serve_in(&far, "echo", &format!("{SERVED_AT}:7301"));
    let weir = lab.weir(&[]);
    let names = (0..5).map(|at| container::name(&format!("job{at}"))).collect::<Vec<_>>();
    for name in &names {
        process::succeed(&mut image.command(name, &near, &["short", &format!("{SERVED_AT}:7301"), "1"]));
    }
    let document = weir.finish();
    for name in &names {
        let edge = document.only("of this container", |edge| edge.text("client", "container") == name);
        assert_container(&edge, "client", name, image.name());
        edge.assert_connects(&[("ok", 1)]);
    }
}

/// Restarted a thousand times with the same address and another name: each connection is its own container's. Each lives
/// for 50 ms and is removed a second later, as a container's supervisor does.
///
/// Alone: containers that live 50 ms are named only by a weir that gets a processor in time.
#[test]
fn a_reused_address_never_inherits_a_name() {
    const RESTARTS: usize = 1000;
    /// A second of restarts.
    const KEPT: usize = 10;
    let lab = lab!();
    let (near, far) = Netns::pair();
    let image = Image::import(&lab);
    let _server = lab.serve_in(&far, "echo", &format!("{SERVED_AT}:7301"));
    let bundle = image.bundle(&near, &["short", &format!("{SERVED_AT}:7301"), "1"]);
    // By service, where edges stay when their processes have long ended.
    let weir = Weir::start_by_service(&[]);
    let names = (0..RESTARTS).map(|at| container::name(&format!("restart{at}"))).collect::<Vec<_>>();
    for (at, name) in names.iter().enumerate() {
        let output = process::output(&mut bundle.command(name), Duration::from_secs(60));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        if at >= KEPT {
            bundle.remove(&names[at - KEPT]);
        }
    }
    let document = weir.finish();
    let found = document.edges_where(|edge| edge.port() == Some(7301) && edge.text("server", "address") == SERVED_AT);
    let by_name = found.iter().map(|edge| (edge.text("client", "name"), *edge)).collect::<BTreeMap<_, _>>();
    for name in &names {
        let edge = by_name.get(name.as_str()).unwrap_or_else(|| panic!("no edge of {name} among {}", found.len()));
        assert_eq!((edge.text("client", "kind"), edge.text("client", "container")), ("container", name.as_str()));
        edge.assert_connects(&[("ok", 1)]);
    }
    assert_eq!(found.len(), RESTARTS, "and no other process's");
}
