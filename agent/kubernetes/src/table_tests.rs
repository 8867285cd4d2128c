//! Names of containers and addresses, from objects.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    object::{EndpointSlice, Node, Pod, Service},
    table::Table,
    tenure::REMEMBERED_NS,
    watched::{Locality, WatchedObject},
};

const S: u64 = 1_000_000_000;
/// 2026-01-01T00:00:00Z
const NEW_YEAR: u64 = 1_767_225_600 * S;
const NOW: u64 = NEW_YEAR + 600 * S;

fn table() -> Table {
    Table::new(1000, Locality::new(Some("node-1".into()), String::new()))
}

fn uid(number: u32) -> String {
    format!("5f1d4c7a-7b6e-4c40-8b5e-{number:012x}")
}

fn enter<T: WatchedObject>(table: &mut Table, object: Value) {
    table.enter::<T>(&serde_json::from_value(object).expect("an object"), NOW);
}

/// A running pod on `node-1`, whose host is 10.0.0.1.
fn pod(number: u32, name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": uid(number)},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "app:1", "ports": null}]},
        "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "hostIP": "10.0.0.1", "podIP": ip,
            "containerStatuses": [{"name": "main", "image": "app@sha256:1", "containerID": format!("cri-o://{name}")}]},
    })
}

fn node(number: u32, name: &str, ip: &str) -> Value {
    json!({"metadata": {"name": name, "uid": uid(number)}, "status": {"addresses": [{"type": "InternalIP", "address": ip}]}})
}

fn name_at(table: &Table, address: &str, port: u16, at: u64) -> String {
    let ip: IpAddr = address.parse().expect("an address");
    table.address(ip, port, at).map_or_else(String::new, |identity| identity.name.to_string())
}

fn name(table: &Table, address: &str, port: u16) -> String {
    name_at(table, address, port, NOW)
}

#[test]
fn a_pod_has_addresses_of_both_families() {
    let mut table = table();
    let mut dual = pod(1, "web", "10.244.1.7");
    dual["status"]["podIPs"] = json!([{"ip": "10.244.1.7"}, {"ip": "fd00:10:244:1::7"}]);
    enter::<Pod>(&mut table, dual);
    assert_eq!(name(&table, "10.244.1.7", 80), "web");
    assert_eq!(name(&table, "fd00:10:244:1::7", 80), "web");
    assert_eq!(name_at(&table, "10.244.1.7", 80, NEW_YEAR - 60 * S), "", "before it began");
}

#[test]
fn a_pod_in_the_nodes_network_has_only_its_ports() {
    let mut table = table();
    enter::<Node>(&mut table, node(9, "node-1", "10.0.0.1"));
    for (number, app, port) in [(1, "exporter", 9100), (2, "proxy", 10256)] {
        let mut pod = pod(number, app, "10.0.0.1");
        pod["spec"]["hostNetwork"] = true.into();
        let other = json!({"containerPort": port + 1, "protocol": "UDP"});
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": port, "protocol": "TCP"}, other]);
        enter::<Pod>(&mut table, pod);
    }
    assert_eq!(name(&table, "10.0.0.1", 9100), "exporter");
    assert_eq!(name(&table, "10.0.0.1", 10256), "proxy");
    assert_eq!(name(&table, "10.0.0.1", 22), "node-1");
    assert_eq!(name(&table, "10.0.0.1", 9101), "node-1", "weir watches TCP");

    let mut rival = pod(3, "rival", "10.0.0.1");
    rival["spec"]["hostNetwork"] = true.into();
    rival["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9100}]);
    enter::<Pod>(&mut table, rival);
    assert_eq!(name(&table, "10.0.0.1", 9100), "node-1", "two claim it");
}

#[test]
fn a_host_port_is_the_pods() {
    let mut table = table();
    enter::<Node>(&mut table, node(9, "node-1", "10.0.0.1"));
    let mut web = pod(1, "web", "10.244.1.7");
    web["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": 80}]);
    enter::<Pod>(&mut table, web);
    assert_eq!(name(&table, "10.0.0.1", 80), "web");
    assert_eq!(name(&table, "10.0.0.1", 8080), "node-1");
}

#[test]
fn a_service_is_known_at_all_of_its_addresses() {
    let mut table = table();
    enter::<Node>(&mut table, node(9, "node-1", "10.0.0.1"));
    let service = |number: u32, name: &str, cluster: &str, external: &str| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": uid(number)},
            "spec": {"clusterIP": cluster, "clusterIPs": [cluster, "fd00:10:96::a"], "externalIPs": [external],
                "ports": [{"port": 443, "nodePort": 30000 + number}, {"port": 53, "protocol": "UDP"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"hostname": "lb.example.com"}]}},
        })
    };
    enter::<Service>(&mut table, service(1, "shop", "10.96.0.10", "198.51.100.9"));
    assert_eq!(name(&table, "10.96.0.10", 443), "shop");
    assert_eq!(name(&table, "10.96.0.10", 1), "shop", "a cluster address is the service's alone");
    assert_eq!(name(&table, "fd00:10:96::a", 443), "shop");
    assert_eq!(name(&table, "198.51.100.9", 443), "shop");
    assert_eq!(name(&table, "203.0.113.7", 443), "shop");
    assert_eq!(name(&table, "203.0.113.7", 53), "", "a load balancer's may be shared");
    assert_eq!(name(&table, "10.0.0.1", 30001), "shop");
    assert_eq!(name(&table, "10.0.0.1", 30002), "node-1");

    let headless = json!({"metadata": {"name": "db", "namespace": "shop", "uid": uid(2)},
        "spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": null}});
    enter::<Service>(&mut table, headless);
    assert_eq!(table.counts().services, 2);
}

#[test]
fn slices_name_what_is_no_pod() {
    let mut table = table();
    let slice = |number: u32, service: Value, address: &str, target: Value, port: Value| {
        json!({
            "metadata": {"name": "x", "namespace": "shop", "uid": uid(number),
                "labels": {"kubernetes.io/service-name": service}},
            "endpoints": [{"addresses": [address], "targetRef": target}], "ports": [{"port": port}],
        })
    };
    enter::<EndpointSlice>(&mut table, slice(1, json!("db"), "192.0.2.5", Value::Null, json!(5432)));
    enter::<EndpointSlice>(&mut table, slice(2, json!("db"), "192.0.2.5", Value::Null, json!(5432)));
    enter::<EndpointSlice>(&mut table, slice(3, json!("web"), "10.244.1.7", json!({"kind": "Pod"}), json!(80)));
    enter::<EndpointSlice>(&mut table, slice(4, json!("any"), "192.0.2.6", Value::Null, Value::Null));
    enter::<EndpointSlice>(&mut table, slice(5, Value::Null, "192.0.2.7", Value::Null, json!(80)));
    assert_eq!(name(&table, "192.0.2.5", 5432), "db", "two slices agree");
    assert_eq!(name(&table, "192.0.2.5", 5433), "");
    assert_eq!(name(&table, "10.244.1.7", 80), "", "the pod itself claims it");
    assert_eq!(name(&table, "192.0.2.6", 7), "any", "all ports");
    assert_eq!(name(&table, "192.0.2.7", 80), "");
    assert_eq!(table.counts().endpoint_slices, 3, "the others are not kept");
}

#[test]
fn a_finished_pods_address_is_free() {
    let mut table = table();
    let mut job = pod(1, "job", "10.244.1.7");
    enter::<Pod>(&mut table, job.clone());
    job["status"]["phase"] = "Succeeded".into();
    job["status"]["containerStatuses"][0]["state"] = json!({"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}});
    enter::<Pod>(&mut table, job.clone());
    let at = |table: &Table, second: u64| name_at(table, "10.244.1.7", 80, NEW_YEAR + second * S);
    assert_eq!(at(&table, 299), "job");
    assert_eq!(at(&table, 300), "");
    assert_eq!(table.local(Some(&uid(1)), None).expect("still known").name, "job".into());

    // The same from its final state alone, after a start of weir.
    let mut late = self::table();
    enter::<Pod>(&mut late, job);
    assert_eq!((at(&late, 299), at(&late, 300)), ("job".into(), String::new()));
}

#[test]
fn containers_are_known_before_and_after_a_restart() {
    let mut table = table();
    let mut web = pod(1, "web", "10.244.1.7");
    let status = &mut web["status"]["containerStatuses"][0];
    status["lastState"] = json!({"terminated": {"containerID": "cri-o://before"}});
    web["status"]["ephemeralContainerStatuses"] =
        json!([{"name": "debug", "image": "busybox", "containerID": "cri-o://debugging"}]);
    enter::<Pod>(&mut table, web);
    let container = |id: &str| {
        let identity = table.local(None, Some(id))?;
        Some((identity.container.clone()?.to_string(), identity.image.clone()?.to_string()))
    };
    let main = Some(("main".to_owned(), "app:1".to_owned()));
    assert_eq!((container("web"), container("before")), (main.clone(), main));
    assert_eq!(container("debugging"), Some(("debug".into(), "busybox".into())));
    assert_eq!(container("other"), None);
}

#[test]
fn a_static_pod_is_known_by_the_kubelets_uid() {
    let mut table = table();
    let mut etcd = pod(1, "etcd-node-1", "10.0.0.1");
    etcd["metadata"]["annotations"] = json!({"kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef"});
    etcd["metadata"]["ownerReferences"] = json!([{"kind": "Node", "name": "node-1", "controller": true}]);
    enter::<Pod>(&mut table, etcd);
    let found = table.local(Some("0123456789abcdef0123456789abcdef"), None).expect("by the hash");
    assert_eq!(&*found.name, "etcd");
    assert_eq!(table.local(Some(&uid(1).replace('-', "_")), None), Some(found), "as in a systemd slice");
    assert_eq!(table.local(Some("not a uid"), None), None);
}

#[test]
fn what_has_gone_is_forgotten_in_the_end() {
    let mut table = table();
    let remote = |number: u32, name: &str, ip: &str| {
        let mut remote = pod(number, name, ip);
        remote["spec"]["nodeName"] = "node-2".into();
        remote
    };
    enter::<Pod>(&mut table, pod(1, "near", "10.244.1.7"));
    enter::<Pod>(&mut table, remote(2, "far", "10.244.2.8"));
    enter::<Pod>(&mut table, pod(3, "stays", "10.244.1.9"));
    for gone in [pod(1, "near", "10.244.1.7"), remote(2, "far", "10.244.2.8")] {
        table.remove::<Pod>(&serde_json::from_value(gone).expect("a pod"), NOW);
    }
    table.forget(NOW + REMEMBERED_NS / 2);
    assert!(table.local(None, Some("near")).is_some());
    assert_eq!(name_at(&table, "10.244.2.8", 80, NOW - S), "far");
    table.forget(NOW + REMEMBERED_NS + S);
    assert_eq!(table.local(None, Some("near")), None);
    assert_eq!(table.local(Some(&uid(1)), None), None);
    assert_eq!(name_at(&table, "10.244.2.8", 80, NOW - S), "");
    assert_eq!((table.counts().pods, table.counts().containers), (1, 1));
}

#[test]
fn objects_missing_from_a_list_ended_at_the_last_update() {
    let mut table = table();
    let list = |table: &mut Table, pods: &[Value], last_update: u64| {
        table.list_begins(Pod::KIND);
        pods.iter().for_each(|pod| enter::<Pod>(table, pod.clone()));
        table.list_ends(Pod::KIND, last_update, NOW);
    };
    enter::<Service>(&mut table, json!({"metadata": {"name": "other", "uid": uid(7)}}));
    list(&mut table, &[pod(1, "old", "10.244.1.7"), pod(2, "stays", "10.244.1.8")], NOW);
    list(&mut table, &[pod(2, "stays", "10.244.1.8")], NEW_YEAR + 100 * S);
    let at = |second: u64| name_at(&table, "10.244.1.7", 80, NEW_YEAR + second * S);
    assert_eq!((at(99), at(100)), ("old".into(), String::new()));
    assert_eq!(name(&table, "10.244.1.8", 80), "stays");
    assert_eq!(table.counts().services, 1, "it was a list of pods");
}

#[test]
fn pods_are_not_trusted_for_long_without_updates_but_services_are() {
    let mut table = table();
    enter::<Pod>(&mut table, pod(1, "web", "10.244.1.7"));
    enter::<Service>(
        &mut table,
        json!({"metadata": {"name": "shop", "uid": uid(2)}, "spec": {"clusterIP": "10.96.0.10"}}),
    );
    table.set_watch_stale_since(Some(NOW));
    let late = NOW + 3600 * S;
    assert_eq!(name_at(&table, "10.244.1.7", 80, NOW + S), "web");
    assert_eq!(name_at(&table, "10.244.1.7", 80, late), "");
    assert_eq!(name_at(&table, "10.96.0.10", 80, late), "shop");
    assert!(table.local(None, Some("web")).is_some(), "a container's id is never reused");
    table.set_watch_stale_since(None);
    assert_eq!(name_at(&table, "10.244.1.7", 80, late), "web");
}

#[test]
fn more_than_the_limit_is_counted() {
    let mut table = Table::new(10, Locality::new(None, String::new()));
    for number in 0..30 {
        enter::<Pod>(&mut table, pod(number, &format!("pod-{number}"), &format!("10.244.1.{number}")));
    }
    enter::<Pod>(&mut table, json!({"metadata": {"uid": "not a uid"}}));
    let counts = table.counts();
    assert_eq!((counts.pods, counts.over_limit, counts.unreadable), (10, 20, 1));
    // A crash loop must not accumulate deleted pods.
    for number in 100..10_000 {
        let web = pod(number, &format!("pod-{number}"), "10.244.9.9");
        table.remove::<Pod>(&serde_json::from_value(pod(number - 1, "x", "10.244.9.9")).expect("a pod"), NOW);
        enter::<Pod>(&mut table, web);
        table.forget(NOW);
    }
    assert!(table.counts().containers <= 10, "{:?}", table.counts());
}

#[test]
fn without_a_known_node_every_container_is_looked_up() {
    let mut table = Table::new(10, Locality::new(None, String::new()));
    enter::<Pod>(&mut table, pod(1, "web", "10.244.1.7"));
    assert!(table.local(None, Some("web")).is_some());
}
