//! What each code means, with a text that gives it and one that does not: `codes.md`, read.

/// A code, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Explained {
    /// The code.
    pub code: &'static str,
    /// What it means and what to do, in a sentence or two.
    pub meaning: &'static str,
    /// Parts of a playbook that give it. Empty where that would be no use: too large, not UTF-8. A line `--- NAME` begins
    /// another file of the folder, `--- params` what a run would be given.
    pub wrong: &'static str,
    /// The same as it should be.
    pub right: &'static str,
}

/// All codes, in their order.
#[must_use]
pub fn all() -> Vec<Explained> {
    include_str!("codes.md").split("\n## ").skip(1).map(read).collect()
}

fn read(section: &'static str) -> Explained {
    const FENCE: &str = "```yaml\n";
    let (code, rest) = section.split_once('\n').unwrap_or((section, ""));
    let mut parts = rest.split(FENCE);
    let mut part = || parts.next().unwrap_or("");
    let (meaning, wrong, right) = (part(), part(), part());
    let inside = |part: &'static str| part.rsplit_once("```").map_or("", |(text, _)| text);
    Explained { code, meaning: meaning.trim(), wrong: inside(wrong), right: inside(right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_in_order_and_each_is_explained_in_words() {
        let all = all();
        assert!(
            all.windows(2).all(|pair| pair[0].code < pair[1].code),
            "{:?}",
            all.iter().map(|one| one.code).collect::<Vec<_>>()
        );
        for one in all {
            assert!(one.meaning.ends_with(['.', '?']) && !one.meaning.contains("```"), "{one:?}");
            assert_eq!(one.wrong.is_empty(), one.right.is_empty(), "{one:?}");
        }
    }
}
