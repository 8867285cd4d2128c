//! Words that a reader of English has to translate, and what an engineer writes instead.

use std::path::Path;

use super::Finding;
use super::prose::prose;

/// How many of the words may be left in the whole tree. It only goes down: what a change removes is taken off here.
const WORDS_LEFT: usize = 2;

/// Each word, as it is written in lower case, with plain alternatives.
const WORDS: [(&str, &str); 8] = [
    ("told", "given, reported, received, known or distinguished"),
    ("heard", "received or seen"),
    ("hear", "receive or see"),
    ("room", "space, capacity or a free slot; of code: module"),
    ("whoever", "the process, caller or reader that"),
    ("whom", "name it: the process, the caller, the owner"),
    ("nobody", "no process, no caller, no user"),
    ("somebody", "a process, a caller, a user"),
];

/// The files that have to spell the words out.
const EXEMPT: [&str; 2] = ["xtask/src/tidy/words.rs", "xtask/src/tidy/prose.rs"];

/// Every word of the list in the prose of `file`.
pub(super) fn words(file: &Path, text: &str) -> Vec<Finding> {
    if EXEMPT.map(Path::new).contains(&file) {
        return Vec::new();
    }
    let finding = |line: usize, (word, instead): (&str, &str)| Finding {
        place: format!("{}:{line}", file.display()),
        problem: format!("\"{word}\""),
        fix: format!("plain English is {instead}"),
    };
    let of_piece = |(line, text): (usize, String)| found(&text).map(|word| finding(line, word)).collect::<Vec<_>>();
    prose(file, text).into_iter().flat_map(of_piece).collect()
}

/// What to say of all findings of the tree: nothing while no more are left than may be.
pub(super) fn over_budget(found: Vec<Finding>) -> Vec<Finding> {
    let count = found.len();
    if count > WORDS_LEFT {
        let total = Finding {
            place: "xtask/src/tidy/words.rs".into(),
            problem: format!("{count} words of the list are in the tree, more than {WORDS_LEFT}"),
            fix: "reword the newest of those above".into(),
        };
        return found.into_iter().chain([total]).collect();
    }
    if count < WORDS_LEFT {
        eprintln!(
            "note: {count} words of the list are left; lower WORDS_LEFT in xtask/src/tidy/words.rs from {WORDS_LEFT}"
        );
    }
    Vec::new()
}

/// The words in a piece of prose. What stands right after `{` is the name of a formatted argument.
fn found(text: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut at = 0;
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(move |word| {
        let is_argument = text[..at].ends_with('{');
        at += word.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
        !is_argument
    });
    words.filter_map(|word| WORDS.into_iter().find(|(listed, _)| word.eq_ignore_ascii_case(listed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(file: &str, text: &str) -> Vec<String> {
        words(Path::new(file), text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_are_found_whole_and_in_any_case() {
        let listed = |text: &str| found(text).map(|(word, _)| word).collect::<Vec<_>>();
        assert_eq!(listed("Nobody is told; nobody's Room"), ["nobody", "told", "nobody", "room"]);
        assert_eq!(listed("headroom, rooms, retold, told_by, TOLD_S"), [""; 0]);
        assert_eq!(listed("{told} and {heard:?} of {} room – told"), ["room", "told"]);
    }

    #[test]
    fn a_finding_names_its_line_and_what_to_write() {
        let text = "fn told() {}\n\n// No room for `told`.\n";
        let expected = "a/b.rs:3: \"room\": plain English is space, capacity or a free slot; of code: module";
        assert_eq!(printed("a/b.rs", text), [expected]);
        assert_eq!(printed(EXEMPT[0], text), [""; 0]);
    }

    #[test]
    fn only_more_than_may_be_left_fail() {
        let found = |count: usize| words(Path::new("a.md"), &"told\n".repeat(count));
        assert_eq!(over_budget(found(WORDS_LEFT)), []);
        assert_eq!(over_budget(found(WORDS_LEFT + 1)).len(), WORDS_LEFT + 2);
    }
}
