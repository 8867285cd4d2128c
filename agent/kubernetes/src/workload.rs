//! The workload of a pod: what was deployed, not the replica.

use super::object::{Meta, Pod};

/// A kind, in lower case as `kubectl` writes it, and a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) kind: String,
    pub(super) name: String,
}

/// The workload that a pod belongs to.
///
/// The pod names only its direct owner. The owner of that follows from the names that Kubernetes' controllers give: a lookup
/// would need two more watches, and permission to read every Deployment and CronJob.
pub(super) fn workload(pod: &Pod) -> Workload {
    let meta = &pod.metadata;
    let owner = meta.owner_references.iter().find(|owner| owner.controller).or(meta.owner_references.first());
    let of = |kind: &str, name: &str| Workload { kind: kind.to_owned(), name: name.to_owned() };
    let Some(owner) = owner else {
        return of("pod", &meta.name);
    };
    match owner.kind.as_str() {
        "ReplicaSet" => match replicated(meta, &owner.name) {
            Some((kind, name)) => of(kind, name),
            None => of("replicaset", &owner.name),
        },
        "Job" => cron_job(&owner.name).map_or_else(|| of("job", &owner.name), |name| of("cronjob", name)),
        // A static pod: the kubelet appends the node to the name in the manifest.
        "Node" => {
            let node = meta.name.strip_suffix(&pod.spec.node_name).and_then(|name| name.strip_suffix('-'));
            of("pod", node.unwrap_or(&meta.name))
        }
        other => of(&other.to_ascii_lowercase(), &owner.name),
    }
}

/// `checkout-6d4cf56db6` with the template hash `6d4cf56db6` belongs to the Deployment `checkout`.
fn replicated<'a>(meta: &Meta, name: &'a str) -> Option<(&'static str, &'a str)> {
    let without =
        |hash: &Option<String>| name.strip_suffix(hash.as_deref()?)?.strip_suffix('-').filter(|n| !n.is_empty());
    // Argo's controller sets both labels where it took over a Deployment; the ReplicaSet is named by its own hash.
    if let Some(name) = without(&meta.labels.rollout_hash) {
        return Some(("rollout", name));
    }
    without(&meta.labels.template_hash).map(|name| ("deployment", name))
}

/// A CronJob's jobs are named by its name and the time they were due: in minutes since 1970 (eight digits until 2160),
/// before Kubernetes 1.21 in seconds (ten digits).
fn cron_job(job: &str) -> Option<&str> {
    let (name, due) = job.rsplit_once('-')?;
    let is_time = matches!(due.len(), 8 | 10) && due.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Labels, Owner};

    fn pod(name: &str, owner: Option<(&str, &str)>, hash: Option<&str>) -> Pod {
        let owner_references = owner
            .map(|(kind, name)| Owner { kind: kind.into(), name: name.into(), controller: true })
            .into_iter()
            .collect();
        let labels = Labels { template_hash: hash.map(Into::into), ..Labels::default() };
        Pod { metadata: Meta { name: name.into(), owner_references, labels, ..Meta::default() }, ..Pod::default() }
    }

    fn named(pod: &Pod) -> String {
        let Workload { kind, name } = workload(pod);
        format!("{kind}/{name}")
    }

    #[test]
    fn a_replica_set_is_its_deployment() {
        let replica = pod("checkout-6d4cf56db6-x2x9p", Some(("ReplicaSet", "checkout-6d4cf56db6")), Some("6d4cf56db6"));
        assert_eq!(named(&replica), "deployment/checkout");
        let dashed = pod("a-b-6d4cf56db6-x2x9p", Some(("ReplicaSet", "a-b-6d4cf56db6")), Some("6d4cf56db6"));
        assert_eq!(named(&dashed), "deployment/a-b");
    }

    #[test]
    fn a_replica_set_without_an_owner_is_itself() {
        let bare = pod("checkout-x2x9p", Some(("ReplicaSet", "checkout")), None);
        assert_eq!(named(&bare), "replicaset/checkout");
        let misleading = pod("web-x2x9p", Some(("ReplicaSet", "web-6d4cf56db6")), Some("other"));
        assert_eq!(named(&misleading), "replicaset/web-6d4cf56db6");
        assert_eq!(named(&pod("x", Some(("ReplicaSet", "-abc")), Some("abc"))), "replicaset/-abc");
    }

    #[test]
    fn a_rollout_is_recognised_by_its_own_hash() {
        let mut replica = pod("web-abc-1", Some(("ReplicaSet", "web-abc")), None);
        replica.metadata.labels.rollout_hash = Some("abc".into());
        assert_eq!(named(&replica), "rollout/web");
    }

    #[test]
    fn a_job_with_a_time_is_its_cron_job() {
        assert_eq!(named(&pod("backup-27915640-abcde", Some(("Job", "backup-27915640")), None)), "cronjob/backup");
        assert_eq!(named(&pod("backup-1606780800-abcde", Some(("Job", "backup-1606780800")), None)), "cronjob/backup");
        assert_eq!(named(&pod("migrate-42-abcde", Some(("Job", "migrate-42")), None)), "job/migrate-42");
        assert_eq!(named(&pod("x", Some(("Job", "-27915640")), None)), "job/-27915640");
    }

    #[test]
    fn others_are_named_by_their_owner() {
        assert_eq!(named(&pod("db-0", Some(("StatefulSet", "db")), None)), "statefulset/db");
        assert_eq!(named(&pod("log-x2x9p", Some(("DaemonSet", "log")), None)), "daemonset/log");
        assert_eq!(named(&pod("kafka-0", Some(("StrimziPodSet", "kafka")), None)), "strimzipodset/kafka");
        assert_eq!(named(&pod("alone", None, None)), "pod/alone");
    }

    #[test]
    fn a_static_pod_loses_its_node() {
        let mut server = pod("kube-apiserver-node-1", Some(("Node", "node-1")), None);
        server.spec.node_name = "node-1".into();
        assert_eq!(named(&server), "pod/kube-apiserver");
    }

    #[test]
    fn the_controller_counts_among_several_owners() {
        let mut replica = pod("web-0", Some(("StatefulSet", "web")), None);
        replica
            .metadata
            .owner_references
            .insert(0, Owner { kind: "Tenant".into(), name: "t".into(), controller: false });
        assert_eq!(named(&replica), "statefulset/web");
    }
}
