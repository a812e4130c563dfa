//! Does what commands do to the world.

use super::content::Content;
use super::controllers;
use super::custom::Custom;
use super::later;
use super::models::docker;
use super::postgres::{Contents, Database, Table};
use super::resources::Deed;
use super::sight::{Seen, Sight};
use super::tree::Node;
use super::veil::marked;
use super::view::View;
use super::world::World;
use crate::model::Timestamp;

impl Deed {
    /// What it names: paths, containers, servers, databases and resources.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Write { path, .. }
            | Self::WriteBytes { path, .. }
            | Self::Folder { path }
            | Self::Remove { path } => {
                vec![path]
            }
            Self::Copy { from, to } | Self::Unseal { from, to } | Self::Move { from, to } => vec![from, to],
            Self::Seal { from, to, .. } => vec![from, to],
            Self::Up { container } | Self::Down { container } | Self::Stop { container } => vec![container],
            Self::FillDatabase { server, database, from, .. } => {
                [Some(server), Some(database), from.as_ref()].into_iter().flatten().map(String::as_str).collect()
            }
            Self::DropDatabase { server, database } => vec![server, database],
            Self::Set { resource, .. } | Self::Unset { resource } => vec![resource],
            // An object whose name only the run will know is one of its kind all the same.
            Self::Object { .. } => Vec::new(),
            Self::NoObject { kind, namespace, name, .. } => {
                [Some(kind), namespace.as_ref(), Some(name)].into_iter().flatten().map(String::as_str).collect()
            }
        }
    }

    /// What has to be known for it to be done.
    pub(super) fn reach(&self, sight: &Sight) -> Vec<Seen> {
        let thing = |key: String| Seen { key, below: false };
        match self {
            // What is written into a container needs nothing there.
            Self::Write { path, .. } | Self::WriteBytes { path, .. } | Self::Folder { path } => {
                host_only(sight, path, false)
            }
            Self::Remove { path } => host_only(sight, path, true),
            Self::Copy { from, to } | Self::Unseal { from, to } | Self::Seal { from, to, .. } => {
                let mut seen = vec![sight.key_of(from, false)];
                seen.extend(host_only(sight, to, false));
                seen
            }
            Self::Move { from, to } => {
                let mut seen = vec![sight.key_of(from, true)];
                seen.extend(host_only(sight, to, false));
                seen
            }
            Self::Up { container } | Self::Down { container } | Self::Stop { container } => {
                vec![thing(format!("docker/{container}"))]
            }
            Self::FillDatabase { server, database, from, .. } => {
                let mut seen = vec![thing(format!("pg/{server}/{database}"))];
                seen.extend(from.as_ref().map(|path| sight.key_of(path, false)));
                seen
            }
            Self::DropDatabase { server, database } => vec![thing(format!("pg/{server}/{database}"))],
            Self::Set { .. } | Self::Unset { .. } => Vec::new(),
            Self::Object { manifest, cluster, .. } => {
                later::meant(manifest, cluster).ok().flatten().map(|named| sight.know(&named)).into_iter().collect()
            }
            Self::NoObject { kind, namespace, name, cluster } => {
                later::named(kind, namespace.as_deref(), name, cluster)
                    .map(|named| sight.know(&named))
                    .into_iter()
                    .collect()
            }
        }
    }
}

fn host_only(sight: &Sight, path: &str, below: bool) -> Vec<Seen> {
    let seen = sight.key_of(path, below);
    if seen.key.starts_with("fs") { vec![seen] } else { Vec::new() }
}

/// Does one thing that a command does, which runs in this view. What the command says when that fails.
pub(super) fn perform(world: &mut World, view: &View, now: Timestamp, deed: &Deed) -> Result<(), String> {
    match deed {
        Deed::Write { path, text } => give(world, view, now, path, Content::of_text(text.clone())),
        Deed::WriteBytes { path, bytes } => give(world, view, now, path, Content::sized(*bytes, path)),
        Deed::Folder { path } => {
            let at = view.place(world, path);
            if let Some(tree) = at.tree_mut(world) {
                tree.make_dirs(&at.path, 0o755);
            }
        }
        Deed::Copy { from, to } => {
            let content = take(world, view, from)?;
            give(world, view, now, to, content);
        }
        Deed::Seal { from, to, recipient } => {
            let of = Box::new(take(world, view, from)?);
            give(world, view, now, to, Content::Sealed { recipient: recipient.clone(), of });
        }
        Deed::Unseal { from, to } => match take(world, view, from)? {
            Content::Sealed { of, .. } => give(world, view, now, to, *of),
            Content::Unseen(unseen) => give(world, view, now, to, Content::unseen(unseen.why)),
            _ => return Err(format!("{from}: not encrypted")),
        },
        Deed::Move { from, to } => {
            let (source, at) = (view.place(world, from), view.place(world, to));
            let branch = source.branch(world).ok_or(format!("{from}: no such file"))?;
            if let Some(tree) = source.tree_mut(world) {
                tree.remove(&source.path);
            }
            if let Some(tree) = at.tree_mut(world) {
                tree.graft(&at.path, &branch);
            }
        }
        Deed::Remove { path } => {
            let at = view.place(world, path);
            if let Some(tree) = at.tree_mut(world) {
                tree.remove(&at.path);
            }
        }
        Deed::Up { container } => {
            if !docker::make_declared(world, container, now) {
                return Err(format!("no such service: {container}"));
            }
        }
        Deed::Down { container } => docker::take_down(world, container),
        Deed::Stop { container } => docker::bring_down(world, container),
        Deed::FillDatabase { server, database, owner, from, tables } => {
            let contents = match from {
                Some(path) => match take(world, view, path)? {
                    Content::Dump(dump) => dump.contents,
                    other => match other.why_unseen() {
                        Some(why) => Contents::unseen(why),
                        None => return Err(format!("{path}: no dump of a database")),
                    },
                },
                None => with_tables(tables),
            };
            fill(world, server, database, owner.as_deref(), contents)?;
        }
        Deed::DropDatabase { server, database } => {
            let found = world.postgres.get_mut(server).ok_or_else(|| format!("there is no server {server}"))?;
            found.databases.remove(database).ok_or_else(|| format!("database {database} does not exist"))?;
        }
        Deed::Set { resource, to, then } => {
            let custom = Custom::new(to.clone(), then, now).map_err(|text| format!("`{text}` is no duration"))?;
            world.resources.insert(resource.clone(), custom);
        }
        // Of a live system only a mark tells that it is gone.
        Deed::Unset { resource } if world.partial => {
            world.resources.insert(resource.clone(), Custom::default());
        }
        Deed::Unset { resource } => {
            world.resources.remove(resource);
        }
        Deed::Object { manifest, cluster, after, then } => {
            let Some(named) = later::meant(manifest, cluster)? else {
                world.kubernetes.unnamed.insert(later::place_of(manifest, cluster)?, manifest.clone());
                return Ok(());
            };
            let key = named.key();
            let course = later::course(&key, manifest, after.as_deref(), then, now)?;
            world.kubernetes.run(&key, course);
            let manner = world.manner();
            controllers::settle(&mut world.kubernetes, now, manner);
        }
        Deed::NoObject { kind, namespace, name, cluster } => {
            let named = later::named(kind, namespace.as_deref(), name, cluster)?;
            let key = named.key();
            world.kubernetes.run(&key, Vec::new());
            world.kubernetes.remove(&key, false, now);
        }
    }
    Ok(())
}

fn take(world: &World, view: &View, path: &str) -> Result<Content, String> {
    let at = view.place(world, path);
    at.tree(world).and_then(|tree| tree.content(&at.path)).cloned().ok_or(format!("{path}: no such file"))
}

fn give(world: &mut World, view: &View, now: Timestamp, path: &str, content: Content) {
    let at = view.place(world, path);
    if let Some(tree) = at.tree_mut(world) {
        tree.put(&at.path, Node::file(content, 0o644, Some(now)));
    }
}

fn with_tables(tables: &std::collections::BTreeMap<String, u64>) -> Contents {
    let named = |name: &String| if name.contains('.') { name.clone() } else { format!("public.{name}") };
    let table = |rows: u64| Table { rows, ..Table::default() };
    let tables = tables.iter().map(|(name, rows)| (named(name), table(*rows))).collect();
    let mut contents = Contents { tables, ..Contents::default() };
    contents.complete();
    contents
}

fn fill(world: &mut World, server: &str, name: &str, owner: Option<&str>, contents: Contents) -> Result<(), String> {
    let found = world.postgres.get_mut(server).ok_or_else(|| format!("there is no server {server}"))?;
    if let Some(database) = found.databases.get_mut(name) {
        database.contents = contents;
        return Ok(());
    }
    let owner = owner.map(str::to_owned).or_else(|| found.roles.first().cloned()).unwrap_or_default();
    if marked(&owner).is_none() && !owner.is_empty() && !found.has_role(&owner) {
        return Err(format!("role {owner} does not exist"));
    }
    let database = Database::new(found.take_oid(), &owner, contents);
    found.databases.insert(name.to_owned(), database);
    Ok(())
}
