//! Polls in a recording. The types are the engine's; this file does not compile when one of them gains a field, which then is
//! `#[serde(default)]` here, since older recordings lack it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weir_engine::{
    BusiestPoll, Busy, CgroupPoll, ConntrackPoll, HalfOpen, Listener, NamespacePoll, NetCounters, Owner, PollMisses,
    Polled, PortUse, PortsPoll, Pressure, ProcessPoll, ReadAt, Sender, SendersPoll, Throttle, UnixListener,
};

/// The result of a poll.
#[derive(Debug)]
pub(super) enum Poll<'a> {
    ToWrite(&'a Polled),
    Read(Box<Polled>),
}

impl Poll<'_> {
    pub(super) fn get(&self) -> &Polled {
        match self {
            Self::ToWrite(polled) => polled,
            Self::Read(polled) => polled,
        }
    }
}

impl Serialize for Poll<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PolledLine::serialize(self.get(), serializer)
    }
}

impl<'de> Deserialize<'de> for Poll<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PolledLine::deserialize(deserializer).map(|polled| Self::Read(Box::new(polled)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Polled", rename_all = "snake_case")]
enum PolledLine {
    Read(#[serde(with = "ReadLine")] ReadAt),
    Namespace(#[serde(with = "NamespaceLine")] NamespacePoll),
    Senders(#[serde(with = "SendersLine")] SendersPoll),
    Ports(#[serde(with = "PortsLine")] PortsPoll),
    Conntrack(#[serde(with = "ConntrackLine")] ConntrackPoll),
    Process(#[serde(with = "ProcessLine")] ProcessPoll),
    Cgroup(#[serde(with = "CgroupLine")] CgroupPoll),
    Busiest(#[serde(with = "BusiestLine")] BusiestPoll),
    Missed(#[serde(with = "MissesLine")] PollMisses),
}

macro_rules! lines {
    ($($(#[$attribute:meta])* $line:ident of $type:ident {
        $($(#[$of_field:meta])* $field:ident: $field_type:ty,)*
    })*) => {$(
        #[derive(Serialize, Deserialize)]
        $(#[$attribute])*
        struct $line {
            $($(#[$of_field])* $field: $field_type,)*
        }

        impl Wire for $type {
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $line::serialize(self, serializer)
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $line::deserialize(deserializer)
            }
        }
    )*};
}

lines! {
    #[serde(remote = "ReadAt")]
    ReadLine of ReadAt {
        monotonic_ns: u64,
    }
    #[serde(remote = "NamespacePoll")]
    NamespaceLine of NamespacePoll {
        netns: u32,
        #[serde(with = "CountersLine")]
        counters: NetCounters,
        in_use: u64,
        time_wait: u64,
        #[serde(with = "list")]
        listeners: Vec<Listener>,
        #[serde(default, skip_serializing_if = "Vec::is_empty", with = "list")]
        unix: Vec<UnixListener>,
    }
    #[serde(remote = "UnixListener")]
    UnixLine of UnixListener {
        #[serde(with = "text")]
        name: Arc<str>,
        inode: u32,
        backlog: u32,
        max: u32,
        #[serde(with = "maybe")]
        owner: Option<Owner>,
    }
    #[serde(remote = "NetCounters")]
    CountersLine of NetCounters {
        listen_overflows: u64,
        listen_drops: u64,
        request_queue_cookies: u64,
        request_queue_drops: u64,
        syncookies_sent: u64,
        memory_pressures: u64,
        time_wait_overflow: u64,
        prune_called: u64,
        receive_queue_drops: u64,
        backlog_drops: u64,
        udp_receive_errors: u64,
    }
    #[serde(remote = "Listener")]
    ListenerLine of Listener {
        address: SocketAddr,
        inode: u32,
        backlog: u32,
        max: u32,
        #[serde(with = "maybe")]
        owner: Option<Owner>,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe")]
        half_open: Option<HalfOpen>,
    }
    #[serde(remote = "HalfOpen")]
    HalfOpenLine of HalfOpen {
        count: u32,
        limit: u32,
        from: IpAddr,
        of_it: u32,
    }
    #[serde(remote = "Owner")]
    OwnerLine of Owner {
        pid: u32,
        #[serde(with = "text")]
        comm: Arc<str>,
    }
    #[serde(remote = "BusiestPoll")]
    BusiestLine of BusiestPoll {
        over_ns: u64,
        #[serde(with = "list")]
        busiest: Vec<Busy>,
    }
    #[serde(remote = "Busy")]
    BusyLine of Busy {
        #[serde(with = "text")]
        comm: Arc<str>,
        pid: u32,
        most_ns: u64,
        processes: u32,
        ran_ns: u64,
    }
    #[serde(remote = "SendersPoll")]
    SendersLine of SendersPoll {
        netns: u32,
        #[serde(with = "list")]
        senders: Vec<Sender>,
    }
    #[serde(remote = "Sender")]
    SenderLine of Sender {
        cookie: u64,
        local: SocketAddr,
        remote: SocketAddr,
        queued_bytes: u32,
        unsent_bytes: u32,
        acked_bytes: u64,
        busy_us: u64,
        receiver_limited_us: u64,
        buffer_limited_us: u64,
        segments: u32,
        retransmitted: u32,
        srtt_us: u32,
        min_rtt_us: u32,
    }
    #[serde(remote = "PortsPoll")]
    PortsLine of PortsPoll {
        netns: u32,
        range: (u16, u16),
        reserved: u32,
        time_wait_limit: u64,
        time_wait_reuse: u8,
        #[serde(with = "list")]
        tuples: Vec<PortUse>,
        is_cut: bool,
    }
    #[serde(remote = "PortUse")]
    PortUseLine of PortUse {
        local: IpAddr,
        remote: SocketAddr,
        sockets: u32,
        time_wait: u32,
    }
    #[serde(remote = "ConntrackPoll")]
    ConntrackLine of ConntrackPoll {
        netns: u32,
        count: u64,
        max: u64,
        dropped: u64,
        insert_failed: u64,
        early_drop: u64,
    }
    #[serde(remote = "ProcessPoll")]
    ProcessLine of ProcessPoll {
        pid: u32,
        netns: u32,
        fds: Option<u64>,
        fds_limit: Option<u64>,
        threads: (u32, u32),
        run_delay_ns: u64,
        on_cpu_ns: u64,
        #[serde(with = "maybe")]
        cgroup: Option<Arc<str>>,
    }
    #[serde(remote = "CgroupPoll")]
    CgroupLine of CgroupPoll {
        #[serde(with = "text")]
        path: Arc<str>,
        #[serde(with = "maybe")]
        throttle: Option<Throttle>,
        #[serde(with = "maybe")]
        pressure: Option<Pressure>,
    }
    #[serde(remote = "Throttle")]
    ThrottleLine of Throttle {
        periods: u64,
        throttled: u64,
        throttled_ns: u64,
    }
    #[serde(remote = "Pressure")]
    PressureLine of Pressure {
        cpu_some_us: u64,
        memory_some_us: u64,
        memory_full_us: u64,
        io_some_us: u64,
        io_full_us: u64,
    }
    #[serde(remote = "PollMisses")]
    MissesLine of PollMisses {
        #[serde(with = "list")]
        counts: Vec<(Arc<str>, u64)>,
    }
}

/// A type of the engine with a format in recordings.
trait Wire: Sized {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

struct Own<T>(T);
struct Lent<'a, T>(&'a T);

impl<T: Wire> Serialize for Lent<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: Wire> Deserialize<'de> for Own<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

impl Wire for Arc<str> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl Wire for (Arc<str>, u64) {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&*self.0, self.1).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(String, u64)>::deserialize(deserializer).map(|(name, n)| (name.into(), n))
    }
}

mod text {
    use super::*;

    pub(super) fn serialize<T: Wire, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.write(serializer)
    }

    pub(super) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

mod maybe {
    use super::*;

    pub(super) fn serialize<T: Wire, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Lent).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        Option::<Own<T>>::deserialize(deserializer).map(|own| own.map(|own| own.0))
    }
}

mod list {
    use super::*;

    pub(super) fn serialize<T: Wire, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(Lent))
    }

    pub(super) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        Vec::<Own<T>>::deserialize(deserializer).map(|list| list.into_iter().map(|own| own.0).collect())
    }
}

#[cfg(test)]
mod tests;
