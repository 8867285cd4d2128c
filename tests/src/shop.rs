//! A small system of real servers in namespaces of their own: load, nginx, an application, PostgreSQL with Redis; and
//! outside of the host a payment provider that the application finds by DNS.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    Document, Edge, Lab, Netns,
    process::Process,
    server::{self, Place, Server},
    tally::wait_until,
};

/// Where the application listens.
pub const APPLICATION: &str = "10.78.3.1:8000";
/// What it asks DNS for. An alias, as providers have it.
pub const PROVIDER: &str = "api.payments.example";
/// What the alias stands for.
const PROVIDER_ITSELF: &str = "edge-7.hosting.example";
/// What DNS says.
pub const PROVIDER_ADDRESS: &str = "198.51.100.10";
/// The provider's port.
pub const PROVIDER_PORT: u16 = 8080;

const FRONT: &str = "10.78.2.1:80";
const NETWORKS: [&str; 3] = ["10.78.", "10.96.", "198.51.100."];

/// All of it. It ends when it is dropped.
pub struct Shop {
    application: Process,
    _others: [Process; 2],
    _servers: [Server; 3],
    /// Where all packets pass.
    pub router: Netns,
    spokes: [Netns; 5],
}

impl Shop {
    /// Opens it, with nginx dialling this address and port for each request. Nothing is asked of it yet.
    ///
    /// # Panics
    /// If something does not start.
    pub fn open(lab: &Lab, dialled: &str) -> Self {
        let (router, spokes) = Netns::star();
        let [_load, front, app, data, edge] = &spokes;
        edge.set("net.ipv4.ip_forward", "1");
        router.ip("route add 198.51.100.0/24 via 10.78.5.1");

        let postgres = server::postgres_at(lab, &Place::of(data, "10.78.4.1:5432"));
        let redis = server::redis_at(lab, &Place::of(data, "10.78.4.1:6379"));
        let provider = outside(lab, edge);
        let dns = dns(edge);
        let application = application_in(lab, app);
        let pass = format!("location / {{ proxy_pass http://{dialled}; }}");
        let nginx = server::nginx_at(lab, &Place::of(front, FRONT), 1, "", &pass);
        let (others, servers) = ([provider, dns], [nginx, postgres, redis]);
        Self { application, _others: others, _servers: servers, router, spokes }
    }

    /// So many requests, on one connection, each answered as it should be.
    ///
    /// # Panics
    /// If one is not.
    pub fn visit(&self, requests: u32) {
        let url = format!("http://{FRONT}/[1-{requests}]");
        let answers = self.spokes[0].run("curl", &["-sS", "--fail", &url]);
        assert_eq!(answers, "42 paid\n".repeat(requests as usize));
    }

    /// The application's process.
    pub fn application_pid(&self) -> u32 {
        self.application.pid()
    }

    /// Its edges in a document: what was dialled is an address of it.
    pub fn edges<'a>(&self, document: &'a Document) -> Vec<Edge<'a>> {
        document.edges_where(|edge| {
            NETWORKS.iter().any(|network| {
                let of = |end| edge.text(end, "address").starts_with(network);
                of("server") || of("client")
            })
        })
    }

    /// Client, server and port of each edge, a line each, in order.
    pub fn calls(&self, document: &Document) -> Vec<String> {
        let line = |edge: &Edge<'_>| {
            let name = |end| edge.text(end, "name").to_owned();
            format!("{} -> {}:{}", name("client"), name("server"), edge.port().unwrap_or(0))
        };
        let mut lines: Vec<String> = self.edges(document).iter().map(line).collect();
        lines.sort();
        lines
    }
}

/// The texts of a list such as `backend_addresses`.
///
/// # Panics
/// If there is no such list.
pub fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

fn script(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let path = lab.path(name);
    fs::write(&path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    path
}

/// Hosts outside, behind this namespace: every address of 198.51.100.0/24 answers on every port, and has no socket here.
///
/// # Panics
/// If there is no way to them.
pub fn outside(lab: &Lab, netns: &Netns) -> Process {
    let script = script(lab, "outside.py", include_str!("shop/outside.py"));
    let mut command = Command::new("/usr/bin/python3");
    netns.enter(command.arg(script).args(["out0", "198.51.100.0/24"]).stdin(Stdio::null()));
    let provider = Process::start(&mut command);
    wait_until(Duration::from_secs(20), "a way outside", || netns.run("ip", &["route"]).contains("198.51.100.0/24"));
    provider
}

fn dns(netns: &Netns) -> Process {
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="]);
    command.args(["--user=root", "--group=root", "--listen-address=10.78.5.1", "--bind-interfaces"]);
    command.arg(format!("--host-record={PROVIDER_ITSELF},{PROVIDER_ADDRESS}"));
    command.arg(format!("--cname={PROVIDER},{PROVIDER_ITSELF}"));
    netns.enter(command.stdin(Stdio::null()));
    let dns = Process::start(&mut command);
    wait_until(Duration::from_secs(20), "dnsmasq", || netns.run("ss", &["-lun"]).contains("10.78.5.1:53"));
    dns
}

/// The application, with a resolv.conf of its own.
fn application_in(lab: &Lab, netns: &Netns) -> Process {
    const START: &str = "mount --bind resolv.conf /etc/resolv.conf && exec /usr/bin/python3 shop.py \"$@\"";
    script(lab, "shop.py", include_str!("shop/shop.py"));
    script(lab, "resolv.conf", "nameserver 10.78.5.1\n");
    let (address, port) = APPLICATION.split_once(':').expect("an address with a port");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", START, "sh", address, port, "10.78.4.1", "10.78.4.1", PROVIDER]);
    command.arg(PROVIDER_PORT.to_string()).current_dir(lab.path("")).stdin(Stdio::null());
    netns.enter(&mut command);
    let shop = Process::start(&mut command);
    wait_until(Duration::from_secs(20), "the shop", || netns.run("ss", &["-ltn"]).contains(APPLICATION));
    shop
}
