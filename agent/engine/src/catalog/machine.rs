//! Fields of the machine that a stream is of: in every document and line.

use super::{Field, Read, Value, label};
use crate::{input::Machine, snapshot::Snapshot};

const OLDER: &str = "the recording is older than this field";
const NO_NODE: &str = "no Kubernetes node: neither --node-name nor NODE_NAME names one";

/// `host`, `node` and `boot_id`.
pub const MACHINE: &[Field<Machine>] = &[
    label("host", "the host's name", |machine: &Machine| machine.host.as_deref().ok_or(OLDER).into()).nullable(),
    label("node", "the Kubernetes node (`--node-name`, or `NODE_NAME` in the environment)", |machine: &Machine| {
        let reason = if machine.host.is_some() { NO_NODE } else { OLDER };
        machine.node.as_deref().ok_or(reason).into()
    })
    .nullable(),
    label("boot_id", "this boot of the kernel (`/proc/sys/kernel/random/boot_id`)", |machine: &Machine| {
        machine.boot_id.as_deref().ok_or(OLDER).into()
    })
    .nullable(),
];

/// The `n`th of them as a field of a document.
pub(super) const fn of_document(n: usize) -> Field<Snapshot> {
    /// How the `n`th is read.
    const READ: [Read<Snapshot>; MACHINE.len()] =
        [|snapshot| read(snapshot, 0), |snapshot| read(snapshot, 1), |snapshot| read(snapshot, 2)];
    Field { about: MACHINE[n].about, read: READ[n] }
}

fn read(snapshot: &Snapshot, n: usize) -> Value<'_> {
    (MACHINE[n].read)(&snapshot.machine)
}

/// Every field is in a row above.
const _: fn(&Machine) = |machine: &Machine| {
    let Machine { host: _, node: _, boot_id: _ } = machine;
};
