//! Programs of the sandbox: tar, mv, cp, rm, mkdir, ls, test, cat, find, sha256sum, du, df, age, gpg and the like. (`make` and `compose`:
//! `projects.rs`.)

use super::content::Content;
use super::models::docker;
use super::models::exclude;
use super::projects;
use super::shell::{Outcome, Program};
use super::tree::{Node, Tree, inside, join, split};
use super::veil::{UNKNOWN_BYTES, fits, mark};
use super::view::Place;
use super::world::World;
use crate::model::glob;

type Known = fn(&mut World, &Program<'_>, &[&str]) -> Outcome;

/// The program of this name.
#[must_use]
pub fn find(name: &str) -> Option<Known> {
    Some(match name {
        "true" | "sync" => |_, _, _| Outcome::said(""),
        "false" => |_, _, _| Outcome::failed(1, ""),
        "echo" => |_, _, words| Outcome::said(format!("{}\n", words.join(" "))),
        "cat" => cat,
        "test" => test,
        "ls" => ls,
        "find" => find_files,
        "sha256sum" => sha256sum,
        "du" => du,
        "df" => df,
        "mkdir" => mkdir,
        "mv" => mv,
        "cp" => cp,
        "rm" => rm,
        "tar" => tar,
        "pg_isready" => pg_isready,
        "age" | "gpg" => crypt,
        "podman" | "docker" => container_client,
        "make" => projects::make,
        _ => return None,
    })
}

/// Words that are no options. Options in `valued` take the next word.
fn operands<'w>(words: &[&'w str], valued: &[&str]) -> Vec<&'w str> {
    let mut found = Vec::new();
    let mut skip = false;
    for word in words {
        if skip {
            skip = false;
        } else if valued.contains(word) {
            skip = true;
        } else if !word.starts_with('-') || *word == "-" {
            found.push(*word);
        }
    }
    found
}

fn has_flag(words: &[&str], letter: char) -> bool {
    words.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter))
}

fn place(world: &World, program: &Program<'_>, path: &str) -> Place {
    program.view.place(world, path)
}

fn no_such(name: &str, path: &str) -> Outcome {
    Outcome::failed(1, format!("{name}: {path}: No such file or directory"))
}

fn content<'w>(world: &'w World, at: &Place) -> Option<&'w Content> {
    at.tree(world)?.content(&at.path)
}

fn cat(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let paths = operands(words, &[]);
    if let ([] | ["-"], Some(stdin)) = (paths.as_slice(), &program.stdin) {
        return Outcome { code: 0, stdout: stdin.clone(), stderr: String::new() };
    }
    let mut text = String::new();
    for path in &paths {
        match content(world, &place(world, program, path)) {
            Some(Content::Text(part)) => text.push_str(part),
            Some(other) if paths.len() == 1 => {
                return Outcome { code: 0, stdout: other.clone(), stderr: String::new() };
            }
            Some(Content::Unseen(unseen)) => return Outcome::unseen(&unseen.why),
            Some(_) => return Outcome::failed(1, format!("cat: {path}: the sandbox only joins texts")),
            None => return no_such("cat", path),
        }
    }
    Outcome::said(text)
}

fn test(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let holds = match words {
        ["!", kind, path] => !is(world, program, kind, path),
        [kind, path] => is(world, program, kind, path),
        _ => return Outcome::failed(2, "test: the sandbox knows -e, -f, -d and -s"),
    };
    Outcome::failed(i32::from(!holds), "")
}

fn is(world: &World, program: &Program<'_>, kind: &str, path: &str) -> bool {
    let at = place(world, program, path);
    match kind {
        "-d" => at.is_dir(world),
        "-f" => content(world, &at).is_some(),
        "-s" => content(world, &at).is_some_and(|content| content.bytes() > 0),
        _ => at.exists(world),
    }
}

fn ls(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let paths = operands(words, &[]);
    let several = paths.len() > 1;
    let hidden = has_flag(words, 'A') || has_flag(words, 'a');
    let mut text = String::new();
    for path in if paths.is_empty() { vec!["."] } else { paths } {
        let at = place(world, program, path);
        let Some(tree) = at.tree(world).filter(|tree| tree.exists(&at.path)) else {
            return Outcome { code: 2, stdout: Content::Text(text), ..no_such("ls", path) };
        };
        if !tree.is_dir(&at.path) || words.contains(&"-d") {
            text.push_str(&format!("{path}\n"));
            continue;
        }
        if several {
            text.push_str(&format!("{path}:\n"));
        }
        let names = tree.list(&at.path).filter(|(name, _)| hidden || !name.starts_with('.'));
        text.extend(names.map(|(name, _)| format!("{name}\n")));
    }
    Outcome::said(text)
}

/// `find FOLDERS [-type f|d] [-name GLOB] [-maxdepth N] [-exec sha256sum {} +]`.
fn find_files(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let split_at = words.iter().position(|word| word.starts_with('-')).unwrap_or(words.len());
    let (folders, tests) = words.split_at(split_at);
    let (mut kind, mut name, mut depth, mut sums) = (None, "*", usize::MAX, false);
    let mut rest = tests;
    loop {
        rest = match rest {
            [] => break,
            ["-type", wanted, rest @ ..] => {
                kind = Some(*wanted);
                rest
            }
            ["-name", wanted, rest @ ..] => {
                name = wanted;
                rest
            }
            ["-maxdepth", wanted, rest @ ..] => {
                depth = wanted.parse().unwrap_or(usize::MAX);
                rest
            }
            ["-exec", "sha256sum", "{}", "+" | ";", rest @ ..] => {
                sums = true;
                rest
            }
            ["-print", rest @ ..] => rest,
            [other, ..] => return Outcome::failed(1, format!("find: the sandbox does not know {other}")),
        };
    }
    let mut text = String::new();
    for folder in if folders.is_empty() { &["."] } else { folders } {
        let at = place(world, program, folder);
        let Some(tree) = at.tree(world).filter(|tree| tree.exists(&at.path)) else {
            return Outcome { stdout: Content::Text(text), ..no_such("find", folder) };
        };
        let root = Node::dir(0o755);
        let own = tree.get(&at.path).unwrap_or(&root);
        for (path, node) in std::iter::once((at.path.as_str(), own)).chain(tree.walk(&at.path)) {
            let below = inside(path, &at.path).unwrap_or("/");
            let levels = if below == "/" { 0 } else { below.matches('/').count() };
            let fits = kind.is_none_or(|kind| kind == &node.kind_name()[..1])
                && levels <= depth
                && glob::matches(name, split(path).map_or("", |(_, name)| name));
            if !fits {
                continue;
            }
            let shown = format!("{}{}", folder.trim_end_matches('/'), if below == "/" { "" } else { below });
            match node.content() {
                Some(content) if sums => text.push_str(&format!("{}  {shown}\n", content.sha256())),
                _ => text.push_str(&format!("{shown}\n")),
            }
        }
    }
    Outcome::said(text)
}

fn sha256sum(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let mut text = String::new();
    for path in operands(words, &[]) {
        match content(world, &place(world, program, path)) {
            Some(content) => text.push_str(&format!("{}  {path}\n", content.sha256())),
            None => return Outcome { stdout: Content::Text(text), ..no_such("sha256sum", path) },
        }
    }
    Outcome::said(text)
}

fn du(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let path = operands(words, &[]).first().copied().unwrap_or(".");
    let at = place(world, program, path);
    let Some(tree) = at.tree(world).filter(|tree| tree.exists(&at.path)) else { return no_such("du", path) };
    let bytes: u64 = tree.walk(&at.path).map(|(_, node)| node.bytes()).sum();
    if bytes >= UNKNOWN_BYTES {
        return Outcome::said(format!("{}\t{path}\n", mark("how large its files are")));
    }
    Outcome::said(format!("{}\t{path}\n", bytes.div_ceil(1024)))
}

fn df(world: &mut World, _: &Program<'_>, words: &[&str]) -> Outcome {
    let path = operands(words, &[]).first().copied().unwrap_or("/");
    let (free, total) = (world.free / 1024, 1_000_000_000_000u64 / 1024);
    let used = total.saturating_sub(free);
    let percent = used * 100 / total;
    Outcome::said(format!(
        "Filesystem 1024-blocks Used Available Capacity Mounted on\nsandbox {total} {used} {free} {percent}% {path}\n"
    ))
}

fn read_only(name: &str, path: &str) -> Outcome {
    Outcome::failed(1, format!("{name}: {path}: Read-only file system"))
}

fn mkdir(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let mode = words.windows(2).find(|pair| pair[0] == "-m").and_then(|pair| u32::from_str_radix(pair[1], 8).ok());
    for path in operands(words, &["-m"]) {
        let at = place(world, program, path);
        let parent = split(&at.path).map_or("/", |(parent, _)| parent).to_owned();
        let parents = has_flag(words, 'p');
        let Some(tree) = at.tree_mut(world) else { return no_such("mkdir", path) };
        if at.read_only {
            return read_only("mkdir", path);
        } else if tree.exists(&at.path) && !(parents && tree.is_dir(&at.path)) {
            return Outcome::failed(1, format!("mkdir: {path}: File exists"));
        } else if !tree.is_dir(&parent) && !parents {
            return no_such("mkdir", path);
        }
        tree.make_dirs(&at.path, mode.unwrap_or(0o755));
    }
    Outcome::said("")
}

/// The target of `mv` and `cp`: inside the folder that `to` is, unless `-T` is given.
fn target(world: &World, program: &Program<'_>, from: &str, to: &str, words: &[&str]) -> Place {
    let at = place(world, program, to);
    let name = split(from.trim_end_matches('/')).map_or(from, |(_, name)| name);
    if !has_flag(words, 'T') && at.is_dir(world) {
        place(world, program, &join(&program.view.absolute(to), name))
    } else {
        at
    }
}

fn mv(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    transfer("mv", world, program, words)
}

fn cp(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    transfer("cp", world, program, words)
}

fn transfer(name: &str, world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let [from, to] = operands(words, &["-m"])[..] else {
        return Outcome::failed(1, format!("{name}: the sandbox takes one source and one target"));
    };
    let (source, at) = (place(world, program, from), target(world, program, from, to, words));
    let Some(branch) = source.branch(world) else { return no_such(name, from) };
    let folder = split(&at.path).map_or("/", |(folder, _)| folder);
    let Some(tree) = at.tree(world).filter(|tree| tree.is_dir(folder)) else { return no_such(name, to) };
    if at.read_only || (name == "mv" && source.read_only) {
        return read_only(name, to);
    }
    if branch.root.is_dir() && tree.is_dir(&at.path) && !tree.is_empty_dir(&at.path) && name == "mv" {
        return Outcome::failed(1, format!("mv: cannot overwrite '{to}': Directory not empty"));
    }
    if source.same_tree(&at) && inside(&at.path, &source.path).is_some() {
        return Outcome::failed(1, format!("{name}: cannot move '{from}' into itself"));
    }
    let moved = if name == "mv" && source.same_tree(&at) { branch } else { branch.copy() };
    if name == "mv"
        && let Some(tree) = source.tree_mut(world)
    {
        tree.remove(&source.path);
    }
    if let Some(tree) = at.tree_mut(world) {
        tree.graft(&at.path, &moved);
    }
    Outcome::said("")
}

fn rm(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    for path in operands(words, &[]) {
        let at = place(world, program, path);
        if !at.exists(world) {
            if has_flag(words, 'f') {
                continue;
            }
            return no_such("rm", path);
        }
        if at.read_only {
            return read_only("rm", path);
        }
        if program.view.is_mount(world, path) {
            return Outcome::failed(1, format!("rm: cannot remove '{path}': Device or resource busy"));
        }
        let empty = has_flag(words, 'd') && at.tree(world).is_some_and(|tree| tree.is_empty_dir(&at.path));
        if at.is_dir(world) && !empty && !has_flag(words, 'r') && !has_flag(words, 'R') {
            return Outcome::failed(1, format!("rm: {path}: is a directory"));
        }
        if let Some(tree) = at.tree_mut(world) {
            tree.remove(&at.path);
        }
    }
    Outcome::said("")
}

/// What a tar command line asks for.
#[derive(Default)]
struct TarWords<'w> {
    mode: Option<char>,
    folder: Option<&'w str>,
    file: Option<&'w str>,
    exclude: Vec<String>,
    names: Vec<&'w str>,
}

fn tar_words<'w>(words: &[&'w str]) -> TarWords<'w> {
    let mut asked = TarWords::default();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        if let Some(glob) = word.strip_prefix("--exclude=") {
            asked.exclude.push(glob.to_owned());
        } else if word == "--exclude" {
            asked.exclude.extend(words.next().map(str::to_owned));
        } else if word == "--delete" {
            asked.mode = Some('d');
        } else if word.starts_with("--") {
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            for letter in letters.chars() {
                match letter {
                    'c' | 'x' | 't' => asked.mode = Some(letter),
                    'C' => asked.folder = words.next(),
                    'f' => asked.file = words.next(),
                    _ => {}
                }
            }
        } else {
            asked.names.push(word);
        }
    }
    asked
}

fn tar(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let asked = tar_words(words);
    let folder = program.view.absolute(asked.folder.unwrap_or("."));
    let at = place(world, program, &folder);
    if !at.is_dir(world) {
        return Outcome::failed(2, format!("tar: {folder}: Cannot open: No such file or directory"));
    }
    if asked.mode == Some('c') {
        return tar_create(world, program, &asked, &folder);
    }
    let archive = match asked.file.unwrap_or("-") {
        "-" => program.stdin.clone(),
        path => content(world, &place(world, program, path)).cloned(),
    };
    let mut tree = match archive {
        Some(Content::Tar(tree)) => tree,
        Some(Content::Unseen(unseen)) => return Outcome::unseen(&unseen.why),
        Some(Content::Cut { .. }) => return Outcome::failed(2, "tar: Unexpected EOF in archive"),
        Some(_) => return Outcome::failed(2, "tar: This does not look like a tar archive"),
        None => return Outcome::failed(2, "tar: Cannot open: No such file or directory"),
    };
    if asked.mode == Some('d') {
        for name in &asked.names {
            if tree.remove(&crate::sandbox::tree::normal(name)) == 0 {
                return Outcome::failed(2, format!("tar: {name}: Not found in archive"));
            }
        }
        return Outcome { code: 0, stdout: Content::Tar(tree), stderr: String::new() };
    }
    if asked.mode == Some('t') {
        return Outcome::said(tree.walk("/").map(|(path, _)| format!(".{path}\n")).collect::<String>());
    }
    if at.read_only {
        return read_only("tar", &folder);
    }
    if !fits(tree.total_bytes(), world.free) {
        return Outcome::failed(2, "tar: Cannot write: No space left on device");
    }
    if let Some(target) = at.tree_mut(world) {
        for (path, node) in tree.walk("/") {
            let to = join(&at.path, path);
            if !(node.is_dir() && target.is_dir(&to)) {
                target.put(&to, Node { modified: Some(program.now), ..node.plain() });
            }
        }
    }
    Outcome::said("")
}

fn tar_create(world: &mut World, program: &Program<'_>, asked: &TarWords<'_>, folder: &str) -> Outcome {
    let mut packed = Tree::default();
    for name in &asked.names {
        let source = place(world, program, &join(folder, name));
        let Some(branch) = source.branch(world) else {
            return Outcome::failed(2, format!("tar: {name}: Cannot stat: No such file or directory"));
        };
        packed.graft(&crate::sandbox::tree::normal(name), &branch.copy());
    }
    exclude(&mut packed, &asked.exclude);
    let archive = Content::Tar(Box::new(packed));
    match asked.file.unwrap_or("-") {
        "-" => Outcome { code: 0, stdout: archive, stderr: String::new() },
        path => {
            let to = place(world, program, path);
            if to.read_only {
                return read_only("tar", path);
            }
            if let Some(tree) = to.tree_mut(world) {
                tree.put(&to.path, Node::file(archive, 0o644, Some(program.now)));
            }
            Outcome::said("")
        }
    }
}

fn pg_isready(world: &mut World, program: &Program<'_>, _: &[&str]) -> Outcome {
    let server = program.view.container.as_ref().and_then(|name| world.postgres.get(name));
    match server {
        Some(server) if server.ready_at.is_none_or(|at| at <= program.now) => {
            Outcome::said("/var/run/postgresql:5432 - accepting connections\n")
        }
        Some(_) => Outcome { code: 1, ..Outcome::said("/var/run/postgresql:5432 - rejecting connections\n") },
        None => Outcome { code: 2, ..Outcome::said("/var/run/postgresql:5432 - no response\n") },
    }
}

/// `age` and `gpg` from standard input to standard output. A key fits when it is the recipient's; the sandbox has them all, but for
/// age the file with the identity has to be there.
fn crypt(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let Some(stdin) = &program.stdin else { return Outcome::failed(1, "the sandbox only encrypts standard input") };
    let after = |names: &[&str]| words.windows(2).find(|pair| names.contains(&pair[0])).map(|pair| pair[1]);
    let stdout = if words.contains(&"--decrypt") || words.contains(&"-d") {
        if let Some(identity) = after(&["--identity", "-i"])
            && !place(world, program, identity).exists(world)
        {
            return Outcome::failed(1, format!("age: error: failed to open {identity}"));
        }
        match stdin {
            Content::Sealed { of, .. } => (**of).clone(),
            Content::Unseen(unseen) => Content::unseen(&unseen.why),
            _ => return Outcome::failed(1, "error: what is read is not encrypted, or cut short"),
        }
    } else {
        let Some(recipient) = after(&["--recipient", "-r"]) else { return Outcome::failed(1, "error: no recipient") };
        Content::Sealed { recipient: recipient.to_owned(), of: Box::new(stdin.clone()) }
    };
    Outcome { code: 0, stdout, stderr: String::new() }
}

/// `podman rm --force NAME`, `start` and `stop`, and `compose`.
fn container_client(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    if let ["compose", rest @ ..] = words {
        return projects::compose(world, program, rest);
    }
    let names = operands(words, &["-t", "--time"]);
    match names.as_slice() {
        ["rm", names @ ..] => {
            for name in names {
                docker::take_down(world, name);
            }
        }
        ["start", name] if world.containers.contains_key(*name) => docker::bring_up(world, name, program.now),
        ["stop", name] if world.containers.contains_key(*name) => docker::bring_down(world, name),
        _ => return Outcome::failed(125, "Error: the sandbox does not know this; declare it under `commands:`"),
    }
    Outcome::said("")
}
