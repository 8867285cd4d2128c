use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use weir_abi::CGROUP_PATH_LEN;

use super::*;

const ID: &str = "3f4a1c5e9d2b7a60c8e1f0d3b5a79c24e6f81d0a2c4b6e8f9a7b5c3d1e0f2a4b";
const START_NS: u64 = 1_234_567_890_123;

/// A host made of files.
struct Host {
    root: PathBuf,
}

impl Host {
    fn new() -> Self {
        let root = scratch("host");
        fs::create_dir_all(root.join("proc")).expect("proc");
        Self { root }
    }

    fn write(&self, path: &str, content: &str) {
        let file = self.root.join(path);
        fs::create_dir_all(file.parent().expect("parent")).expect("directory");
        fs::write(file, content).expect("file");
    }

    fn process(&self, pid: u32, exe: &str, cmdline: &str, environ: &str, cgroup: &str) {
        let directory = format!("proc/{pid}");
        self.write(&format!("{directory}/stat"), &stat(START_NS));
        self.write(&format!("{directory}/cmdline"), &cmdline.replace(' ', "\0"));
        self.write(&format!("{directory}/environ"), &environ.replace(' ', "\0"));
        self.write(&format!("{directory}/cgroup"), cgroup);
        symlink(exe, self.root.join(directory).join("exe")).expect("exe");
    }

    fn docker(&self, name: &str, image: &str) {
        let content = format!(r#"{{"Name":"/{name}","Config":{{"Image":"{image}"}}}}"#);
        self.write(&format!("var/lib/docker/containers/{ID}/config.v2.json"), &content);
    }

    fn names(&self) -> LocalNames {
        LocalNames::below(&self.root).expect("names")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn stat(start_ns: u64) -> String {
    let fields = (4..22).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
    format!("7 (any (name) S {fields} {} 0 0 0\n", start_ns / 10_000_000)
}

fn facts(pid: u32, exe: &str) -> ProcessFacts {
    let mut facts = ProcessFacts {
        pid,
        start_ns: START_NS,
        cgroup_id: 68 + u64::from(pid),
        comm: [0; COMM_LEN],
        exe: [0; EXE_LEN],
    };
    let comm = if exe.is_empty() { "thread" } else { exe };
    let kept = comm.len().min(COMM_LEN - 1);
    facts.comm[..kept].copy_from_slice(&comm.as_bytes()[..kept]);
    let kept = exe.len().min(EXE_LEN - 1);
    facts.exe[..kept].copy_from_slice(&exe.as_bytes()[..kept]);
    facts
}

/// As the kernel half reports it.
fn made(cgroup_id: u64, path: &str) -> CgroupMade {
    let mut made = CgroupMade { cgroup_id, length: path.len() as u32, _pad: 0, path: [0xff; CGROUP_PATH_LEN] };
    let kept = path.len().min(CGROUP_PATH_LEN);
    made.path[..kept].copy_from_slice(&path.as_bytes()[..kept]);
    made
}

fn kind_and_name(local: &Local) -> (Kind, &str) {
    (local.identity.kind, &local.identity.name)
}

#[test]
fn the_best_name_wins() {
    let host = Host::new();
    host.docker("web", "nginx:1");
    let docker = format!("0::/system.slice/docker-{ID}.scope\n");
    let unit = "0::/system.slice/shop.service\n";
    let session = "0::/user.slice/user-1000.slice/session-3.scope\n";
    let declared = "OTEL_SERVICE_NAME=checkout OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop";
    host.process(1, "/usr/bin/python3.11", "python3 app.py", declared, &docker);
    host.process(2, "/usr/bin/python3.11", "python3 app.py", "", &docker);
    host.process(3, "/usr/bin/python3.11", "python3 app.py", declared, unit);
    host.process(4, "/usr/bin/python3.11", "python3 app.py", "", unit);
    host.process(5, "/usr/bin/python3.11", "python3 app.py", "", session);
    host.process(6, "/usr/sbin/nginx (deleted)", "nginx: master", "", "0::/\n");
    let mut names = host.names();
    let name = |names: &mut LocalNames, pid, exe| names.name(&facts(pid, exe));

    let local = name(&mut names, 1, "python3.11");
    assert_eq!(kind_and_name(&local), (Kind::Declared, "checkout"));
    assert_eq!(local.identity.namespace.as_deref(), Some("shop"));
    assert_eq!(local.identity.container.as_deref(), Some("web"));
    assert_eq!(local.identity.image.as_deref(), Some("nginx:1"));
    assert_eq!(local.container_id.as_deref(), Some(ID));
    assert_eq!(kind_and_name(&name(&mut names, 2, "python3.11")), (Kind::Container, "web"));

    let local = name(&mut names, 3, "python3.11");
    assert_eq!(
        (kind_and_name(&local), local.identity.unit.as_deref()),
        ((Kind::Declared, "checkout"), Some("shop.service"))
    );
    assert_eq!(kind_and_name(&name(&mut names, 4, "python3.11")), (Kind::Unit, "shop"));
    assert_eq!(kind_and_name(&name(&mut names, 5, "python3.11")), (Kind::Executable, "app.py"));
    assert_eq!(kind_and_name(&name(&mut names, 6, "nginx")), (Kind::Executable, "nginx"));
    assert_eq!(names.losses(), LocalLosses::default());
}

#[test]
fn a_process_that_is_gone_keeps_what_the_kernel_knows() {
    let host = Host::new();
    host.docker("web", "nginx:1");
    let mut names = host.names();
    names.cgroup_made(&made(77, &format!("/docker/{ID}")), 0);
    let local = names.name(&facts(9, "curl"));
    assert_eq!((kind_and_name(&local), local.container_id.as_deref()), ((Kind::Container, "web"), Some(ID)));
    // In a cgroup that was never reported.
    let local = names.name(&ProcessFacts { cgroup_id: 78, ..facts(9, "curl") });
    assert_eq!(kind_and_name(&local), (Kind::Executable, "curl"));
    let local = names.name(&ProcessFacts { cgroup_id: CGROUP_ROOT, ..facts(9, "") });
    assert_eq!(kind_and_name(&local), (Kind::Executable, "thread"));
    // A link to a multi-call program has its own name.
    let link = ProcessFacts { comm: facts(9, "redis-server").comm, ..facts(9, "redis-check-rdb") };
    assert_eq!(kind_and_name(&names.name(&ProcessFacts { cgroup_id: CGROUP_ROOT, ..link })).1, "redis-server");
    let losses = names.losses();
    assert_eq!((losses.gone, losses.reused, losses.unknown_cgroups), (4, 0, 1));
}

#[test]
fn another_process_with_its_id_never_gives_its_name() {
    let host = Host::new();
    host.process(9, "/usr/bin/curl", "curl x", "OTEL_SERVICE_NAME=other", "0::/system.slice/other.service\n");
    let mut names = host.names();
    // Ten milliseconds earlier, the resolution of /proc.
    let earlier = ProcessFacts { start_ns: START_NS - 10_000_000, ..facts(9, "curl") };
    assert_eq!(kind_and_name(&names.name(&earlier)), (Kind::Executable, "curl"));
    assert_eq!((names.losses().reused, names.losses().unknown_cgroups), (1, 1));
    assert_eq!(kind_and_name(&names.name(&facts(9, "curl"))), (Kind::Declared, "other"));
}

#[test]
fn another_program_in_the_same_process_is_noticed() {
    let host = Host::new();
    host.process(
        9,
        "/usr/bin/python3.11",
        "python3 app.py",
        "OTEL_SERVICE_NAME=app",
        "0::/system.slice/shop.service\n",
    );
    let mut names = host.names();
    // The process was a shell when it made the edge: its unit is the same, its arguments are not.
    let local = names.name(&ProcessFacts { cgroup_id: 0, ..facts(9, "bash") });
    assert_eq!((kind_and_name(&local), names.losses().replaced), ((Kind::Unit, "shop"), 1));
    fs::write(host.root.join("proc/9/cgroup"), "0::/\n").expect("cgroup");
    let local = names.name(&ProcessFacts { cgroup_id: 0, start_ns: 0, ..facts(9, "bash") });
    assert_eq!(kind_and_name(&local), (Kind::Executable, "bash"));
}

#[test]
fn a_container_without_files_has_its_id_for_a_name_until_they_exist() {
    let host = Host::new();
    host.process(9, "/usr/sbin/nginx", "nginx", "", &format!("0::/docker/{ID}\n"));
    let mut names = host.names();
    let local = names.name(&facts(9, "nginx"));
    assert_eq!(kind_and_name(&local), (Kind::Executable, "nginx"));
    assert_eq!(local.identity.container.as_deref(), Some(&ID[..12]));
    assert_eq!(names.losses().containers.unknown, 1);
    host.docker("web", "nginx:1");
    assert_eq!(kind_and_name(&names.name(&facts(9, "nginx"))), (Kind::Container, "web"));
}

#[test]
fn a_container_is_looked_up_while_its_files_are_there() {
    let host = Host::new();
    let mut names = host.names();
    names.cgroup_made(&made(77, &format!("/docker/{ID}")), 0);
    assert_eq!(names.due_ns(), Some(25_000_000));
    names.look_again(25_000_000);
    assert_eq!(names.due_ns(), Some(75_000_000));
    host.docker("web", "nginx:1");
    names.look_again(74_999_999);
    assert_eq!(names.found_late(), 0, "not due yet");
    names.look_again(75_000_000);
    assert_eq!((names.due_ns(), names.found_late()), (None, 1));
    fs::remove_dir_all(host.root.join("var")).expect("removed");
    assert_eq!(kind_and_name(&names.name(&facts(9, "nginx"))), (Kind::Container, "web"));
}

#[test]
fn a_container_whose_files_never_appear_is_given_up() {
    let host = Host::new();
    let mut names = host.names();
    names.cgroup_made(&made(77, &format!("/docker/{ID}")), 0);
    let mut looks = Vec::new();
    while let Some(due_ns) = names.due_ns() {
        looks.push(due_ns / 1_000_000);
        names.look_again(due_ns);
    }
    assert_eq!(looks, [25, 75, 200, 400, 800, 1600, 3200, 6400]);
}

#[test]
fn a_path_that_was_cut_is_counted_and_not_kept() {
    let host = Host::new();
    let mut names = host.names();
    names.cgroup_made(&made(77, &"/a".repeat(CGROUP_PATH_LEN)), 0);
    names.cgroup_made(&CgroupMade { length: CGROUP_PATH_LEN as u32 - 1, ..made(77, &"/a".repeat(200)) }, 0);
    names.cgroup_made(&CgroupMade { length: u32::MAX, ..made(77, "/a") }, 0);
    names.cgroup_made(&made(77, ""), 0);
    names.name(&facts(9, "nginx"));
    assert_eq!((names.losses().long_paths, names.losses().unknown_cgroups), (4, 1));
}

#[test]
fn a_pod_by_its_runtimes_files() {
    let host = Host::new();
    let uid = "0f6f5c2e-8a1b-4c3d-9e7f-1a2b3c4d5e6f";
    let content = r#"{"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.sandbox-name":"checkout-x2x",
        "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.image-name":"shop/checkout:3"}}"#;
    host.write(&format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"), content);
    host.process(9, "/app", "app", "", &format!("0::/kubepods/burstable/pod{uid}/{ID}\n"));
    let local = host.names().name(&facts(9, "app"));
    assert_eq!(kind_and_name(&local), (Kind::Container, "app"));
    assert_eq!(local.identity.namespace.as_deref(), Some("shop"));
    assert_eq!(local.identity.pod.as_deref(), Some("checkout-x2x"));
    assert_eq!((local.container_id.as_deref(), local.pod_uid.as_deref()), (Some(ID), Some(uid)));
}

#[test]
fn waiting_for_containers_is_bounded() {
    let host = Host::new();
    let mut names = host.names();
    for id in 0..1000u64 {
        names.cgroup_made(&made(id, &format!("/docker/{id:064x}")), 0);
    }
    assert_eq!((names.awaited.len(), names.losses().not_awaited), (MAX_AWAITED, 1000 - MAX_AWAITED as u64));
    (1..=LOOKS).for_each(|look| names.look_again(FIRST_LOOK_NS << look));
    assert!(names.awaited.is_empty());
    // Cgroups that are no container's are not awaited.
    names.cgroup_made(&made(1, "/system.slice/nginx.service"), 0);
    assert!(names.awaited.is_empty());
}

/// On the kernel's own /proc: start times, environment, a script.
#[test]
fn a_real_process() {
    let directory = scratch("real");
    let script = directory.join("worker.sh");
    fs::write(&script, "read line\n").expect("script");
    let mut child = Command::new("/bin/sh").arg(&script).stdin(std::process::Stdio::piped()).spawn().expect("a shell");
    let shell = fs::canonicalize("/bin/sh").expect("the shell's own name");
    let exe = shell.file_name().and_then(std::ffi::OsStr::to_str).expect("a name");
    let mut names = LocalNames::of_host().expect("names");
    let facts = ProcessFacts { start_ns: 0, cgroup_id: 0, ..facts(child.id(), exe) };
    // exec may not have happened yet.
    let mut local = names.name(&facts);
    for _ in 0..100 {
        if &*local.identity.name == "worker.sh" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        local = LocalNames::of_host().expect("names").name(&facts);
    }
    drop(child.stdin.take());
    child.wait().expect("it ends");
    assert!(matches!(local.identity.kind, Kind::Executable | Kind::Container | Kind::Unit), "{local:?}");
    assert_eq!(&*local.identity.name, "worker.sh", "{local:?}");
    fs::remove_dir_all(directory).expect("removed");
}
