//! The names that processes asked for when they got the addresses they connect to: from the replies of name servers, as
//! the processes read them.
//!
//! A name holds for the process that asked. Others get it only where everybody who asked got that address by the same
//! name, for a wrong name is worse than an address. Whoever can send a process a reply can name the addresses in it, as
//! he can towards the process itself.

mod reply;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use reply::{Answer, Unread};

/// Names of addresses that are remembered: 3 MiB at worst, when all names are as long as can be.
const MAX_HELD: usize = 8192;
/// So many of them for one address: the resolvers of a host with many containers all ask for the same few names.
const MAX_ASKERS: usize = 64;
/// Programs keep addresses for longer than they may: the JVM for 30 s, browsers for a minute, pools until they are
/// next empty. Within ten minutes of its question, an address is still the answer to it.
const GRACE_NS: u64 = 600 * 1_000_000_000;
/// Nobody's answer holds for longer, whatever it says.
const MAX_TTL_S: u32 = 86_400;
/// A message before this many bytes is none.
const SHORTEST: usize = 12;

/// A process that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The process.
    pub tgid: u32,
    /// When it began: ids come again.
    pub start_ns: u64,
    /// Its cgroup in the v2 hierarchy; 0 if it is not known.
    pub cgroup_id: u64,
}

/// Where a reply's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A message.
    Udp,
    /// A piece of a stream: messages with their length before each, or one without it where that was read before.
    Tcp,
}

/// What a process read from its name server, or the head of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The process.
    pub asker: Asker,
    /// How it came.
    pub transport: Transport,
    /// When the process read it: monotonic nanoseconds.
    pub at_ns: u64,
    /// Anybody's bytes.
    pub bytes: Box<[u8]>,
}

/// Whose question a name is known from, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// The process's own.
    ByProcess,
    /// That of another process in its cgroup.
    InCgroup,
    /// Somebody's on this host.
    OnHost,
}

/// What became of the replies: every way to lose a name is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsCounts {
    /// Replies that gave a name to addresses.
    pub learnt: u64,
    /// Replies without addresses: to other questions, or of names that are not there.
    pub without_address: u64,
    /// No replies, or against the rules.
    pub malformed: u64,
    /// Replies that the server cut: whoever asked asks again.
    pub truncated: u64,
    /// Replies whose end was not seen: names of the addresses there are missing.
    pub cut: u64,
    /// Addresses left out of replies that have too many.
    pub too_many_addresses: u64,
    /// Names forgotten before their time, for lack of room.
    pub forgotten: u64,
}

impl DnsCounts {
    /// What was lost or not understood, by name.
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

/// Names of addresses, by who asked for them. Bounded; time is an input.
#[derive(Debug, Default)]
pub struct DnsNames {
    by_address: HashMap<IpAddr, Vec<Asked>>,
    held: usize,
    counts: DnsCounts,
}

/// A process's question and one address of the answer.
#[derive(Clone, Debug)]
struct Asked {
    asker: Asker,
    name: Arc<str>,
    /// Of the first reply and of the last.
    first_ns: u64,
    last_ns: u64,
    until_ns: u64,
}

impl DnsNames {
    /// Learns from what a process was told.
    pub fn hear(&mut self, told: &Told) {
        self.learn(told.asker, told.transport, &told.bytes, told.at_ns);
    }

    /// Learns what a reply says that the process read at `at_ns` (the monotonic clock).
    pub fn learn(&mut self, asker: Asker, transport: Transport, bytes: &[u8], at_ns: u64) {
        match transport {
            Transport::Udp => self.learn_message(asker, bytes, at_ns),
            Transport::Tcp => self.learn_stream(asker, bytes, at_ns),
        }
    }

    /// The name under which the process got the address that it used at `at_ns`.
    pub fn name(&self, asker: Asker, address: IpAddr, at_ns: u64) -> Option<(Arc<str>, Known)> {
        let address = address.to_canonical();
        let held = self.by_address.get(&address)?;
        let valid = || held.iter().filter(move |asked| asked.holds_at(at_ns));
        let own = valid().filter(|asked| asked.asker.is_process(asker)).max_by_key(|asked| asked.asked_before(at_ns));
        if let Some(own) = own {
            return Some((Arc::clone(&own.name), Known::ByProcess));
        }
        // Everybody's own machine is another one.
        if address.is_loopback() {
            return None;
        }
        let neighbours = || valid().filter(move |asked| asked.asker.is_neighbour(asker));
        if neighbours().next().is_some() {
            return Some((agreed(neighbours())?, Known::InCgroup));
        }
        Some((agreed(valid())?, Known::OnHost))
    }

    /// What became of the replies.
    pub fn counts(&self) -> DnsCounts {
        self.counts
    }

    /// Names of addresses held.
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

    /// Only the beginning of a message can be read; a read that begins in the midst of one is a part not seen.
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
            self.hold(address, Asked { asker, name, first_ns: at_ns, last_ns: at_ns, until_ns });
        }
    }

    fn hold(&mut self, address: IpAddr, new: Asked) {
        let known =
            self.by_address.get_mut(&address).and_then(|held| held.iter_mut().find(|known| known.is_like(&new)));
        if let Some(known) = known {
            known.last_ns = known.last_ns.max(new.last_ns);
            known.until_ns = known.until_ns.max(new.until_ns);
            return;
        }
        if self.held >= MAX_HELD {
            self.make_room(new.last_ns);
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

    /// Forgets what is out of date, and if that is not an eighth, the oldest: whoever asks a lot pays for a look at all of
    /// them once in a thousand times.
    fn make_room(&mut self, now_ns: u64) {
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

    fn keep(&mut self, wanted: impl Fn(&Asked) -> bool) {
        self.by_address.retain(|_, held| {
            held.retain(&wanted);
            !held.is_empty()
        });
        self.held = self.by_address.values().map(Vec::len).sum();
    }
}

/// The name on which all agree.
fn agreed<'a>(mut asked: impl Iterator<Item = &'a Asked>) -> Option<Arc<str>> {
    let first = asked.next()?;
    asked.all(|other| other.name == first.name).then(|| Arc::clone(&first.name))
}

// === impl Asker ===

/// The root of the v2 hierarchy: where that is not used, everybody's.
const ROOT_CGROUP: u64 = 1;

impl Asker {
    fn is_neighbour(self, other: Self) -> bool {
        self.cgroup_id > ROOT_CGROUP && self.cgroup_id == other.cgroup_id
    }

    fn is_process(self, other: Self) -> bool {
        (self.tgid, self.start_ns) == (other.tgid, other.start_ns)
    }
}

// === impl Asked ===

impl Asked {
    fn is_like(&self, other: &Self) -> bool {
        self.asker.is_process(other.asker) && self.name == other.name
    }

    fn holds_at(&self, at_ns: u64) -> bool {
        self.first_ns <= at_ns && at_ns <= self.until_ns
    }

    /// Its last reply before then, as far as is known.
    fn asked_before(&self, at_ns: u64) -> u64 {
        if self.last_ns <= at_ns { self.last_ns } else { self.first_ns }
    }
}

#[cfg(test)]
mod tests;
