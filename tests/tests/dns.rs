//! The names that processes asked for, on the edges to the addresses that they got.

use std::process::{Command, Stdio};

use weir_tests::{
    Document, Edge, Lab, Netns, Traffic, lab,
    machine::kernel_is_older,
    nameserver::{NameServer, client, wait_for_name_server},
    process::Process,
};

/// A client's namespace with a name server, and an echo server behind a cable.
struct Place {
    lab: Lab,
    near: Netns,
    far: Netns,
}

impl Place {
    fn new(lab: Lab) -> Option<Self> {
        if kernel_is_older("6.3") {
            eprintln!("skipped: replies are seen since 6.3");
            return None;
        }
        let (near, far) = Netns::pair();
        Some(Self { lab, near, far })
    }

    fn name_server(&self, records: &[&str]) -> NameServer {
        NameServer::start(&self.near, records)
    }

    fn client(&self, options: &str) -> Traffic {
        client(&self.lab, &self.near, options)
    }

    fn server(&self, address: &str) -> Traffic {
        self.lab.serve_in(&self.far, "echo", &format!("{address}:0"))
    }
}

fn dns_name<'a>(edge: &Edge<'a>) -> Option<&'a str> {
    edge.value()["server"]["dns_name"].as_str()
}

fn name_of(document: &Document, client: &Traffic, port: u16) -> Option<String> {
    dns_name(&document.edge(client.pid(), port)).map(Into::into)
}

/// What the client asks for, and what must be on its edge.
fn shows(records: &[&str], options: &str, address: &str, asked: &str, peer: &str) {
    let Some(place) = Place::new(lab!()) else { return };
    let _names = place.name_server(records);
    let server = place.server(address);
    let mut client = place.client(options);
    let weir = place.lab.weir(&[]);
    client.must(&format!("connect {asked} {}", server.port()), peer);
    let document = weir.finish();
    let asked = asked.to_ascii_lowercase();
    assert_eq!(name_of(&document, &client, server.port()).as_deref(), Some(asked.trim_end_matches('.')));
    document.assert_lossless();
}

const A: &str = "--host-record=backend.test,10.77.0.2";
const AAAA: &str = "--host-record=six.test,fd77::2";
const ALIASES: [&str; 3] = ["--cname=shop.test,www.test", "--cname=www.test,backend.test", A];

#[test]
fn an_ipv4_address() {
    shows(&[A], "", "10.77.0.2", "backend.test", "10.77.0.2");
}

#[test]
fn a_name_is_what_was_asked_for_in_lower_case_without_its_dot() {
    shows(&[A], "", "10.77.0.2", "BackEnd.test.", "10.77.0.2");
}

#[test]
fn an_ipv6_address() {
    shows(&[AAAA], "", "[fd77::2]", "six.test", "fd77::2");
}

#[test]
fn a_chain_of_aliases_has_the_name_at_its_beginning() {
    shows(&ALIASES, "", "10.77.0.2", "shop.test", "10.77.0.2");
}

#[test]
fn a_reply_over_tcp() {
    shows(&ALIASES, "use-vc", "10.77.0.2", "shop.test", "10.77.0.2");
}

/// Fifty addresses do not fit into 512 bytes: the server says so, and glibc asks again over TCP.
#[test]
fn a_reply_that_falls_back_to_tcp() {
    let many: Vec<String> = (0..50).map(|n| format!("--host-record=many.test,10.77.1.{n}")).collect();
    let mut records: Vec<&str> = many.iter().map(String::as_str).collect();
    records.push("--host-record=many.test,10.77.0.2");
    let Some(place) = Place::new(lab!()) else { return };
    let _names = place.name_server(&records);
    let server = place.server("10.77.0.2");
    let mut client = place.client("");
    let weir = place.lab.weir(&[]);
    // Of all addresses it takes the one that it has a route to.
    client.must(&format!("connect many.test {}", server.port()), "10.77.0.2");
    let document = weir.finish();
    assert!(document.edge(client.pid(), 53).connects("ok") > 0, "nothing was asked over TCP");
    assert_eq!(name_of(&document, &client, server.port()).as_deref(), Some("many.test"));
    document.assert_lossless();
}

/// musl's resolver never connects its socket.
#[test]
fn a_socket_that_is_not_connected() {
    for server_address in ["127.0.0.1", "::1"] {
        let Some(place) = Place::new(lab!()) else { return };
        let _names = place.name_server(&[A]);
        let server = place.server("10.77.0.2");
        let mut client = place.client("");
        let weir = place.lab.weir(&[]);
        client.must(&format!("ask backend.test {server_address} {}", server.port()), "10.77.0.2");
        let document = weir.finish();
        assert_eq!(name_of(&document, &client, server.port()).as_deref(), Some("backend.test"), "by {server_address}");
        document.assert_lossless();
    }
}

/// Two processes that know one address by two names keep them; a third that never asked has none.
#[test]
fn a_name_is_of_the_process_that_asked() {
    let Some(place) = Place::new(lab!()) else { return };
    let _names = place.name_server(&[A, "--host-record=other.test,10.77.0.2"]);
    let server = place.server("10.77.0.2");
    let [mut one, mut two, mut three] = [place.client(""), place.client(""), place.client("")];
    let weir = place.lab.weir(&[]);
    one.must(&format!("connect backend.test {}", server.port()), "10.77.0.2");
    two.must(&format!("connect other.test {}", server.port()), "10.77.0.2");
    three.must(&format!("connect 10.77.0.2 {}", server.port()), "10.77.0.2");
    let document = weir.finish();
    let name = |client: &Traffic| name_of(&document, client, server.port());
    assert_eq!(name(&one).as_deref(), Some("backend.test"));
    assert_eq!(name(&two).as_deref(), Some("other.test"));
    assert_eq!(name(&three), None);
    document.assert_lossless();
}

/// A name server that answers each question with what must not be believed, in turn: lengths and counts that lie, names
/// that point at themselves, control characters.
const HOSTILE: &str = r#"
import itertools, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
replies = itertools.cycle([
    lambda q: q[:2] + b"\x81\x80" + b"\xff" * 8 + b"\xff" * 300,
    lambda q: q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + b"\xc0\x0c\0\1\0\1" * 8,
    lambda q: q[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + b"\x3f" * 1200,
    lambda q: q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + b"\x05\x1b[2J\n\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\x04\x0a\x4d\0\x02",
])
while True:
    question, peer = s.recvfrom(2048)
    s.sendto(next(replies)(question), peer)
"#;

#[test]
fn hostile_replies_are_counted_and_skipped() {
    let Some(place) = Place::new(lab!()) else { return };
    let mut command = Command::new("/usr/bin/python3");
    place.near.enter(command.args(["-c", HOSTILE]).stdout(Stdio::null()));
    let hostile = Process::start(&mut command);
    wait_for_name_server(&place.near);
    let server = place.server("10.77.0.2");
    let mut client = place.client("");
    let weir = place.lab.weir(&[]);
    for _ in 0..8 {
        let answer = client.ask(&format!("ask bad.test 127.0.0.1 {}", server.port()));
        assert!(answer.starts_with("failed") || answer == "10.77.0.2", "{answer}");
    }
    drop(hostile);
    let _names = place.name_server(&[A]);
    client.must(&format!("connect backend.test {}", server.port()), "10.77.0.2");
    let document = weir.finish();
    let edge = document.only("to the server that is there", |edge| {
        edge.client_pid() == Some(client.pid()) && edge.text("server", "address") == "10.77.0.2"
    });
    assert_eq!(dns_name(&edge), Some(r"\027[2j\010"), "the first name that it connected by, escaped");
    assert_eq!(naming(&document, "dns_replies_malformed"), 6, "three of four replies, twice");
}

/// A count of `naming`.
fn naming(document: &Document, name: &str) -> u64 {
    document.value()["naming"]["counts"][name].as_u64().unwrap_or_else(|| panic!("{:#}", document.value()["naming"]))
}

/// Names are found for every lookup that a process makes, however fast.
#[test]
fn many_lookups_one_after_the_other() {
    let Some(place) = Place::new(lab!()) else { return };
    let records: Vec<String> = (0..100).map(|n| format!("--host-record=n{n}.test,10.77.0.2")).collect();
    let _names = place.name_server(&records.iter().map(String::as_str).collect::<Vec<_>>());
    let servers: Vec<Traffic> = (0..20).map(|_| place.server("10.77.0.2")).collect();
    let mut client = place.client("");
    let weir = place.lab.weir(&[]);
    for (n, server) in servers.iter().enumerate() {
        client.must(&format!("connect n{n}.test {}", server.port()), "10.77.0.2");
    }
    let document = weir.finish();
    for (n, server) in servers.iter().enumerate() {
        assert_eq!(name_of(&document, &client, server.port()), Some(format!("n{n}.test")));
    }
    document.assert_lossless();
}
