//! A resource of a kind that only the playbook knows: a cluster, a queue, a job of some service, with fields that may change by
//! themselves as time goes by.

use serde::{Deserialize, Serialize};

use super::veil;
use super::world::World;
use crate::model::amount::parse_duration;
use crate::model::{Timestamp, Value};

/// The fields of a resource.
pub type Fields = serde_json::Map<String, Value>;

/// What becomes of a resource some time after it was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// How long after: `5m`.
    pub after: String,
    /// The fields that change.
    pub to: Fields,
}

/// A resource of the playbook's own kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Custom {
    /// Its fields. None: it is known not to be there.
    pub fields: Option<Fields>,
    /// What becomes of it, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Due>,
}

/// A turn whose time is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// The fields that change.
    pub to: Fields,
}

impl Custom {
    /// Set at this instant. The text that is no duration, when one is none.
    ///
    /// # Errors
    /// As said.
    pub fn new(fields: Fields, then: &[Turn], now: Timestamp) -> Result<Self, String> {
        let mut due = Vec::new();
        for turn in then {
            let wait = parse_duration(&turn.after).map_err(|_| turn.after.clone())?;
            due.push(Due { at: now.saturating_add(wait).unwrap_or(Timestamp::MAX), to: turn.to.clone() });
        }
        due.sort_by_key(|turn| turn.at);
        Ok(Self { fields: Some(fields), then: due })
    }

    /// Its fields at this instant; none when it is not there.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Option<Fields> {
        let mut fields = self.fields.clone()?;
        for turn in self.then.iter().filter(|turn| turn.at <= now) {
            fields.extend(turn.to.clone());
        }
        Some(fields)
    }

    /// What it comes to in the end.
    #[must_use]
    pub fn at_last(&self) -> Option<Fields> {
        self.at(Timestamp::MAX)
    }
}

/// Lets what is due become of the resources.
pub(super) fn settle(world: &mut World) {
    let now = world.now;
    let due: Vec<String> = world
        .resources
        .iter()
        .filter(|(_, custom)| custom.then.iter().any(|turn| turn.at <= now))
        .map(|(name, _)| name.clone())
        .collect();
    for name in due {
        if let Some(custom) = world.resources.get_mut(&name) {
            custom.fields = custom.at(now);
            custom.then.retain(|turn| turn.at > now);
        }
    }
}

/// Whether this is how a resource is named: `kind/name`, without anything in it that only the run will know.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let parts = name.split_once('/').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
    parts && veil::marked(name).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_resource_moves_through_its_states_as_time_goes_by() {
        let began: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let turn = |after: &str, state: &str| Turn { after: after.into(), to: fields(json!({ "state": state })) };
        let then = [turn("30m", "available"), turn("5m", "backing-up")];
        let custom = Custom::new(fields(json!({ "state": "creating", "size": 3 })), &then, began).unwrap();
        let state = |minutes: u64| {
            let at = began.saturating_add(std::time::Duration::from_secs(60 * minutes)).unwrap();
            custom.at(at).unwrap()["state"].clone()
        };
        assert_eq!([state(0), state(5), state(29), state(30)], ["creating", "backing-up", "backing-up", "available"]);
        assert_eq!(custom.at_last().unwrap(), fields(json!({ "state": "available", "size": 3 })));
        assert_eq!(Custom::new(Fields::new(), &[turn("soon", "x")], began), Err("soon".to_owned()));
    }
}
