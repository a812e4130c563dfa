//! The live display on standard error: the step tree redrawn in place on a terminal, plain lines anywhere else.

use std::io::Write as _;

use console::{Term, measure_text_width};

use super::look::Look;
use super::view::View;
use super::{brief, line, tree, when};
use crate::journal::Record;
use crate::model::status::RunStatus;
use crate::model::{StepPath, Timestamp};

/// How a run is shown while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The tree, redrawn.
    Tree,
    /// A line a record.
    Lines,
    /// One JSON record a line, on standard output.
    Json,
    /// Nothing.
    Quiet,
}

/// Shows a run while it goes on.
pub struct Live {
    style: Style,
    look: Look,
    term: Term,
    /// How wide each line of the tree is that stands on the terminal.
    drawn: Vec<usize>,
    view: View,
}

impl Live {
    /// A display of a run whose steps are known from `view`.
    #[must_use]
    pub fn new(view: View, style: Style, look: Look) -> Self {
        Self { style, look, term: Term::buffered_stderr(), drawn: Vec::new(), view }
    }

    /// The run as seen so far.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Takes a record in without showing it: history, when a run is continued.
    pub fn recall(&mut self, record: &Record) {
        self.view.apply(record);
    }

    /// Takes a record in and shows it.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn record(&mut self, record: &Record) -> std::io::Result<()> {
        self.view.apply(record);
        match self.style {
            Style::Json => {
                let text = serde_json::to_string(record).map_err(std::io::Error::other)?;
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", brief::calm_json(&text))?;
                out.flush()
            }
            Style::Lines => {
                if let Some(text) = line::of(&self.view, record, self.look) {
                    // A closed standard error must not stop a recovery.
                    let _ = self.term.write_line(&brief::calm(&text));
                    let _ = self.term.flush();
                }
                Ok(())
            }
            Style::Tree | Style::Quiet => Ok(()),
        }
    }

    /// Takes in how far the call of a step is.
    pub fn progress(&mut self, step: &StepPath, text: &str) {
        self.view.progress(step, text);
    }

    /// Redraws the tree; call it a few times a second. Does nothing in other styles.
    pub fn draw(&mut self, now: Timestamp) {
        if self.style != Style::Tree {
            return;
        }
        let (height, width) = self.term.size();
        let look = Look { width: usize::from(width).saturating_sub(1).max(1), ..self.look };
        let mut lines = vec![look.fit(&title(&self.view, now), look.width)];
        lines.extend(
            visible(tree::lines(&self.view, now, look), &self.view, usize::from(height).saturating_sub(3))
                .into_iter()
                .map(|line| look.fit(&line, look.width)),
        );
        self.erase();
        for line in &lines {
            let _ = self.term.write_line(&brief::calm(line));
        }
        let _ = self.term.flush();
        self.drawn = lines.iter().map(|line| measure_text_width(line)).collect();
    }

    /// Removes the tree, so that what follows stands in its place.
    pub fn erase(&mut self) {
        let (height, width) = self.term.size();
        let rows = rows(&std::mem::take(&mut self.drawn), usize::from(width)).min(usize::from(height));
        if rows > 0 {
            let _ = self.term.clear_last_lines(rows);
        }
    }

    /// Removes the tree and gives back what was seen.
    #[must_use]
    pub fn finish(mut self) -> View {
        self.erase();
        let _ = self.term.flush();
        std::mem::take(&mut self.view)
    }
}

/// How many rows lines of these widths take on a terminal of so many columns: one that was made narrower has wrapped them.
fn rows(lines: &[usize], columns: usize) -> usize {
    lines.iter().map(|line| line.div_ceil(columns.max(1)).max(1)).sum()
}

fn title(view: &View, now: Timestamp) -> String {
    let Some(header) = view.header() else { return "starting".to_owned() };
    let took = view.begun.map(|begun| when::took(when::between(begun, now))).unwrap_or_default();
    let status = view.status();
    let status = if status == RunStatus::Running { String::new() } else { format!("  {}", status.as_str()) };
    format!("{} {}  run {}  {took}{status}", header.playbook, header.version, header.run.short())
}

/// At most so many lines: those of steps at work, and around them.
fn visible(lines: Vec<String>, view: &View, most: usize) -> Vec<String> {
    if lines.len() <= most || most < 3 {
        return lines.into_iter().take(most.max(1)).collect();
    }
    let busy = view.steps().iter().position(|step| step.begun.is_some() && step.ended.is_none()).unwrap_or(0);
    let first = busy.saturating_sub(most / 3).min(lines.len() - (most - 2));
    let last = (first + most - 2).min(lines.len());
    let after = lines.len() - last;
    let mut shown = Vec::with_capacity(most);
    if first > 0 {
        shown.push(format!("  … {first} above"));
    }
    shown.extend(lines.into_iter().skip(first).take(last - first));
    if after > 0 {
        shown.push(format!("  … {after} below"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_narrower_terminal_has_wrapped_is_removed_whole() {
        assert_eq!(rows(&[39, 0, 40], 40), 3);
        assert_eq!(rows(&[79, 0, 41], 40), 5);
        assert_eq!(rows(&[79, 12], 0), 91, "a terminal that does not know its width");
    }
}
