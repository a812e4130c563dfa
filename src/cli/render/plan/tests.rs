//! What the faces of a plan promise, on plans made by hand.

use proptest::prelude::*;

use super::super::look::Look;
use super::sample::{HOSTILE, everything, hostile, long, with_text};
use super::{html, markdown, table};

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
                // A reference to a character is none to an issue.
                let parts = line.split("&#").map(|part| part.split_once(';').map_or(part, |(_, rest)| rest));
                let line: String = parts.collect();
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
    assert_eq!(html::text(&everything()), html::text(&everything()));
    assert_eq!(markdown::text(&everything()), markdown::text(&everything()));
}

#[test]
fn a_comment_is_found_again_by_a_line_that_nobody_else_can_write() {
    assert_eq!(markdown::marker("chat-restore"), "<!-- muster plan chat-restore -->");
    assert_eq!(markdown::marker("a --> @b <img>"), "<!-- muster plan a--bimg -->");
}

/// The page without what Muster itself puts there: its style and its script.
fn body(page: &str) -> String {
    let (_, rest) = page.split_once("</head>").expect("a head");
    rest.split_once("<script>").expect("a script").0.to_owned()
}

#[test]
fn a_loop_is_named_once_and_one_in_it_stands_in_it() {
    let text = table::text(&everything(), Look::PLAIN, true);
    assert!(!text.contains("each of each"), "{text}");
    let outer = "  each of steps.choose.left, at most 20 times, one round:\n";
    let inner = "    each round of the loop in line 9, at most 20 times in all, one round:\n";
    assert!(text.contains(&format!("{outer}{inner}")), "{text}");
    assert_eq!(text.matches(outer).count(), 1, "both calls stand in one round: {text}");
}

#[test]
fn a_browser_shows_everything_a_plan_says() {
    snapshot!("plan_html", body(&html::text(&everything())));
}

#[test]
fn a_page_fetches_nothing_and_runs_only_its_own_script() {
    for plan in [everything(), hostile(), long(300)] {
        let page = html::text(&plan);
        assert!(page.contains("default-src 'none'; style-src 'sha256-"));
        let (head, _) = page.split_once("</head>").expect("a head");
        assert!(!["url(", "@import", "refresh"].iter().any(|bad| head.contains(bad)));
        for tag in tags(&body(&page)).0 {
            let name = tag.split(' ').next().unwrap_or_default().trim_matches('/');
            let fetches = ["img", "link", "iframe", "object", "embed", "form", "base", "meta", "use", "image"];
            assert!(!fetches.contains(&name), "{tag}");
            assert!(![" src=", " style=", " on", " action="].iter().any(|bad| tag.contains(bad)), "{tag}");
        }
        assert_eq!(page.matches(" href=\"").count(), page.matches(" href=\"#s-").count());
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</script").count(), 1);
    }
}

/// The tags of a page, without the values of their attributes, and what is wrong with them.
fn tags(page: &str) -> (Vec<String>, Vec<String>) {
    let (mut tags, mut wrong, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = page;
    while let Some((text, more)) = rest.split_once('<') {
        if text.contains('>') {
            wrong.push(format!("a bare > in {text}"));
        }
        let (mut tag, mut quoted, mut end) = (String::new(), false, None);
        for (at, c) in more.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '>' if !quoted => {
                    end = Some(at);
                    break;
                }
                '<' => wrong.push(format!("a bare < in {more}")),
                c if !quoted => tag.push(c),
                _ => {}
            }
        }
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default().to_owned();
        if tag.starts_with('/') {
            if open.pop() != Some(name.clone()) {
                wrong.push(format!("{tag} closes nothing"));
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        tags.push(tag);
        rest = end.and_then(|end| more.get(end + 1..)).unwrap_or_default();
    }
    wrong.extend(
        open.iter().filter(|name| !["body", "main"].contains(&name.as_str())).map(|name| format!("{name} stays open")),
    );
    (tags, wrong)
}

#[test]
fn three_hundred_steps_are_a_page_too() {
    let page = html::text(&long(300));
    assert_eq!(page.matches("<details class=\"step").count(), 300);
    assert_eq!(page.matches("class=\"node").count(), 300);
    assert!(table::text(&long(300), Look::PLAIN, false).contains("and 260 steps of at most 1.0s"));
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

    #[test]
    fn no_text_is_markup_in_a_page(text in "([\\PC\n<>\"'&/=`]{0,30}|</script>|<img src=x onerror=y>|\" onload=\"z|--><b>|]]>)") {
        let (shown, wrong) = tags(&body(&html::text(&with_text(&text))));
        prop_assert_eq!(&wrong, &Vec::<String>::new());
        let (calm, _) = tags(&body(&html::text(&with_text("x"))));
        // A text of several lines has more of them in a change, and nothing else is more.
        let sort = |tags: Vec<String>| {
            let mut kept: Vec<String> = tags.into_iter().filter(|tag| !["ins", "del", "span"].contains(&tag.trim_matches('/'))).collect();
            kept.sort();
            kept.dedup();
            kept
        };
        prop_assert_eq!(sort(shown), sort(calm));
    }
}
