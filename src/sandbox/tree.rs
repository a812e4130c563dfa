//! A tree of files: the host's, a volume's, a container's own, an archive's.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Serialize};

use super::content::Content;
use crate::model::Timestamp;

/// One entry of a tree. Two are equal when kind, content and mode are: not when they were written, or which file they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its permission bits.
    pub mode: u32,
    /// When it was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// Tells it from any other, like an inode: it stays under a rename. 0 until it is put into a tree.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub id: u64,
    /// The key of the call that put it here, until that call is released: what the mark beside it is on a real disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
}

fn is_zero(id: &u64) -> bool {
    *id == 0
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.mode == other.mode
    }
}

/// What an entry of a tree is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A folder.
    Dir,
    /// A file.
    File(Content),
    /// A symbolic link. The sandbox does not follow links.
    Link(String),
}

impl Node {
    /// A folder.
    #[must_use]
    pub fn dir(mode: u32) -> Self {
        Self { kind: Kind::Dir, mode, modified: None, id: 0, made_by: None }
    }

    /// A file.
    #[must_use]
    pub fn file(content: Content, mode: u32, modified: Option<Timestamp>) -> Self {
        Self { kind: Kind::File(content), mode, modified, id: 0, made_by: None }
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(to: &str) -> Self {
        Self { kind: Kind::Link(to.to_owned()), ..Self::dir(0o777) }
    }

    /// `dir`, `file` or `link`.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Dir => "dir",
            Kind::File(_) => "file",
            Kind::Link(_) => "link",
        }
    }

    /// The length of a file, 0 for anything else.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.content().map_or(0, Content::bytes)
    }

    /// What a file holds.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// The same without what belongs to one copy of it: time, id, mark.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self { kind: self.kind.clone(), mode: self.mode, modified: None, id: 0, made_by: None }
    }

    /// Whether it is a folder.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir)
    }
}

/// A tree of files by absolute path. Its root `/` is always there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Node>", into = "BTreeMap<String, Node>")]
pub struct Tree {
    nodes: OrdMap<String, Arc<Node>>,
    last_id: u64,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.nodes.ptr_eq(&other.nodes) || self.nodes == other.nodes
    }
}

impl From<BTreeMap<String, Node>> for Tree {
    fn from(nodes: BTreeMap<String, Node>) -> Self {
        let last_id = nodes.values().map(|node| node.id).max().unwrap_or(0);
        Self { nodes: nodes.into_iter().map(|(path, node)| (path, Arc::new(node))).collect(), last_id }
    }
}

impl From<Tree> for BTreeMap<String, Node> {
    fn from(tree: Tree) -> Self {
        tree.nodes.into_iter().map(|(path, node)| (path, Arc::unwrap_or_clone(node))).collect()
    }
}

/// The path without `.`, `..`, doubled or trailing slashes; absolute, as if the root were the working directory.
#[must_use]
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The folder a path lies in, and its name there; `None` for the root.
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then_some((if parent.is_empty() { "/" } else { parent }, name))
}

/// The path of `name` in a folder.
#[must_use]
pub fn join(folder: &str, name: &str) -> String {
    normal(&format!("{folder}/{name}"))
}

/// What `path` is called inside `folder`, with a leading slash (`/` for the folder itself), if it lies there.
#[must_use]
pub fn inside<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    if folder == "/" {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some("/") } else { rest.starts_with('/').then_some(rest) }
}

impl Tree {
    /// Whether there is anything at this path.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        path == "/" || self.nodes.contains_key(path)
    }

    /// Whether there is a folder at this path.
    #[must_use]
    pub fn is_dir(&self, path: &str) -> bool {
        path == "/" || self.nodes.get(path).is_some_and(|node| node.is_dir())
    }

    /// What is at this path. The root has no node of its own.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path).map(Arc::as_ref)
    }

    /// What is at this path, to be changed.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(path).map(Arc::make_mut)
    }

    /// The content of the file at this path.
    #[must_use]
    pub fn content(&self, path: &str) -> Option<&Content> {
        self.nodes.get(path).and_then(|node| node.content())
    }

    /// Everything below a folder, by full path, parents first.
    pub fn walk<'t>(&'t self, folder: &'t str) -> impl Iterator<Item = (&'t str, &'t Node)> {
        // In the order of paths all of it stands together: what begins with the folder's name and a slash.
        let (first, beyond) = match folder {
            "/" => ("/".to_owned(), None),
            folder => (format!("{folder}/"), Some(format!("{folder}0"))),
        };
        let until = beyond.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Excluded(first.as_str()), until);
        self.nodes.range::<_, str>(range).map(|(path, node)| (path.as_str(), node.as_ref()))
    }

    /// The entries directly in a folder: name and node.
    pub fn list<'t>(&'t self, folder: &'t str) -> impl Iterator<Item = (&'t str, &'t Node)> {
        self.walk(folder).filter_map(move |(path, node)| {
            let (parent, name) = split(path)?;
            (parent == folder).then_some((name, node))
        })
    }

    /// Whether a folder has no entries.
    #[must_use]
    pub fn is_empty_dir(&self, folder: &str) -> bool {
        self.list(folder).next().is_none()
    }

    /// Puts a node at this path, over whatever was there, making the folders above it.
    pub fn put(&mut self, path: &str, node: Node) {
        if let Some((parent, _)) = split(path) {
            self.make_dirs(parent, 0o755);
            self.insert(path.to_owned(), node);
        }
    }

    /// Notes what is there at this path, whatever is below it: a tree that is only known in part.
    pub fn see(&mut self, path: &str, node: Node) {
        if let Some((parent, _)) = split(path) {
            self.make_dirs(parent, 0o755);
            let known_below = self.walk(path).next().is_some();
            if !known_below || node.is_dir() {
                self.insert(path.to_owned(), node);
            }
        }
    }

    fn insert(&mut self, path: String, mut node: Node) {
        if node.id == 0 {
            self.last_id += 1;
            node.id = self.last_id;
        }
        self.last_id = self.last_id.max(node.id);
        self.nodes.insert(path, Arc::new(node));
    }

    /// What tells the thing at this path from any other: it stays under a rename.
    #[must_use]
    pub fn id_at(&self, path: &str) -> Option<String> {
        self.nodes.get(path).map(|node| format!("sandbox:{}", node.id))
    }

    /// Makes a folder and those above it; the paths that were made, outermost first.
    pub fn make_dirs(&mut self, path: &str, mode: u32) -> Vec<String> {
        let mut made = Vec::new();
        let mut at = path;
        while !self.exists(at) {
            made.push(at.to_owned());
            match split(at) {
                Some((parent, _)) => at = parent,
                None => break,
            }
        }
        made.reverse();
        for folder in &made {
            self.insert(folder.clone(), Node::dir(mode));
        }
        made
    }

    /// Removes what is at this path and below; how many entries that were. The root is only emptied.
    pub fn remove(&mut self, path: &str) -> usize {
        let doomed: Vec<String> = self.walk(path).map(|(at, _)| at.to_owned()).collect();
        for at in &doomed {
            self.nodes.remove(at);
        }
        doomed.len() + usize::from(self.nodes.remove(path).is_some())
    }

    /// Moves what is at this path, with all below it, to another.
    pub fn rename(&mut self, from: &str, to: &str) {
        let branch = self.branch(from);
        self.remove(from);
        self.graft(to, &branch);
    }

    /// What is at this path and below as a tree of its own: its root is the folder; a file stands in it under `/` and its name.
    #[must_use]
    pub fn branch(&self, path: &str) -> Branch {
        let root = self.get(path).cloned().unwrap_or_else(|| Node::dir(0o755));
        let nodes = self
            .walk(path)
            .filter_map(|(at, node)| inside(at, path).map(|rest| (rest.to_owned(), Arc::new(node.clone()))))
            .collect();
        Branch { root, below: Tree { nodes, last_id: self.last_id } }
    }

    /// Puts a branch at this path, over what is there.
    pub fn graft(&mut self, path: &str, branch: &Branch) {
        if path != "/" {
            self.put(path, branch.root.clone());
        }
        for (at, node) in &branch.below.nodes {
            self.insert(join(path, at), Node::clone(node));
        }
    }

    /// The same tree without what belongs to one copy of it: times, ids, marks.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self {
            nodes: self.nodes.iter().map(|(path, node)| (path.clone(), Arc::new(node.plain()))).collect(),
            last_id: 0,
        }
    }

    /// What differs from this tree to another, in the order of paths: what was there, and what is there then.
    pub fn differences<'t>(
        &'t self,
        then: &'t Self,
    ) -> impl Iterator<Item = (&'t str, Option<&'t Node>, Option<&'t Node>)> {
        self.nodes.diff(&then.nodes).map(|item| match item {
            DiffItem::Add(path, node) => (path.as_str(), None, Some(node.as_ref())),
            DiffItem::Update { old: (path, old), new: (_, new) } => {
                (path.as_str(), Some(old.as_ref()), Some(new.as_ref()))
            }
            DiffItem::Remove(path, node) => (path.as_str(), Some(node.as_ref()), None),
        })
    }

    /// How many bytes all its files hold.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.nodes.values().map(|node| node.bytes()).sum()
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// Something cut out of a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// The thing itself.
    pub root: Node,
    /// What is below it, when it is a folder.
    pub below: Tree,
}

impl Branch {
    /// A copy: with ids of its own once it is grafted.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { root: self.root.plain(), below: self.below.plain() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::default();
        tree.put("/a/b/c", Node::file(Content::Text("one".to_owned()), 0o600, None));
        tree.put("/a/bx", Node::file(Content::Text("two".to_owned()), 0o644, None));
        tree
    }

    #[test]
    fn a_name_that_starts_like_a_folder_does_not_lie_in_it() {
        let mut tree = sample();
        assert_eq!(tree.walk("/a/b").count(), 1);
        assert_eq!(tree.remove("/a/b"), 2);
        assert!(tree.exists("/a/bx"));
    }

    #[test]
    fn a_rename_there_and_back_changes_nothing() {
        let mut tree = sample();
        tree.rename("/a/b", "/z");
        assert!(tree.exists("/z/c") && !tree.exists("/a/b/c"));
        tree.rename("/z", "/a/b");
        assert_eq!(tree, sample());
    }

    #[test]
    fn paths_are_normalised() {
        assert_eq!(normal("/a//b/../c/./"), "/a/c");
        assert_eq!(normal("../.."), "/");
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/"), None);
    }
}
