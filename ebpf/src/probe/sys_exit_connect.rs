//! `syscalls:sys_exit_connect`, a classic tracepoint: `{ u64 hidden; i32 nr; i32 pad; i64 ret }`.
//!
//! Connects that fail before SYN_SENT, above all for lack of a route, change no socket state: only the call's return
//! shows them. Reads the target from the caller's memory, and only for these errors.

use aya_ebpf::{helpers::generated::bpf_probe_read_user, programs::TracePointContext};
use weir_abi::{ConnectOutcome, Counter, EdgeKey, OTHER_CLIENT, ROLE_CLIENT};

use crate::{
    counters::count,
    edge::{self, Failure, Header, new_key},
    kernel::{
        self, AF_INET, AF_INET6, Sock, Task,
        registers::{Call, field},
    },
    maps::FAILED_CONNECTS,
    owner::OwnedBy,
};

const NUMBER_AT: usize = 8;
const RETURN_AT: usize = 16;
const EPERM: i64 = -1;
const EACCES: i64 = -13;
const EINVAL: i64 = -22;
const EADDRNOTAVAIL: i64 = -99;
const ENETDOWN: i64 = -100;
const ENETUNREACH: i64 = -101;
const EHOSTUNREACH: i64 = -113;

#[inline(always)]
pub(crate) fn run(ctx: &TracePointContext) {
    let result: i64 = field(ctx, RETURN_AT);
    let outcome = match result {
        ENETUNREACH | EHOSTUNREACH | ENETDOWN => ConnectOutcome::Unreachable,
        EADDRNOTAVAIL => ConnectOutcome::AddressNotAvailable,
        EPERM | EACCES | EINVAL => ConnectOutcome::Other,
        _ => return,
    };
    let task = Task::current();
    let number: i32 = field(ctx, NUMBER_AT);
    // Registers read from the wrong place would show another number.
    let Some(call) = Call::current().filter(|call| call.number() == Some(number as u64)) else {
        count(Counter::UnreadableConnects);
        return;
    };
    let Some(fd) = call.first() else { return };
    // UDP sockets fail to connect too, as resolvers probe for routes: only TCP counts.
    let Some((sk, netns)) = task.tcp_socket(fd as u32) else { return };
    // A SYN was sent, or a port searched for: the failure was counted when the socket's state changed.
    if FAILED_CONNECTS.remove(sk).is_ok() {
        return;
    }
    let mut key = new_key();
    key.tgid = task.tgid();
    key.netns = netns;
    key.role = ROLE_CLIENT;
    if read_target(&call, &mut key).is_none() {
        count(Counter::UnreadableConnects);
        return;
    }
    let header = Header { owner: OwnedBy::Task(task), sk: None::<Sock>, peer_netns: 0 };
    let slot = edge::slot(&key, &header, OTHER_CLIENT);
    let failure = Failure { outcome, errno: -result as i32, after_ns: 0, syn_retransmits: 0 };
    edge::connect_failed(slot, kernel::now(), &failure);
}

/// The address and port that the caller asked for.
#[inline(always)]
fn read_target(call: &Call, key: &mut EdgeKey) -> Option<()> {
    let mut sockaddr = [0u8; 28];
    let length = if call.third()? < 28 { 16 } else { 28 };
    let from = call.second()? as *const _;
    // SAFETY: the destination holds 28 bytes; the helper checks the source.
    if unsafe { bpf_probe_read_user(sockaddr.as_mut_ptr().cast(), length, from) } != 0 {
        return None;
    }
    key.port = u16::from_be_bytes([sockaddr[2], sockaddr[3]]);
    match u16::from_ne_bytes([sockaddr[0], sockaddr[1]]) {
        AF_INET => {
            kernel::map_v4(u32::from_ne_bytes([sockaddr[4], sockaddr[5], sockaddr[6], sockaddr[7]]), &mut key.address);
        }
        AF_INET6 => {
            let mut i = 0;
            while i < 16 {
                key.address[i] = sockaddr[8 + i];
                i += 1;
            }
        }
        _ => return None,
    }
    Some(())
}
