//! Whose the accepted connections are, where the process that listens is not the one that serves.

use std::{collections::BTreeSet, process::Command};

use weir_tests::{
    lab,
    process::{self, run},
    server::{self, children, postgres_client},
};

#[test]
fn nginx_workers_not_their_master() {
    let lab = lab!();
    let nginx = server::nginx(&lab, 2, "", "return 200 $pid;");
    let weir = lab.weir(&[]);
    let url = format!("http://127.0.0.1:{}/[1-100]", nginx.port());
    let answers = run("curl", &["-s", "-w", "\n", "-H", "Connection: close", &url]);
    let document = weir.finish();
    let served: BTreeSet<u32> = answers.lines().map(|pid| pid.parse().expect("a worker's pid")).collect();
    let edge = document.only("to nginx", |edge| edge.port() == Some(nginx.port()));
    assert_eq!(edge.server_pids(), served.iter().copied().collect::<Vec<_>>(), "as the answers say");
    assert!(served.iter().all(|pid| nginx.children().contains(pid)), "workers {served:?}");
    assert_eq!((edge.text("client", "name"), edge.text("server", "name")), ("curl", "nginx"));
    edge.assert_connects(&[("ok", 100)]);
    assert_eq!((edge.count("rounds"), edge.seen_by("server").count("rounds")), (100, 100));
    document.assert_lossless();
}

#[test]
fn postgres_backends_not_the_postmaster() {
    let lab = lab!();
    let postgres = server::postgres(&lab);
    let weir = lab.weir(&[]);
    let backends: Vec<u32> = (0..3)
        .map(|_| {
            let mut psql = postgres_client("psql", &postgres);
            let pid = process::succeed(psql.args(["-XAtc", "select pg_backend_pid()", "postgres"]));
            pid.trim().parse().expect("a backend's pid")
        })
        .collect();
    let document = weir.finish();
    let edges = document.edges_where(|edge| edge.port() == Some(postgres.port()));
    let owners: BTreeSet<Vec<u32>> = edges.iter().map(weir_tests::Edge::server_pids).collect();
    assert_eq!(owners, backends.iter().map(|pid| vec![*pid]).collect(), "one backend for each psql");
    assert!(!backends.contains(&postgres.pid()));
    for edge in edges {
        assert_eq!((edge.text("client", "name"), edge.text("server", "name")), ("psql", "postgres"));
        // Logging in, and the query.
        assert_eq!((edge.count("rounds"), edge.seen_by("server").count("rounds")), (2, 2));
        edge.assert_connects(&[("ok", 1)]);
    }
    document.assert_lossless();
}

/// Workers forked after the port was opened, each accepting from it.
const PREFORK: &str = "
import ctypes, os, socket, sys, time
listener = socket.create_server(('127.0.0.1', 0), backlog=128)
for _ in range(3):
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, 9)  # die with the parent
        while True:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.sendall(b'%d\\n' % os.getpid())
            time.sleep(0.01)  # leave the next one to the others
            connection.close()
print('ready', listener.getsockname()[1])
sys.stdin.read()
";

#[test]
fn the_forked_workers_of_a_python_server() {
    let lab = lab!();
    let server = server::python(PREFORK);
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    let answers = client.ask("ask 60");
    let document = weir.finish();
    let served: BTreeSet<u32> = answers.split(' ').map(|pid| pid.parse().expect("a worker's pid")).collect();
    assert!(served.len() > 1, "one worker did it all: this shows little");
    assert!(served.iter().all(|pid| children(server.pid()).contains(pid)));
    let edge = document.edge(client.pid(), server.port());
    assert_eq!(edge.server_pids(), served.into_iter().collect::<Vec<_>>(), "as the answers say");
    edge.assert_connects(&[("ok", 60)]);
    assert_eq!(edge.count("rounds"), 60);
    let interpreter = std::fs::canonicalize("/usr/bin/python3").expect("python3");
    let name = interpreter.file_name().and_then(|name| name.to_str()).expect("a name");
    assert_eq!(edge.text("server", "name"), name, "the executable's name");
    document.assert_lossless();
}

/// The parent connects, the child talks: the edge is of the process that connected, as the socket is one.
#[test]
fn a_connection_handed_to_a_child() {
    const HAND_OVER: &str = "
import os, socket, sys
connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
if os.fork() == 0:
    for _ in range(5):
        connection.sendall(b'x'); connection.recv(1)
    os._exit(0)
os.wait()
print(os.getpid())
";
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let weir = lab.weir(&[]);
    let port = server.port().to_string();
    let pid = process::succeed(Command::new("/usr/bin/python3").args(["-c", HAND_OVER, &port]));
    let document = weir.finish();
    let edge = document.edge(pid.trim().parse().expect("a pid"), server.port());
    edge.assert_connects(&[("ok", 1)]);
    assert_eq!((edge.count("rounds"), edge.count("open_connections")), (5, 0));
    document.assert_lossless();
}
