//! Which machine this is.

use std::{env, fs};

use weir_engine::Machine;
use weir_names::kubernetes;

/// The id of this boot, the same in every container.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Where a pod has its node's name, by the chart and by custom.
const NODE_NAME: &str = "NODE_NAME";

/// This machine's names. In a container that does not share the host's UTS namespace the host's name is the container's; the node is
/// the one to go by there.
pub(super) fn this(cluster: &kubernetes::Config) -> Machine {
    let uname = rustix::system::uname();
    let host = Some(uname.nodename().to_string_lossy().into_owned());
    let node = cluster.node_name.clone().or_else(|| env::var(NODE_NAME).ok()).filter(|name| !name.is_empty());
    let boot_id = fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned());
    Machine { host, node, boot_id }
}
