//! What a script asks of a value that only the run will know, in such a form that equal questions are seen to be equal.

use std::fmt;

use crate::model::Value;
use crate::model::unknown::Shape;

/// A question that is answered by yes or no.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The source of the value it is about: `steps.dump.bytes`.
    pub source: String,
    /// What is asked.
    pub test: Test,
    /// Whether the value is a whole number.
    pub whole: bool,
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Whether it is true.
    Holds,
    /// Whether it is this.
    Equals(Value),
    /// Whether it is less than this.
    Below(f64),
    /// Whether it is more than this.
    Above(f64),
    /// Anything else; the source is the whole question.
    Other,
}

impl Question {
    /// About a value of this source and shape.
    #[must_use]
    pub fn new(source: &str, shape: &Shape, test: Test) -> Self {
        let (test, whole) = (test, *shape.there() == Shape::Int);
        Self { source: source.to_owned(), test, whole }
    }

    /// In words that stand for themselves.
    #[must_use]
    pub fn other(text: String) -> Self {
        Self { source: text, test: Test::Other, whole: false }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        match &self.test {
            Test::Holds | Test::Other => f.write_str(source),
            Test::Equals(Value::Null) => write!(f, "{source} == ()"),
            Test::Equals(value) => write!(f, "{source} == {value}"),
            Test::Below(bound) => write!(f, "{source} < {bound}"),
            Test::Above(bound) => write!(f, "{source} > {bound}"),
        }
    }
}

/// What has been answered about values, and what follows from it.
#[derive(Clone, Debug, Default)]
pub struct Answers(Vec<(Question, bool)>);

impl Answers {
    /// The only answer that does not contradict earlier ones, if there is but one.
    #[must_use]
    pub fn implied(&self, question: &Question) -> Option<bool> {
        let mut about = Vec::new();
        for (asked, answer) in &self.0 {
            if asked == question {
                return Some(*answer);
            }
            if asked.source == question.source {
                about.push((asked, *answer));
            }
        }
        if about.is_empty() || matches!(question.test, Test::Holds | Test::Other) {
            return None;
        }
        let possible = |answer: bool| consistent(about.iter().copied().chain([(question, answer)]));
        match (possible(true), possible(false)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }

    /// Remembers an answer.
    pub fn remember(&mut self, question: Question, answer: bool) {
        self.0.push((question, answer));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Forgets all but the first.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// Whether one value can give all these answers. May say yes where it cannot.
fn consistent<'a>(answers: impl Iterator<Item = (&'a Question, bool)> + Clone) -> bool {
    let mut is: Option<&Value> = None;
    for (question, answer) in answers.clone() {
        if let (Test::Equals(value), true) = (&question.test, answer) {
            if is.is_some_and(|other| !same(other, value)) {
                return false;
            }
            is = Some(value);
        }
    }
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let (mut above, mut below) = (false, false);
    for (question, answer) in answers {
        // A bound as `low (or more)`, open or not; whole numbers move to the next one.
        let step = if question.whole { 1.0 } else { 0.0 };
        match (&question.test, answer) {
            (Test::Equals(value), false) if is.is_some_and(|is| same(is, value)) => return false,
            (Test::Above(bound), true) if bound + step >= low => (low, above) = (bound + step, step == 0.0),
            (Test::Below(bound), false) if *bound > low => (low, above) = (*bound, false),
            (Test::Below(bound), true) if bound - step <= high => (high, below) = (bound - step, step == 0.0),
            (Test::Above(bound), false) if *bound < high => (high, below) = (*bound, false),
            _ => {}
        }
    }
    if low > high || (low == high && (above || below)) {
        return false;
    }
    match is.and_then(Value::as_f64) {
        Some(is) => is >= low && is <= high && !(above && is == low) && !(below && is == high),
        None => true,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn about(test: Test) -> Question {
        Question::new("x", &Shape::Int, test)
    }

    #[test]
    fn what_follows_from_earlier_answers_is_not_asked_again() {
        let mut answers = Answers::default();
        assert_eq!(answers.implied(&about(Test::Equals(json!(1)))), None);
        answers.remember(about(Test::Below(5.0)), true);
        assert_eq!(answers.implied(&about(Test::Above(10.0))), Some(false));
        assert_eq!(answers.implied(&about(Test::Above(4.0))), Some(false));
        assert_eq!(answers.implied(&about(Test::Below(9.0))), Some(true));
        assert_eq!(answers.implied(&about(Test::Equals(json!(7)))), Some(false));
        assert_eq!(answers.implied(&about(Test::Equals(json!(3)))), None);
        answers.remember(about(Test::Equals(json!(3))), true);
        assert_eq!(answers.implied(&about(Test::Equals(json!(2)))), Some(false));
        assert_eq!(answers.implied(&about(Test::Above(2.0))), Some(true));
        let other = Question::new("y", &Shape::Int, Test::Above(10.0));
        assert_eq!(answers.implied(&other), None);
    }
}
