use proptest::prelude::*;
use simple_dns::{
    QCLASS, Question, RCODE, ResourceRecord,
    rdata::{A, AAAA, TXT},
};

use super::*;

/// A reply to a question of this type.
fn reply_to<'a>(name: &'a str, qtype: TYPE) -> Packet<'a> {
    let mut packet = Packet::new_reply(7);
    let name = Name::new(name).expect("a name");
    packet.questions.push(Question::new(name, QTYPE::TYPE(qtype), QCLASS::CLASS(CLASS::IN), false));
    packet
}

fn record<'a>(owner: &'a str, ttl: u32, rdata: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(Name::new(owner).expect("a name"), CLASS::IN, ttl, rdata)
}

fn a<'a>(owner: &'a str, ttl: u32, address: [u8; 4]) -> ResourceRecord<'a> {
    record(owner, ttl, RData::A(A { address: u32::from_be_bytes(address) }))
}

fn aaaa<'a>(owner: &'a str, ttl: u32, address: &str) -> ResourceRecord<'a> {
    let address: Ipv6Addr = address.parse().expect("an address");
    record(owner, ttl, RData::AAAA(AAAA { address: address.into() }))
}

fn alias<'a>(owner: &'a str, ttl: u32, target: &'a str) -> ResourceRecord<'a> {
    record(owner, ttl, RData::CNAME(Name::new(target).expect("a name").into()))
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec_compressed().expect("a message")
}

/// A chain of two aliases, out of order as servers may send it, and records that do not belong to it.
pub(in super::super) fn chain() -> Vec<u8> {
    let mut packet = reply_to("Shop.Example.com", TYPE::A);
    packet.answers.push(a("edge.cdn.example.net", 60, [192, 0, 2, 1]));
    packet.answers.push(alias("www.example.com", 300, "edge.cdn.example.net"));
    packet.answers.push(alias("shop.example.com", 20, "WWW.example.com"));
    packet.answers.push(a("edge.cdn.example.net", 60, [192, 0, 2, 2]));
    packet.answers.push(a("unrelated.example", 5, [192, 0, 2, 99]));
    packet.additional_records.push(a("ns.example.com", 1, [192, 0, 2, 53]));
    bytes(&packet)
}

#[test]
fn aliases_lead_from_the_question_to_its_addresses() {
    let answer = read(&chain()).expect("an answer");
    assert_eq!(answer.name, "shop.example.com", "the name in the question, not the last alias");
    assert_eq!(answer.addresses, ["192.0.2.1", "192.0.2.2"].map(|a| a.parse::<IpAddr>().expect("an address")));
    assert_eq!(answer.ttl_s, 20, "the shortest on the way");
    assert_eq!((answer.left_out, answer.cut), (0, false));
}

#[test]
fn ipv6_and_mapped_addresses() {
    let mut packet = reply_to("six.example", TYPE::AAAA);
    packet.answers.push(aaaa("six.example", 30, "2001:db8::1"));
    packet.answers.push(aaaa("six.example", 30, "::ffff:192.0.2.7"));
    packet.answers.push(aaaa("six.example", 30, "::"));
    let answer = read(&bytes(&packet)).expect("an answer");
    let expected = ["2001:db8::1", "192.0.2.7"].map(|a| a.parse::<IpAddr>().expect("an address"));
    assert_eq!(answer.addresses, expected, "no connection goes to ::");
}

#[test]
fn what_gives_no_address_is_no_answer() {
    let mut missing = reply_to("nowhere.example", TYPE::A);
    *missing.rcode_mut() = RCODE::NameError;
    assert_eq!(read(&bytes(&missing)), Err(Unread::NoAddress));
    assert_eq!(read(&bytes(&reply_to("empty.example", TYPE::AAAA))), Err(Unread::NoAddress));
    let mut text = reply_to("text.example", TYPE::TXT);
    text.answers.push(record("text.example", 1, RData::TXT(TXT::new().with_string("hello").expect("a text"))));
    assert_eq!(read(&bytes(&text)), Err(Unread::NoAddress));
    let mut other = reply_to("one.example", TYPE::A);
    other.answers.push(a("two.example", 60, [192, 0, 2, 1]));
    assert_eq!(read(&bytes(&other)), Err(Unread::NoAddress), "an answer to another question");
    let mut chaos = reply_to("one.example", TYPE::A);
    chaos.answers.push(a("one.example", 60, [192, 0, 2, 1]));
    chaos.answers[0].class = CLASS::CH;
    assert_eq!(read(&bytes(&chaos)), Err(Unread::NoAddress));
}

#[test]
fn what_is_no_reply_is_malformed() {
    let good = chain();
    let mut question = good.clone();
    question[2] &= !IS_REPLY;
    assert_eq!(read(&question), Err(Unread::Malformed), "a question");
    let mut notify = good.clone();
    notify[2] |= 4 << 3;
    assert_eq!(read(&notify), Err(Unread::Malformed), "another operation");
    let mut two = good.clone();
    two[5] = 2;
    assert_eq!(read(&two), Err(Unread::Malformed), "two questions");
    for length in 0..34 {
        assert_eq!(read(&good[..length]), Err(Unread::Malformed), "{length} bytes of a header and a question of 34");
    }
    let mut truncated = good;
    truncated[2] |= IS_TRUNCATED;
    assert_eq!(read(&truncated), Err(Unread::Truncated));
}

/// The copy of a long reply may end anywhere: the answers that are complete count.
#[test]
fn a_reply_without_its_end_gives_the_addresses_it_has() {
    let mut packet = reply_to("many.example", TYPE::A);
    (1..=20).for_each(|n| packet.answers.push(a("many.example", 60, [192, 0, 2, n])));
    let whole = bytes(&packet);
    let answer = read(&whole[..whole.len() - 20]).expect("an answer");
    assert_eq!((answer.addresses.len(), answer.cut), (18, true));
    let mut boasting = whole.clone();
    boasting[6..8].fill(0xff);
    let answer = read(&boasting).expect("an answer");
    assert_eq!((answer.addresses.len(), answer.cut), (20, true), "65,535 answers claimed, 20 present");
    // Nothing behind the answers is read.
    let mut behind = whole;
    behind[8..12].fill(0xff);
    behind.extend([0xc0; 40]);
    let answer = read(&behind).expect("an answer");
    assert_eq!((answer.addresses.len(), answer.cut), (20, false));
}

#[test]
fn only_so_many_addresses_are_kept() {
    let mut packet = reply_to("many.example", TYPE::A);
    (0..72).for_each(|n| packet.answers.push(a("many.example", 60, [192, 0, 2, n])));
    let answer = read(&bytes(&packet)).expect("an answer");
    assert_eq!((answer.addresses.len(), answer.left_out), (MAX_ADDRESSES, 8));
}

#[test]
fn aliases_in_a_circle_lead_nowhere() {
    let mut packet = reply_to("a.example", TYPE::A);
    packet.answers.push(alias("a.example", 60, "b.example"));
    packet.answers.push(alias("b.example", 60, "a.example"));
    packet.answers.push(a("c.example", 60, [192, 0, 2, 1]));
    assert_eq!(read(&bytes(&packet)), Err(Unread::NoAddress));
}

/// A reply to a question whose name is these bytes on the wire.
fn named(name: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 7, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend(name);
    message.extend([0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    message
}

#[test]
fn hostile_names_are_escaped_or_refused() {
    let answer = read(&named(b"\x08a\x1b[2J\n.\"\x02\xc3\xa4\x00")).expect("an answer");
    assert_eq!(answer.name, r#"a\027[2j\010\.\".\195\164"#);
    assert_eq!(read(&named(b"\x00")), Err(Unread::Malformed), "the root");
    let long: Vec<u8> = [&[63][..], &[0; 63]].concat().repeat(3);
    assert_eq!(read(&named(&[&long[..], &[0]].concat())), Err(Unread::Malformed), "768 characters once escaped");
    for looping in [&[0xc0, 12][..], &[0xc0, 14, 0xc0, 12], b"\x01a\xc0\x0c", &[0xff, 0xff]] {
        assert_eq!(read(&named(looping)), Err(Unread::Malformed), "{looping:?}");
    }
}

/// Valid messages of every kind above, for the tests that damage them.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let labels = prop::collection::vec("[a-z]{1,8}", 1..5).prop_map(|labels| labels.join("."));
    (labels, 0u8..6, 0u8..4).prop_map(|(name, addresses, aliases)| {
        let mut packet = reply_to(&name, TYPE::A);
        let names: Vec<String> =
            (0..=aliases).map(|n| if n == 0 { name.clone() } else { format!("a{n}.{name}") }).collect();
        for pair in names.windows(2) {
            packet.answers.push(alias(&pair[0], 60, &pair[1]));
        }
        let owner = &names[names.len() - 1];
        (0..addresses).for_each(|n| packet.answers.push(a(owner, 60, [192, 0, 2, n])));
        bytes(&packet)
    })
}

/// Whatever was read is bounded and printable.
fn harmless(message: &[u8]) {
    if let Ok(answer) = read(message) {
        assert!(!answer.name.is_empty() && answer.name.len() <= MAX_NAME, "{:?}", answer.name);
        assert!(answer.name.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{:?}", answer.name);
        assert!((1..=MAX_ADDRESSES).contains(&answer.addresses.len()));
    }
}

// More cases: `PROPTEST_CASES=10000000 cargo test --release -p weir-names --lib dns::reply`.
proptest! {
    #[test]
    fn random_bytes_are_harmless(message in prop::collection::vec(any::<u8>(), 0..200)) {
        harmless(&message);
    }

    /// Most random bytes are rejected at the header: here it is a reply's.
    #[test]
    fn random_replies_are_harmless(counts in any::<[u8; 8]>(), rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut message = vec![0, 7, 0x80, 0, 0, 1];
        message.extend(&counts[2..]);
        message.extend(rest);
        harmless(&message);
    }

    #[test]
    fn damaged_replies_are_harmless(
        mut message in messages(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        for (at, byte) in damage {
            let at = at.index(message.len());
            message[at] = byte;
        }
        harmless(&message);
        harmless(&message[..end.index(message.len())]);
    }

    #[test]
    fn whole_replies_are_read(message in messages()) {
        prop_assert_ne!(read(&message), Err(Unread::Malformed));
    }
}
