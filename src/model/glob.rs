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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        fn a_text_matches_itself_and_any_piece_replaced_by_a_star(text in "[a-z]{0,12}", cut in 0usize..12) {
            let cut = cut.min(text.len());
            prop_assert!(matches(&text, &text));
            let with_star = format!("{}*", &text[..cut]);
            prop_assert!(matches(&with_star, &text));
        }
    }
}
