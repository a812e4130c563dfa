//! Label and field selectors of Kubernetes.

use crate::model::Value;

enum Term {
    /// Has the label with one of these values, or (when not) has none of them.
    In(String, Vec<String>, bool),
    /// Has the label, or has it not.
    Has(String, bool),
    /// The field at this path is this, or is not.
    Field(String, String, bool),
}

/// Which objects a list has.
pub struct Selector(Vec<Term>);

impl Selector {
    /// The one that these texts say.
    #[must_use]
    pub fn parse(labels: &str, fields: &str) -> Self {
        let mut terms: Vec<Term> = split(labels).iter().map(|text| label(text)).collect();
        for text in split(fields) {
            let (name, value, is) = match text.split_once("!=") {
                Some((name, value)) => (name, value, false),
                None => text
                    .split_once("==")
                    .or_else(|| text.split_once('='))
                    .map_or((text, "", true), |(name, value)| (name, value, true)),
            };
            terms.push(Term::Field(format!("/{}", name.replace('.', "/")), value.to_owned(), is));
        }
        Self(terms)
    }

    /// Whether it has this object.
    #[must_use]
    pub fn takes(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|term| match term {
            Term::In(name, values, is) => {
                labels[name].as_str().is_some_and(|value| values.iter().any(|wanted| wanted == value)) == *is
            }
            Term::Has(name, is) => labels.get(name).is_some() == *is,
            Term::Field(path, value, is) => {
                (object.pointer(path).and_then(Value::as_str).unwrap_or("") == value) == *is
            }
        })
    }
}

/// At the commas that are in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (place, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.extend(text.get(from..place));
                from = place + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(from..));
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn label(text: &str) -> Term {
    let list =
        |values: &str| values.trim_matches(['(', ')', ' ']).split(',').map(|value| value.trim().to_owned()).collect();
    let one = |name: &str, value: &str, is| Term::In(name.trim().to_owned(), vec![value.trim().to_owned()], is);
    if let Some((name, values)) = text.split_once(" notin ") {
        Term::In(name.trim().to_owned(), list(values), false)
    } else if let Some((name, values)) = text.split_once(" in ") {
        Term::In(name.trim().to_owned(), list(values), true)
    } else if let Some((name, value)) = text.split_once("!=") {
        one(name, value, false)
    } else if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        one(name, value, true)
    } else {
        let is = !text.starts_with('!');
        Term::Has(text.trim_start_matches('!').to_owned(), is)
    }
}
