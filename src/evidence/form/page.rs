//! A report arranged for reading: what every form for people is made from.

/// How much something matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it should be, or neither good nor bad.
    #[default]
    Plain,
    /// Well done.
    Good,
    /// To be looked at.
    Warn,
    /// It failed, or was missed.
    Bad,
    /// Beside the point.
    Faint,
}

/// A text in a table or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The text, on one line.
    pub text: String,
    /// How much it matters.
    pub tone: Tone,
    /// It is a name of something, not a sentence.
    pub code: bool,
}

impl Cell {
    /// With another tone.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// As a name.
    #[must_use]
    pub fn code(text: impl AsRef<str>) -> Self {
        Self { code: true, ..Self::from(text.as_ref()) }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: super::super::words::short(text), ..Self::default() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// What stands under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Names with what belongs to them.
    Facts(Vec<(String, Cell)>),
    /// Rows under column heads.
    Table(Vec<&'static str>, Vec<Vec<Cell>>),
    /// One thing after the other.
    List(Vec<Cell>),
}

/// A part of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What is to be known before reading it.
    pub note: Option<String>,
    /// What stands in it.
    pub body: Body,
}

/// A figure at the top of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The figure.
    pub large: Cell,
    /// What it is.
    pub small: String,
}

/// A report, arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// What it is of, in a sentence.
    pub lead: String,
    /// The figures at its top.
    pub cards: Vec<Card>,
    /// Parts of a whole time in milliseconds, with what it may take at most.
    pub split: Option<Split>,
    /// Its parts; those with nothing in them are left out.
    pub sections: Vec<Section>,
    /// What it rests on.
    pub footer: String,
}

/// How a time was spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Name and length of each part, in order.
    pub parts: Vec<(&'static str, u64)>,
    /// The objective.
    pub limit: Option<u64>,
}

impl Page {
    /// Adds a table, unless it has no rows.
    pub fn table(&mut self, title: &'static str, heads: Vec<&'static str>, rows: Vec<Vec<Cell>>) {
        if !rows.is_empty() {
            self.sections.push(Section { title, note: None, body: Body::Table(heads, rows) });
        }
    }

    /// Adds facts, unless there are none.
    pub fn facts(&mut self, title: &'static str, facts: Vec<(String, Cell)>) {
        if !facts.is_empty() {
            self.sections.push(Section { title, note: None, body: Body::Facts(facts) });
        }
    }

    /// Adds a list, unless it is empty.
    pub fn list(&mut self, title: &'static str, items: Vec<Cell>) {
        if !items.is_empty() {
            self.sections.push(Section { title, note: None, body: Body::List(items) });
        }
    }

    /// Says something above the part that was added last.
    pub fn note(&mut self, text: String) {
        if let Some(section) = self.sections.last_mut() {
            section.note = Some(text);
        }
    }
}
