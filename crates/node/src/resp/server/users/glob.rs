//! Redis's globs: `*`, `?`, `[a-z]`, `[^a]` and `\` before a character that means itself.
//!
//! Matched without recursion, in at most (pattern x text) steps: a star tries the shortest, and only the last star is
//! ever taken back, which is enough because an earlier one has matched as much as it has to.

/// Does the text match the whole pattern?
pub(crate) fn matches(pattern: &[u8], text: &[u8], any_case: bool) -> bool {
    let (mut rest, mut left) = (pattern, text);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', after)) = rest.split_first() {
            star = Some((after, left));
            rest = after;
            continue;
        }
        let Some((&byte, later)) = left.split_first() else {
            return rest.is_empty();
        };
        if let Some(after) = one(rest, byte, any_case) {
            rest = after;
            left = later;
            continue;
        }
        let Some((after, from)) = star else { return false };
        let from = from.get(1..).unwrap_or_default();
        star = Some((after, from));
        rest = after;
        left = from;
    }
}

/// What is left of the pattern when its first part (not a star) takes the byte.
fn one(pattern: &[u8], byte: u8, any_case: bool) -> Option<&[u8]> {
    let same = |a: u8| {
        if any_case {
            a.eq_ignore_ascii_case(&byte)
        } else {
            a == byte
        }
    };
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', class @ ..] => {
            let (inside, after) = in_class(class, byte, any_case);
            inside.then_some(after)
        }
        [b'\\', literal, after @ ..] | [literal, after @ ..] => same(*literal).then_some(after),
    }
}

/// Is the byte in the class (what follows `[`), and what follows the class? A class that is not closed ends with the
/// pattern, as in Redis.
fn in_class(class: &[u8], byte: u8, any_case: bool) -> (bool, &[u8]) {
    let lower = |b: u8| if any_case { b.to_ascii_lowercase() } else { b };
    let byte = lower(byte);
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    let after = loop {
        match rest {
            [] => break rest,
            [b']', after @ ..] => break after,
            [b'\\', literal, after @ ..] => {
                found |= lower(*literal) == byte;
                rest = after;
            }
            [low, b'-', high, after @ ..] => {
                let (low, high) = (lower(*low).min(lower(*high)), lower(*low).max(lower(*high)));
                found |= (low..=high).contains(&byte);
                rest = after;
            }
            [literal, after @ ..] => {
                found |= lower(*literal) == byte;
                rest = after;
            }
        }
    };
    (found != negated, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("cart:*", "cart:"),
            ("cart:*", "cart:42"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hbllo"),
            ("a\\*b", "a*b"),
            ("*a*b*c*", "xxaxxbxxcxx"),
            ("a**b", "ab"),
            ("[abc", "b"),
            ("[\\]]", "]"),
        ] {
            assert!(is(pattern, text), "{pattern:?} on {text:?}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("cart:*", "Cart:1"),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("a\\*b", "axb"),
            ("*a*b*c", "abcd"),
            ("abc", "ab"),
            ("ab", "abc"),
        ] {
            assert!(!is(pattern, text), "{pattern:?} on {text:?}");
        }
        assert!(matches(b"MAX*", b"maxmemory", true));
        assert!(matches(b"[A-C]x", b"bX", true));
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_length_times_the_texts() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!is(&pattern, &"a".repeat(10_000)));
    }
}
