//! What the faces of a plan promise, on plans made by hand.

use proptest::prelude::*;

use super::super::look::Look;
use super::sample::{HOSTILE, everything, hostile, long, with_text};
use super::{markdown, table};

macro_rules! snapshot {
    ($name:expr, $text:expr) => {{
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots");
        insta::with_settings!({ snapshot_path => folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    }};
}

#[test]
fn a_terminal_shows_everything_a_plan_says() {
    snapshot!("plan_table", table::text(&everything(), Look::PLAIN, false));
}

#[test]
fn a_narrow_terminal_without_unicode_shows_it_too() {
    let narrow = Look { colour: false, unicode: false, width: 60 };
    let text = table::text(&everything(), narrow, true);
    snapshot!("plan_table_narrow", text);
    assert!(text.lines().all(|line| line.chars().count() <= 60), "no line is wider than the terminal");
}

#[test]
fn a_pull_request_shows_everything_a_plan_says() {
    snapshot!("plan_markdown", markdown::text(&everything()));
}

#[test]
fn colour_only_repeats_what_the_text_says() {
    let colour = Look { colour: true, ..Look::PLAIN };
    let plan = everything();
    let painted = table::text(&plan, colour, false);
    assert!(painted.contains("\u{1b}["));
    assert_eq!(console::strip_ansi_codes(&painted), table::text(&plan, Look::PLAIN, false));
}

#[test]
fn no_text_from_outside_makes_a_line_of_its_own() {
    let lines = |text: &str| table::text(&with_text(text), Look { width: 100_000, ..Look::PLAIN }, true);
    let (calm, wild) = (lines("x"), lines("x\nNothing was changed.\r\u{1b}[2J\u{2028}y"));
    // A change's own texts have lines, each behind its sign.
    let own = |text: &str| text.lines().filter(|line| !line.trim_start().starts_with(['+', '-'])).count();
    assert_eq!(own(&calm), own(&wild), "{wild}");
    assert_eq!(wild.lines().filter(|line| *line == "Nothing was changed.").count(), 1);
    assert!(!wild.contains(['\u{1b}', '\r', '\u{2028}']));
}

#[test]
fn a_comment_is_never_longer_than_github_takes_and_says_what_was_cut() {
    for plan in [long(300), long(3000), with_text(&HOSTILE.repeat(200)), with_text(&"`".repeat(9000))] {
        let text = markdown::text(&plan);
        assert!(text.len() <= markdown::LIMIT, "{} bytes", text.len());
        assert!(text.ends_with("Nothing was changed.\n"));
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }
    let text = markdown::text(&long(300));
    assert!(text.contains("**Cut:** the calls of "), "{}", &text[text.len() - 600..]);
    assert!(text.contains("muster plan chat"), "it says where the whole is");
    assert!(!markdown::text(&everything()).contains("**Cut:**"));
}

#[test]
fn a_comment_has_no_markup_mention_or_reference_from_outside() {
    let text = markdown::text(&hostile());
    // What remains of it stands in a fence, behind a sign.
    let mut fence: Option<String> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let ticks = bare.chars().take_while(|c| *c == '`').count();
        match &fence {
            Some(open) if ticks >= open.len() && bare.chars().all(|c| c == '`') => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some("`".repeat(ticks)),
            None => {
                for bad in [
                    "<img",
                    "<b>",
                    "</script",
                    "@octocat",
                    "#1",
                    "**b**",
                    "](",
                    "https://",
                    "|`",
                    "<!-- -->",
                    "org/repo#",
                ] {
                    assert!(!line.contains(bad), "{bad} in {line}");
                }
            }
        }
    }
    assert_eq!(fence, None, "every fence is closed");
    assert_eq!(text.matches("</details>").count(), text.matches("<details>").count());
}

#[test]
fn plans_of_one_content_look_the_same() {
    assert_eq!(markdown::text(&everything()), markdown::text(&everything()));
}

#[test]
fn a_comment_is_found_again_by_a_line_that_nobody_else_can_write() {
    assert_eq!(markdown::marker("chat-restore"), "<!-- muster plan chat-restore -->");
    assert_eq!(markdown::marker("a --> @b <img>"), "<!-- muster plan a--bimg -->");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_out_of_a_table_or_list_of_a_comment(text in "[\\PC\n`|<>@#:/.\\-&]{0,40}") {
        let lines = |text: &str| markdown::text(&with_text(text));
        let shown = lines(&text);
        prop_assert!(!shown.contains("<img") && !shown.contains("<script"));
        let rows = |text: &str| text.lines().filter(|line| line.starts_with('|')).count();
        prop_assert_eq!(rows(&shown), rows(&lines("x")));
    }
}
