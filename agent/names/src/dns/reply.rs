//! Decodes a name server's reply. Its bytes are not trusted: any host may have sent them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::{CLASS, Name, Packet, QTYPE, TYPE, rdata::RData};

/// Addresses kept of one reply; the bytes that the kernel half copies of a long reply hold 75.
pub(super) const MAX_ADDRESSES: usize = 64;
/// A longer chain of aliases is a loop or an attack: resolvers themselves give up after 8 to 16.
const MAX_ALIASES: usize = 16;
/// The maximum length of a name as text, without its last dot (RFC 1035, 2.3.4).
pub(super) const MAX_NAME: usize = 253;

const HEADER: usize = 12;
/// Type, class, time to live and length of a record, which follow its name.
const RECORD: usize = 10;
const IS_REPLY: u8 = 0x80;
const OPCODE: u8 = 0x78;
const IS_TRUNCATED: u8 = 0x02;
const RCODE: u8 = 0x0f;

/// A reply that gives addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The name in the question: lower case, without the last dot, escaped.
    pub(super) name: String,
    /// The shortest time to live in the chain of aliases and addresses.
    pub(super) ttl_s: u32,
    pub(super) addresses: Vec<IpAddr>,
    /// Addresses beyond `MAX_ADDRESSES`.
    pub(super) left_out: usize,
    /// The message has fewer answers than its header claims, or fewer were copied.
    pub(super) cut: bool,
}

/// Why nothing is learnt from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// A reply without addresses: to another type of question, or that the name does not exist.
    NoAddress,
    /// The server reports that the rest did not fit: the resolver asks again by TCP.
    Truncated,
    /// No reply, or one that violates the protocol.
    Malformed,
}

/// Reads one message, whose end may be missing.
pub(super) fn read(message: &[u8]) -> Result<Answer, Unread> {
    let header = message.get(..HEADER).ok_or(Unread::Malformed)?;
    if header[2] & (IS_REPLY | OPCODE) != IS_REPLY || word(header, 4) != Some(1) {
        return Err(Unread::Malformed);
    }
    if header[3] & RCODE != 0 {
        return Err(Unread::NoAddress);
    }
    if header[2] & IS_TRUNCATED != 0 {
        return Err(Unread::Truncated);
    }
    let claimed = word(header, 6).unwrap_or(0);
    let complete = complete_answers(message, claimed).ok_or(Unread::Malformed)?;
    // Only complete answers are parsed: the records behind them may be cut off, or of types that the parser does not know.
    // The true count also keeps the parser from allocating for more answers than the message has.
    let mut message = message.to_vec();
    message[6..8].copy_from_slice(&complete.to_be_bytes());
    message[8..HEADER].fill(0);
    let packet = Packet::parse(&message).map_err(|_| Unread::Malformed)?;
    let mut answer = resolve(&packet)?;
    answer.cut = complete < claimed;
    Ok(answer)
}

/// How many of the claimed answers are complete; none if the question is not.
fn complete_answers(message: &[u8], claimed: u16) -> Option<u16> {
    let mut at = behind_name(message, HEADER)? + 4;
    message.get(..at)?;
    for n in 0..claimed {
        let next = behind_name(message, at).and_then(|fixed| {
            let data = fixed + RECORD;
            Some(data + usize::from(word(message, data - 2)?))
        });
        match next {
            Some(next) if next <= message.len() => at = next,
            _ => return Some(n),
        }
    }
    Some(claimed)
}

/// Where a name that begins at `at` ends. Compression pointers are not followed.
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// Follows the aliases from the name in the question to its addresses.
fn resolve(packet: &Packet<'_>) -> Result<Answer, Unread> {
    let question = packet.questions.first().ok_or(Unread::Malformed)?;
    if !matches!(question.qtype, QTYPE::TYPE(TYPE::A | TYPE::AAAA) | QTYPE::ANY) {
        return Err(Unread::NoAddress);
    }
    let mut owner = &question.qname;
    let mut ttl_s = u32::MAX;
    for _ in 0..MAX_ALIASES {
        let alias = packet.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(target) if record.name == *owner => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, ttl)) = alias else { break };
        owner = target;
        ttl_s = ttl_s.min(ttl);
    }
    let (mut addresses, mut left_out) = (Vec::new(), 0);
    for record in &packet.answers {
        let address = match &record.rdata {
            RData::A(a) => IpAddr::V4(Ipv4Addr::from(a.address)),
            RData::AAAA(aaaa) => IpAddr::V6(Ipv6Addr::from(aaaa.address)),
            _ => continue,
        };
        if record.class != CLASS::IN || record.name != *owner || !may_be_reached(address) {
            continue;
        }
        if addresses.len() == MAX_ADDRESSES {
            left_out += 1;
            continue;
        }
        ttl_s = ttl_s.min(record.ttl);
        addresses.push(address.to_canonical());
    }
    if addresses.is_empty() {
        return Err(Unread::NoAddress);
    }
    let name = text(&question.qname).ok_or(Unread::Malformed)?;
    Ok(Answer { name, ttl_s, addresses, left_out, cut: false })
}

/// Filtering name servers answer 0.0.0.0 for blocked names: no connection has that address.
fn may_be_reached(address: IpAddr) -> bool {
    let address = address.to_canonical();
    !address.is_unspecified() && !address.is_multicast()
}

/// A name as text; none if it is the root, or too long once escaped: a hostile byte takes four characters.
fn text(name: &Name<'_>) -> Option<String> {
    let mut text = String::new();
    for label in name.as_bytes() {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label {
            push_escaped(byte, &mut text);
        }
        if text.len() > MAX_NAME {
            return None;
        }
    }
    (!text.is_empty()).then_some(text)
}

/// As in zone files (RFC 4343, 2.1). Quotes are escaped too, since names go into formats that use them.
fn push_escaped(byte: u8, text: &mut String) {
    match byte {
        b'.' | b'\\' | b'"' => text.extend(['\\', char::from(byte)]),
        0x21..=0x7e => text.push(char::from(byte.to_ascii_lowercase())),
        _ => text.push_str(&format!("\\{byte:03}")),
    }
}

#[cfg(test)]
pub(super) mod tests;
