//! How output looks on this terminal: colour, symbols, width. Decided once, in the printer.

/// What a piece of text means, from which its colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// A person should look.
    Warn,
    /// It is at work.
    Live,
    /// Beside the point.
    Faint,
    /// A heading or a command to copy.
    Strong,
}

/// Symbols that stand before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    /// Not begun.
    Pending,
    /// At work.
    Running,
    /// Waits for a clock or the world.
    Waiting,
    /// Waits for a person.
    Paused,
    /// Ended well.
    Done,
    /// Failed.
    Failed,
    /// Left out.
    Skipped,
    /// Its effects were undone.
    Undone,
    /// Nobody knows.
    Doubt,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// ANSI colours.
    pub colour: bool,
    /// Symbols beyond ASCII.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

impl Look {
    /// Without colour, with symbols, of a usual width: files, pipes and tests.
    pub const PLAIN: Self = Self { colour: false, unicode: true, width: 100 };

    /// The text in the colour of its meaning.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Warn => "33",
            Tone::Live => "36",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The symbol, in its colour.
    #[must_use]
    pub fn glyph(self, glyph: Glyph) -> String {
        let (symbol, ascii, tone) = match glyph {
            Glyph::Pending => ("·", ".", Tone::Faint),
            Glyph::Running => ("▶", ">", Tone::Live),
            Glyph::Waiting => ("…", "~", Tone::Live),
            Glyph::Paused => ("‖", "=", Tone::Warn),
            Glyph::Done => ("✓", "+", Tone::Good),
            Glyph::Failed => ("✗", "x", Tone::Bad),
            Glyph::Skipped => ("−", "-", Tone::Faint),
            Glyph::Undone => ("↩", "<", Tone::Warn),
            Glyph::Doubt => ("?", "?", Tone::Bad),
        };
        self.paint(tone, if self.unicode { symbol } else { ascii })
    }

    /// Cuts a text to so many columns, with a sign that it was cut. Colour codes do not count.
    #[must_use]
    pub fn fit(self, text: &str, columns: usize) -> String {
        console::truncate_str(text, columns, if self.unicode { "…" } else { "~" }).into_owned()
    }
}
