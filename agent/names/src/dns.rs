//! The names that processes looked up to get the addresses they connect to: from name servers' replies, as the processes
//! read them.
//!
//! A name holds for the process that looked it up. Other processes get it only where all lookups that returned the address
//! were for the same name, since a wrong name is worse than an address. A sender of forged replies can name the addresses in
//! them, just as it can mislead the process that reads them.

mod reply;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use reply::{Answer, Unread};

/// Lookups remembered: 3 MiB at worst, when all names have the maximum length.
const MAX_HELD: usize = 8192;
/// Lookups remembered for one address: the resolvers of a host with many containers all look up the same few names.
const MAX_ASKERS: usize = 64;
/// Programs keep addresses beyond their time to live: the JVM for 30 s, browsers for a minute, pools until they are next
/// empty. For ten minutes after its lookup, a name holds whatever the time to live: a choice.
const GRACE_NS: u64 = 600 * 1_000_000_000;
/// No answer holds for longer, whatever its time to live: a choice.
const MAX_TTL_S: u32 = 86_400;
/// A DNS header: a shorter message is none.
const SHORTEST: usize = 12;

/// A process that looks up names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The process.
    pub tgid: u32,
    /// When it began: process ids are reused.
    pub start_ns: u64,
    /// Its cgroup in the v2 hierarchy; 0 if unknown.
    pub cgroup_id: u64,
}

/// How a reply's bytes were transported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One message.
    Udp,
    /// A piece of a stream: messages with their length before each, or one without it where the length was read before.
    Tcp,
}

/// A name server's reply as a process read it, or the first bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsReply {
    /// The process that read it.
    pub asker: Asker,
    /// How it arrived.
    pub transport: Transport,
    /// When the process read it: monotonic nanoseconds.
    pub at_ns: u64,
    /// Not trusted: the sender may be any host.
    pub bytes: Box<[u8]>,
}

impl<const N: usize> From<&weir_abi::DnsReply<N>> for DnsReply {
    /// Drops the bytes behind the reply's end.
    fn from(reply: &weir_abi::DnsReply<N>) -> Self {
        let weir_abi::DnsReply { at_ns, process_start_ns, cgroup_id, tgid, length, stream, ref bytes } = *reply;
        Self {
            asker: Asker { tgid, start_ns: process_start_ns, cgroup_id },
            transport: if stream == 0 { Transport::Udp } else { Transport::Tcp },
            at_ns,
            bytes: bytes[..usize::from(length).min(N)].into(),
        }
    }
}

/// Whose lookup a name is known from, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AskedBy {
    /// The process's own.
    SameProcess,
    /// Another process's in the same cgroup.
    SameCgroup,
    /// Another process's on this host.
    SameHost,
}

/// Replies by outcome: every way to lose a name is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsCounts {
    /// Replies that gave a name to addresses.
    pub learnt: u64,
    /// Replies without addresses: to other types of questions, or for names that do not exist.
    pub without_address: u64,
    /// Messages that are no replies, or violate the protocol.
    pub malformed: u64,
    /// Replies that the server truncated: the resolver asks again by TCP.
    pub truncated: u64,
    /// Replies whose end was not copied: the addresses in it have no names.
    pub cut: u64,
    /// Addresses beyond the limit of one reply.
    pub too_many_addresses: u64,
    /// Names forgotten before they expired, because of the limits.
    pub forgotten: u64,
}

impl DnsCounts {
    /// Losses, by name.
    pub fn losses(&self) -> [(&'static str, u64); 4] {
        let Self { learnt: _, without_address: _, malformed, truncated: _, cut, too_many_addresses, forgotten } = *self;
        [
            ("dns_replies_malformed", malformed),
            ("dns_replies_cut", cut),
            ("dns_addresses_left_out", too_many_addresses),
            ("dns_names_forgotten", forgotten),
        ]
    }
}

/// Names of addresses, by the process that looked them up. Bounded; time is an input.
#[derive(Debug, Default)]
pub struct DnsNames {
    by_address: HashMap<IpAddr, Vec<Lookup>>,
    held: usize,
    counts: DnsCounts,
}

/// A process's question and one address of its answer.
#[derive(Clone, Debug)]
struct Lookup {
    asker: Asker,
    name: Arc<str>,
    /// When the first and the last reply were read.
    first_ns: u64,
    last_ns: u64,
    until_ns: u64,
}

impl DnsNames {
    /// Learns from a reply that a process read.
    pub fn reply(&mut self, reply: &DnsReply) {
        self.learn(reply.asker, reply.transport, &reply.bytes, reply.at_ns);
    }

    /// Learns from a reply that the process read at `at_ns` (the monotonic clock).
    pub fn learn(&mut self, asker: Asker, transport: Transport, bytes: &[u8], at_ns: u64) {
        match transport {
            Transport::Udp => self.learn_message(asker, bytes, at_ns),
            Transport::Tcp => self.learn_stream(asker, bytes, at_ns),
        }
    }

    /// The name that the process looked up to get the address that it used at `at_ns`.
    pub fn name(&self, asker: Asker, address: IpAddr, at_ns: u64) -> Option<(Arc<str>, AskedBy)> {
        let address = address.to_canonical();
        let held = self.by_address.get(&address)?;
        let valid = || held.iter().filter(move |asked| asked.holds_at(at_ns));
        let own = valid().filter(|asked| asked.asker.is_process(asker)).max_by_key(|asked| asked.asked_before(at_ns));
        if let Some(own) = own {
            return Some((Arc::clone(&own.name), AskedBy::SameProcess));
        }
        // A loopback address means another machine, or namespace, to each process.
        if address.is_loopback() {
            return None;
        }
        let neighbours = || valid().filter(move |asked| asked.asker.is_neighbour(asker));
        if neighbours().next().is_some() {
            return Some((agreed(neighbours())?, AskedBy::SameCgroup));
        }
        Some((agreed(valid())?, AskedBy::SameHost))
    }

    /// Replies by outcome.
    pub fn counts(&self) -> DnsCounts {
        self.counts
    }

    /// Lookups held.
    pub fn held(&self) -> usize {
        self.held
    }

    fn learn_message(&mut self, asker: Asker, message: &[u8], at_ns: u64) {
        match reply::read(message) {
            Ok(answer) => self.take(asker, answer, at_ns),
            Err(Unread::NoAddress) => self.counts.without_address += 1,
            Err(Unread::Truncated) => self.counts.truncated += 1,
            Err(Unread::Malformed) => self.counts.malformed += 1,
        }
    }

    /// Only a message that is read from its beginning can be decoded; a read that begins inside one counts as cut.
    fn learn_stream(&mut self, asker: Asker, mut stream: &[u8], at_ns: u64) {
        while stream.len() > 2 {
            let length = usize::from(u16::from_be_bytes([stream[0], stream[1]]));
            let behind = &stream[2..];
            let prefixed =
                length >= SHORTEST && reply::read(&behind[..length.min(behind.len())]) != Err(Unread::Malformed);
            if !prefixed {
                return match reply::read(stream) {
                    Err(Unread::Malformed) => self.counts.cut += 1,
                    _ => self.learn_message(asker, stream, at_ns),
                };
            }
            let (message, rest) = behind.split_at(length.min(behind.len()));
            self.learn_message(asker, message, at_ns);
            stream = rest;
        }
    }

    fn take(&mut self, asker: Asker, answer: Answer, at_ns: u64) {
        let Answer { name, ttl_s, addresses, left_out, cut } = answer;
        self.counts.learnt += 1;
        self.counts.cut += u64::from(cut);
        self.counts.too_many_addresses += left_out as u64;
        let ttl_ns = u64::from(ttl_s.min(MAX_TTL_S)) * 1_000_000_000;
        let until_ns = at_ns.saturating_add(ttl_ns.max(GRACE_NS));
        let name: Arc<str> = name.into();
        for address in addresses {
            let name = Arc::clone(&name);
            self.hold(address, Lookup { asker, name, first_ns: at_ns, last_ns: at_ns, until_ns });
        }
    }

    fn hold(&mut self, address: IpAddr, new: Lookup) {
        let known =
            self.by_address.get_mut(&address).and_then(|held| held.iter_mut().find(|known| known.is_like(&new)));
        if let Some(known) = known {
            known.last_ns = known.last_ns.max(new.last_ns);
            known.until_ns = known.until_ns.max(new.until_ns);
            return;
        }
        if self.held >= MAX_HELD {
            self.evict(new.last_ns);
        }
        let held = self.by_address.entry(address).or_default();
        if held.len() >= MAX_ASKERS
            && let Some(oldest) = (0..held.len()).min_by_key(|&i| held[i].last_ns)
        {
            self.counts.forgotten += u64::from(held[oldest].until_ns >= new.last_ns);
            held[oldest] = new;
            return;
        }
        held.push(new);
        self.held += 1;
    }

    /// Forgets expired lookups, and if they are less than an eighth, the oldest: a full pass is due at most once in a thousand
    /// replies.
    fn evict(&mut self, now_ns: u64) {
        self.keep(|asked| asked.until_ns >= now_ns);
        let most = MAX_HELD / 8 * 7;
        if self.held <= most {
            return;
        }
        let mut times: Vec<u64> = self.by_address.values().flatten().map(|asked| asked.last_ns).collect();
        let (_, last_to_go, _) = times.select_nth_unstable(self.held - most - 1);
        let last_to_go = *last_to_go;
        let before = self.held;
        self.keep(|asked| asked.last_ns > last_to_go);
        self.counts.forgotten += (before - self.held) as u64;
    }

    fn keep(&mut self, wanted: impl Fn(&Lookup) -> bool) {
        self.by_address.retain(|_, held| {
            held.retain(&wanted);
            !held.is_empty()
        });
        self.held = self.by_address.values().map(Vec::len).sum();
    }
}

/// The name, if it is the same in all lookups.
fn agreed<'a>(mut asked: impl Iterator<Item = &'a Lookup>) -> Option<Arc<str>> {
    let first = asked.next()?;
    asked.all(|other| other.name == first.name).then(|| Arc::clone(&first.name))
}

// === impl Asker ===

/// The root of the v2 hierarchy: the cgroup of every process where v2 is not used.
const ROOT_CGROUP: u64 = 1;

impl Asker {
    fn is_neighbour(self, other: Self) -> bool {
        self.cgroup_id > ROOT_CGROUP && self.cgroup_id == other.cgroup_id
    }

    fn is_process(self, other: Self) -> bool {
        (self.tgid, self.start_ns) == (other.tgid, other.start_ns)
    }
}

// === impl Lookup ===

impl Lookup {
    fn is_like(&self, other: &Self) -> bool {
        self.asker.is_process(other.asker) && self.name == other.name
    }

    fn holds_at(&self, at_ns: u64) -> bool {
        self.first_ns <= at_ns && at_ns <= self.until_ns
    }

    /// When its last reply before that time was read, as far as that is kept.
    fn asked_before(&self, at_ns: u64) -> u64 {
        if self.last_ns <= at_ns { self.last_ns } else { self.first_ns }
    }
}

#[cfg(test)]
mod tests;
