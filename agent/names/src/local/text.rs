//! Makes names that are not trusted printable.

/// The longest name kept: the limit of DNS and Kubernetes, and longer than systemd's units in practice.
const MAX_NAME: usize = 253;

/// A name that is safe in a terminal, a label or a line: control characters are replaced, and a long name is cut.
pub(super) fn clean(name: &str) -> String {
    let mut kept = String::with_capacity(name.len().min(MAX_NAME));
    for shown in name.chars().map(|c| if c.is_control() || is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c }) {
        if kept.len() + shown.len_utf8() > MAX_NAME {
            break;
        }
        kept.push(shown);
    }
    kept
}

/// The same for bytes, up to the first NUL.
pub(super) fn clean_bytes(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    clean(&String::from_utf8_lossy(&bytes[..end.min(4 * MAX_NAME)]))
}

/// Characters that reorder or hide the text around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_to_be_shown() {
        assert_eq!(clean("web\n\x1b[31m"), "web\u{fffd}\u{fffd}[31m");
        assert_eq!(clean("a\u{202e}b"), "a\u{fffd}b");
        assert_eq!(clean_bytes(b"caf\xc3\xa9\xff\0rest"), "café\u{fffd}");
        assert_eq!(clean(&"é".repeat(300)).len(), 252);
    }
}
