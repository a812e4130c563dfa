//! What an effect touches, as far as it can be told before it is sent: the fence around a drill is made of this.

/// A thing that an effect makes or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The thing, as a path from the general to the special.
    pub resource: String,
    /// Whether it is not there yet, and is made.
    pub makes: bool,
    /// Things of other families that hold it: the container in which a database is.
    pub under: Vec<String>,
}

impl Touch {
    /// It is not there, and is made.
    #[must_use]
    pub fn makes(resource: impl Into<String>) -> Self {
        Self { resource: resource.into(), makes: true, under: Vec::new() }
    }

    /// It is there, and is changed.
    #[must_use]
    pub fn changes(resource: impl Into<String>) -> Self {
        Self { resource: resource.into(), makes: false, under: Vec::new() }
    }

    /// It is made if it was not there, changed otherwise.
    #[must_use]
    pub fn sets(resource: impl Into<String>, existed: bool) -> Self {
        Self { resource: resource.into(), makes: !existed, under: Vec::new() }
    }

    /// It is held by this too.
    #[must_use]
    pub fn held_by(mut self, other: impl Into<String>) -> Self {
        self.under.push(other.into());
        self
    }

    /// Whether it is this thing, or lies under it.
    #[must_use]
    pub fn lies_under(&self, thing: &str) -> bool {
        let below =
            |resource: &str| resource.strip_prefix(thing).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !thing.is_empty() && (below(&self.resource) || self.under.iter().any(|under| below(under)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_lies_under_itself_and_what_holds_it_and_under_no_namesake() {
        let touch = Touch::changes("pg/db/shop").held_by("docker/db");
        assert!(touch.lies_under("pg/db/shop") && touch.lies_under("pg/db") && touch.lies_under("docker/db"));
        for other in ["pg/d", "pg/db/sho", "docker/db/x", "docker/d", ""] {
            assert!(!touch.lies_under(other), "{other}");
        }
    }
}
