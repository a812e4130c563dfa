//! Every shipped playbook explains itself, and brings a world to rehearse it in. (That it loads and lints clean: `shipped.rs`.)

use std::path::{Path, PathBuf};

use muster::playbook::bundle::Bundle;
use muster::sandbox::World;

fn playbooks() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("playbook.yaml").is_file())
        .collect();
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

fn load(folder: &Path) -> Bundle {
    Bundle::load(&folder.display().to_string()).unwrap_or_else(|error| panic!("{}: {error:?}", folder.display()))
}

#[test]
fn every_shipped_playbook_is_named_as_its_folder_and_explains_itself() {
    for folder in playbooks() {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let playbook = load(&folder).playbook;
        assert_eq!(playbook.name.value, name);
        assert!(!playbook.title.is_empty() && !playbook.doc.is_empty(), "{name}");
        assert!(playbook.rto.is_some(), "{name}: no objectives");
        for param in &playbook.params {
            assert!(!param.doc.is_empty(), "{name}: parameter {} says nothing of itself", param.name.value);
        }
        for step in &playbook.steps {
            assert!(!step.title.is_empty(), "{name}: step {} has no title", step.id.value);
            if step.point_of_no_return.is_some() {
                assert!(readme.contains("Point of no return"), "{name}: the README hides a point of no return");
            }
        }
    }
}

#[test]
fn every_shipped_playbook_has_a_world_with_all_parameters_that_must_be_given() {
    for folder in playbooks() {
        let text = std::fs::read_to_string(folder.join("world.yaml")).unwrap();
        let world = World::load(&text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for param in load(&folder).playbook.params {
            let given = param.default.is_some() || world.params.contains_key(&param.name.value);
            assert!(given, "{}: no example for {}", folder.display(), param.name.value);
        }
    }
}
