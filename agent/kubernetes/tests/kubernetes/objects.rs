//! Objects as a real API server of Kubernetes 1.3x returns them, with managed fields: weir ignores most of an object.

use serde_json::{Value, json};

/// The `number`th uid of a kind. The kind is a digit of the uid.
pub(crate) fn uid(kind: u32, number: u32) -> String {
    format!("{kind:08x}-7b6e-4c40-8b5e-{number:012x}")
}

pub(crate) fn container_id(number: u32) -> String {
    format!("{number:064x}")
}

/// RFC 3339, as objects have it.
pub(crate) fn time(unix_s: u64) -> String {
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    // Civil from days (H. Hinnant), for days after 1970.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A running pod of the Deployment `app`.
pub(crate) fn pod(number: u32, app: &str, node: &str, ip: &str, since_s: u64) -> Value {
    let hash = "6d4cf56db6";
    let name = format!("{app}-{hash}-{number:05x}");
    let started = time(since_s);
    let image = format!("registry.example.com/shop/{app}:1.4.2");
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": started, "observedGeneration": 1});
    let environment: Vec<_> = (0..12)
        .map(
            |i| json!({"name": format!("SETTING_{i}"), "value": format!("a value that a user has chosen for number {i}")}),
        )
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "generateName": format!("{app}-{hash}-"), "namespace": "shop", "uid": uid(1, number),
            "creationTimestamp": started, "generation": 1,
            "labels": {"app.kubernetes.io/name": "not-the-owner", "app": app, "pod-template-hash": hash},
            "annotations": {"prometheus.io/scrape": "true", "kubectl.kubernetes.io/restartedAt": started},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-{hash}"), "uid": uid(9, number),
                "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": managed_fields(&started),
        },
        "spec": {
            "nodeName": node, "serviceAccountName": "default", "restartPolicy": "Always", "priority": 0,
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "enableServiceLinks": true,
            "terminationGracePeriodSeconds": 30, "preemptionPolicy": "PreemptLowerPriority",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
            "volumes": [{"name": "kube-api-access-abcde", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ]}}],
            "containers": [{
                "name": "server", "image": image, "imagePullPolicy": "IfNotPresent", "env": environment,
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "volumeMounts": [{"name": "kube-api-access-abcde", "readOnly": true,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
        "status": {
            "phase": "Running", "qosClass": "Burstable", "startTime": started, "hostIP": "10.0.0.1",
            "hostIPs": [{"ip": "10.0.0.1"}], "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"),
                condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [{
                "name": "server", "image": image, "ready": true, "started": true, "restartCount": 0,
                "containerID": format!("containerd://{}", container_id(number)),
                "imageID": format!("registry.example.com/shop/{app}@sha256:{}", container_id(number)),
                "lastState": {}, "state": {"running": {"startedAt": started}},
            }],
        },
    })
}

/// Its containers have ended.
pub(crate) fn finish(pod: &mut Value, phase: &str, at_s: u64) {
    pod["status"]["phase"] = phase.into();
    let status = &mut pod["status"]["containerStatuses"][0];
    status["ready"] = false.into();
    status["state"] = json!({"terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": time(at_s - 1), "finishedAt": time(at_s),
        "containerID": status["containerID"],
    }});
}

pub(crate) fn service(number: u32, name: &str, cluster_ip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid(2, number), "creationTimestamp": time(1_700_000_000),
            "labels": {"app": name},
            "managedFields": managed_fields(&time(1_700_000_000)),
        },
        "spec": {
            "clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "type": "ClusterIP", "sessionAffinity": "None",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}],
            "selector": {"app": name},
        },
        "status": {"loadBalancer": {}},
    })
}

pub(crate) fn node(number: u32, name: &str, ip: &str, boot_id: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": uid(3, number), "creationTimestamp": time(1_700_000_000),
            "labels": {"kubernetes.io/hostname": name}},
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
            "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
            "nodeInfo": {"bootID": boot_id, "machineID": "fe6b2c4c33a14e21b1d4f3b1b5a1c0de", "kernelVersion": "6.12.0",
                "kubeletVersion": "v1.33.1", "containerRuntimeVersion": "containerd://2.0.5", "operatingSystem": "linux",
                "architecture": "amd64", "osImage": "Debian GNU/Linux 13", "systemUUID": "", "kubeProxyVersion": ""},
        },
    })
}

/// The API server's own slice, which no controller makes.
pub(crate) fn slice(number: u32, service: &str, addresses: &[&str], port: u16) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": service, "namespace": "default", "uid": uid(4, number),
            "creationTimestamp": time(1_700_000_000), "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": addresses, "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    })
}

/// Managed fields are a third of a real object.
fn managed_fields(time: &str) -> Value {
    let env: serde_json::Map<_, _> = (0..12)
        .map(|i| (format!("k:{{\"name\":\"SETTING_{i}\"}}"), json!({".": {}, "f:name": {}, "f:value": {}})))
        .collect();
    json!([
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": time,
         "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:app": {}, "f:pod-template-hash": {}},
                "f:ownerReferences": {".": {}, "k:{\"uid\":\"5f1d4c7a-7b6e-4c40-8b5e-000000000001\"}": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"server\"}": {".": {}, "f:env": env, "f:image": {}, "f:name": {},
                "f:imagePullPolicy": {}, "f:ports": {".": {}, "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {".": {},
                "f:containerPort": {}, "f:name": {}, "f:protocol": {}}}, "f:resources": {".": {}, "f:limits": {".": {},
                "f:cpu": {}, "f:memory": {}}, "f:requests": {".": {}, "f:cpu": {}, "f:memory": {}}}}},
                "f:dnsPolicy": {}, "f:enableServiceLinks": {}, "f:restartPolicy": {}, "f:schedulerName": {},
                "f:securityContext": {}, "f:terminationGracePeriodSeconds": {}}}},
        {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": time, "subresource": "status",
         "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:conditions": {
            "k:{\"type\":\"ContainersReady\"}": {".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}},
            "k:{\"type\":\"Initialized\"}": {".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}},
            "k:{\"type\":\"PodReadyToStartContainers\"}": {".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}},
            "k:{\"type\":\"Ready\"}": {".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {}}},
            "f:containerStatuses": {}, "f:hostIP": {}, "f:hostIPs": {}, "f:phase": {},
            "f:podIP": {}, "f:podIPs": {".": {}, "k:{\"ip\":\"10.244.1.7\"}": {".": {}, "f:ip": {}}}, "f:startTime": {}}}},
    ])
}
