use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{reply::tests::chain, *};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

const APP: Asker = Asker { tgid: 10, start_ns: 1, cgroup_id: 100 };
const SIBLING: Asker = Asker { tgid: 11, start_ns: 2, cgroup_id: 100 };
const STRANGER: Asker = Asker { tgid: 12, start_ns: 3, cgroup_id: 200 };

/// A reply to `name` with this time to live and address.
fn reply(name: &str, ttl_s: u32, address: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1]);
    message.extend(ttl_s.to_be_bytes());
    message.extend([0, 4]);
    message.extend(address);
    message
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn asked(names: &mut DnsNames, asker: Asker, name: &str, last: u8, at_ns: u64) {
    names.learn(asker, Transport::Udp, &reply(name, 60, [192, 0, 2, last]), at_ns);
}

fn name(names: &DnsNames, asker: Asker, last: u8, at_ns: u64) -> Option<(String, AskedBy)> {
    names.name(asker, address(last), at_ns).map(|(name, known)| (name.to_string(), known))
}

fn known(name: &str, known: AskedBy) -> Option<(String, AskedBy)> {
    Some((name.to_owned(), known))
}

#[test]
fn the_process_that_asked_comes_first() {
    let mut names = DnsNames::default();
    asked(&mut names, APP, "app.example", 1, 5);
    assert_eq!(name(&names, APP, 1, 9), known("app.example", AskedBy::SameProcess));
    assert_eq!(name(&names, SIBLING, 1, 9), known("app.example", AskedBy::SameCgroup));
    assert_eq!(name(&names, STRANGER, 1, 9), known("app.example", AskedBy::SameHost));
    asked(&mut names, STRANGER, "other.example", 1, 6);
    assert_eq!(name(&names, APP, 1, 9), known("app.example", AskedBy::SameProcess));
    assert_eq!(name(&names, SIBLING, 1, 9), known("app.example", AskedBy::SameCgroup));
    assert_eq!(name(&names, STRANGER, 1, 9), known("other.example", AskedBy::SameProcess));
    let unrelated = Asker { tgid: 13, start_ns: 4, cgroup_id: 300 };
    assert_eq!(name(&names, unrelated, 1, 9), None, "two names for it on this host");
    asked(&mut names, SIBLING, "sibling.example", 1, 7);
    let third = Asker { tgid: 14, start_ns: 5, cgroup_id: 100 };
    assert_eq!(name(&names, third, 1, 9), None, "two names for it in the cgroup");
    assert_eq!(name(&names, APP, 2, 9), None, "an address in no reply");
}

#[test]
fn the_root_cgroup_makes_no_neighbours() {
    let mut names = DnsNames::default();
    asked(&mut names, Asker { cgroup_id: 1, ..APP }, "app.example", 1, 5);
    assert_eq!(name(&names, Asker { cgroup_id: 1, ..SIBLING }, 1, 9), known("app.example", AskedBy::SameHost));
}

#[test]
fn a_process_id_that_came_again_is_another_process() {
    let mut names = DnsNames::default();
    asked(&mut names, APP, "app.example", 1, 5);
    let later = Asker { start_ns: 9, cgroup_id: 0, ..APP };
    assert_eq!(name(&names, later, 1, 9), known("app.example", AskedBy::SameHost));
}

#[test]
fn of_two_names_of_one_address_the_last_one_asked_for_counts() {
    let mut names = DnsNames::default();
    asked(&mut names, APP, "first.example", 1, 10);
    asked(&mut names, APP, "second.example", 1, 20);
    assert_eq!(name(&names, APP, 1, 9), None, "not yet");
    assert_eq!(name(&names, APP, 1, 15), known("first.example", AskedBy::SameProcess));
    assert_eq!(name(&names, APP, 1, 25), known("second.example", AskedBy::SameProcess));
    asked(&mut names, APP, "first.example", 1, 30);
    assert_eq!(name(&names, APP, 1, 25), known("second.example", AskedBy::SameProcess));
    assert_eq!(name(&names, APP, 1, 35), known("first.example", AskedBy::SameProcess));
    assert_eq!(names.held(), 2, "asked again is not another question");
}

#[test]
fn names_end_with_their_time_to_live_but_not_at_once() {
    let mut names = DnsNames::default();
    names.learn(APP, Transport::Udp, &reply("short.example", 1, [192, 0, 2, 1]), 0);
    names.learn(APP, Transport::Udp, &reply("long.example", 3600, [192, 0, 2, 2]), 0);
    names.learn(APP, Transport::Udp, &reply("endless.example", u32::MAX, [192, 0, 2, 3]), 0);
    assert_eq!(name(&names, APP, 1, 10 * MINUTE), known("short.example", AskedBy::SameProcess));
    assert_eq!(name(&names, APP, 1, 10 * MINUTE + 1), None);
    assert_eq!(name(&names, APP, 2, 60 * MINUTE), known("long.example", AskedBy::SameProcess));
    assert_eq!(name(&names, APP, 2, 60 * MINUTE + 1), None);
    assert_eq!(name(&names, APP, 3, 24 * 60 * MINUTE + 1), None, "a day at most");
    asked(&mut names, APP, "short.example", 1, 11 * MINUTE);
    assert_eq!(name(&names, APP, 1, 21 * MINUTE), known("short.example", AskedBy::SameProcess), "asked again");
}

#[test]
fn loopback_is_named_only_for_who_asked() {
    let mut names = DnsNames::default();
    names.learn(APP, Transport::Udp, &reply("me.example", 60, [127, 0, 0, 1]), 5);
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    assert!(names.name(APP, loopback, 9).is_some());
    assert!(names.name(SIBLING, loopback, 9).is_none());
}

#[test]
fn both_forms_of_an_ipv4_address_are_one() {
    let mut names = DnsNames::default();
    asked(&mut names, APP, "app.example", 1, 5);
    let mapped = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    assert!(names.name(APP, mapped, 9).is_some());
}

#[test]
fn a_stream_is_read_in_any_pieces_that_begin_with_a_message() {
    let (one, two) = (chain(), reply("two.example", 60, [192, 0, 2, 9]));
    let prefixed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let both = [prefixed(&one), prefixed(&two)].concat();
    let learnt = |pieces: &[&[u8]]| {
        let mut names = DnsNames::default();
        pieces.iter().for_each(|piece| names.learn(APP, Transport::Tcp, piece, 5));
        (names.counts().learnt, names.counts().cut, names.counts().malformed)
    };
    assert_eq!(learnt(&[&both]), (2, 0, 0));
    assert_eq!(learnt(&[&prefixed(&one)]), (1, 0, 0));
    // As glibc reads: the length, then the message.
    assert_eq!(learnt(&[&both[..2], &one]), (1, 0, 0));
    assert_eq!(learnt(&[&both[..both.len() - 5]]), (1, 0, 0), "the last answer of the second is not whole");
    let (head, tail) = one.split_at(60);
    assert_eq!(learnt(&[&prefixed(&one)[..62], tail]).1, 1, "a piece that begins in the midst: {}", head.len());
}

#[test]
fn what_is_not_learnt_is_counted() {
    let mut names = DnsNames::default();
    let good = reply("app.example", 60, [192, 0, 2, 1]);
    let mut truncated = good.clone();
    truncated[2] |= 2;
    let mut missing = good.clone();
    missing[3] |= 3;
    for message in [&good[..], &truncated, &missing, b"garbage", &[0xff; 300]] {
        names.learn(APP, Transport::Udp, message, 5);
    }
    let expected = DnsCounts { learnt: 1, without_address: 1, malformed: 2, truncated: 1, ..DnsCounts::default() };
    assert_eq!(names.counts(), expected);
}

#[test]
fn room_is_made_for_new_names() {
    let mut names = DnsNames::default();
    let total = MAX_HELD as u32 * 2;
    let numbered = |n: u32| [10, (n >> 16) as u8, (n >> 8) as u8, n as u8];
    for n in 0..total {
        names.learn(APP, Transport::Udp, &reply("many.example", 60, numbered(n)), u64::from(n));
        assert!(names.held() <= MAX_HELD, "{} held", names.held());
    }
    assert_eq!(names.held() as u64 + names.counts().forgotten, u64::from(total));
    assert!(names.name(APP, numbered(total - 1).into(), u64::from(total)).is_some(), "the newest stays");
    assert!(names.name(APP, numbered(0).into(), u64::from(total)).is_none(), "the oldest goes");
    // Expired lookups go first, and are no loss.
    let forgotten = names.counts().forgotten;
    let later = u64::from(total) + 11 * MINUTE;
    for n in 0..MAX_HELD as u32 {
        names.learn(APP, Transport::Udp, &reply("late.example", 60, numbered(total + n)), later);
    }
    assert_eq!((names.counts().forgotten, names.held()), (forgotten, MAX_HELD));
}

#[test]
fn one_address_is_remembered_for_so_many_askers() {
    let mut names = DnsNames::default();
    for tgid in 0..1000 {
        let asker = Asker { tgid, start_ns: 1, cgroup_id: 0 };
        names.learn(asker, Transport::Udp, &reply("db.example", 60, [192, 0, 2, 1]), u64::from(tgid));
    }
    assert_eq!((names.held(), names.counts().forgotten), (MAX_ASKERS, 1000 - MAX_ASKERS as u64));
    let last = Asker { tgid: 999, start_ns: 1, cgroup_id: 0 };
    assert_eq!(name(&names, last, 1, 1000), known("db.example", AskedBy::SameProcess));
}

proptest! {
    /// Random bytes, by both transports, into one table.
    #[test]
    fn hostile_bytes_leave_it_bounded(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20)) {
        let mut names = DnsNames::default();
        for (stream, bytes) in pieces {
            let transport = if stream { Transport::Tcp } else { Transport::Udp };
            names.learn(APP, transport, &bytes, 5);
        }
        prop_assert!(names.held() <= MAX_HELD);
    }
}
