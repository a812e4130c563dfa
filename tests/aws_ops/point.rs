//! Points: the calls of an undisturbed run, at each of which something can be made to happen in another.

use std::collections::BTreeMap;

use crate::estate::Estate;
use crate::faulty::Spoil;

/// Does jobs side by side, as many at once as CI has; what they complain of.
pub fn side_by_side<J: Sync>(jobs: &[J], work: impl Fn(&J) -> Option<String> + Sync) -> Vec<String> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let complaints = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                    if let Some(complaint) = work(job) {
                        complaints.lock().push(complaint);
                    }
                }
            });
        }
    });
    complaints.into_inner()
}

/// A call of a clean run: its name, and how many of that name went before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub call: String,
    pub number: usize,
}

impl Point {
    /// The calls of a run, in order.
    pub fn of(calls: &[String]) -> Vec<Self> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut points = Vec::new();
        for call in calls {
            let count = seen.entry(call).or_default();
            points.push(Self { call: call.clone(), number: *count });
            *count += 1;
        }
        points
    }

    /// The same, by their names.
    pub fn kinds(points: &[Self]) -> BTreeMap<&str, Vec<&Self>> {
        let mut kinds: BTreeMap<&str, Vec<&Self>> = BTreeMap::new();
        for point in points {
            kinds.entry(&point.call).or_default().push(point);
        }
        kinds
    }

    /// Whether what it asks for changes something.
    pub fn writes(&self) -> bool {
        let asked = self.call.split_once(' ').map_or("", |(_, asked)| asked);
        !["Describe", "List", "Get", "HEAD", "GET"].iter().any(|verb| asked.starts_with(verb))
    }

    /// Spoils it so many times.
    pub fn spoil(&self, estate: &Estate, times: usize, spoil: Spoil) {
        estate.ground.proxy.spoil_call(&self.call, self.number, times, spoil);
    }

    /// Spoils it, and what comes after it, so many times.
    pub fn spoil_from(&self, estate: &Estate, times: usize, spoil: Spoil) {
        estate.ground.proxy.spoil_from(&self.call, self.number, times, spoil);
    }
}

/// Whether everything is tried at every call, and not only as much as CI has time for.
pub fn in_full() -> bool {
    std::env::var("MUSTER_TEST_FAULTS").is_ok_and(|value| value == "full")
}
