//! Which machine this is.

use std::fs;

use weir_engine::Machine;
use weir_names::kubernetes;

/// The id of this boot, the same in every container.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// This machine's names. In a container that does not share the host's UTS namespace the host's name is the container's; the node is
/// the one to go by there.
pub(super) fn this(cluster: &kubernetes::Config) -> Machine {
    let uname = rustix::system::uname();
    let host = Some(uname.nodename().to_string_lossy().into_owned());
    let boot_id = fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned());
    Machine { host, node: cluster.node_name.clone(), boot_id }
}
