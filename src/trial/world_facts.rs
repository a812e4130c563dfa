//! The world at the end of a test, compared with what is expected of it.

use super::judge::Mismatch;
use crate::model::glob;
use crate::model::span::{Span, Spanned};
use crate::playbook::trial::{FieldFacts, FileFacts, WorldFacts};
use crate::sandbox::content::Content;
use crate::sandbox::tree::{Node, normal};
use crate::sandbox::world::{World, diff};

/// Compares all of it.
pub(super) fn judge(wanted: &WorldFacts, before: &World, after: &World, found: &mut Vec<Mismatch>) {
    if let Some(but) = &wanted.unchanged {
        let stays = |line: &String| {
            let part = line.split_once(": ").map_or(line.as_str(), |(part, _)| part);
            but.value.iter().any(|glob| glob::matches(glob, part))
        };
        let left: Vec<String> = diff(before, after).into_iter().filter(|line| !stays(line)).collect();
        if !left.is_empty() {
            found.push(Mismatch::lines(but.span, "changes of the world", &[], &left));
        }
    }
    for (path, facts) in &wanted.files {
        file(path.span, &path.value, facts, after, found);
    }
    for (name, state) in &wanted.containers {
        let now = after.containers.get(&name.value).map_or("absent", |container| container.state.as_str());
        if now != state.value {
            found.push(Mismatch::new(state.span, &format!("container {}", name.value), state.value.clone(), now));
        }
    }
    for (name, facts) in &wanted.databases {
        let what = format!("database {}", name.value);
        let database = name.value.rsplit_once('/').and_then(|(server, database)| {
            let fits = |(named, _): &(&String, _)| glob::matches(database, named);
            after.postgres.get(server)?.databases.iter().find(fits).map(|(_, database)| database)
        });
        if database.is_some() != facts.exists {
            found.push(Mismatch::new(name.span, &what, presence(facts.exists), presence(!facts.exists)));
        }
        for (table, rows) in &facts.rows {
            let Some(database) = database else { break };
            let there = database.contents.tables.get(&table.value).map(|table| table.rows);
            if there != Some(*rows) {
                let there = there.map_or_else(|| "no such table".to_owned(), |rows| rows.to_string());
                found.push(Mismatch::new(table.span, &format!("rows of {}", table.value), rows.to_string(), there));
            }
        }
    }
    for (name, wanted) in &wanted.resources {
        resource(name, wanted.as_ref(), after, found);
    }
    for (name, exists) in &wanted.volumes {
        if after.volumes.contains_key(&name.value) != *exists {
            found.push(Mismatch::new(
                name.span,
                &format!("volume {}", name.value),
                presence(*exists),
                presence(!exists),
            ));
        }
    }
}

fn resource(name: &Spanned<String>, wanted: Option<&FieldFacts>, world: &World, found: &mut Vec<Mismatch>) {
    let what = format!("resource {}", name.value);
    let there = world.resources.get(&name.value).and_then(|custom| custom.at(world.now));
    if there.is_some() != wanted.is_some() {
        found.push(Mismatch::new(name.span, &what, presence(wanted.is_some()), presence(there.is_some())));
        return;
    }
    for (field, value) in wanted.into_iter().flatten() {
        let now = there.as_ref().and_then(|fields| fields.get(&field.value));
        if now != Some(value) {
            let now = now.map_or_else(|| "no such field".to_owned(), ToString::to_string);
            found.push(Mismatch::new(field.span, &format!("{what}, {}", field.value), value.to_string(), now));
        }
    }
}

fn presence(there: bool) -> &'static str {
    if there { "exists" } else { "absent" }
}

fn file(span: Span, path: &str, facts: &FileFacts, world: &World, found: &mut Vec<Mismatch>) {
    let what = format!("file {path}");
    let fitting: Vec<(&str, &Node)> = if path.contains('*') {
        world.files.walk("/").filter(|(there, _)| glob::matches(path, there)).collect()
    } else {
        let path = normal(path);
        world.files.walk("/").filter(|(there, _)| *there == path).collect()
    };
    if fitting.is_empty() == facts.exists {
        let there: Vec<&str> = fitting.iter().map(|(path, _)| *path).collect();
        let there = if there.is_empty() { "absent".to_owned() } else { there.join(", ") };
        found.push(Mismatch::new(span, &what, presence(facts.exists), there));
        return;
    }
    // One that fits is enough; if none does, the first one is shown.
    let mut first = Vec::new();
    for (_, node) in &fitting {
        let faults = contents(span, &what, facts, node);
        if faults.is_empty() {
            return;
        }
        if first.is_empty() {
            first = faults;
        }
    }
    found.extend(first);
}

fn contents(span: Span, what: &str, facts: &FileFacts, node: &Node) -> Vec<Mismatch> {
    let mut faults = Vec::new();
    let content = node.content();
    let text = content.and_then(Content::text);
    let shown =
        || text.map_or_else(|| format!("{}, {} bytes", node.kind_name(), node.bytes()), |text| format!("{text:?}"));
    if let Some(wanted) = facts.text.as_ref().filter(|wanted| text != Some(wanted.as_str())) {
        faults.push(Mismatch::new(span, what, format!("{wanted:?}"), shown()));
    }
    if let Some(part) = facts.contains.as_ref().filter(|part| !text.is_some_and(|text| text.contains(part.as_str()))) {
        faults.push(Mismatch::new(span, what, format!("{part:?} in it"), shown()));
    }
    let sha256 = content.map(Content::sha256).unwrap_or_default();
    if let Some(wanted) = facts.sha256.as_ref().filter(|wanted| **wanted != sha256) {
        faults.push(Mismatch::new(span, what, format!("SHA-256 {wanted}"), sha256));
    }
    if let Some(wanted) = facts.bytes.filter(|wanted| *wanted != node.bytes()) {
        faults.push(Mismatch::new(span, what, format!("{wanted} bytes"), node.bytes().to_string()));
    }
    let mode = format!("{:04o}", node.mode);
    if let Some(wanted) = facts.mode.as_ref().filter(|wanted| format!("{wanted:0>4}") != mode) {
        faults.push(Mismatch::new(span, what, format!("mode {wanted}"), mode));
    }
    faults
}
