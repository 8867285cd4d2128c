//! A real API server with a real etcd, which `cargo xtask kubernetes` builds from Debian's source: its behaviour is as weir assumes,
//! and deploy/kubernetes/rbac.yaml permits enough and no more.

use std::{
    cell::OnceCell,
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use weir_kubernetes::{Config, Kubernetes, Mode};

use crate::{described, eventually, eventually_connected, eventually_failing, name_now, now_s, objects};

/// Variable with the path of the API server.
const PROGRAM: &str = "WEIR_KUBE_APISERVER";
/// An unused address (RFC 5737): the API server does not accept a loopback address.
const ADVERTISED: &str = "192.0.2.1";

struct Cluster {
    dir: PathBuf,
    port: u16,
    etcd_port: u16,
    etcd: Option<Child>,
    server: Option<Child>,
    runtime: Runtime,
    /// Client of the user with all permissions.
    admin: OnceCell<Client>,
}

impl Cluster {
    fn start() -> Self {
        let dir = env::temp_dir().join(format!("weir-kubernetes-real-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut cluster = Self {
            port: free_port(),
            etcd_port: free_port(),
            etcd: None,
            server: None,
            runtime,
            admin: OnceCell::new(),
            dir,
        };
        cluster.write_credentials();
        let client = format!("http://127.0.0.1:{}", cluster.etcd_port);
        let peer = format!("http://127.0.0.1:{}", free_port());
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(cluster.dir.join("etcd")).args(["--initial-cluster", &format!("default={peer}")]);
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        cluster.etcd = Some(cluster.spawn(etcd, "etcd.log"));
        cluster.start_server();
        cluster
    }

    fn start_server(&mut self) {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut server = Command::new(env::var_os(PROGRAM).expect("WEIR_KUBE_APISERVER: see cargo xtask kubernetes"));
        server.args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.port),
            "--bind-address=127.0.0.1".into(),
            format!("--advertise-address={ADVERTISED}"),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-signing-key-file={}", file("server.key")),
            format!("--service-account-key-file={}", file("server.crt")),
            // Without the controller for them, namespaces have no default account.
            "--disable-admission-plugins=ServiceAccount".into(),
        ]);
        self.server = Some(self.spawn(server, "server.log"));
        let start = Instant::now();
        while self.try_ask("GET", "/readyz", None).is_none() {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().expect("wait"));
            assert!(ended.is_none(), "it ended:\n{}", self.log("server.log"));
            assert!(start.elapsed() < Duration::from_secs(60), "not ready:\n{}", self.log("server.log"));
            sleep(Duration::from_millis(200));
        }
    }

    fn stop_server(&mut self) {
        end(self.server.take());
    }

    /// Two users, identified by their tokens: one with all permissions, and weir as its service account.
    fn write_credentials(&self) {
        let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).expect("parameters");
        let certificate = certificate.signed_by(&key, &ca).expect("a certificate");
        let write = |name: &str, text: String| fs::write(self.dir.join(name), text).expect("write");
        write("ca.crt", ca.pem());
        write("server.crt", certificate.pem());
        write("server.key", key.serialize_pem());
        let tokens = "admin,admin,1,\"system:masters\"\nweir,system:serviceaccount:weir:weir,2\n";
        write("tokens.csv", tokens.into());
        for user in ["admin", "weir"] {
            let kubeconfig = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
                "clusters": [{"name": "test", "cluster": {
                    "server": format!("https://127.0.0.1:{}", self.port), "certificate-authority": self.dir.join("ca.crt"),
                }}],
                "users": [{"name": user, "user": {"token": user}}],
            });
            write(user, kubeconfig.to_string());
        }
    }

    fn spawn(&self, mut command: Command, log: &str) -> Child {
        let log = fs::File::create(self.dir.join(log)).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("clone")).stderr(log);
        command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"))
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    fn try_ask(&self, method: &str, path: &str, body: Option<(&str, String)>) -> Option<String> {
        self.ask_as("admin", method, path, body).ok()
    }

    fn ask_as(&self, user: &str, method: &str, path: &str, body: Option<(&str, String)>) -> kube::Result<String> {
        self.runtime.block_on(async {
            let client = match self.admin.get().filter(|_| user == "admin") {
                Some(admin) => admin.clone(),
                None => self.client(user).await,
            };
            let (kind, text) = body.unwrap_or(("application/json", String::new()));
            let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
            client.request_text(request.body(text.into_bytes()).expect("a request")).await
        })
    }

    async fn client(&self, user: &str) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.dir.join(user)).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let client = Client::try_from(config.expect("a config")).expect("a client");
        if user == "admin" { self.admin.get_or_init(|| client).clone() } else { client }
    }

    fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.ask_as("admin", "POST", path, Some(("application/json", object.to_string())));
        serde_json::from_str(&answer.unwrap_or_else(|error| panic!("create {object}: {error}"))).expect("JSON")
    }

    /// As the kubelet does.
    fn put_status(&self, path: &str, created: &Value, status: &Value) {
        let mut object = created.clone();
        object["status"] = status.clone();
        let path = format!("{path}/{}/status", created["metadata"]["name"].as_str().expect("a name"));
        let answer = self.ask_as("admin", "PUT", &path, Some(("application/json", object.to_string())));
        answer.unwrap_or_else(|error| panic!("status {status}: {error}"));
    }

    /// A running pod; its uid, which the server chooses.
    fn run_pod(&self, pod: &Value) -> String {
        let created = self.create("/api/v1/namespaces/shop/pods", pod);
        self.put_status("/api/v1/namespaces/shop/pods", &created, &pod["status"]);
        created["metadata"]["uid"].as_str().expect("a uid").to_owned()
    }

    fn delete_pod(&self, pod: &Value) {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let path = format!("/api/v1/namespaces/shop/pods/{name}?gracePeriodSeconds=0");
        self.try_ask("DELETE", &path, None).expect("delete");
    }

    /// The documents of a file, as `kubectl apply` would.
    fn apply(&self, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for document in text.split("\n---\n") {
            let kind = document.lines().find_map(|line| line.strip_prefix("kind: ")).expect("a kind");
            let path = match kind {
                "Namespace" => "/api/v1/namespaces",
                "ServiceAccount" => "/api/v1/namespaces/weir/serviceaccounts",
                "ClusterRole" => "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                "ClusterRoleBinding" => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                other => panic!("{other} is more than weir needs"),
            };
            let answer = self.ask_as("admin", "POST", path, Some(("application/yaml", document.into())));
            answer.unwrap_or_else(|error| panic!("{document}: {error}"));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_server();
        end(self.etcd.take());
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// A new pod as a user writes it: the server sets its uid.
fn pod(number: u32, app: &str, ip: &str) -> Value {
    let mut pod = objects::pod(number, app, "node-1", ip, now_s() - 5);
    let meta = pod["metadata"].as_object_mut().expect("metadata");
    for given in ["uid", "managedFields", "creationTimestamp", "generation", "generateName"] {
        meta.remove(given);
    }
    pod["spec"].as_object_mut().expect("a spec").remove("serviceAccountName");
    // The volume with the account's token would need the account.
    pod["spec"].as_object_mut().expect("a spec").remove("volumes");
    pod["spec"]["containers"][0].as_object_mut().expect("a container").remove("volumeMounts");
    pod
}

#[test]
#[ignore = "needs an API server: cargo xtask kubernetes"]
fn a_real_api_server_is_understood() {
    let mut cluster = Cluster::start();
    let mode = Mode::Kubeconfig(cluster.dir.join("weir"));
    let kubernetes = Kubernetes::start(&Config { mode, ..Config::default() });
    eventually_failing(&kubernetes, "is forbidden: User \"system:serviceaccount:weir:weir\" cannot list resource");
    cluster.apply(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/rbac.yaml"));
    eventually_connected(&kubernetes);
    for path in ["/api/v1/secrets", "/api/v1/configmaps", "/apis/apps/v1/deployments"] {
        let refused = cluster.ask_as("weir", "GET", path, None).expect_err("more than weir needs");
        assert!(refused.to_string().contains("is forbidden"), "{refused}");
    }

    // The cluster's own service, and the endpoint slice that the server makes for itself.
    eventually("its own service", || {
        name_now(&kubernetes, "10.96.0.1", 443) == "kubernetes_service default/kubernetes"
    });
    let port = cluster.port;
    eventually("its own slice", || name_now(&kubernetes, ADVERTISED, port) == "kubernetes_service default/kubernetes");

    cluster.create("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}}));
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    let node = cluster.create("/api/v1/nodes", &json!({"metadata": {"name": "node-1"}}));
    let status = objects::node(1, "node-1", "10.0.0.1", boot_id.trim())["status"].clone();
    cluster.put_status("/api/v1/nodes", &node, &status);
    eventually("the node", || name_now(&kubernetes, "10.0.0.1", 22) == "kubernetes_node node-1");
    let ports = json!([{"port": 80}]);
    let service = json!({"metadata": {"name": "checkout"}, "spec": {"clusterIP": "10.96.0.10", "ports": ports}});
    cluster.create("/api/v1/namespaces/shop/services", &service);
    eventually("a service", || name_now(&kubernetes, "10.96.0.10", 80) == "kubernetes_service shop/checkout");

    let old = pod(1, "checkout", "10.244.1.7");
    let uid = cluster.run_pod(&old);
    let container = objects::container_id(1);
    eventually("a container", || kubernetes.local(None, Some(&container)).is_some());
    let identity = kubernetes.local(Some(&uid), None).expect("by its uid");
    assert_eq!(identity.workload.as_deref(), Some("deployment/checkout"));
    assert_eq!(name_now(&kubernetes, "10.244.1.7", 8080), "kubernetes_workload shop/checkout");
    cluster.delete_pod(&old);
    eventually("it has left", || name_now(&kubernetes, "10.244.1.7", 8080).is_empty());
    assert_eq!(described(kubernetes.local(Some(&uid), Some(&container))), "kubernetes_workload shop/checkout");
    let mail = pod(2, "mail", "10.244.1.7");
    cluster.run_pod(&mail);
    eventually("another has its address", || name_now(&kubernetes, "10.244.1.7", 1) == "kubernetes_workload shop/mail");

    cluster.stop_server();
    eventually_failing(&kubernetes, "Kubernetes API unreachable");
    assert_eq!(name_now(&kubernetes, "10.244.1.7", 1), "kubernetes_workload shop/mail");
    cluster.start_server();
    eventually_connected(&kubernetes);
    cluster.delete_pod(&mail);
    cluster.run_pod(&pod(3, "search", "10.244.1.7"));
    eventually("a third", || name_now(&kubernetes, "10.244.1.7", 1) == "kubernetes_workload shop/search");

    // More than a page, whose first statuses arrive as events.
    for number in 100..350 {
        cluster.run_pod(&pod(number, "crowd", &format!("10.244.3.{}", number - 100)));
    }
    eventually("all", || kubernetes.counts().pods == 251 && !name_now(&kubernetes, "10.244.3.249", 1).is_empty());
    let mode = Mode::Kubeconfig(cluster.dir.join("weir"));
    let second = Kubernetes::start(&Config { mode, ..Config::default() });
    eventually_connected(&second);
    assert_eq!(second.counts().pods, 251, "in two pages");
    assert_eq!(name_now(&second, "10.244.3.249", 1), "kubernetes_workload shop/crowd");
    assert_eq!((second.counts().unreadable, kubernetes.counts().unreadable), (0, 0));
}
