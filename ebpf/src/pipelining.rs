//! Several requests in one write look like one round from outside. They show in the repetition of a message's first
//! bytes: `*3\r\n…*3\r\n…`, `GET …GET …`, `Q\0\0\0…Q\0\0\0…`.

/// Bytes of a request that are compared. Requests longer than this are not recognized. A choice: see `Head`.
pub const LOOKED_AT: usize = 512;
/// Sampled rounds of a long connection: the first few, and then one in 64. A choice.
const FIRST_ROUNDS: u32 = 4;
const ONE_IN: u32 = 64;
/// Of the first rounds of connections, which are the only ones of short connections: this many of an edge are sampled, and then
/// one in 64. A choice.
const FIRST_OF_EDGE: u64 = 64;

/// Whether the connection's `n`-th round, which began at `now`, is sampled, on an edge of which `sampled` have been.
#[inline(always)]
pub fn is_sampled(n: u32, sampled: u64, now: u64) -> bool {
    if n >= FIRST_ROUNDS {
        return n.is_multiple_of(ONE_IN);
    }
    // The clock's middle bits are random enough.
    sampled < FIRST_OF_EDGE || (now >> 8).is_multiple_of(ONE_IN as u64)
}

/// The head of a request, as words: eight places at once are compared with the first four bytes, because the verifier walks
/// every step of the loop (before 6.8 in time quadratic in the steps: 512 of them took a second on a slow machine, 64 take a
/// tenth).
pub type Head = [u64; WORDS];
const WORDS: usize = LOOKED_AT / 8;

/// Whether the first four bytes are repeated. Bytes from `length` on are ignored. TLS records never count: they repeat their
/// head by design. Nor do four equal bytes, which prove nothing.
#[inline(always)]
pub fn head_repeats(words: &Head, length: usize) -> bool {
    let head = u64::from_le(words[0]) as u32;
    if length < 8 || is_tls(head) || head == (head & 0xff) * 0x0101_0101 {
        return false;
    }
    let last = length - 4;
    // Not at their own place, and not overlapping it.
    let mut found = places(u64::from_le(words[0]), u64::from_le(words[1]), head) & !0xf;
    let mut word = 0;
    while word < WORDS {
        let left = last.wrapping_sub(8 * word) as u64;
        if left > LOOKED_AT as u64 {
            return false;
        }
        if left < 7 {
            found &= (2 << left) - 1;
        }
        if found != 0 {
            return true;
        }
        word += 1;
        let next = if word + 1 < WORDS { words[word + 1] } else { 0 };
        found = if word < WORDS { places(u64::from_le(words[word]), u64::from_le(next), head) } else { 0 };
    }
    false
}

/// At which of the eight places that begin in `word` the four bytes are `head`: one bit each.
#[inline(always)]
fn places(word: u64, next: u64, head: u32) -> u64 {
    let here = |place: u32| {
        let bytes = if place == 0 { word } else { word >> (8 * place) | next << (64 - 8 * place) };
        // Without a branch, which would be one more state to the verifier: only 0 becomes negative.
        let difference = u64::from(bytes as u32 ^ head);
        (difference.wrapping_sub(1) >> 63) << place
    };
    here(0) | here(1) | here(2) | here(3) | here(4) | here(5) | here(6) | here(7)
}

/// A TLS record: type 20 to 23, major version 3.
#[inline(always)]
fn is_tls(head: u32) -> bool {
    matches!(head & 0xff, 20..=23) && (head >> 8) & 0xff == 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn repeats(text: &[u8]) -> bool {
        let length = text.len().min(LOOKED_AT);
        // What is left of an earlier look may repeat the head as well.
        let stale = text.iter().copied().cycle().take(LOOKED_AT).collect::<Vec<u8>>();
        let mut bytes = [b'x'; LOOKED_AT];
        bytes[..stale.len()].copy_from_slice(&stale);
        let words = core::array::from_fn(|i| u64::from_ne_bytes(bytes[8 * i..8 * i + 8].try_into().expect("8 bytes")));
        head_repeats(&words, length)
    }

    #[test]
    fn pipelines_of_known_protocols() {
        assert!(repeats(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"));
        assert!(repeats(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(repeats(b"get a\r\nget b\r\n"));
        assert!(repeats(b"Q\0\0\0\x0dSELECT 1\0Q\0\0\0\x0dSELECT 2\0"));
    }

    #[test]
    fn single_requests_of_known_protocols() {
        assert!(!repeats(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\nx\r\n"));
        assert!(!repeats(b"GET /index.html HTTP/1.1\r\nHost: get.example\r\nAccept: */*\r\n\r\n"));
        assert!(!repeats(
            b"P\0\0\0\x10\0SELECT $1\0\0\0B\0\0\0\x10\0\0\0\0\0\x01\0\0\0\x011\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
        ));
        assert!(!repeats(b"x"));
        assert!(!repeats(b""));
    }

    #[test]
    fn tls_records_and_runs_of_one_byte_say_nothing() {
        assert!(!repeats(b"\x17\x03\x03\x00\x05abcde\x17\x03\x03\x00\x05fghij"));
        assert!(!repeats(&[0; 64]));
        assert!(!repeats(b"aaaaaaaaaaaa"));
    }

    #[test]
    fn one_request_in_64_is_looked_at_in_the_long_run() {
        assert!((0..4).all(|n| is_sampled(n, 63, 12_345)) && !(4..64).any(|n| is_sampled(n, 0, 0)));
        assert_eq!((4..6404).filter(|n| is_sampled(*n, 1000, 0)).count(), 100);
        // Short connections, one every 37 us.
        let looked_at = (0..64_000u64).filter(|i| is_sampled(0, 1000, i * 37_123)).count();
        assert!((900..1100).contains(&looked_at), "{looked_at}");
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(text in prop::collection::vec(0u8..4, 0..700)) {
            let seen = &text[..text.len().min(LOOKED_AT)];
            let plain = seen.len() >= 8
                && !seen[..4].iter().all(|b| *b == seen[0])
                && seen[4..].windows(4).any(|w| w == &seen[..4]);
            prop_assert_eq!(repeats(&text), plain);
        }
    }
}
