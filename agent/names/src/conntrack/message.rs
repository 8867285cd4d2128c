//! Messages of a ctnetlink socket: one query and its answer. Only the five attributes that are needed are read, so what newer
//! kernels add does no harm, and nothing is allocated for an answer.
//!
//! Layouts are those of `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and `linux/netfilter/nfnetlink_conntrack.h`; all are
//! older than 5.10.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;

const HEADER: usize = 16;
/// `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// The upper byte of a type: `NFNL_SUBSYS_CTNETLINK`.
const CONNTRACK: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`: describes a connection, also in answers.
const DESCRIBE: u16 = CONNTRACK;
/// `IPCTNL_MSG_CT_GET`.
const GET: u16 = CONNTRACK | 1;

/// `NLA_TYPE_MASK`: without the flags for nested content and byte order.
const KIND: u16 = 0x3fff;
const NESTED: u16 = 0x8000;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_V4_SOURCE: u16 = 1;
const IP_V4_DESTINATION: u16 = 2;
const IP_V6_SOURCE: u16 = 3;
const IP_V6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE: u16 = 2;
const PROTOCOL_DESTINATION: u16 = 3;
const TCP: u8 = 6;

/// One direction of a TCP connection. Both addresses are of one family, and IPv4 is never in its IPv6-mapped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// A tracked connection: the direction of its first packet, and that of the replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) original: Tuple,
    pub(super) reply: Tuple,
}

/// What a datagram answers to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Flow(Flow),
    Refused(Errno),
    /// Nothing: an answer to an earlier query, or an unknown format.
    Nothing,
}

impl Tuple {
    /// None if the two addresses are of different families.
    pub(super) fn new(source: SocketAddr, destination: SocketAddr) -> Option<Self> {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let tuple = Self { source: plain(source), destination: plain(destination) };
        (tuple.source.is_ipv4() == tuple.destination.is_ipv4()).then_some(tuple)
    }
}

impl Flow {
    /// The connection after translation: how the next namespace on its way tracks it.
    pub(super) fn translated(&self) -> Tuple {
        Tuple { source: self.reply.destination, destination: self.reply.source }
    }
}

/// The query for the connection with this original direction.
pub(super) fn encode(tuple: &Tuple, zone: u16, sequence: u32, message: &mut Vec<u8>) {
    message.clear();
    message.extend([0; 4]);
    message.extend(GET.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    // The netlink port: the kernel fills it in.
    message.extend([0; 4]);
    let family = if tuple.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    message.extend([family as u8, 0, 0, 0]);
    nest(message, TUPLE_ORIGINAL, |message| write_tuple(message, tuple));
    if zone != 0 {
        attribute(message, ZONE, &zone.to_be_bytes());
    }
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
}

fn write_tuple(message: &mut Vec<u8>, tuple: &Tuple) {
    nest(message, TUPLE_IP, |message| {
        let [v4, v6] = [[IP_V4_SOURCE, IP_V4_DESTINATION], [IP_V6_SOURCE, IP_V6_DESTINATION]];
        for (end, address) in [tuple.source, tuple.destination].iter().enumerate() {
            match address.ip() {
                IpAddr::V4(ip) => attribute(message, v4[end], &ip.octets()),
                IpAddr::V6(ip) => attribute(message, v6[end], &ip.octets()),
            }
        }
    });
    nest(message, TUPLE_PROTOCOL, |message| {
        attribute(message, PROTOCOL_NUMBER, &[TCP]);
        attribute(message, PROTOCOL_SOURCE, &tuple.source.port().to_be_bytes());
        attribute(message, PROTOCOL_DESTINATION, &tuple.destination.port().to_be_bytes());
    });
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(((ATTRIBUTE_HEADER + value.len()) as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn nest(message: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    let start = message.len();
    attribute(message, kind | NESTED, &[]);
    content(message);
    let length = (message.len() - start) as u16;
    message[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

/// The answer in a datagram to the query with this sequence number. Truncated or unknown messages are ignored.
pub(super) fn decode(mut datagram: &[u8], sequence: u32) -> Reply {
    while let Some((kind, number, body, rest)) = message(datagram) {
        datagram = rest;
        if number != sequence {
            continue;
        }
        match (kind, take(body).map(i32::from_ne_bytes), body.get(FAMILY_HEADER..).and_then(flow)) {
            // 0 is an acknowledgement; below -4095 (`MAX_ERRNO`) is no error number.
            (NLMSG_ERROR, Some(code @ -4095..0), _) => return Reply::Refused(Errno::from_raw_os_error(-code)),
            (DESCRIBE, _, Some(flow)) => return Reply::Flow(flow),
            _ => {}
        }
    }
    Reply::Nothing
}

/// The first message: its type, sequence number and body, and the rest of the datagram.
fn message(datagram: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(take(datagram)?) as usize;
    let body = datagram.get(HEADER..length)?;
    let kind = u16::from_ne_bytes(take(&datagram[4..])?);
    let number = u32::from_ne_bytes(take(&datagram[8..])?);
    let rest = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, number, body, rest))
}

fn flow(attributes: &[u8]) -> Option<Flow> {
    let (mut original, mut reply) = (None, None);
    for (kind, value) in Attributes(attributes) {
        match kind {
            TUPLE_ORIGINAL => original = tuple(value),
            TUPLE_REPLY => reply = tuple(value),
            _ => {}
        }
    }
    Some(Flow { original: original?, reply: reply? })
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let mut ips = [None; 2];
    let (mut number, mut ports) = (None, [None; 2]);
    for (kind, value) in Attributes(attributes) {
        match kind {
            TUPLE_IP => ips = addresses(value),
            TUPLE_PROTOCOL => (number, ports) = protocol(value),
            _ => {}
        }
    }
    let [source, destination] = [(ips[0]?, ports[0]?), (ips[1]?, ports[1]?)].map(SocketAddr::from);
    (number? == TCP).then(|| Tuple::new(source, destination)).flatten()
}

fn addresses(attributes: &[u8]) -> [Option<IpAddr>; 2] {
    let v4 = |value| take(value).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = |value| take(value).map(|octets| IpAddr::from(Ipv6Addr::from(octets)));
    let mut ips = [None; 2];
    for (kind, value) in Attributes(attributes) {
        match kind {
            IP_V4_SOURCE => ips[0] = v4(value),
            IP_V4_DESTINATION => ips[1] = v4(value),
            IP_V6_SOURCE => ips[0] = v6(value),
            IP_V6_DESTINATION => ips[1] = v6(value),
            _ => {}
        }
    }
    ips
}

fn protocol(attributes: &[u8]) -> (Option<u8>, [Option<u16>; 2]) {
    let (mut number, mut ports) = (None, [None; 2]);
    for (kind, value) in Attributes(attributes) {
        match kind {
            PROTOCOL_NUMBER => number = value.first().copied(),
            PROTOCOL_SOURCE => ports[0] = take(value).map(u16::from_be_bytes),
            PROTOCOL_DESTINATION => ports[1] = take(value).map(u16::from_be_bytes),
            _ => {}
        }
    }
    (number, ports)
}

/// Attributes in order, up to the first that is cut.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(take(self.0)?));
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        let kind = u16::from_ne_bytes(take(&self.0[2..])?) & KIND;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The first `N` bytes, if there are as many.
fn take<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the kernel would describe a connection.
    fn describe(flow: &Flow, sequence: u32) -> Vec<u8> {
        let mut message = Vec::new();
        encode(&flow.original, 0, sequence, &mut message);
        message[4..6].copy_from_slice(&DESCRIBE.to_ne_bytes());
        nest(&mut message, TUPLE_REPLY, |message| write_tuple(message, &flow.reply));
        // CTA_STATUS and CTA_PROTOINFO, with the flag of their byte order.
        attribute(&mut message, 3 | 0x4000, &[0, 0, 1, 0x8e]);
        attribute(&mut message, 4 | NESTED, &[8, 0, 1, 0, 3, 0, 0, 0]);
        let length = message.len() as u32;
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message
    }

    fn refusal(errno: i32, sequence: u32) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(36u32.to_ne_bytes());
        message.extend(NLMSG_ERROR.to_ne_bytes());
        message.extend([0; 2]);
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(errno.wrapping_neg().to_ne_bytes());
        // The header of what was refused.
        message.extend([0; 16]);
        message
    }

    fn v4() -> Flow {
        let tuple = |source: &str, destination: &str| {
            Tuple::new(source.parse().expect("an address"), destination.parse().expect("an address")).expect("a tuple")
        };
        Flow { original: tuple("10.0.0.1:40000", "10.96.0.10:80"), reply: tuple("10.0.0.7:8080", "192.168.0.1:40001") }
    }

    #[test]
    fn a_question_as_conntrack_tools_ask_it() {
        // Captured with strace from `conntrack -G -p tcp -s 10.0.0.1 -d 10.96.0.10 --sport 40000 --dport 80` (1.4.7), which
        // also sends masks of TCP flags and wants an acknowledgement.
        if cfg!(target_endian = "big") {
            return;
        }
        let mut message = Vec::new();
        encode(&v4().original, 0, 7, &mut message);
        let expected: &[&[u8]] = &[
            &[0x48, 0, 0, 0, 1, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
            &[0x34, 0, 1, 0x80, 0x14, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 0, 1, 8, 0, 2, 0, 10, 96, 0, 10],
            &[0x1c, 0, 2, 0x80, 5, 0, 1, 0, 6, 0, 0, 0, 6, 0, 2, 0, 0x9c, 0x40, 0, 0, 6, 0, 3, 0, 0, 80, 0, 0],
        ];
        assert_eq!(message, expected.concat());
        encode(&v4().original, 300, 7, &mut message);
        assert_eq!(message[0x48..], [6, 0, 18, 0, 1, 44, 0, 0]);
    }

    #[test]
    fn the_answer_to_another_question_is_passed_over() {
        let both = [describe(&v4(), 1), refusal(2, 2)].concat();
        assert_eq!(decode(&both, 1), Reply::Flow(v4()));
        assert_eq!(decode(&both, 2), Reply::Refused(Errno::NOENT));
        assert_eq!(decode(&both, 3), Reply::Nothing);
        assert_eq!(decode(&refusal(0, 1), 1), Reply::Nothing, "an acknowledgement");
        for wrong in [-1, 4096, i32::MAX, i32::MIN] {
            assert_eq!(decode(&refusal(wrong, 1), 1), Reply::Nothing, "no error number: {wrong}");
        }
    }

    #[test]
    fn only_tcp_is_an_answer() {
        let mut message = describe(&v4(), 1);
        // The number of the protocol of the reply: the last 6 in it.
        let udp = message.iter().rposition(|byte| *byte == TCP).expect("a protocol");
        let at = message[..udp].iter().rposition(|byte| *byte == 5).expect("its length");
        assert_eq!(message[at + 4], TCP, "the protocol's number");
        message[at + 4] = 17;
        assert_eq!(decode(&message, 1), Reply::Nothing);
    }

    #[test]
    fn one_family_a_tuple() {
        let [v4, mapped, v6] = ["10.0.0.1:1", "[::ffff:10.0.0.1]:1", "[::1]:1"].map(|a| a.parse().expect("an address"));
        assert_eq!(Tuple::new(mapped, v4), Tuple::new(v4, v4));
        assert_eq!(Tuple::new(v6, v4), None);
    }

    fn a_tuple() -> impl Strategy<Value = Tuple> {
        let plain = |octets: [u8; 16]| Ipv6Addr::from(octets).to_ipv4_mapped().is_none();
        let v6 = any::<[u8; 16]>().prop_filter("not IPv4", move |octets| plain(*octets));
        let ends = prop_oneof![
            any::<[[u8; 4]; 2]>().prop_map(|ips| ips.map(IpAddr::from)),
            [v6.clone(), v6].prop_map(|ips| ips.map(IpAddr::from)),
        ];
        (ends, any::<[u16; 2]>()).prop_map(|([source, destination], ports)| Tuple {
            source: (source, ports[0]).into(),
            destination: (destination, ports[1]).into(),
        })
    }

    proptest! {
        #[test]
        fn what_is_described_is_understood(original in a_tuple(), reply in a_tuple(), sequence: u32) {
            let flow = Flow { original, reply };
            prop_assert_eq!(decode(&describe(&flow, sequence), sequence), Reply::Flow(flow));
        }

        /// A part of an answer is no answer or the same one, never another.
        #[test]
        fn what_is_cut_off_is_not_there(original in a_tuple(), reply in a_tuple(), cut in 0usize..400) {
            let flow = Flow { original, reply };
            let whole = describe(&flow, 1);
            let mut part = whole[..cut.min(whole.len())].to_vec();
            prop_assert!(part.len() == whole.len() || decode(&part, 1) == Reply::Nothing);
            // Even where the header has the shorter length.
            if let Some(length) = part.get_mut(..4) {
                length.copy_from_slice(&(cut.min(whole.len()) as u32).to_ne_bytes());
                prop_assert!(matches!(decode(&part, 1), Reply::Nothing | Reply::Flow(_)));
                if let Reply::Flow(found) = decode(&part, 1) {
                    prop_assert_eq!(found, flow);
                }
            }
        }

        #[test]
        fn any_bytes_do_no_harm(bytes: Vec<u8>) {
            decode(&bytes, 0);
        }

        /// Valid messages, damaged in a few places.
        #[test]
        fn wrong_bytes_do_no_harm(tuple in a_tuple(), wrong: Vec<(prop::sample::Index, u8)>) {
            let mut message = describe(&Flow { original: tuple, reply: tuple }, 0);
            for (at, byte) in wrong {
                let at = at.index(message.len());
                message[at] = byte;
            }
            decode(&message, 0);
        }
    }
}
