use std::fs;

use super::*;
use crate::local::scratch;

const ID: &str = "3f4a1c5e9d2b7a60c8e1f0d3b5a79c24e6f81d0a2c4b6e8f9a7b5c3d1e0f2a4b";
const UID: &str = "0f6f5c2e-8a1b-4c3d-9e7f-1a2b3c4d5e6f";

/// A host with one file, and the names in it of the container `ID` of `runtime`.
fn of_file(
    path: &str,
    content: &str,
    runtime: Runtime,
    user: Option<u32>,
) -> (Option<ContainerNames>, ContainerLosses) {
    let root = scratch("container");
    for (path, content) in
        [(path, content), ("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")]
    {
        let file = root.join(path.replace("ID", ID));
        fs::create_dir_all(file.parent().expect("parent")).expect("directory");
        fs::write(file, content.replace("ID", ID)).expect("file");
    }
    let mut containers = Containers::below(&root).expect("root");
    let names = containers.names(Contained { id: ID, runtime }, user);
    fs::remove_dir_all(&root).expect("removed");
    // The names stay known when the file is removed.
    assert_eq!(containers.names(Contained { id: ID, runtime }, user), names);
    (names.map(|names| (*names).clone()), containers.losses)
}

fn named(name: &str, image: Option<&str>) -> ContainerNames {
    ContainerNames { name: Some(name.into()), image: image.map(Into::into), ..ContainerNames::default() }
}

fn of_pod(name: Option<&str>, image: &str) -> ContainerNames {
    ContainerNames {
        name: name.map(Into::into),
        image: Some(image.into()),
        pod: Some("checkout-7d9f-x2x".into()),
        namespace: Some("shop".into()),
        pod_uid: Some(UID.into()),
    }
}

#[test]
fn docker() {
    let path = "var/lib/docker/containers/ID/config.v2.json";
    let content = r#"{"ID":"ID","State":{"Running":true},"Name":"/web","Config":{"Image":"nginx:1.25","Labels":{}}}"#;
    assert_eq!(of_file(path, content, Runtime::Docker, None).0, Some(named("web", Some("nginx:1.25"))));
    let content = r#"{"Name":"/k8s_app_checkout_shop","Config":{"Image":"sha256:1","Labels":{
        "io.kubernetes.container.name":"app","io.kubernetes.pod.name":"checkout-7d9f-x2x",
        "io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"0f6f5c2e-8a1b-4c3d-9e7f-1a2b3c4d5e6f"}}}"#;
    assert_eq!(of_file(path, content, Runtime::Unknown, None).0, Some(of_pod(Some("app"), "sha256:1")));
}

#[test]
fn containerd() {
    let content = r#"{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.container-type":"container",
        "io.kubernetes.cri.container-name":"app","io.kubernetes.cri.image-name":"shop/checkout:3",
        "io.kubernetes.cri.sandbox-name":"checkout-7d9f-x2x","io.kubernetes.cri.sandbox-namespace":"shop",
        "io.kubernetes.cri.sandbox-uid":"0f6f5c2e-8a1b-4c3d-9e7f-1a2b3c4d5e6f"}}"#;
    let path = "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json";
    assert_eq!(of_file(path, content, Runtime::Containerd, None).0, Some(of_pod(Some("app"), "shop/checkout:3")));
    // k3s, and a path that does not name the runtime.
    let path = "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json";
    assert_eq!(of_file(path, content, Runtime::Unknown, None).0, Some(of_pod(Some("app"), "shop/checkout:3")));
    // The sandbox has no name of its own.
    let pause = content.replace("-type\":\"container", "-type\":\"sandbox");
    assert_eq!(of_file(path, &pause, Runtime::Containerd, None).0, Some(of_pod(None, "shop/checkout:3")));
    let nerdctl = r#"{"annotations":{"nerdctl/name":"web","nerdctl/namespace":"default"}}"#;
    let path = "run/containerd/io.containerd.runtime.v2.task/default/ID/config.json";
    assert_eq!(of_file(path, nerdctl, Runtime::Containerd, None).0, Some(named("web", None)));
    // Docker's bundle has no names: none are found, and it is no loss.
    let (names, losses) = of_file(path, r#"{"annotations":{}}"#, Runtime::Containerd, None);
    assert_eq!((names, losses.malformed), (None, 0));
}

#[test]
fn cri_o() {
    let content = r#"{"annotations":{"io.kubernetes.cri-o.ContainerType":"container",
        "io.kubernetes.container.name":"app","io.kubernetes.cri-o.ImageName":"shop/checkout:3",
        "io.kubernetes.pod.name":"checkout-7d9f-x2x","io.kubernetes.pod.namespace":"shop",
        "io.kubernetes.pod.uid":"0f6f5c2e-8a1b-4c3d-9e7f-1a2b3c4d5e6f"}}"#;
    let path = "run/containers/storage/overlay-containers/ID/userdata/config.json";
    assert_eq!(of_file(path, content, Runtime::CriO, None).0, Some(of_pod(Some("app"), "shop/checkout:3")));
}

#[test]
fn podman() {
    // As podman 4.3 writes it.
    let content = r#"[{"id":"other","names":["x"]},{"id":"ID","names":["web-a"],"image":"f70d","layer":"082b",
        "metadata":"{\"image-name\":\"localhost/web:1\",\"image-id\":\"f70d\",\"name\":\"web-a\",\"created-at\":1}",
        "created":"2026-11-21T15:40:39.4Z","flags":{"MountLabel":"","ProcessLabel":""}}]"#;
    let expected = Some(named("web-a", Some("localhost/web:1")));
    for (path, user) in [
        ("var/lib/containers/storage/overlay-containers/containers.json", None),
        ("var/lib/containers/storage/vfs-containers/containers.json", None),
        ("var/lib/containers/storage/overlay-containers/volatile-containers.json", None),
        ("run/containers/storage/overlay-containers/volatile-containers.json", None),
        ("home/ann/.local/share/containers/storage/overlay-containers/containers.json", Some(1000)),
    ] {
        assert_eq!(of_file(path, content, Runtime::Podman, user).0, expected, "{path}");
    }
    let without_user = of_file(
        "home/ann/.local/share/containers/storage/overlay-containers/containers.json",
        content,
        Runtime::Podman,
        None,
    );
    assert_eq!(without_user.0, None);
}

#[test]
fn plain_runc_and_crun() {
    let root = scratch("plain");
    for (directory, file, content) in [
        ("runc/web1", "state.json", r#"{"id":"web1"}"#),
        ("crun/web2", "status", r#"{"pid":7}"#),
        ("runc/web3", "state.json", r#"{"id":"x"}"#),
    ] {
        let directory = root.join("run").join(directory);
        fs::create_dir_all(&directory).expect("directory");
        fs::write(directory.join(file), content).expect("file");
    }
    let mut containers = Containers::below(&root).expect("root");
    let name = |found: Option<Arc<ContainerNames>>| found.and_then(|names| names.name.clone());
    assert_eq!(name(containers.plain("web1")).as_deref(), Some("web1"));
    assert_eq!(name(containers.plain("web2")).as_deref(), Some("web2"));
    assert_eq!(containers.plain("web3"), None, "a state of another id");
    assert_eq!(containers.plain("../crun/web2"), None, "no name");
    fs::remove_dir_all(&root).expect("removed");
}

#[test]
fn hostile_files_are_counted() {
    let path = "var/lib/docker/containers/ID/config.v2.json";
    for content in ["", "{", "[1]", r#"{"Name":7}"#, "\u{0}\u{1}"] {
        let (names, losses) = of_file(path, content, Runtime::Docker, None);
        assert_eq!((names, losses.malformed), (None, 1), "{content:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(of_file(path, &deep, Runtime::Docker, None).1.malformed, 1);
    let long = format!("{{\"Name\":\"{}\"}}", "x".repeat(MAX_FILE));
    assert_eq!(of_file(path, &long, Runtime::Docker, None).1.oversized, 1);
    let escapes = r#"{"Name":"/we\u001b[31mb\n"}"#;
    assert_eq!(of_file(path, escapes, Runtime::Docker, None).0, Some(named("we\u{fffd}[31mb\u{fffd}", None)));
}
