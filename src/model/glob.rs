//! Globs, as capabilities, parameters and file lists use them.

/// Whether the whole text fits the pattern: `*` stands for any characters (also none, also `/`), `?` for exactly one.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // The last `*`, and how much of the text it stands for so far: enough to go back to, so that time stays quadratic.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, from));
            at += 1;
        } else if pattern.get(at).is_some_and(|&c| c == '?' || c == text[from]) {
            at += 1;
            from += 1;
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            at = place + 1;
            from = taken + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

/// Whether some text fits both patterns.
#[must_use]
pub fn overlap(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // Which beginnings of `other` go together with the beginning of `one` seen so far.
    let mut row: Vec<bool> = vec![false; other.len() + 1];
    row[0] = true;
    spread(&mut row, &other);
    for &c in &one {
        let mut next = vec![false; other.len() + 1];
        for at in 0..=other.len() {
            if !row[at] {
                continue;
            }
            if c == '*' {
                // It stands for nothing, or for what the next of `other` stands for, and goes on.
                next[at..].iter_mut().for_each(|end| *end = true);
                break;
            }
            if at > 0 && other[at - 1] == '*' {
                next[at] = true;
            }
            if let Some(&d) = other.get(at)
                && d != '*'
                && (c == d || c == '?' || d == '?')
            {
                next[at + 1] = true;
            }
        }
        spread(&mut next, &other);
        row = next;
    }
    row.last().copied().unwrap_or(false)
}

/// A star may stand for nothing.
fn spread(row: &mut [bool], pattern: &[char]) {
    for (at, &c) in pattern.iter().enumerate() {
        if c == '*' && row[at] {
            row[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_overlap_where_one_text_fits_both() {
        let git = ("git -C * *", "git -C /srv rev-parse");
        for (one, other) in [("age *", "age --decrypt *"), ("*", ""), ("a?c", "ab*"), ("*x", "y*"), git] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (one, other) in [("age *", "gpg *"), ("a", "ab"), ("a*b", "a*c"), ("", "?"), ("ab?", "*cd")] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} {other}");
        }
    }

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, text) in [
            ("*", ""),
            ("**", ""),
            ("*.dump", "a.dump"),
            ("a?c", "abc"),
            ("*a*b*", "xxaybz"),
            ("/b/*", "/b/c/d"),
            ("", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("*.dump", "a.dump.part"), ("a?c", "ac"), ("", "x"), ("abc", "ab"), ("?", "")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn two_patterns_of_one_text_overlap(text in "[a-c]{0,8}", a in 0usize..8, b in 0usize..8) {
            let (a, b) = (a.min(text.len()), b.min(text.len()));
            let (begins, ends) = (format!("{}*", &text[..a]), format!("*{}", &text[b..]));
            prop_assert!(overlap(&begins, &ends));
            prop_assert!(overlap(&text, &begins));
        }

        #[test]
        fn a_text_matches_itself_and_any_piece_replaced_by_a_star(text in "[a-z]{0,12}", cut in 0usize..12) {
            let cut = cut.min(text.len());
            prop_assert!(matches(&text, &text));
            let with_star = format!("{}*", &text[..cut]);
            prop_assert!(matches(&with_star, &text));
        }
    }
}
