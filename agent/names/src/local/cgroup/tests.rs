use proptest::prelude::*;

use super::*;

const ID: &str = "3f4a1c5e9d2b7a60c8e1f0d3b5a79c24e6f81d0a2c4b6e8f9a7b5c3d1e0f2a4b";
const ID2: &str = "aa4a1c5e9d2b7a60c8e1f0d3b5a79c24e6f81d0a2c4b6e8f9a7b5c3d1e0f2abb";
const UID: &str = "0f6f5c2e-8a1b-4c3d-9e7f-1a2b3c4d5e6f";
const UID_: &str = "0f6f5c2e_8a1b_4c3d_9e7f_1a2b3c4d5e6f";
const STATIC: &str = "5d2ee1b8b1a3c6f0a9e7d4c2b1a0f9e8";

/// A path with real ids in it. Pod uids are replaced before ids: neither contains the other's placeholder.
fn real(path: &str) -> String {
    let pods = path.replace("POD_", UID_).replace("POD", UID).replace("STATIC", STATIC);
    pods.replace("ID2", ID2).replace("ID", ID)
}

#[test]
fn containers_in_the_forms_of_every_runtime() {
    let table: &[(&str, &str, Runtime)] = &[
        // Docker: systemd driver, cgroupfs driver, rootless, below a parent of its own.
        ("/system.slice/docker-ID.scope", ID, Runtime::Docker),
        ("/docker/ID", ID, Runtime::Docker),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", ID, Runtime::Docker),
        ("/my-parent/ID", ID, Runtime::Unknown),
        ("/system.slice/docker.service/docker/ID", ID, Runtime::Docker),
        // With systemd inside.
        ("/system.slice/docker-ID.scope/init.scope", ID, Runtime::Docker),
        ("/system.slice/docker-ID.scope/system.slice/nginx.service", ID, Runtime::Docker),
        // containerd.
        ("/system.slice/nerdctl-ID.scope", ID, Runtime::Containerd),
        ("/default/ID", ID, Runtime::Containerd),
        ("/k8s.io/ID", ID, Runtime::Containerd),
        (
            "/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID",
            ID,
            Runtime::Containerd,
        ),
        // podman: systemd, cgroupfs, split, rootless; with `container` below by crun.
        ("/machine.slice/libpod-ID.scope", ID, Runtime::Podman),
        ("/machine.slice/libpod-ID.scope/container", ID, Runtime::Podman),
        ("/libpod_parent/libpod-ID", ID, Runtime::Podman),
        ("/libpod_parent/libpod-ID/container", ID, Runtime::Podman),
        ("/system.slice/web.service/libpod-payload-ID", ID, Runtime::Podman),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", ID, Runtime::Podman),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_ID2.slice/libpod-ID.scope",
            ID,
            Runtime::Podman,
        ),
        // CRI-O.
        ("/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope", ID, Runtime::CriO),
        ("/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope/container", ID, Runtime::CriO),
        ("/kubepods/burstable/podPOD/crio-ID", ID, Runtime::CriO),
        // Kubernetes with either driver.
        ("/kubepods/burstable/podPOD/ID", ID, Runtime::Unknown),
        ("/kubepods.slice/kubepods-podPOD_.slice/cri-containerd-ID.scope", ID, Runtime::Containerd),
        ("/kubepods.slice/kubepods-podPOD_.slice/docker-ID.scope", ID, Runtime::Docker),
        // Names instead of ids.
        ("/lxc/web1", "web1", Runtime::Lxc),
        ("/lxc.payload.web1", "web1", Runtime::Lxc),
        ("/lxc.payload.web1/system.slice/nginx.service", "web1", Runtime::Lxc),
        ("/lxc.payload/web1/init.scope", "web1", Runtime::Lxc),
        ("/machine.slice/systemd-nspawn@web1.service/payload/init.scope", "web1", Runtime::Nspawn),
        ("/user.slice/runc-web1.scope", "web1", Runtime::Oci),
        ("/system.slice/crun-web1.scope", "web1", Runtime::Oci),
        // ECS on EC2 and Fargate, buildkit.
        ("/ecs/55091c13-b8cf-4801-b527-f4601742204d/ID", ID, Runtime::Unknown),
        (
            "/ecs/5d2ee1b8b1a3c6f0a9e7d4c2b1a0f9e8/5d2ee1b8b1a3c6f0a9e7d4c2b1a0f9e8-2531612879",
            "5d2ee1b8b1a3c6f0a9e7d4c2b1a0f9e8-2531612879",
            Runtime::Unknown,
        ),
        // Nested: the innermost.
        ("/docker/ID2/docker/ID", ID, Runtime::Docker),
        ("/docker/ID2/kubelet/kubepods/besteffort/podPOD/ID", ID, Runtime::Unknown),
        (
            "/system.slice/docker-ID2.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
             kubelet-kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
            ID,
            Runtime::Containerd,
        ),
        ("/kubepods/burstable/podPOD/ID2/docker/ID", ID, Runtime::Docker),
        // In a cgroup namespace.
        ("/../../system.slice/docker-ID.scope", ID, Runtime::Docker),
        ("/../cri-containerd-ID.scope", ID, Runtime::Containerd),
        ("/../ID", ID, Runtime::Unknown),
    ];
    for (path, id, runtime) in table {
        let path = real(path);
        assert_eq!(parse(&path).container, Some(Contained { id, runtime: *runtime }), "{path}");
    }
}

#[test]
fn nesting_keeps_the_outer_container_too() {
    let path = real("/docker/ID2/kubelet/kubepods/besteffort/podPOD/ID");
    let place = parse(&path);
    assert_eq!(place.outer.map(|outer| outer.id), Some(ID2));
    assert_eq!(place.pod, Some(Pod { uid: UID.into(), qos: Qos::BestEffort }));
}

#[test]
fn pods_in_the_forms_of_both_drivers() {
    let table: &[(&str, &str, Qos)] = &[
        ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/x", UID, Qos::Burstable),
        ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice", UID, Qos::BestEffort),
        ("/kubepods.slice/kubepods-podPOD_.slice/cri-containerd-ID.scope", UID, Qos::Guaranteed),
        ("/kubepods/podPOD/ID", UID, Qos::Guaranteed),
        ("/kubepods/burstable/podPOD/ID", UID, Qos::Burstable),
        ("/kubepods/besteffort/podSTATIC/ID", STATIC, Qos::BestEffort),
        ("/kubelet/kubepods/burstable/podPOD/ID", UID, Qos::Burstable),
        ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podPOD_.slice/crio-ID.scope", UID, Qos::Guaranteed),
        ("/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID", UID, Qos::Burstable),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSTATIC.slice/crio-ID.scope",
            STATIC,
            Qos::Burstable,
        ),
    ];
    for (path, uid, qos) in table {
        let path = real(path);
        assert_eq!(parse(&path).pod, Some(Pod { uid: (*uid).into(), qos: *qos }), "{path}");
    }
}

#[test]
fn units_and_their_service_names() {
    // Path, unit, name; none where the program gives the better name.
    let table: &[(&str, &str, Option<&str>)] = &[
        ("/system.slice/nginx.service", "nginx.service", Some("nginx")),
        ("/system.slice/nginx.service/worker", "nginx.service", Some("nginx")),
        (
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
            "postgresql@15-main.service",
            Some("postgresql@15-main"),
        ),
        ("/system.slice/foo@1.service", "foo@1.service", Some("foo@1")),
        (
            "/system.slice/system-sshd.slice/sshd@12-10.0.0.1:22-10.0.0.7:53122.service",
            "sshd@12-10.0.0.1:22-10.0.0.7:53122.service",
            Some("sshd"),
        ),
        ("/system.slice/_cpu.service", "cpu.service", Some("cpu")),
        ("/system.slice/my\\x2dapp.service", "my\\x2dapp.service", Some("my-app")),
        (
            "/system.slice/snap.microk8s.daemon-kubelite.service",
            "snap.microk8s.daemon-kubelite.service",
            Some("snap.microk8s.daemon-kubelite"),
        ),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.scope", "app-foo.scope", Some("app-foo")),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4711.scope",
            "app-gnome-firefox-4711.scope",
            Some("app-gnome-firefox"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox@4f2a9c.service",
            "app-firefox@4f2a9c.service",
            Some("app-firefox"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service",
            "syncthing.service",
            Some("syncthing"),
        ),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope", None),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope", None),
        ("/user.slice/user-1000.slice/user@1000.service", "user@1000.service", None),
        ("/init.scope", "init.scope", None),
        ("/system.slice/run-u123.service", "run-u123.service", None),
        ("/system.slice/run-rd41d8cd98f00b204.scope", "run-rd41d8cd98f00b204.scope", None),
        ("/system.slice/run-p123-i456.scope", "run-p123-i456.scope", None),
        ("/system.slice/run-upgrade.service", "run-upgrade.service", Some("run-upgrade")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-2f0c.scope", "vte-spawn-2f0c.scope", None),
        ("/../../system.slice/nginx.service", "nginx.service", Some("nginx")),
    ];
    for (path, unit, name) in table {
        let found = parse(path).unit.unwrap_or_else(|| panic!("no unit in {path}"));
        assert_eq!(found.name, *unit, "{path}");
        assert_eq!(found.is_service().then(|| found.service_name().into_owned()).as_deref(), *name, "{path}");
        assert_eq!(found.of_user, path.starts_with("/user.slice/"), "{path}");
    }
}

#[test]
fn the_daemon_of_a_container_is_not_its_unit() {
    for path in ["/system.slice/containerd.service/default/ID", "/system.slice/docker.service/docker/ID"] {
        assert_eq!(parse(&real(path)).unit, None, "{path}");
    }
    let path = real("/system.slice/docker-ID.scope/system.slice/nginx.service");
    assert_eq!(parse(&path).unit.map(|unit| unit.name), Some("nginx.service"));
    let path = real("/system.slice/web.service/libpod-payload-ID");
    assert_eq!(parse(&path).unit.map(|unit| unit.name), Some("web.service"));
}

#[test]
fn what_watches_a_container_is_not_in_it() {
    for path in [
        "/machine.slice/libpod-conmon-ID.scope",
        "/kubepods.slice/kubepods-podPOD_.slice/crio-conmon-ID.scope",
        "/lxc.monitor.web1",
    ] {
        let path = real(path);
        let place = parse(&path);
        assert!(place.supervisor && place.container.is_none(), "{path}: {place:?}");
    }
}

#[test]
fn what_only_looks_like_one_is_none() {
    for path in [
        "/",
        "",
        "/system.slice",
        "/docker/short",
        "/system.slice/docker-3f4a.scope",
        // One digit short, one too many, upper case.
        "/docker/3f4a1c5e9d2b7a60c8e1f0d3b5a79c24e6f81d0a2c4b6e8f9a7b5c3d1e0f2a4",
        "/docker/3f4a1c5e9d2b7a60c8e1f0d3b5a79c24e6f81d0a2c4b6e8f9a7b5c3d1e0f2a4b0",
        "/docker/3F4A1C5E9D2B7A60C8E1F0D3B5A79C24E6F81D0A2C4B6E8F9A7B5C3D1E0F2A4B",
        "/kubepods/burstable/podium",
        "/pod0f6f5c2e-8a1b-4c3d-9e7f-1a2b3c4d5e6f",
        "/lxc/..",
        "/user.slice/runc-.scope",
    ] {
        let place = parse(path);
        assert_eq!((place.container, &place.pod), (None, &None), "{path}");
    }
    assert_eq!(parse("/web1").leaf, Some("web1"));
    assert_eq!(parse("/system.slice").leaf, None);
}

#[test]
fn the_most_specific_line() {
    let table: &[(&str, &str)] = &[
        ("0::/system.slice/nginx.service\n", "/system.slice/nginx.service"),
        // Hybrid: the v2 path is `/`, or the daemon's.
        ("9:name=systemd:/\n4:memory:/docker/ID\n0::/\n", "/docker/ID"),
        ("4:memory:/docker/ID\n1:name=systemd:/docker/ID\n0::/system.slice/containerd.service\n", "/docker/ID"),
        ("1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n", "/system.slice/b.service"),
        // v1: systemd's hierarchy is preferred, but not to a container.
        ("4:memory:/system.slice/a.service\n1:name=systemd:/system.slice/a.service/x\n", "/system.slice/a.service/x"),
        (
            "11:pids:/user.slice/user-0.slice/session-3.scope\n1:name=systemd:/system.slice/cron.service\n",
            "/system.slice/cron.service",
        ),
        ("8:pids:/web1\n4:memory:/web1\n9:name=systemd:/\n0::/\n", "/web1"),
        ("12:cpu,cpuacct:/kubepods/burstable/podPOD/ID\n0::/\n", "/kubepods/burstable/podPOD/ID"),
        ("0::/system.slice/nginx.service (deleted)\n", "/system.slice/nginx.service"),
        ("rubbish\n0::/a:b.service\n", "/a:b.service"),
    ];
    for (lines, path) in table {
        assert_eq!(most_specific_path(real(lines).as_bytes()), Some(real(path).as_str()), "{lines}");
    }
    assert_eq!(most_specific_path(b""), None);
    assert_eq!(most_specific_path(b"\xff\xfe:\n\n"), None);
}

/// Any bytes, or meaningful parts in any order: the first test the reading, the second the interpretation.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "/",
            "..",
            ".scope",
            ".slice",
            ".service",
            "kubepods",
            "burstable",
            "-pod",
            "pod",
            ":",
            "docker-",
            "docker",
            "cri-containerd-",
            "crio-",
            "libpod-",
            "lxc",
            "lxc.payload.",
            "user@",
            "app-",
            "@",
            "-",
            "_",
            "\\x2d",
            "0::",
            "\n",
            "name=systemd",
            "memory",
            " (deleted)",
            "session-",
            "run-",
            ID,
            UID,
            UID_,
            "é",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec(word, 0..12).prop_map(|words| words.concat()),
    ]
}

proptest! {
    /// `PROPTEST_CASES=10000000` for the long run.
    #[test]
    fn hostile_paths_are_bounded(bytes in hostile()) {
        if let Some(path) = most_specific_path(&bytes) {
            prop_assert!(path.len() <= bytes.len());
        }
        let path = String::from_utf8_lossy(&bytes);
        let place = parse(&path);
        if let Some(container) = place.container {
            prop_assert!(!container.id.is_empty() && container.id.len() <= 255 && !container.id.contains('/'));
        }
        if let Some(pod) = place.pod {
            prop_assert!(matches!(pod.uid.len(), 32 | 36));
        }
        if let Some(unit) = place.unit {
            let name = unit.service_name();
            prop_assert!(unit.name.len() <= 255 && name.len() <= unit.name.len());
        }
    }
}
