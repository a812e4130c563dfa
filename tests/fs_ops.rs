//! The family `fs`: what it reads, what it refuses, and that its undos put back exactly what was there. (That it survives a kill
//! at every point is shown beside the code.)

mod live_world;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use live_world::LiveWorld;
use muster::model::RunId;
use muster::ops::{ErrorClass, ReadHost, WriteHost};
use serde_json::{Value, json};

struct Folder {
    dir: tempfile::TempDir,
    world: LiveWorld,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = LiveWorld::under(dir.path());
        std::fs::create_dir(dir.path().join("f")).unwrap();
        Self { dir, world }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join("f").join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn read(&self, op: &str, args: Value) -> Value {
        self.world.read(op, args).unwrap()
    }

    /// The class and text of the error that a write ends with.
    fn refused(&self, op: &str, args: Value) -> (ErrorClass, String) {
        let error = self.world.write(op, args, "m-refused").unwrap_err();
        (error.class, error.message)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_is_at_a_path_is_told_without_following_links() {
    let folder = Folder::new();
    folder.file("a.txt", "abc");
    std::fs::set_permissions(folder.path("a.txt"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("a.txt", folder.path("link")).unwrap();
    std::fs::create_dir(folder.path("sub")).unwrap();
    let stat = folder.read("fs.stat", json!({ "path": folder.path("a.txt") }));
    assert_eq!((&stat["kind"], &stat["bytes"], &stat["mode"]), (&json!("file"), &json!(3), &json!("0640")));
    assert_eq!(folder.read("fs.stat", json!({ "path": folder.path("link") }))["kind"], "link");
    let none = folder.read("fs.stat", json!({ "path": folder.path("a.txt/x") }));
    assert_eq!((&none["exists"], &none["kind"]), (&json!(false), &json!("none")));
    let list = folder.read("fs.list", json!({ "path": folder.path(""), "pattern": "*" }));
    let names: Vec<&str> = list["entries"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.txt", "link", "sub"]);
    let list = folder.read("fs.list", json!({ "path": folder.path(""), "pattern": "*.txt" }));
    assert_eq!(list["entries"].as_array().unwrap().len(), 1);
    assert!(folder.world.read("fs.list", json!({ "path": folder.path("none") })).is_err());
    let space = folder.read("fs.space", json!({ "path": folder.path("") }));
    assert!(space["free"].as_u64().unwrap() <= space["total"].as_u64().unwrap());
}

#[test]
fn a_text_larger_than_asked_for_is_an_error_and_not_cut() {
    let folder = Folder::new();
    let path = folder.file("a", &"x".repeat(70_000));
    let error = folder.world.read("fs.read_text", json!({ "path": path })).unwrap_err();
    assert!(error.message.contains("64.0 KiB"), "{error}");
    assert_eq!(
        folder.read("fs.read_text", json!({ "path": path, "max": 70_000 }))["text"].as_str().unwrap().len(),
        70_000
    );
    for wrong in [folder.path(""), "relative".into(), format!("{}/../a", folder.path("x")), "/dev/zero".into()] {
        assert_eq!(folder.world.read("fs.read_text", json!({ "path": wrong })).unwrap_err().class, ErrorClass::Refused);
    }
    folder.file("j", "{\"b\": [1, 2.5], \"a\": null}");
    assert_eq!(folder.read("fs.read_json", json!({ "path": folder.path("j") })), json!({"a": null, "b": [1, 2.5]}));
    folder.file("j", "{\"password\": hunter2hunter2}");
    let error = folder.world.read("fs.read_json", json!({ "path": folder.path("j") })).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_dotenv_gives_handles_unless_a_key_is_plain() {
    let folder = Folder::new();
    let path = folder.file(".env", "DB_PASSWORD=correct-horse\nPORT=8080\n");
    let read = folder.read("fs.dotenv", json!({ "path": path, "plain": ["PORT"] }));
    assert_eq!(read["keys"], json!(["DB_PASSWORD", "PORT"]));
    assert_eq!(read["values"]["PORT"], "8080");
    let handle = &read["values"]["DB_PASSWORD"]["$secret"];
    assert_eq!((&handle["provider"], &handle["key"]), (&json!("dotenv"), &json!("DB_PASSWORD")));
    assert!(!folder.world.redactor.scrub("correct-horse").contains("horse"));
}

#[test]
fn a_tree_is_hashed_by_path() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("t/b")).unwrap();
    folder.file("t/b/x", "abc");
    folder.file("t/a", "");
    symlink("b/x", folder.path("t/link")).unwrap();
    let read = folder.read("fs.hash_tree", json!({ "path": folder.path("t") }));
    let paths: Vec<&str> = read["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!((paths, &read["bytes"]), (vec!["a", "b/x", "link"], &json!(3)));
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(read["files"][1]["sha256"], digest);
    assert_eq!(folder.read("fs.sha256", json!({ "path": folder.path("t/b/x") }))["sha256"], digest);
}

#[test]
fn a_write_refuses_what_is_there_and_never_goes_through_a_link() {
    let folder = Folder::new();
    let precious = folder.file("precious", "precious");
    symlink(&precious, folder.path("link")).unwrap();
    let write = |path: &str, replace: bool| {
        folder.refused("fs.write_text", json!({ "path": path, "text": "x", "replace": replace }))
    };
    assert!(write(&precious, false).1.contains("exists already"));
    assert!(write(&folder.path("link"), true).1.contains("symbolic link"));
    assert!(write(&folder.path("none/x"), true).1.contains("no folder"));
    assert!(write(&folder.path(""), true).1.contains("cannot write"));
    let mode = folder.refused("fs.write_text", json!({ "path": folder.path("x"), "text": "x", "mode": "rw" }));
    assert!(mode.1.contains("mode"));
    assert_eq!(text_of(&precious), "precious");
    let copied = folder.refused("fs.copy", json!({ "from": folder.path("none"), "to": folder.path("x") }));
    assert_eq!(copied.0, ErrorClass::Refused);
    assert_eq!(folder.names(), ["link", "precious"]);
}

#[test]
fn a_replaced_file_keeps_its_mode_unless_told_otherwise() {
    let folder = Folder::new();
    let path = folder.file("a", "old");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let mode = || Path::new(&path).metadata().unwrap().mode() & 0o777;
    folder.world.write("fs.write_text", json!({ "path": path, "text": "1", "replace": true }), "m-a").unwrap();
    assert_eq!(mode(), 0o644);
    folder
        .world
        .write("fs.write_text", json!({ "path": path, "text": "2", "replace": true, "mode": "0400" }), "m-b")
        .unwrap();
    assert_eq!(mode(), 0o400);
    let new = folder.path("new");
    folder.world.write("fs.write_json", json!({ "path": new, "value": {"b": 1, "a": 2} }), "m-c").unwrap();
    assert_eq!(Path::new(&new).metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(text_of(&new), "{\n  \"a\": 2,\n  \"b\": 1\n}\n");
}

#[test]
fn undoing_a_replacement_puts_back_bytes_mode_and_times() {
    let folder = Folder::new();
    let path = folder.file("a", "old");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o751)).unwrap();
    let state = || {
        let meta = Path::new(&path).metadata().unwrap();
        (text_of(&path), meta.mode(), meta.mtime_nsec(), meta.uid(), meta.ino())
    };
    let before = state();
    let args = json!({ "path": path, "text": "new", "replace": true, "mode": "0600" });
    let request = folder.world.ready("fs.write_text", args, "m-write").unwrap();
    folder.world.host.send(&request).unwrap();
    folder.world.host.release(&request);
    let undo = json!({ "path": path, "key": "m-write", "existed": true, "created_sha256": "known" });
    assert_eq!(folder.world.write("fs.restore_before", undo.clone(), "m-undo").unwrap()["restored"], true);
    assert_eq!(state(), before);
    // Without its before-image it says so, instead of leaving the new file as if it were the old one.
    assert!(folder.refused("fs.restore_before", undo).1.contains("before-image"));
    folder.world.host.finish_run(&RunId::from_entropy(77));
    assert_eq!(folder.names(), ["a"]);
}

#[test]
fn an_undo_leaves_alone_what_the_call_did_not_make() {
    let folder = Folder::new();
    let theirs = folder.file("theirs", "theirs");
    let undone = |op: &str, args: Value| folder.world.write(op, args, "m-undo").unwrap();
    undone("fs.restore_before", json!({ "path": theirs, "key": "m-x", "existed": false, "created_sha256": null }));
    undone("fs.restore_before", json!({ "path": theirs, "key": "m-x", "existed": true }));
    undone("fs.delete_made", json!({ "path": theirs, "key": "m-x", "sha256": null }));
    undone("fs.remove_unpacked", json!({ "path": folder.path(""), "key": "m-x", "id": "1:1" }));
    undone("fs.remove_dirs", json!({ "paths": [folder.path("")] }));
    undone("fs.delete_made", json!({ "path": folder.path("none/at/all"), "key": "m-x" }));
    assert_eq!((text_of(&theirs).as_str(), folder.names()), ("theirs", vec!["theirs".to_owned()]));
    undone("fs.delete_made", json!({ "path": theirs, "sha256": "known" }));
    assert!(folder.names().is_empty());
}

#[test]
fn a_rename_refuses_a_target_and_a_delete_a_full_folder() {
    let folder = Folder::new();
    let (a, b) = (folder.file("a", "a"), folder.file("b", "b"));
    assert!(folder.refused("fs.rename", json!({ "from": a, "to": b })).1.contains("something is there"));
    assert!(folder.refused("fs.rename", json!({ "from": folder.path("c"), "to": b })).1.contains("nothing is there"));
    assert!(folder.refused("fs.delete", json!({ "path": folder.path("") })).1.contains("not empty"));
    assert!(folder.refused("fs.delete", json!({ "path": folder.path("none") })).1.contains("nothing is there"));
    assert!(folder.refused("fs.delete", json!({ "path": "/", "recursive": true })).1.contains("root"));
    symlink(&a, folder.path("link")).unwrap();
    let delete =
        |path: String| folder.world.write("fs.delete", json!({ "path": path, "recursive": true }), "m-d").unwrap();
    assert_eq!(delete(folder.path("link"))["removed"], 1);
    assert_eq!(text_of(&a), "a");
    assert_eq!(delete(folder.path(""))["removed"], 3);
}

#[test]
fn an_archive_comes_back_as_it_was() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("t/deep/empty")).unwrap();
    let long = format!("t/deep/{}", "n".repeat(180));
    folder.file(&long, "long");
    folder.file("t/deep/x", "x");
    folder.file("t/skip.log", "skip");
    std::fs::set_permissions(folder.path("t/deep/x"), PermissionsExt::from_mode(0o751)).unwrap();
    std::fs::set_permissions(folder.path("t/deep/empty"), PermissionsExt::from_mode(0o500)).unwrap();
    symlink("deep/x", folder.path("t/link")).unwrap();
    let args = json!({ "from": folder.path("t"), "to": folder.path("t.tar"), "exclude": ["*.log"] });
    let made = folder.world.write("fs.archive", args, "m-a").unwrap();
    assert_eq!(made["entries"], 5);
    assert_eq!(made["sha256"], folder.read("fs.sha256", json!({ "path": folder.path("t.tar") }))["sha256"]);
    let listed = folder.read("fs.tar_list", json!({ "archive": folder.path("t.tar") }));
    assert_eq!((listed["entries"].as_array().unwrap().len(), &listed["bytes"]), (5, &json!(5)));
    let args = json!({ "archive": folder.path("t.tar"), "to": folder.path("back") });
    assert_eq!(folder.world.write("fs.unpack", args, "m-u").unwrap()["bytes"], 5);
    std::fs::remove_file(folder.path("t/skip.log")).unwrap();
    let hash = |name: &str| folder.read("fs.hash_tree", json!({ "path": folder.path(name) }));
    assert_eq!(hash("t"), hash("back"));
    for name in ["deep/x", "deep/empty", "deep"] {
        let meta = |root: &str| Path::new(&folder.path(&format!("{root}/{name}"))).metadata().unwrap();
        assert_eq!((meta("t").mode(), meta("t").mtime()), (meta("back").mode(), meta("back").mtime()), "{name}");
    }
    let inside = folder.refused("fs.archive", json!({ "from": folder.path("t"), "to": folder.path("t/x.tar") }));
    assert!(inside.1.contains("inside"), "{}", inside.1);
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_found_out() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("t")).unwrap();
    folder.file("t/a", &"a".repeat(700));
    folder.file("t/zeros", &"\0".repeat(4096));
    folder.world.write("fs.archive", json!({ "from": folder.path("t"), "to": folder.path("t.tar") }), "m-a").unwrap();
    let whole = std::fs::read(folder.path("t.tar")).unwrap();
    for length in (0..whole.len()).step_by(256) {
        std::fs::write(folder.path("cut.tar"), &whole[..length]).unwrap();
        let error = folder.world.read("fs.tar_list", json!({ "archive": folder.path("cut.tar") })).unwrap_err();
        assert!(error.message.contains("damaged or cut off"), "{length}: {error}");
        let args = json!({ "archive": folder.path("cut.tar"), "to": folder.path("out") });
        assert!(folder.world.write("fs.unpack", args, "m-u").is_err(), "{length}");
        assert!(!Path::new(&folder.path("out")).exists());
    }
    assert!(folder.names().iter().all(|name| !name.starts_with('.')), "{:?}", folder.names());
}

/// An archive with one hostile entry.
fn hostile(folder: &Folder, kind: tar::EntryType, name: &str, link: &str) -> Value {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(if kind.is_file() { 4 } else { 0 });
    let raw = header.as_old_mut();
    raw.name[..name.len()].copy_from_slice(name.as_bytes());
    raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    let mut dir = tar::Header::new_gnu();
    dir.set_entry_type(tar::EntryType::Symlink);
    dir.set_size(0);
    builder.append_link(&mut dir, "inside", "elsewhere").unwrap();
    builder.append(&header, if kind.is_file() { &b"evil"[..] } else { &b""[..] }).unwrap();
    std::fs::write(folder.path("evil.tar"), builder.into_inner().unwrap()).unwrap();
    json!({ "archive": folder.path("evil.tar"), "to": folder.path("out") })
}

#[test]
fn a_hostile_archive_does_not_leave_its_folder() {
    use tar::EntryType as T;
    let folder = Folder::new();
    for (kind, name, link) in [
        (T::Regular, "../evil", ""),
        (T::Regular, "/tmp/muster-evil", ""),
        (T::Regular, "a/../../evil", ""),
        (T::Regular, "inside/evil", ""),
        (T::Symlink, "link", "/etc/passwd"),
        (T::Symlink, "link", "../evil"),
        (T::Symlink, "a/link", "inside/../../evil"),
        (T::Link, "link", "/etc/passwd"),
        (T::Link, "link", "../evil.tar"),
        (T::Fifo, "pipe", ""),
        (T::Char, "device", ""),
    ] {
        let args = hostile(&folder, kind, name, link);
        let (class, message) = folder.refused("fs.unpack", args);
        assert_eq!(class, ErrorClass::Refused, "{name} -> {link}: {message}");
        assert_eq!(folder.names(), ["evil.tar"], "{name} -> {link}");
    }
}

#[test]
fn a_copy_whose_time_is_over_leaves_nothing() {
    let folder = Folder::new();
    let from = folder.file("from", "abc");
    let mut request =
        folder.world.ready("fs.copy", json!({ "from": from, "to": folder.path("to") }), "m-late").unwrap();
    request.deadline = Some(muster::model::Timestamp::UNIX_EPOCH);
    let error = folder.world.host.send(&request).unwrap_err();
    assert!(error.message.contains("in time"), "{error}");
    assert_eq!(folder.names(), ["from"]);
    assert_eq!(folder.world.host.probe(&request).unwrap(), muster::ops::Probe::NotDone);
}

#[test]
fn a_plan_is_told_what_a_write_would_do() {
    use muster::ops::spec::{Backend, Predicted};
    let folder = Folder::new();
    let request =
        folder.world.ready("fs.write_text", json!({ "path": folder.path("a"), "text": "abc" }), "m-p").unwrap();
    let Backend::Write(entry) = &request.op.backend else { panic!("it writes") };
    let Predicted::Result(predicted) = (entry.predict)(&request.args, &request.before, "m-p") else {
        panic!("it can tell")
    };
    folder.world.host.send(&request).unwrap();
    let done = folder.world.host.probe(&request).unwrap();
    assert_eq!(done, muster::ops::Probe::Done { result: predicted });
    let fingerprint =
        folder.world.host.fingerprint(&request, &json!({"path": "x", "bytes": 1, "sha256": "x"})).unwrap();
    std::fs::write(folder.path("a"), "abd").unwrap();
    let now = folder.world.host.fingerprint(&request, &json!({"path": "x", "bytes": 1, "sha256": "x"})).unwrap();
    assert_ne!(fingerprint, now);
}
