//! House rules that the compiler does not hold: who imports whom, how long a file gets, what every file begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rooms from the top down. A room imports from rooms below it, and from no other.
const ROOMS: [&str; 17] = [
    "cli", "serve", "app", "evidence", "schedule", "access", "trial", "plan", "engine", "lint", "script", "sandbox",
    "ops", "journal", "playbook", "model", "clock",
];

/// Rooms below that are closed to a room all the same.
const CLOSED: [(&str, &[&str]); 4] = [
    ("ops", &["journal", "playbook"]),
    ("journal", &["playbook", "clock"]),
    ("playbook", &["clock"]),
    ("lint", &["sandbox", "journal", "clock"]),
];

/// The vocabulary's own lower room: an instant has to be an instant everywhere.
const OPEN: [(&str, &str); 1] = [("clock", "model")];

/// Nobody reads a file longer than this to its end.
const LONGEST: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of these folders, by path from the root.
fn rust_files(folders: &[&str]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in folders {
        walk(&root().join(folder), &mut |path| {
            if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").display().to_string();
                files.insert(name, std::fs::read_to_string(path).expect("a readable file"));
            }
        });
    }
    files
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

/// The room of a file: `cli` of `src/cli/args.rs`, `clock` of `src/clock.rs`.
fn room_of(name: &str) -> Option<&str> {
    let inside = name.strip_prefix("src/")?;
    let room = inside.split('/').next()?.trim_end_matches(".rs");
    ROOMS.contains(&room).then_some(room)
}

/// The rooms that a text names as `crate::room` or inside `use crate::{…}`.
fn imported(text: &str) -> BTreeSet<&str> {
    let mut rooms = BTreeSet::new();
    for (at, marker) in text.match_indices("crate::") {
        // `pub(in crate::ops)` is no import, and `$crate::` belongs to a macro.
        if text[..at].ends_with("(in ") || text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + marker.len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default(),
        };
        rooms.extend(names.split(',').map(|name| name.trim().split("::").next().unwrap_or_default()));
    }
    rooms
}

#[test]
fn a_room_imports_only_from_rooms_below_it() {
    let mut faults = Vec::new();
    for (name, text) in rust_files(&["src"]) {
        let Some(room) = room_of(&name) else { continue };
        let place = ROOMS.iter().position(|other| *other == room).expect("a room of the table");
        let closed = CLOSED.iter().find(|(of, _)| *of == room).map_or(&[][..], |(_, closed)| closed);
        for other in imported(&text) {
            let Some(below) = ROOMS.iter().position(|known| *known == other) else { continue };
            let allowed = (below >= place && !closed.contains(&other)) || OPEN.contains(&(room, other));
            if !allowed {
                faults.push(format!("{name} may not import crate::{other}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_folder_of_the_source_is_a_room() {
    for entry in std::fs::read_dir(root().join("src")).expect("the source") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let room = name.trim_end_matches(".rs");
        assert!(ROOMS.contains(&room) || ["lib", "main"].contains(&room), "{name} has no place in the room table");
    }
}

#[test]
fn every_file_begins_by_saying_what_lives_there() {
    let files = rust_files(&["src", "tests", "benches"]);
    let silent: Vec<&String> =
        files.iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no `//!` line at the top of {silent:?}");
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut faults = Vec::new();
    for (name, text) in rust_files(&["src", "tests", "benches"]) {
        let lines = text.lines().count();
        if lines > LONGEST {
            faults.push(format!("{name} has {lines} lines, at most {LONGEST} are allowed: split it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_left_to_be_done() {
    // Put together here, so that this file does not find itself.
    let words = ["TO", "FIX", "XX"].map(|half| {
        format!(
            "{half}{}",
            if half == "TO" {
                "DO"
            } else if half == "FIX" {
                "ME"
            } else {
                "X"
            }
        )
    });
    let macros = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let mut faults = Vec::new();
    for (name, text) in rust_files(&["src", "tests", "benches"]) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().chain(&macros).any(|word| line.contains(word.as_str())) {
                faults.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "an issue is the place for what is left to do:\n{}", faults.join("\n"));
}

#[test]
fn every_snapshot_belongs_to_a_test() {
    let sources: String = rust_files(&["src", "tests"]).into_values().collect();
    let mut orphans = Vec::new();
    walk(&root(), &mut |path| {
        if path.extension().is_none_or(|ending| ending != "snap") || path.starts_with(root().join("target")) {
            return;
        }
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let home = path.parent() == Some(&root().join("snapshots"));
        // Snapshots of a family are named by a pattern: `bad_{name}`.
        let family = |at: usize| sources.contains(&format!("\"{}_{{", &name[..at]));
        let wanted = sources.contains(&format!("\"{name}\"")) || name.match_indices('_').any(|(at, _)| family(at));
        if !home || !wanted {
            orphans.push(path.display().to_string());
        }
    });
    assert!(orphans.is_empty(), "snapshots that no test writes, or that stand outside /snapshots: {orphans:#?}");
}
