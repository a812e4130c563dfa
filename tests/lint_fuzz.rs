//! Whatever happens to a playbook's text, loading and lint end, do not panic, and say of a text they refuse where it is wrong.

use std::sync::LazyLock;

use muster::lint::{explain, lint};
use muster::playbook::bundle::Bundle;
use muster::playbook::diagnostic::{Style, has_errors, render, to_json};
use muster::playbook::shipped;
use muster::script::Program;
use proptest::prelude::*;

static TEXTS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| shipped::names().filter_map(|name| shipped::file(name, "playbook.yaml")).collect());

/// Something that happens to a text when it is edited.
#[derive(Clone, Debug)]
enum Damage {
    DeleteLine(prop::sample::Index),
    SwapLines(prop::sample::Index, prop::sample::Index),
    Indent(prop::sample::Index, i8),
    Misspell(prop::sample::Index, prop::sample::Index, char),
    Truncate(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, String),
}

fn damage() -> impl Strategy<Value = Damage> {
    use prop::sample::Index;
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Damage::DeleteLine),
        (at(), at()).prop_map(|(a, b)| Damage::SwapLines(a, b)),
        (at(), -4i8..5).prop_map(|(line, by)| Damage::Indent(line, by)),
        (at(), at(), "[a-z_é:.$({\"'|]")
            .prop_map(|(word, letter, with)| { Damage::Misspell(word, letter, with.chars().next().unwrap_or('x')) }),
        at().prop_map(Damage::Truncate),
        (at(), at()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        (at(), "[ -~é\t]{0,12}").prop_map(|(place, text)| Damage::Insert(place, text)),
    ]
}

fn apply(text: &str, damage: &Damage) -> String {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let many = lines.len();
    match damage {
        Damage::DeleteLine(line) => {
            lines.remove(line.index(many));
        }
        Damage::SwapLines(a, b) => lines.swap(a.index(many), b.index(many)),
        Damage::Indent(line, by) => {
            let line = &mut lines[line.index(many)];
            let blanks = line.len() - line.trim_start().len();
            *line = match usize::try_from(*by) {
                Ok(more) => format!("{}{line}", " ".repeat(more)),
                Err(_) => line[blanks.min(by.unsigned_abs().into())..].to_owned(),
            };
        }
        Damage::Misspell(word, letter, with) => {
            // The keys, and the words of scripts and expressions.
            let words: Vec<(usize, &str)> = text
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .filter(|word| !word.is_empty())
                .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
                .collect();
            if let Some((at, word)) = (!words.is_empty()).then(|| words[word.index(words.len())]) {
                let (place, old) = word.char_indices().nth(letter.index(word.chars().count())).expect("it is a letter");
                return format!("{}{with}{}", &text[..at + place], &text[at + place + old.len_utf8()..]);
            }
        }
        Damage::Truncate(at) => {
            let place = text.char_indices().map(|(place, _)| place).nth(at.index(text.chars().count().max(1)));
            return text[..place.unwrap_or(0)].to_owned();
        }
        Damage::Repeat(from, to) => {
            let line = lines[from.index(many)].clone();
            lines.insert(to.index(many), line);
        }
        Damage::Insert(at, with) => {
            let place = text.char_indices().map(|(place, _)| place).nth(at.index(text.chars().count().max(1)));
            let place = place.unwrap_or(0);
            return format!("{}{with}{}", &text[..place], &text[place..]);
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_edit_of_a_playbook_makes_lint_panic_or_leaves_it_without_a_place_to_point_at(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec(damage(), 1..4),
    ) {
        let text = edits.iter().fold(which.get(&TEXTS).to_string(), |text, edit| apply(&text, edit));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("playbook.yaml"), &text).expect("it is written");
        let (found, sources, refused) = match Bundle::load(&folder.path().display().to_string()) {
            Ok(bundle) => {
                let found = lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
                if !has_errors(&found) {
                    let compiled = Program::compile(bundle.playbook, bundle.digest, &bundle.modules);
                    prop_assert!(compiled.is_ok(), "lint takes it, and {:?}:\n{text}", compiled.err());
                }
                (found, bundle.sources, false)
            }
            Err(error) => {
                let (found, sources) = explain(error).expect("it is there");
                (found, sources, true)
            }
        };
        prop_assert!(!refused || has_errors(&found), "it is refused, and nobody says why:\n{text}");
        for finding in &found {
            let length = sources[usize::from(finding.span.source)].text.len();
            let span = finding.span;
            prop_assert!(span.start <= span.end && span.end as usize <= length, "{finding:?} of {length} bytes:\n{text}");
            prop_assert!(!finding.message.is_empty());
        }
        prop_assert!(found.is_sorted_by_key(|finding| (finding.span.source, finding.span.start)) );
        let _ = render(&found, &sources, Style::PLAIN);
        let _ = to_json(&found, &sources);
    }
}
