//! A large cluster: 5,000 pods and 1,000 services in less than 3 s and 16 MiB.

use std::{
    collections::HashMap,
    env, fs,
    process::Command,
    time::{Duration, Instant},
};

use weir_kubernetes::{Config, Counts, Kubernetes, Mode, Status};

use crate::{
    api::Api,
    name_now, now_s,
    objects::{node, pod, service},
};

const PODS: u32 = 5_000;
const SERVICES: u32 = 1_000;
const NODES: u32 = 50;
/// Variable with the kubeconfig for the other process.
const KUBECONFIG: &str = "WEIR_TEST_KUBECONFIG";

#[test]
fn a_large_cluster_takes_little_memory_and_time() {
    let api = Api::start("load");
    for number in 0..NODES {
        api.put(node(number, &format!("node-{number}"), &format!("10.0.0.{number}"), ""));
    }
    let mut bytes = 0;
    for number in 0..PODS {
        let app = format!("service-{}", number % SERVICES);
        let ip = format!("10.244.{}.{}", number / 250, number % 250);
        let pod = pod(number, &app, &format!("node-{}", number % NODES), &ip, now_s() - 1000);
        bytes += pod.to_string().len();
        api.put(pod);
    }
    for number in 0..SERVICES {
        api.put(service(number, &format!("service-{number}"), &format!("10.96.{}.{}", number / 250, number % 250)));
    }
    assert!(bytes > 30_000_000, "pods of a real size, not of {bytes} bytes");

    // In a process of its own: this one's memory is the server's.
    let mut alone = Command::new(env::current_exe().expect("this test"));
    alone.args(["--exact", "load::the_client_alone", "--ignored", "--nocapture"]).env(KUBECONFIG, api.kubeconfig());
    let output = alone.output().expect("run");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let figures =
        printed.lines().filter_map(|line| line.split_once(": ")).filter_map(|(n, v)| Some((n, v.parse().ok()?)));
    let figures: HashMap<&str, u64> = figures.collect();
    println!("{figures:?}");
    // Processor time of one thread: elapsed time depends on what else runs on the machine.
    assert!(figures["cpu ms"] < 3_000, "{figures:?}");
    assert!(figures["resident KiB"] < 16 * 1024, "{figures:?}");
    assert!(figures["peak KiB"] < 16 * 1024, "{figures:?}");
}

#[test]
#[ignore = "the other test starts it"]
fn the_client_alone() {
    let before = memory();
    let mut peak = before;
    let start = Instant::now();
    let mode = Mode::Kubeconfig(env::var_os(KUBECONFIG).expect("where the API is").into());
    let kubernetes = Kubernetes::start(&Config { mode, node_name: Some("node-1".into()), ..Config::default() });
    while !matches!(kubernetes.status(), Status::Connected { .. }) {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", kubernetes.status());
        std::thread::sleep(Duration::from_millis(1));
        peak = peak.max(memory());
    }
    println!("\nstart ms: {}", start.elapsed().as_millis());
    println!("cpu ms: {}", cpu().as_millis());
    println!("resident KiB: {}", memory() - before);
    println!("peak KiB: {}", peak - before);
    let expected = Counts {
        pods: PODS as usize,
        services: SERVICES as usize,
        nodes: NODES as usize,
        containers: (PODS / NODES) as usize,
        ..Counts::default()
    };
    assert_eq!(kubernetes.counts(), expected);
    assert_eq!(name_now(&kubernetes, "10.244.19.249", 8080), "kubernetes_workload shop/service-999");
    assert_eq!(name_now(&kubernetes, "10.96.3.249", 80), "kubernetes_service shop/service-999");
}

/// This process's anonymous memory, in KiB: without the program's text, of which an unoptimized build has ten times as much.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the field");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Processor time of this process.
fn cpu() -> Duration {
    let all = fs::read_dir("/proc/self/task").expect("tasks").flatten();
    let of = |text: String| text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
    Duration::from_nanos(all.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok()).map(of).sum())
}
