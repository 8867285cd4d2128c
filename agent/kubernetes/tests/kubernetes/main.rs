//! Names from Kubernetes, by the real client over real HTTPS, also when the API misbehaves.

mod api;
mod load;
mod objects;
mod real;

use std::{
    net::IpAddr,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use weir_engine::{Identity, Kind};
use weir_kubernetes::{Config, Counts, Kubernetes, Mode, Status};

use api::Api;
use objects::{container_id, finish, node, pod, service, slice, time, uid};

const S: u64 = 1_000_000_000;
const NOT_THIS_KERNEL: &str = "00000000-0000-0000-0000-000000000000";

fn start(api: &Api) -> Kubernetes {
    watch(api, "node-1")
}

fn watch(api: &Api, node: &str) -> Kubernetes {
    let mode = Mode::Kubeconfig(api.kubeconfig());
    Kubernetes::start(&Config { mode, node_name: Some(node.into()), ..Config::default() })
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Kind, namespace and name in one string.
fn described(identity: Option<impl AsRef<Identity>>) -> String {
    identity.map_or_else(String::new, |identity| {
        let identity = identity.as_ref();
        let namespace = identity.namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("{} {namespace}{}", identity.kind.name(), identity.name)
    })
}

fn name_now(kubernetes: &Kubernetes, address: &str, port: u16) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    described(kubernetes.address(ip(address), port, now.as_nanos() as u64))
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn eventually_connected(kubernetes: &Kubernetes) {
    eventually("connected", || matches!(kubernetes.status(), Status::Connected { .. }));
}

#[track_caller]
fn eventually_failing(kubernetes: &Kubernetes, cause: &str) {
    let start = Instant::now();
    loop {
        let status = kubernetes.status().to_string();
        if status.contains(cause) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "`{status}` does not contain `{cause}`");
        sleep(Duration::from_millis(10));
    }
}

/// A small cluster.
fn shop(name: &str) -> Api {
    let api = Api::start(name);
    api.put(node(1, "node-1", "10.0.0.1", NOT_THIS_KERNEL));
    api.put(pod(1, "checkout", "node-1", "10.244.1.7", now_s() - 100));
    api.put(pod(2, "payment", "node-2", "10.244.2.8", now_s() - 100));
    api.put(service(1, "checkout", "10.96.0.10"));
    api.put(slice(1, "kubernetes", &["10.0.0.1"], 6443));
    api
}

#[test]
fn a_cluster_is_named() {
    let api = shop("named");
    let kubernetes = start(&api);
    assert_eq!(kubernetes.status(), Status::Starting);
    eventually_connected(&kubernetes);

    let local = kubernetes.local(Some(&uid(1, 1)), Some(&container_id(1))).expect("a local container");
    let text = |text: &str| Some(text.into());
    let expected = Identity {
        namespace: text("shop"),
        workload: text("deployment/checkout"),
        pod: text("checkout-6d4cf56db6-00001"),
        container: text("server"),
        image: text("registry.example.com/shop/checkout:1.4.2"),
        ..Identity::new(Kind::KubernetesWorkload, "checkout")
    };
    assert_eq!(*local, expected);
    assert_eq!(described(kubernetes.local(Some(&uid(1, 1)), None)), "kubernetes_workload shop/checkout");
    assert_eq!(kubernetes.local(None, Some(&container_id(2))), None, "not of this node");

    assert_eq!(name_now(&kubernetes, "10.244.2.8", 8080), "kubernetes_workload shop/payment");
    assert_eq!(name_now(&kubernetes, "::ffff:10.244.2.8", 1), "kubernetes_workload shop/payment");
    assert_eq!(name_now(&kubernetes, "10.96.0.10", 80), "kubernetes_service shop/checkout");
    assert_eq!(name_now(&kubernetes, "10.0.0.1", 22), "kubernetes_node node-1");
    assert_eq!(name_now(&kubernetes, "10.0.0.1", 6443), "kubernetes_service default/kubernetes");
    assert_eq!(name_now(&kubernetes, "10.244.9.9", 80), "");
    let counts = Counts { pods: 2, services: 1, nodes: 1, endpoint_slices: 1, containers: 1, ..Counts::default() };
    assert_eq!(kubernetes.counts(), counts);
}

#[test]
fn the_kernels_boot_id_identifies_the_node() {
    let api = Api::start("boot-id");
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    api.put(node(1, "node-1", "10.0.0.1", NOT_THIS_KERNEL));
    api.put(node(2, "node-2", "10.0.0.2", boot_id.trim()));
    api.put(pod(1, "checkout", "node-1", "10.244.1.7", now_s()));
    api.put(pod(2, "payment", "node-2", "10.244.2.8", now_s()));
    let mode = Mode::Kubeconfig(api.kubeconfig());
    let kubernetes = Kubernetes::start(&Config { mode, ..Config::default() });
    eventually_connected(&kubernetes);
    assert_eq!(kubernetes.local(None, Some(&container_id(1))), None);
    assert_eq!(described(kubernetes.local(None, Some(&container_id(2)))), "kubernetes_workload shop/payment");
}

#[test]
fn updates_arrive_and_a_reused_address_has_a_new_name() {
    let api = shop("news");
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    let before = kubernetes.generation();

    let mut old = pod(2, "payment", "node-2", "10.244.2.8", now_s() - 100);
    finish(&mut old, "Running", now_s() - 50);
    api.delete(old);
    eventually("the pod has left", || name_now(&kubernetes, "10.244.2.8", 8080).is_empty());
    assert_ne!(kubernetes.generation(), before);
    api.put(pod(3, "mail", "node-2", "10.244.2.8", now_s() - 20));
    eventually("another has its address", || name_now(&kubernetes, "10.244.2.8", 8080).ends_with("mail"));
    let at = |ago: u64| described(kubernetes.address(ip("10.244.2.8"), 8080, (now_s() - ago) * S));
    assert_eq!(at(70), "kubernetes_workload shop/payment");
    assert_eq!(at(40), "");
    assert_eq!(at(10), "kubernetes_workload shop/mail");
    assert_eq!(at(200), "");

    // A pod first has no address and no containers.
    let whole = pod(4, "search", "node-1", "10.244.1.9", now_s());
    let mut early = whole.clone();
    early["status"] = serde_json::json!({"phase": "Pending", "startTime": time(now_s())});
    api.put(early);
    eventually("it is known by its uid", || kubernetes.local(Some(&uid(1, 4)), Some(&container_id(4))).is_some());
    assert_eq!(kubernetes.local(None, Some(&container_id(4))), None);
    api.put(whole);
    eventually("and by its container", || kubernetes.local(None, Some(&container_id(4))).is_some());
    assert_eq!(name_now(&kubernetes, "10.244.1.9", 1), "kubernetes_workload shop/search");
}

#[test]
fn a_deleted_pod_of_this_node_keeps_its_name_for_its_last_connections() {
    let api = shop("departed");
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    api.delete(pod(1, "checkout", "node-1", "10.244.1.7", now_s() - 100));
    eventually("the pod has left", || kubernetes.counts().pods == 1);
    assert_eq!(
        described(kubernetes.local(Some(&uid(1, 1)), Some(&container_id(1)))),
        "kubernetes_workload shop/checkout"
    );
    assert_eq!(name_now(&kubernetes, "10.244.1.7", 8080), "");
}

#[test]
fn lists_come_in_pages() {
    let api = Api::start("pages");
    for number in 0..450 {
        api.put(pod(number, "checkout", "node-1", &format!("10.244.{}.{}", number / 200, number % 200), now_s()));
    }
    api.state().expire_continue = true;
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    assert_eq!(kubernetes.counts().pods, 450);
    let requests = api.state().requests.clone();
    let lists: Vec<_> = requests.iter().filter(|r| r.starts_with("/api/v1/pods?") && !r.contains("watch")).collect();
    // The first list's second page had expired.
    assert_eq!(lists.len(), 5, "{lists:?}");
    assert!(lists.iter().all(|list| list.contains("limit=200")), "{lists:?}");
    let slices = requests.iter().find(|r| r.contains("endpointslices")).expect("slices were asked for");
    assert!(slices.contains("managed-by%21%3Dendpointslice-controller.k8s.io"), "{slices}");
}

#[test]
fn a_server_that_is_not_there_at_first() {
    let mut api = Api::prepare("late");
    api.put(service(1, "checkout", "10.96.0.10"));
    let kubernetes = start(&api);
    eventually_failing(
        &kubernetes,
        &format!("Kubernetes API unreachable: https://{}/: Connection refused", api.address()),
    );
    assert_eq!(name_now(&kubernetes, "10.96.0.10", 80), "");
    api.resume();
    eventually_connected(&kubernetes);
    assert_eq!(name_now(&kubernetes, "10.96.0.10", 80), "kubernetes_service shop/checkout");
}

#[test]
fn a_restart_loses_nothing_and_objects_deleted_meanwhile_are_gone() {
    let mut api = shop("restart");
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    for compact in [false, true] {
        let (number, old, new) = if compact { (20, "mail", "search") } else { (10, "payment", "mail") };
        api.stop();
        eventually_failing(&kubernetes, "Kubernetes API unreachable");
        assert!(name_now(&kubernetes, "10.244.2.8", 8080).ends_with(old), "names of before are kept");
        // Meanwhile the address is reassigned, and the end of the old pod is never reported.
        let last =
            if compact { pod(10, old, "node-2", "10.244.2.8", 0) } else { pod(2, old, "node-2", "10.244.2.8", 0) };
        api.delete(last);
        api.put(pod(number, new, "node-2", "10.244.2.8", now_s()));
        if compact {
            api.compact();
        }
        api.resume();
        eventually_connected(&kubernetes);
        eventually("the new pod", || name_now(&kubernetes, "10.244.2.8", 8080).ends_with(new));
        assert_eq!(kubernetes.counts().pods, 2);
    }
    let lists = api.state().requests.iter().filter(|r| r.starts_with("/api/v1/pods?") && !r.contains("watch")).count();
    assert_eq!(lists, 2, "one at first, and one because the version was too old");
}

#[test]
fn watches_go_on_from_bookmarks() {
    let mut api = shop("bookmarks");
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    // Without the bookmark, the earlier version would be too old.
    eventually("four watches", || api.state().watches == 4);
    api.bookmark();
    eventually("four bookmarks", || api.state().bookmarks == 4);
    api.state().oldest = 1006;
    api.state().requests.clear();
    api.cut();
    let requests = || api.state().requests.clone();
    eventually("all four watch again", || {
        requests().iter().filter(|r| r.contains("resourceVersion=1006")).count() == 4
    });
    assert!(requests().iter().all(|request| request.contains("watch=true")), "no list: {:?}", requests());
    eventually_connected(&kubernetes);
}

#[test]
fn a_new_token_is_read_from_its_file() {
    let mut api = shop("token");
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    api.state().token = "secret-2".into();
    api.cut();
    eventually_failing(&kubernetes, "Kubernetes API refuses");
    assert!(kubernetes.status().to_string().contains("Unauthorized"), "{}", kubernetes.status());
    api.write_token("secret-2");
    eventually_connected(&kubernetes);
}

#[test]
fn nonsense_is_reported_and_survived() {
    for nonsense in
        ["<html>login</html>", "{\"kind\":\"PodList\"}", "{\"type\":\"ADDED\",\"object\":{\"metadata\":7}}", ""]
    {
        let mut api = shop("nonsense");
        let kubernetes = start(&api);
        eventually_connected(&kubernetes);
        api.state().nonsense = Some(nonsense);
        api.cut();
        eventually_failing(&kubernetes, "Kubernetes API");
        assert_eq!(name_now(&kubernetes, "10.96.0.10", 80), "kubernetes_service shop/checkout");
        api.state().nonsense = None;
        api.cut();
        eventually_connected(&kubernetes);
    }
}

#[test]
fn a_forbidden_resource_is_reported_and_the_rest_works() {
    let api = shop("forbidden");
    api.state().forbidden = Some("/api/v1/nodes");
    let kubernetes = start(&api);
    eventually_failing(&kubernetes, "Kubernetes API refuses nodes: nodes is forbidden: User");
    eventually("pods all the same", || name_now(&kubernetes, "10.244.2.8", 1).ends_with("payment"));
    assert_eq!(name_now(&kubernetes, "10.0.0.1", 22), "");
    api.state().forbidden = None;
    eventually_connected(&kubernetes);
    assert_eq!(name_now(&kubernetes, "10.0.0.1", 22), "kubernetes_node node-1");
}

#[test]
fn an_older_server_has_slices_at_another_path() {
    let api = shop("older");
    api.state().unknown = Some("/apis/discovery.k8s.io/v1/endpointslices");
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    assert_eq!(name_now(&kubernetes, "10.0.0.1", 6443), "kubernetes_service default/kubernetes");
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let (api, other) = (shop("authority"), Api::prepare("other-authority"));
    let stolen = std::fs::read_to_string(api.kubeconfig()).expect("read");
    let directory = |api: &Api| api.kubeconfig().parent().expect("a directory").display().to_string();
    let file = other.kubeconfig();
    let text = stolen.replace(&format!("{}/ca.crt", directory(&api)), &format!("{}/ca.crt", directory(&other)));
    std::fs::write(&file, text).expect("write");
    let kubernetes = Kubernetes::start(&Config { mode: Mode::Kubeconfig(file), ..Config::default() });
    eventually_failing(&kubernetes, "invalid peer certificate");
    assert_eq!(api.state().requests.len(), 0);
}

#[test]
fn nothing_is_watched_unless_there_is_a_cluster() {
    let off = Kubernetes::start(&Config { mode: Mode::Off, ..Config::default() });
    assert_eq!(off.status(), Status::Off);
    assert_eq!(off.status().to_string(), "not configured");
    assert_eq!((off.generation(), off.counts()), (0, Counts::default()));
    assert_eq!(off.address(ip("10.0.0.1"), 80, now_s() * S), None);

    let mode = Mode::Kubeconfig("/nonexistent/kubeconfig".into());
    let missing = Kubernetes::start(&Config { mode, ..Config::default() });
    eventually_failing(&missing, "Kubernetes API unreachable: cannot read /nonexistent/kubeconfig");
}

#[test]
fn dropping_it_ends_its_thread() {
    let api = shop("dropped");
    let kubernetes = start(&api);
    eventually_connected(&kubernetes);
    eventually("four watches", || api.state().watches == 4);
    drop(kubernetes);
    eventually("none", || api.state().watches == 0);
}
