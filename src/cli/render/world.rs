//! A sandbox's world as a person reads it: files as a tree, containers, volumes, databases, resources of the playbook's own kinds, endpoints.

use std::collections::BTreeMap;

use super::look::{Look, Tone};
use super::table::Table;
use super::when;
use crate::model::Value;
use crate::model::amount::format_size;
use crate::sandbox::content::Content;
use crate::sandbox::custom::Fields;
use crate::sandbox::resources::Container;
use crate::sandbox::tree::{Kind, Node, Tree};
use crate::sandbox::world::World;

/// The whole world.
#[must_use]
pub fn text(world: &World, look: Look) -> String {
    let heading = |text: &str| look.paint(Tone::Strong, text);
    let mut text = format!("{} {}\n", heading("now"), when::instant(world.now));
    if !world.files.is_empty() {
        text.push_str(&format!("\n{} {} free\n", heading("files"), format_size(world.free)));
        text.push_str(&tree(&world.files, look));
    }
    if !world.containers.is_empty() {
        text.push_str(&format!("\n{}\n", heading("containers")));
        let mut table = Table::new(&["", "", "", ""]);
        for (name, container) in &world.containers {
            table.row([name.clone(), state(container), container.image.clone(), mounts(container)]);
        }
        text.push_str(&table.print(2, str::to_owned));
        for (name, container) in world.containers.iter().filter(|(_, container)| !container.files.is_empty()) {
            text.push_str(&format!("  {}\n", look.paint(Tone::Faint, &format!("files of {name}"))));
            text.push_str(&tree(&container.files, look));
        }
    }
    let absent: Vec<&str> =
        world.declared.keys().filter(|name| !world.containers.contains_key(*name)).map(String::as_str).collect();
    if !absent.is_empty() {
        text.push_str(&format!("  declared, but not there: {}\n", absent.join(", ")));
    }
    for (name, volume) in &world.volumes {
        text.push_str(&format!("\n{} {name}\n", heading("volume")));
        text.push_str(&tree(&volume.files, look));
    }
    for (name, server) in &world.postgres {
        let standby = if server.in_recovery { ", a standby" } else { "" };
        text.push_str(&format!("\n{} {name}  {}{standby}\n", heading("postgres"), server.version));
        let mut table = Table::new(&["", "", "", ""]);
        for (name, database) in server.databases.iter().filter(|(_, database)| !database.template) {
            let contents = &database.contents;
            let mut held: Vec<String> =
                contents.tables.iter().map(|(table, held)| format!("{table} {}", held.rows)).collect();
            if contents.large_objects > 0 {
                held.push(format!("{} large objects", contents.large_objects));
            }
            let sessions = match database.connections() {
                0 => String::new(),
                number => format!("{number} sessions"),
            };
            table.row([name.clone(), format!("of {}", database.owner), sessions, held.join(", ")]);
        }
        text.push_str(&table.print(2, str::to_owned));
    }
    let mut kind = "";
    for (name, custom) in world.resources.iter().filter(|(_, custom)| custom.fields.is_some()) {
        let (of, own) = name.split_once('/').unwrap_or(("", name));
        if of != kind {
            text.push_str(&format!("\n{} {of}\n", heading("resources")));
            kind = of;
        }
        text.push_str(&format!("  {own}  {}\n", fields(&custom.at(world.now).unwrap_or_default())));
        for turn in custom.then.iter().filter(|turn| turn.at > world.now) {
            let when = format!("from {} on", when::instant(turn.at));
            text.push_str(&format!("    {}  {}\n", look.paint(Tone::Faint, &when), fields(&turn.to)));
        }
    }
    if !world.http.is_empty() {
        text.push_str(&format!("\n{}\n", heading("endpoints")));
        let mut table = Table::new(&["", "", ""]);
        for (url, endpoint) in &world.http {
            let needs = match endpoint.needs.as_slice() {
                [] => String::new(),
                needs => format!("needs {}", needs.join(", ")),
            };
            table.row([url.clone(), endpoint.status.to_string(), needs]);
        }
        text.push_str(&table.print(2, str::to_owned));
    }
    text
}

/// `state: available, size: 3`.
fn fields(fields: &Fields) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", word(value))).collect();
    words.join(", ")
}

fn state(container: &Container) -> String {
    let health = match (container.healthcheck, container.healthy) {
        (false, _) => "",
        (true, true) => ", healthy",
        (true, false) => ", unhealthy",
    };
    format!("{}{health}", container.state.as_str())
}

fn mounts(container: &Container) -> String {
    let mounts = container.mounts.iter().map(|mount| {
        let of = mount.volume.as_deref().or(mount.bind.as_deref()).unwrap_or_default();
        format!("{of} at {}", mount.at)
    });
    mounts.collect::<Vec<_>>().join(", ")
}

/// Files under their folders. A folder that holds nothing but one folder stands on its line.
fn tree(tree: &Tree, look: Look) -> String {
    let mut folders: BTreeMap<&str, Vec<(&str, &Node)>> = BTreeMap::new();
    for (path, node) in tree.walk("/").filter(|(path, _)| *path != "/") {
        let (folder, name) = crate::sandbox::tree::split(path).unwrap_or(("/", path));
        if node.is_dir() {
            folders.entry(path).or_default();
        }
        folders.entry(folder).or_default().push((name, node));
    }
    let mut text = String::new();
    for (folder, nodes) in folders {
        let files: Vec<&(&str, &Node)> = nodes.iter().filter(|(_, node)| !node.is_dir()).collect();
        // What only leads to other folders is said in their paths.
        if files.is_empty() && !nodes.is_empty() {
            continue;
        }
        text.push_str(&format!("  {}\n", look.paint(Tone::Faint, &format!("{}/", folder.trim_end_matches('/')))));
        let mut table = Table::new(&["", "", ""]);
        for (name, node) in files {
            table.row([(*name).to_owned(), format_size(node.bytes()), what(node)]);
        }
        text.push_str(&table.print(4, str::to_owned));
    }
    text
}

fn what(node: &Node) -> String {
    match &node.kind {
        Kind::Dir => String::new(),
        Kind::Link(to) => format!("link to {to}"),
        Kind::File(content) => kind_of(content),
    }
}

fn kind_of(content: &Content) -> String {
    match content {
        Content::Text(_) | Content::Opaque { .. } => String::new(),
        Content::Tar(tree) => {
            let files = tree.walk("/").filter(|(_, node)| !node.is_dir()).count();
            format!("archive of {files} file{}", if files == 1 { "" } else { "s" })
        }
        Content::Dump(dump) => format!("dump of {}, PostgreSQL {}", dump.database, dump.major),
        Content::Sealed { recipient, .. } => format!("sealed for {recipient}"),
        Content::Unseen(unseen) => format!("not known: {}", unseen.why),
        Content::Cut { of, .. } => format!("cut short, was {}", format_size(of.bytes())),
    }
}
