//! A plain table: columns as wide as their longest cell, no borders.

use console::measure_text_width;

use super::brief::calm;

/// Rows under headings.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; a cell may be coloured.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A line end in a cell would look like a row.
        self.rows.push(cells.into_iter().map(|cell| calm(&cell).replace(['\n', '\t'], " ")).collect());
    }

    /// Whether there is anything under the headings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, a line a row, indented by so many spaces. Columns that are empty in every row are left out.
    #[must_use]
    pub fn print(&self, indent: usize, heading: impl Fn(&str) -> String) -> String {
        let used = |place: &usize| self.rows.iter().any(|row| row.get(*place).is_some_and(|cell| !cell.is_empty()));
        let columns: Vec<usize> = (0..self.headings.len()).filter(used).collect();
        let cell = |row: &[String], place: usize| row.get(place).cloned().unwrap_or_default();
        let widths: Vec<usize> = columns
            .iter()
            .map(|&place| {
                let widest = self.rows.iter().map(|row| measure_text_width(&cell(row, place))).max();
                widest.unwrap_or(0).max(self.headings[place].chars().count())
            })
            .collect();
        let mut text = String::new();
        let mut line = |cells: Vec<String>| {
            let mut row = " ".repeat(indent);
            for (cell, width) in cells.iter().zip(&widths) {
                row.push_str(cell);
                row.push_str(&" ".repeat(width.saturating_sub(measure_text_width(cell)) + 2));
            }
            text.push_str(row.trim_end());
            text.push('\n');
        };
        if self.headings.iter().any(|heading| !heading.is_empty()) {
            line(columns.iter().map(|&place| heading(self.headings[place])).collect());
        }
        for row in &self.rows {
            line(columns.iter().map(|&place| cell(row, place)).collect());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_empty_ones_vanish() {
        let mut table = Table::new(&["RUN", "NOTHING", "STATUS"]);
        table.row(["7k3f9q".to_owned(), String::new(), "paused".to_owned()]);
        table.row(["\u{1b}[1mab\u{1b}[0m".to_owned(), String::new(), "ok".to_owned()]);
        let text = table.print(0, str::to_owned);
        assert_eq!(text, "RUN     STATUS\n7k3f9q  paused\n\u{1b}[1mab\u{1b}[0m      ok\n");
    }
}
