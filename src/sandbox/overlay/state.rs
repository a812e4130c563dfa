//! One state of a planned world: what it holds, which parts of it the plan has changed, and of which nobody knows any more what
//! they are.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::diff;
use super::footprint::{Depth, Reach};
use crate::model::Timestamp;
use crate::sandbox::world::World;

/// Something that happened to a part of the world, and when.
#[derive(Clone, Debug)]
struct Touch {
    when: u64,
    what: Arc<str>,
}

/// What the plan has done to the things a call looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// Nothing.
    No,
    /// It changed them; by this effect.
    Changed(String),
    /// Nobody knows what they are after it, and why.
    Unknown(String),
}

/// One state of a planned world. A copy costs next to nothing.
#[derive(Clone)]
pub(super) struct State {
    /// What is known of the world: all of it, or what has been looked at.
    pub world: Arc<World>,
    /// The plan's own time.
    pub now: Timestamp,
    /// What has been imported from the live system.
    pub seen: OrdSet<String>,
    changed: OrdMap<String, Touch>,
    unknown: OrdMap<String, Touch>,
    touches: u64,
}

/// The key itself, what it lies in, what that lies in, and so on; last the empty key, in which everything lies.
fn upward(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| match key.rfind('/') {
        Some(at) => key.get(..at),
        None => (!key.is_empty()).then_some(""),
    })
}

/// What lies below a key.
fn below<'m>(map: &'m OrdMap<String, Touch>, key: &str) -> impl Iterator<Item = (&'m String, &'m Touch)> {
    let (first, beyond) = match key {
        "" => (String::new(), None),
        key => (format!("{key}/"), Some(format!("{key}0"))),
    };
    let until = beyond.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    map.range::<_, str>((Bound::Excluded(first.as_str()), until))
}

fn latest<'m>(map: &'m OrdMap<String, Touch>, key: &str) -> Option<&'m Touch> {
    upward(key).filter_map(|key| map.get(key)).max_by_key(|touch| touch.when)
}

impl State {
    /// Nothing has happened yet.
    pub(super) fn new(world: World, now: Timestamp) -> Self {
        let (changed, unknown) = (OrdMap::new(), OrdMap::new());
        Self { world: Arc::new(world), now, seen: OrdSet::new(), changed, unknown, touches: 0 }
    }

    /// Whether the plan has done nothing yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.changed.is_empty() && self.unknown.is_empty()
    }

    /// The world, to be changed.
    pub(super) fn world_mut(&mut self) -> &mut World {
        Arc::make_mut(&mut self.world)
    }

    /// Notes that an effect has changed something.
    pub(super) fn change(&mut self, key: &str, what: &str) {
        self.touches += 1;
        self.changed.insert(key.to_owned(), Touch { when: self.touches, what: what.into() });
    }

    /// Notes that from now on nobody knows what something is, nor anything in it.
    pub(super) fn spoil(&mut self, key: &str, why: &str) {
        self.touches += 1;
        self.unknown.insert(key.to_owned(), Touch { when: self.touches, what: why.into() });
    }

    /// Whether what is at this key, or what it lies in, is the plan's own: the live system has something else there.
    pub(super) fn is_own(&self, key: &str) -> bool {
        latest(&self.changed, key).is_some()
    }

    /// Whether the plan has changed anything below a key.
    pub(super) fn is_changed_below(&self, key: &str) -> bool {
        below(&self.changed, key).next().is_some() || below(&self.unknown, key).next().is_some()
    }

    /// A key and all below it, as far as the plan has changed it, or nobody knows any more what it is.
    pub(super) fn touched_within(&self, key: &str) -> impl Iterator<Item = &str> {
        let maps = [&self.changed, &self.unknown].into_iter();
        let all = maps.flat_map(move |map| map.get_key_value(key).into_iter().chain(below(map, key)));
        all.map(|(key, _)| key.as_str())
    }

    fn at(&self, key: &str) -> Touched {
        let (changed, unknown) = (latest(&self.changed, key), latest(&self.unknown, key));
        match (changed, unknown) {
            (Some(changed), Some(unknown)) if unknown.when < changed.when => Touched::Changed(changed.what.to_string()),
            (_, Some(unknown)) => Touched::Unknown(unknown.what.to_string()),
            (Some(changed), None) => Touched::Changed(changed.what.to_string()),
            (None, None) => Touched::No,
        }
    }

    /// What the plan has done to what a call looks at.
    pub(super) fn touched(&self, reach: &[Reach]) -> Touched {
        let mut found = Touched::No;
        if self.is_untouched() {
            return found;
        }
        for Reach { key, depth } in reach {
            let mut here = self.at(key);
            if *depth == Depth::Below && !matches!(here, Touched::Unknown(_)) {
                let lost = below(&self.unknown, key).find_map(|(key, _)| match self.at(key) {
                    Touched::Unknown(why) => Some(Touched::Unknown(why)),
                    _ => None,
                });
                let changed = || below(&self.changed, key).max_by_key(|(_, touch)| touch.when);
                here = match (lost, here) {
                    (Some(lost), _) => lost,
                    (None, Touched::No) => {
                        changed().map_or(Touched::No, |(_, touch)| Touched::Changed(touch.what.to_string()))
                    }
                    (None, here) => here,
                };
            }
            match here {
                Touched::Unknown(_) => return here,
                Touched::Changed(_) => found = here,
                Touched::No => {}
            }
        }
        found
    }

    /// What is common to several states that came from one; what differs between them nobody knows.
    pub(super) fn join(mut ends: Vec<Self>) -> Option<Self> {
        let mut joined = ends.pop()?;
        for end in ends {
            let both = |key: &str| joined.is_own(key) || end.is_own(key);
            let differing: Vec<String> = diff::differences(&joined.world, &end.world)
                .into_iter()
                .map(|difference| difference.key)
                .filter(|key| both(key))
                .collect();
            joined.touches = joined.touches.max(end.touches);
            joined.now = joined.now.max(end.now);
            joined.changed = joined.changed.union(end.changed);
            joined.unknown = joined.unknown.union(end.unknown);
            joined.seen = joined.seen.intersection(end.seen);
            for key in differing {
                joined.spoil(&key, "what it is depends on which way the run goes");
            }
        }
        Some(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        State::new(World::empty(now), now)
    }

    fn reach(key: &str, depth: Depth) -> Vec<Reach> {
        vec![Reach { key: key.to_owned(), depth }]
    }

    #[test]
    fn the_last_word_on_a_thing_counts() {
        let mut state = state();
        state.spoil("fs/srv", "a program ran there");
        state.change("fs/srv/x", "fs.write_text");
        assert_eq!(state.touched(&reach("fs/srv/x", Depth::Itself)), Touched::Changed("fs.write_text".into()));
        assert_eq!(state.touched(&reach("fs/srv/y", Depth::Itself)), Touched::Unknown("a program ran there".into()));
        state.spoil("", "another program ran");
        assert_eq!(state.touched(&reach("fs/srv/x", Depth::Itself)), Touched::Unknown("another program ran".into()));
    }

    #[test]
    fn a_neighbour_with_a_longer_name_is_another_thing() {
        let mut state = state();
        state.change("fs/srv/x", "fs.delete");
        for other in ["fs/srv/x.txt", "fs/srv", "fs/srv/xy"] {
            assert_eq!(state.touched(&reach(other, Depth::Itself)), Touched::No, "{other}");
        }
        assert_eq!(state.touched(&reach("fs/srv/x/deep", Depth::Itself)), Touched::Changed("fs.delete".into()));
        assert_eq!(state.touched(&reach("fs/srv", Depth::Below)), Touched::Changed("fs.delete".into()));
        assert_eq!(state.touched(&reach("", Depth::Below)), Touched::Changed("fs.delete".into()));
    }
}
