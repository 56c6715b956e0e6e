//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that stands for itself.

/// Does `text` match `pattern`?
///
/// # Cost
/// O(length of the pattern times that of the text): a star is tried again from where it stood last, never from an
/// earlier one.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = p.split_first() {
            star = Some((rest, t));
            p = rest;
            continue;
        }
        let step = match t.split_first() {
            None if p.is_empty() => return true,
            None => return false,
            Some((first, after)) => one(p, *first).map(|rest| (rest, after)),
        };
        if let Some((rest, after)) = step {
            (p, t) = (rest, after);
            continue;
        }
        // The star takes one byte more.
        match star {
            Some((after_star, from)) => match from.split_first() {
                Some((_, later)) => {
                    star = Some((after_star, later));
                    (p, t) = (after_star, later);
                }
                None => return false,
            },
            None => return false,
        }
    }
}

/// What is left of a pattern whose first element, which is no star, matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// The same for what follows a `[`. A class without an end goes on to the pattern's.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (not, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
            [from, b'-', to, after @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
        };
    }
    (found != not).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_what_they_match_in_redis() {
        for (pattern, text, is) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("[", "a", false),
            ("*]", "a]", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                is,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let pattern = "*a".repeat(2_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(4_000).as_bytes()));
    }
}
