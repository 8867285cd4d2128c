use std::sync::Arc;

use weir_engine::{Absent, Engine, Identity, Process, Schedule, View, WindowId};

use super::*;

fn end(kind: Kind, namespace: Option<&str>, name: &str, pid: u32) -> End {
    let identity = Identity { namespace: namespace.map(Into::into), ..Identity::new(kind, name) };
    let process = Process { pid, comm: format!("comm{pid}"), exe: String::new(), start_ns: 0, cgroup_id: 0 };
    End { pids: vec![pid], process: Ok(process), ..End::elsewhere(Arc::new(identity), Absent::NotOnThisHost) }
}

fn edge(client: End, mut server: End, port: u16) -> Edge {
    server.port = Some(port);
    Edge {
        client,
        server,
        server_processes: Vec::new(),
        client_view: Ok(View::nothing()),
        server_view: Ok(View::nothing()),
        unpaired_view: None,
        last_failure: None,
        is_other: false,
    }
}

/// front 1 calls shop/checkout 2, which calls redis 3; another redis in the namespace cache, 4, is called by front too.
fn snapshot() -> Snapshot {
    let front = || end(Kind::Executable, None, "front", 1);
    let checkout = || end(Kind::KubernetesWorkload, Some("shop"), "checkout", 2);
    let mut snapshot = Engine::new([Schedule::Whole]).snapshot(WindowId::FIRST);
    snapshot.edges = vec![
        edge(front(), checkout(), 8080),
        edge(checkout(), end(Kind::Executable, None, "redis", 3), 6379),
        edge(front(), end(Kind::KubernetesWorkload, Some("cache"), "redis", 4), 6380),
    ];
    snapshot
}

/// Which edges call it, and which it calls.
fn edges_of(asked: &str) -> (Vec<usize>, Vec<usize>) {
    let snapshot = snapshot();
    let subject = asked.parse::<Who>().expect(asked).resolve(&snapshot).expect(asked);
    let that = |is: &dyn Fn(&Edge) -> bool| {
        snapshot.edges.iter().enumerate().filter(|(_, edge)| is(edge)).map(|(at, _)| at).collect()
    };
    (that(&|edge| subject.serves(edge)), that(&|edge| subject.calls(edge)))
}

#[test]
fn asked_as_people_type_it() {
    let name = |name: &str| Who::Name(name.to_owned());
    assert_eq!("redis".parse(), Ok(Asked::Service(name("redis"))));
    assert_eq!(":5432".parse(), Ok(Asked::Service(Who::Port(5432))));
    assert_eq!("812".parse(), Ok(Asked::Service(Who::Pid(812))));
    assert_eq!(" a -> :80".parse(), Ok(Asked::Edge(name("a"), Who::Port(80))));
    assert_eq!("::1".parse(), Ok(Asked::Service(name("::1"))));
    for wrong in ["", "->b", "a->", ":http", ":70000"] {
        assert!(wrong.parse::<Asked>().is_err(), "{wrong}");
    }
}

#[test]
fn found_by_name_namespace_port_and_pid() {
    let checkout = (vec![0], vec![1]);
    for asked in ["checkout", "shop/checkout", "Checkout", ":8080", "2", "checkout:8080", "comm2"] {
        assert_eq!(edges_of(asked), checkout, "{asked}");
    }
    assert_eq!(edges_of("front"), (vec![], vec![0, 2]));
    assert_eq!(edges_of("redis"), (vec![1, 2], vec![]), "two are called so");
    assert_eq!(edges_of("cache/redis"), (vec![2], vec![]));
    assert_eq!(edges_of("redis:6379"), (vec![1], vec![]));
}

#[test]
fn who_is_unknown_is_told_who_is_not() {
    let snapshot = snapshot();
    let error = |asked: &str| asked.parse::<Who>().expect(asked).resolve(&snapshot).expect_err(asked).to_string();
    let text = error("chekout");
    assert!(text.contains("nearest: shop/checkout") && text.contains("seen: ") && text.contains("front"), "{text}");
    assert!(error(":9999").contains("port 9999 had no TCP connection"));
    assert!(!error("99").contains("nearest"));
    let nothing = Engine::new([Schedule::Whole]).snapshot(WindowId::FIRST);
    let error = Who::Pid(1).resolve(&nothing).expect_err("nothing").to_string();
    assert!(error.contains("no TCP connection was seen"), "{error}");
}

#[test]
fn two_that_do_not_talk() {
    let snapshot = snapshot();
    let resolve = |asked: &str| asked.parse::<Who>().expect(asked).resolve(&snapshot).expect(asked);
    let text = unconnected(&resolve("checkout"), &resolve("front"), &snapshot).to_string();
    assert!(text.contains("from checkout to front") && text.contains("checkout calls: redis:6379"), "{text}");
}
