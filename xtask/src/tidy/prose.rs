//! What people read in a file: comments and string literals of source text, all of Markdown but its code.
//!
//! A small lexer instead of a parser: it has to tell prose from identifiers and nothing else.

use std::path::Path;
use std::str::Chars;

/// A piece of prose, and the line that it lies on. No piece spans lines.
pub(super) type Piece = (usize, String);

/// The prose of `file`; none of a file of another kind.
pub(super) fn prose(file: &Path, text: &str) -> Vec<Piece> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("md") => markdown(text),
        // Close enough to Rust for comments and strings.
        Some("rs" | "go" | "java") => Lexer::new(text).run(),
        Some("py" | "toml" | "yaml" | "service" | "sh") => hash_comments(text),
        _ => Vec::new(),
    }
}

/// All lines outside fences, without code spans and the targets of links.
fn markdown(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        match (fence, ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark))) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => pieces.push((index + 1, without_targets(&without_code(line)))),
        }
    }
    pieces
}

/// What follows a `#` that begins a word, and what stands between triple quotes.
fn hash_comments(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut quoted = false;
    for (index, line) in text.lines().enumerate() {
        let quotes = line.matches("\"\"\"").count();
        let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with(char::is_whitespace) || *at == 0);
        if quoted || quotes > 0 {
            pieces.push((index + 1, line.to_owned()));
        } else if let Some((at, _)) = comment {
            pieces.push((index + 1, without_code(&line[at..])));
        }
        quoted ^= quotes % 2 == 1;
    }
    pieces
}

/// `line` without its code spans, which end at as many backticks as they begin with.
pub(super) fn without_code(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let (before, span) = rest.split_at(start);
        let ticks = &span[..span.len() - span.trim_start_matches('`').len()];
        let body = &span[ticks.len()..];
        kept.push_str(before);
        rest = closing(body, ticks.len()).map_or(body, |end| &body[end..]);
    }
    kept + rest
}

/// Where the code span ends that is closed in `body` by exactly `ticks` backticks.
fn closing(body: &str, ticks: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(offset) = body[at..].find('`') {
        let start = at + offset;
        let run = body[start..].len() - body[start..].trim_start_matches('`').len();
        at = start + run;
        if run == ticks {
            return Some(at);
        }
    }
    None
}

/// `line` without what stands in `](...)`: file names are names.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("] ");
        kept.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    kept
}

/// Walks source text once.
struct Lexer<'a> {
    rest: Chars<'a>,
    line: usize,
    pieces: Vec<Piece>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.chars(), line: 1, pieces: Vec::new() }
    }

    fn run(mut self) -> Vec<Piece> {
        while let Some(c) = self.next() {
            match c {
                '/' if self.eat('/') => self.line_comment(),
                '/' if self.eat('*') => self.block_comment(),
                '"' => self.string(),
                '\'' => self.char_or_lifetime(),
                c if c.is_alphanumeric() || c == '_' => self.word(c),
                _ => {}
            }
        }
        self.pieces
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn push(&mut self, line: usize, text: &str) {
        if !text.trim().is_empty() {
            self.pieces.push((line, text.to_owned()));
        }
    }

    /// Up to the end of the line, without what it quotes as code.
    fn line_comment(&mut self) {
        let (line, mut text) = (self.line, String::new());
        while let Some(c) = self.next().filter(|c| *c != '\n') {
            text.push(c);
        }
        self.push(line, &without_code(&text));
    }

    /// Up to the end of the comment, by lines; comments nest.
    fn block_comment(&mut self) {
        let (mut depth, mut line, mut text) = (1, self.line, String::new());
        while let Some(c) = self.next() {
            match c {
                '*' if self.eat('/') => depth -= 1,
                '/' if self.eat('*') => depth += 1,
                '\n' => {
                    self.push(line, &without_code(&text));
                    (line, text) = (self.line, String::new());
                }
                c => text.push(c),
            }
            if depth == 0 {
                break;
            }
        }
        self.push(line, &without_code(&text));
    }

    /// After the opening quote. An escape is no letter of the word beside it.
    fn string(&mut self) {
        let (mut line, mut text) = (self.line, String::new());
        while let Some(c) = self.next().filter(|c| *c != '"') {
            let escaped = if c == '\\' { self.next() } else { None };
            if c == '\n' || escaped == Some('\n') {
                self.push(line, &text);
                (line, text) = (self.line, String::new());
            } else {
                text.push(if escaped.is_some() { ' ' } else { c });
            }
        }
        self.push(line, &text);
    }

    /// After `r` and its hashes and quote: no escapes, and only as many hashes end it.
    fn raw_string(&mut self, hashes: usize) {
        let end = format!("\"{}", "#".repeat(hashes));
        let (text, after) = self.rest.as_str().split_once(&end).unwrap_or((self.rest.as_str(), ""));
        for (offset, part) in text.split('\n').enumerate() {
            self.push(self.line + offset, part);
        }
        self.line += text.matches('\n').count();
        self.rest = after.chars();
    }

    /// A literal such as `'a'` and `'\n'` is skipped; a lifetime is the name that it is.
    fn char_or_lifetime(&mut self) {
        let mut ahead = self.rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), Some(_)) => {
                self.next();
                self.next();
                while self.next().is_some_and(|c| c != '\'') {}
            }
            (Some(_), Some('\'')) => {
                self.next();
                self.next();
            }
            _ => {}
        }
    }

    /// A name or a number, or what a string begins with.
    fn word(&mut self, first: char) {
        let mut word = String::from(first);
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
            self.next();
        }
        if !matches!(word.as_str(), "r" | "br" | "cr") {
            return;
        }
        let rest = self.rest.as_str();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if let Some(after) = rest[hashes..].strip_prefix('"') {
            self.rest = after.chars();
            self.raw_string(hashes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(file: &str, text: &str) -> Vec<(usize, String)> {
        let trimmed = |(line, text): Piece| (line, text.trim().to_owned());
        prose(Path::new(file), text).into_iter().map(trimmed).filter(|(_, text)| !text.is_empty()).collect()
    }

    fn texts(file: &str, text: &str) -> Vec<String> {
        pieces(file, text).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn comments_and_strings_are_prose_and_names_are_not() {
        let text =
            "//! head\nfn told(heard: &str) { // why\n    print(\"{room} said\"); /* a\n b */ x }\n/// `code` doc\n";
        let expected = [(1, "! head"), (2, "why"), (3, "{room} said"), (3, "a"), (4, "b"), (5, "/  doc")];
        assert_eq!(pieces("a.rs", text), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn quotes_of_every_kind_end_where_they_do() {
        assert_eq!(texts("a.rs", r#"f('"', '\'', b'"', "in", 'x)"#), ["in"]);
        assert_eq!(texts("a.rs", r#"impl<'a> F<'a> { fn f(&'a self) -> &'static str { "in" } }"#), ["in"]);
        assert_eq!(
            texts("a.rs", "(r#\"one \" two\"#, br\"three\\\", c\"four\", b\"five\", r#type)"),
            ["one \" two", "three\\", "four", "five"]
        );
        assert_eq!(texts("a.rs", "/* a /* b */ c */ \"d\""), ["a  b  c", "d"]);
        assert_eq!(texts("a.rs", "\"// no comment\" // \"no string\""), ["// no comment", "\"no string\""]);
        assert_eq!(texts("a.rs", "\"open"), ["open"]);
        assert_eq!(texts("a.rs", "'\\u{1F600}' \"x\""), ["x"]);
    }

    #[test]
    fn lines_are_counted_in_strings() {
        let text = "a(\"one \\\n    two\");\nr\"x\ny\";\n// three\n\"\\ntold\"";
        let expected = [(1, "one"), (2, "two"), (3, "x"), (4, "y"), (5, "three"), (6, "told")];
        assert_eq!(pieces("a.rs", text), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn markdown_is_prose_but_for_its_code() {
        let text = "a `told` b\n```\ntold\n~~~\n```\n[c](room.md) d ``x ` y`` e\n";
        assert_eq!(texts("a.md", text), ["a  b", "[c]  d  e"]);
    }

    #[test]
    fn of_scripts_comments_are_prose() {
        let text = "\"\"\"A head.\n\nMore.\n\"\"\"\nx = 'a#b'  # why\n# `told` done\n";
        assert_eq!(texts("a.py", text), ["\"\"\"A head.", "More.", "\"\"\"", "# why", "#  done"]);
        assert_eq!(texts("a.json", "# told"), [""; 0]);
    }
}
