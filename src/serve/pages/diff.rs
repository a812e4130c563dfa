//! A unified diff, coloured, with its signs kept: nothing is told by colour alone.

use maud::{Markup, html};

/// The lines of a diff, at most so many.
pub fn lines(text: &str, most: usize) -> Markup {
    let all: Vec<&str> = text.lines().filter(|line| !line.starts_with("\\ No newline")).collect();
    html! {
        pre tabindex="0" {
            @for line in all.iter().take(most) {
                @match line.as_bytes().first() {
                    Some(b'+') => span.add { (line) "\n" },
                    Some(b'-') => span.del { (line) "\n" },
                    _ => { (line) "\n" },
                }
            }
            @if all.len() > most { (all.len() - most) " lines more" }
        }
    }
}
