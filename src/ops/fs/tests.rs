//! Every writing operation of the family, killed at every point, then probed, sent again, undone; and its undo likewise.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::clock::SystemClock;
use crate::model::{RunId, Value};
use crate::ops::context::Writer;
use crate::ops::files::kill;
use crate::ops::live::{LiveHost, LiveReader};
use crate::ops::process::Children;
use crate::ops::secrets::Secrets;
use crate::ops::spec::{Backend, Undo};
use crate::ops::{Probe, ReadHost, Request, Sent, WriteHost, find};

const KEY: &str = "m-00000000000f-write-1-0";
const UNDO_KEY: &str = "m-00000000000f-undo-1-0";

/// A folder of files, and a host that works on it.
struct World {
    dir: tempfile::TempDir,
    host: LiveHost,
    run: RunId,
}

/// Everything under a folder: kind and mode, and what it holds.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let children = Arc::new(Children::new(dir.path().join("children"), "/no/supervisor".into()));
        let secrets = Arc::new(Secrets::new([0; 32], Arc::default()));
        let reader = LiveReader::new(Arc::new(SystemClock), secrets, Arc::clone(&children));
        std::fs::create_dir(dir.path().join("files")).unwrap();
        Self { host: LiveHost::new(reader, Writer::new(children)), dir, run: RunId::from_entropy(15) }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    fn path(&self, name: &str) -> String {
        self.root().join(name).to_str().unwrap().to_owned()
    }

    fn request(&self, op: &str, args: Value, key: &str) -> Request {
        let op = find(op).unwrap();
        Request { run: self.run.clone(), op, args, key: key.into(), before: Value::Null, deadline: None }
    }

    /// With the image taken.
    fn ready(&self, op: &str, args: Value, key: &str) -> Request {
        let mut request = self.request(op, args, key);
        request.before = self.host.before(&request).unwrap();
        request
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut left = vec![self.root()];
        while let Some(folder) = left.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let holds = if meta.is_dir() {
                    left.push(path.clone());
                    Vec::new()
                } else if meta.is_symlink() {
                    path.read_link().unwrap().into_os_string().into_encoded_bytes()
                } else if path.extension().is_some_and(|end| end == "tar") {
                    // Its bytes hold times, which differ between two worlds.
                    let listed = crate::ops::fs::tarball::list(&path).unwrap();
                    listed.iter().flat_map(|entry| format!("{} {}\n", entry.path, entry.bytes).into_bytes()).collect()
                } else {
                    std::fs::read(&path).unwrap()
                };
                tree.insert(path.strip_prefix(self.root()).unwrap().to_owned(), (meta.mode(), holds));
            }
        }
        tree
    }

    /// As others see it: without the hidden names.
    fn visible(&self) -> Tree {
        let hidden = |path: &Path| path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        self.tree().into_iter().filter(|(path, _)| !hidden(path)).collect()
    }

    /// Asks what became of it, sends it again if it was not done, and says with what result it was done in the end.
    fn finish(&self, request: &Request) -> Value {
        match self.host.probe(request).unwrap() {
            Probe::Done { result } => result,
            Probe::NotDone => {
                let Sent::Done(result) = self.host.send(request).unwrap() else { panic!("nothing here runs on") };
                result
            }
            other => panic!("{} cannot tell: {other:?}", request.op.name),
        }
    }

    /// The undo of a call with this outcome, or with none.
    fn undo(&self, request: &Request, result: Option<&Value>) -> Option<Request> {
        let Backend::Write(entry) = &request.op.backend else { panic!("it does not write") };
        match (entry.undo)(&request.args, &request.before, &request.key) {
            Undo::Nothing => None,
            Undo::Impossible(why) => panic!("{why}"),
            Undo::Call { op, mut args } => {
                for arg in args.as_object_mut().unwrap().values_mut() {
                    if let Some(field) = arg.as_str().and_then(|text| text.strip_prefix("$result/")) {
                        *arg = result.map_or(Value::Null, |result| result[field].clone());
                    }
                }
                Some(self.ready(op, args, UNDO_KEY))
            }
        }
    }
}

/// One operation in one situation.
struct Case {
    op: &'static str,
    prepare: fn(&World),
    args: fn(&World) -> Value,
    undoable: bool,
}

fn cases() -> Vec<Case> {
    let nothing = |_: &World| {};
    let old_file = |world: &World| {
        std::fs::write(world.path("target"), "old").unwrap();
        std::fs::set_permissions(world.path("target"), PermissionsExt::from_mode(0o640)).unwrap();
        std::fs::write(world.path("source"), "new").unwrap();
    };
    let source = |world: &World| std::fs::write(world.path("source"), "new").unwrap();
    let folder = |world: &World| {
        std::fs::create_dir_all(world.path("from/sub/deep")).unwrap();
        std::fs::write(world.path("from/sub/file"), "text").unwrap();
        std::os::unix::fs::symlink("sub/file", world.path("from/link")).unwrap();
        std::fs::set_permissions(world.path("from/sub/deep"), PermissionsExt::from_mode(0o555)).unwrap();
    };
    let archive = |world: &World| {
        std::fs::create_dir_all(world.path("from/sub")).unwrap();
        std::fs::write(world.path("from/sub/file"), "text").unwrap();
        let args = json!({ "from": world.path("from"), "to": world.path("archive.tar") });
        let request = world.ready("fs.archive", args, "m-before");
        world.host.send(&request).unwrap();
        world.host.release(&request);
    };
    vec![
        Case {
            op: "fs.write_text",
            prepare: nothing,
            args: |world| json!({ "path": world.path("target"), "text": "new", "mode": "0644" }),
            undoable: true,
        },
        Case {
            op: "fs.write_text",
            prepare: old_file,
            args: |world| json!({ "path": world.path("target"), "text": "new", "replace": true }),
            undoable: true,
        },
        Case {
            op: "fs.write_json",
            prepare: old_file,
            args: |world| json!({ "path": world.path("target"), "value": {"b": 1, "a": []}, "replace": true, "mode": "0600" }),
            undoable: true,
        },
        Case {
            op: "fs.copy",
            prepare: old_file,
            args: |world| json!({ "from": world.path("source"), "to": world.path("target"), "replace": true }),
            undoable: true,
        },
        Case {
            op: "fs.copy",
            prepare: source,
            args: |world| json!({ "from": world.path("source"), "to": world.path("target") }),
            undoable: true,
        },
        Case {
            op: "fs.make_dir",
            prepare: nothing,
            args: |world| json!({ "path": world.path("a/b/c"), "mode": "0750" }),
            undoable: true,
        },
        Case {
            op: "fs.make_dir",
            prepare: |world| std::fs::create_dir_all(world.path("a/b")).unwrap(),
            args: |world| json!({ "path": world.path("a/b") }),
            undoable: true,
        },
        Case {
            op: "fs.rename",
            prepare: folder,
            args: |world| json!({ "from": world.path("from"), "to": world.path("to") }),
            undoable: true,
        },
        Case {
            op: "fs.archive",
            prepare: folder,
            args: |world| json!({ "from": world.path("from"), "to": world.path("archive.tar") }),
            undoable: true,
        },
        Case {
            op: "fs.unpack",
            prepare: archive,
            args: |world| json!({ "archive": world.path("archive.tar"), "to": world.path("to") }),
            undoable: true,
        },
        Case {
            op: "fs.delete",
            prepare: folder,
            args: |world| json!({ "path": world.path("from"), "recursive": true }),
            undoable: false,
        },
    ]
}

impl Case {
    /// A world in which the call is about to be sent.
    fn begin(&self) -> (World, Request, Tree) {
        let world = World::new();
        (self.prepare)(&world);
        let request = world.ready(self.op, (self.args)(&world), KEY);
        let tree = world.tree();
        (world, request, tree)
    }

    /// What others see when it is done.
    fn done(&self) -> Tree {
        let (world, request, _) = self.begin();
        world.host.send(&request).unwrap();
        world.visible()
    }
}

#[test]
fn a_killed_write_is_not_done_or_done_and_never_between() {
    for case in cases() {
        let done = case.done();
        for point in 0.. {
            let (world, request, before) = case.begin();
            let visible_before = world.visible();
            let ended = kill::at(point, || world.host.send(&request).unwrap());
            let what = format!("{} killed at {point}", case.op);
            match world.host.probe(&request).unwrap() {
                Probe::Done { .. } => assert_eq!(world.visible(), done, "{what}"),
                // Folders are made one by one; nobody minds those that are there already.
                Probe::NotDone if case.op == "fs.make_dir" => {}
                // What is deleted loses its name at once, and is then taken apart.
                Probe::NotDone if case.op == "fs.delete" && world.visible() == done => {}
                Probe::NotDone => assert_eq!(world.visible(), visible_before, "{what}"),
                other => panic!("{what}: {other:?}"),
            }
            let result = world.finish(&request);
            assert_eq!(world.visible(), done, "{what}");
            assert_eq!(world.host.probe(&request).unwrap(), Probe::Done { result: result.clone() }, "{what}");
            world.host.release(&request);
            world.host.release(&request);
            if case.undoable {
                if let Some(undo) = world.undo(&request, Some(&result)) {
                    world.finish(&undo);
                    world.host.release(&undo);
                }
                assert_eq!(world.tree(), before, "{what}, undone");
            } else {
                assert_eq!(world.tree(), done, "{what}: something hidden is left");
            }
            if ended.is_some() {
                break;
            }
        }
    }
}

#[test]
fn an_undo_without_an_outcome_puts_back_what_was_there_at_every_point() {
    for case in cases().into_iter().filter(|case| case.undoable) {
        for point in 0.. {
            let (world, request, before) = case.begin();
            let ended = kill::at(point, || world.host.send(&request).unwrap());
            if let Some(undo) = world.undo(&request, None) {
                world.finish(&undo);
                world.host.release(&undo);
            }
            assert_eq!(world.tree(), before, "{} killed at {point}, undone", case.op);
            if ended.is_some() {
                break;
            }
        }
    }
}

#[test]
fn a_killed_undo_is_taken_up_again() {
    for case in cases().into_iter().filter(|case| case.undoable) {
        for point in 0.. {
            let (world, request, before) = case.begin();
            let result = world.finish(&request);
            world.host.release(&request);
            let Some(undo) = world.undo(&request, Some(&result)) else { break };
            let ended = kill::at(point, || world.host.send(&undo).unwrap());
            world.finish(&undo);
            world.host.release(&undo);
            assert_eq!(world.tree(), before, "undo of {} killed at {point}", case.op);
            if ended.is_some() {
                break;
            }
        }
    }
}

#[test]
fn what_cannot_be_deleted_stays_under_its_own_name_and_can_be_deleted_later() {
    let world = World::new();
    std::fs::create_dir(world.path("folder")).unwrap();
    let request = world.ready("fs.delete", json!({ "path": world.path("folder") }), KEY);
    std::fs::write(world.path("folder/late"), "came after it was looked at").unwrap();
    let before = world.tree();
    let error = world.host.send(&request).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot delete {}: ", world.path("folder"))), "{error}");
    world.host.release(&request);
    assert_eq!(world.tree(), before);
    let again = json!({ "path": world.path("folder"), "recursive": true });
    world.finish(&world.ready("fs.delete", again, "m-00000000000f-write-2-0"));
    assert!(world.tree().is_empty());
}

#[test]
fn a_before_image_goes_when_the_run_has_ended() {
    let case = cases().remove(1);
    let (world, request, _) = case.begin();
    world.finish(&request);
    world.host.release(&request);
    let image = world.root().join(format!(".target.before-{KEY}"));
    assert_eq!(std::fs::read(&image).unwrap(), b"old");
    world.host.finish_run(&RunId::from_entropy(1));
    assert!(image.exists());
    world.host.finish_run(&world.run);
    assert!(!image.exists());
}

#[test]
fn what_somebody_else_changed_is_not_taken_for_ours() {
    let case = cases().remove(1);
    // Written, and then changed in place or replaced, before the outcome was known.
    for replaced in [false, true] {
        let (world, request, _) = case.begin();
        world.host.send(&request).unwrap();
        if replaced {
            std::fs::remove_file(world.path("target")).unwrap();
        }
        std::fs::write(world.path("target"), "theirs").unwrap();
        assert!(matches!(world.host.probe(&request).unwrap(), Probe::CannotTell { .. }), "replaced: {replaced}");
    }
    // Changed between the look and the call.
    let (world, request, _) = case.begin();
    std::fs::write(world.path("target"), "theirs").unwrap();
    let error = world.host.send(&request).unwrap_err();
    assert!(error.message.contains("somebody else"), "{error}");
    assert_eq!(std::fs::read(world.path("target")).unwrap(), b"theirs");
    assert_eq!(world.visible().len(), world.tree().len());
}
