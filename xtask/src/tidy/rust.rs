//! Just enough of a Rust reader for rules about text: code apart from comments and strings, items apart from tests.
//!
//! No parser: a lexer that knows comments (nested), strings (escaped, raw, byte, C) and characters against lifetimes
//! is short, needs no dependency, and cannot be broken by syntax newer than itself. What it cannot see: code made by
//! macros, and names brought in by an alias.

use std::ops::Range;

/// A source file split in texts of the same shape: every byte that belongs to the other, or to a string, is a space,
/// so that lines and columns stay true.
#[derive(Debug)]
pub(super) struct Source {
    /// Code without comments and without what stands between quotes.
    pub(super) code: String,
    /// Comments without code.
    pub(super) comments: String,
    /// Code with its strings, without comments.
    pub(super) uncommented: String,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let mut lexer = Lexer {
            bytes: text.as_bytes(),
            at: 0,
            code: Vec::new(),
            comments: Vec::new(),
            uncommented: Vec::new(),
        };
        lexer.run();
        // Bytes beyond ASCII were replaced, so what is left is text whatever was cut.
        Self {
            code: String::from_utf8_lossy(&lexer.code).into_owned(),
            comments: String::from_utf8_lossy(&lexer.comments).into_owned(),
            uncommented: String::from_utf8_lossy(&lexer.uncommented).into_owned(),
        }
    }
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    code: Vec<u8>,
    comments: Vec<u8>,
    uncommented: Vec<u8>,
}

/// What a byte is part of; `Text` is what stands between quotes, the quotes included.
#[derive(Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Text,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, kind: Kind) {
        let byte = self.peek(0);
        let shown = if byte.is_ascii() { byte } else { b'?' };
        let blank = if byte == b'\n' { b'\n' } else { b' ' };
        let show = |text: &mut Vec<u8>, wanted: bool| text.push(if wanted { shown } else { blank });
        show(&mut self.code, matches!(kind, Kind::Code));
        show(&mut self.comments, matches!(kind, Kind::Comment));
        show(&mut self.uncommented, !matches!(kind, Kind::Comment));
        self.at += 1;
    }

    fn run(&mut self) {
        while !self.done() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'/') => self.line_comment(),
                (b'/', b'*') => self.block_comment(),
                (b'"', _) => self.string(),
                (b'\'', _) => self.quote(),
                (first, _) if is_word(first) => self.word(),
                _ => self.take(Kind::Code),
            }
        }
    }

    fn line_comment(&mut self) {
        while !self.done() && self.peek(0) != b'\n' {
            self.take(Kind::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.done() {
            let pair = (self.peek(0), self.peek(1));
            let step = match pair {
                (b'/', b'*') => {
                    depth += 1;
                    2
                }
                (b'*', b'/') => {
                    depth -= 1;
                    2
                }
                _ => 1,
            };
            for _ in 0..step {
                self.take(Kind::Comment);
            }
            if depth == 0 {
                break;
            }
        }
    }

    /// A word, and the string that it may be the prefix of: `r"`, `br#"`, `b"`, `c"`. `r#name` is a word.
    fn word(&mut self) {
        let start = self.at;
        while is_word(self.peek(0)) {
            self.take(Kind::Code);
        }
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        let raw = matches!(word, b"r" | b"br" | b"cr");
        if raw {
            let mut hashes = 0;
            while self.peek(hashes) == b'#' {
                hashes += 1;
            }
            if self.peek(hashes) == b'"' {
                self.raw_string(hashes);
            }
        }
        // `b"` and `c"` go on as plain strings, `b'` as a character: the main loop sees their quote next.
    }

    fn raw_string(&mut self, hashes: usize) {
        for _ in 0..=hashes {
            self.take(Kind::Text);
        }
        while !self.done() {
            let closes = self.peek(0) == b'"' && (1..=hashes).all(|ahead| self.peek(ahead) == b'#');
            self.take(Kind::Text);
            if closes {
                for _ in 0..hashes {
                    self.take(Kind::Text);
                }
                break;
            }
        }
    }

    fn string(&mut self) {
        self.take(Kind::Text);
        while !self.done() {
            match self.peek(0) {
                b'\\' => {
                    self.take(Kind::Text);
                    if !self.done() {
                        self.take(Kind::Text);
                    }
                }
                b'"' => {
                    self.take(Kind::Text);
                    break;
                }
                _ => self.take(Kind::Text),
            }
        }
    }

    /// A character (`'x'`, `'\n'`, `'é'`) or a lifetime (`'a`): a character closes.
    fn quote(&mut self) {
        let escaped = self.peek(1) == b'\\';
        let wide = match self.peek(1) {
            first if first < 0x80 => 1,
            first if first >= 0xf0 => 4,
            first if first >= 0xe0 => 3,
            _ => 2,
        };
        if !escaped && self.peek(1 + wide) != b'\'' {
            self.take(Kind::Code);
            return;
        }
        self.take(Kind::Text);
        if escaped {
            self.take(Kind::Text);
            self.take(Kind::Text);
        }
        while !self.done() && self.peek(0) != b'\'' {
            self.take(Kind::Text);
        }
        if !self.done() {
            self.take(Kind::Text);
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The line of a byte position, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The code with every item under `#[cfg(test)]` blanked, lines kept. `code` is [`Source::code`].
pub(super) fn without_tests(code: &str) -> String {
    without(code, &test_items(code))
}

/// `text` with these byte ranges blanked, lines kept. All texts of a [`Source`] have the same positions.
pub(super) fn without(text: &str, ranges: &[Range<usize>]) -> String {
    let mut kept = text.as_bytes().to_vec();
    for range in ranges {
        for byte in kept
            .iter_mut()
            .take(range.end)
            .skip(range.start)
            .filter(|byte| **byte != b'\n')
        {
            *byte = b' ';
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Where the items under `#[cfg(test)]` or `#[cfg(all(test, ...))]` stand. `code` is [`Source::code`].
pub(super) fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(found) = code.get(from..).and_then(|rest| rest.find("#[cfg(")) {
        let start = from + found;
        let rest = code.get(start..).unwrap_or_default();
        let condition = rest.trim_start_matches("#[cfg(");
        let for_tests = condition.starts_with("test)") || condition.starts_with("all(test");
        let end = if for_tests {
            start + item_end(rest)
        } else {
            start + 1
        };
        if for_tests {
            items.push(start..end);
        }
        from = end.max(start + 1);
    }
    items
}

/// Where the item at the start of `code`, its attributes included, ends: after its `;` or its closing brace.
fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Line of its `fn`, from 1.
    pub(super) line: usize,
    /// Lines from its `fn` to its closing brace, both counted.
    pub(super) lines: usize,
}

/// Every function with a body, nested ones too. `code` is [`Source::code`].
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let before = start
            .checked_sub(1)
            .and_then(|at| code.as_bytes().get(at))
            .copied()
            .unwrap_or(b' ');
        let rest = code.get(start..).unwrap_or_default();
        let name: String = rest
            .chars()
            .skip("fn ".len())
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        if is_word(before) || name.is_empty() || !has_body(rest) {
            continue;
        }
        let line = line_of(code, start);
        let lines = 1 + rest
            .get(..item_end(rest))
            .unwrap_or_default()
            .matches('\n')
            .count();
        found.push(Function { name, line, lines });
    }
    found
}

/// Whether the signature at the start of `code` is followed by a body rather than by `;`.
fn has_body(code: &str) -> bool {
    let mut depth = 0_usize;
    for byte in code.bytes() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return true,
            b';' if depth == 0 => return false,
            _ => {}
        }
    }
    false
}

/// What stands right after every `name::` in the code: the next word, or each first word of a `{...}` group.
///
/// `use std::{fs, io::{self, Read}}` gives `fs` and `io` for `std`. Yields (byte position, word).
pub(super) fn paths_below<'a>(code: &'a str, name: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices(name) {
        let before = start
            .checked_sub(1)
            .and_then(|at| code.as_bytes().get(at))
            .copied()
            .unwrap_or(b' ');
        // `foo::std::fs` is another path, `::std::fs` is this one.
        let elsewhere = before == b':'
            && code.get(..start).is_some_and(|head| {
                head.strip_suffix("::")
                    .is_some_and(|head| head.ends_with(is_word_char))
            });
        if is_word(before) || elsewhere {
            continue;
        }
        let after = start + name.len();
        let rest = code.get(after..).unwrap_or_default();
        let Some(tail) = rest.trim_start().strip_prefix("::") else {
            continue;
        };
        let tail = tail.trim_start();
        let at = code.len() - tail.len();
        match tail.strip_prefix('{') {
            Some(group) => found.extend(
                group_heads(group)
                    .into_iter()
                    .map(|(offset, word)| (at + 1 + offset, word)),
            ),
            None => found.push((at, first_word(tail))),
        }
    }
    found
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !is_word_char(c)).next().unwrap_or_default()
}

/// First words of the members of a group whose opening brace was just passed.
fn group_heads(group: &str) -> Vec<(usize, &str)> {
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut fresh = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && is_word_char(c) => {
                heads.push((at, first_word(group.get(at..).unwrap_or_default())));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let source = Source::new("let a = \"std::fs // no\"; // std::net\n/* one /* two */ three */ b");
        assert!(!source.code.contains("std"));
        assert!(source.code.contains("let a ="));
        assert!(source.code.trim_end().ends_with('b'));
        assert!(source.comments.contains("std::net"));
        assert!(source.comments.contains("three"));
        assert!(!source.comments.contains("std::fs"));
    }

    #[test]
    fn raw_strings_characters_and_lifetimes_are_told_apart() {
        let source =
            Source::new(r##"fn f<'a>(x: &'a str) { g('"', '\'', b'{', '\u{7b}', r#"}" "#, "\"}"); h }"##);
        assert!(source.code.contains("fn f<'a>(x: &'a str) {"));
        assert_eq!(source.code.matches(['{', '}']).count(), 2);
        assert!(source.code.contains("h }"));
    }

    #[test]
    fn what_is_blanked_keeps_its_lines() {
        let text = "a\n\"x\ny\"\n/* \n */ é b";
        let source = Source::new(text);
        assert_eq!(source.code.lines().count(), text.lines().count());
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.comments.len(), text.len());
    }

    #[test]
    fn items_under_cfg_test_are_left_out() {
        let code =
            "use a;\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n#[cfg(test)] use std::env;\nfn kept() {}\n";
        let kept = without_tests(code);
        assert!(!kept.contains("std"));
        assert!(kept.contains("fn kept"));
        assert_eq!(kept.lines().count(), code.lines().count());
    }

    #[test]
    fn items_that_are_also_built_for_others_stay() {
        let code = "#[cfg(any(test, feature = \"testkit\"))] use std::fs; #[cfg(not(test))] use std::net;";
        assert_eq!(without_tests(code), code);
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let code =
            "trait T { fn none(&self); }\nfn one() {}\nfn three(a: [u8; 2]) -> u8\n{\n}\ntype F = fn (u8);\n";
        let found = functions(code);
        let sizes: Vec<(&str, usize, usize)> =
            found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(sizes, [("one", 2, 1), ("three", 3, 3)]);
    }

    #[test]
    fn paths_are_found_in_uses_groups_and_expressions() {
        let code = "use std::{fs, io::{self, net}, thread as t};\nlet x = ::std::env::var(k); mystd::a; foo::std::b;";
        let words: Vec<&str> = paths_below(code, "std")
            .into_iter()
            .map(|(_, word)| word)
            .collect();
        assert_eq!(words, ["fs", "io", "thread", "env"]);
    }
}
