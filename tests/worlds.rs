//! The worlds of the shipped playbooks.

use muster::sandbox::World;

#[test]
fn the_world_of_every_shipped_playbook_can_be_built() {
    let playbooks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let mut built = 0;
    for entry in playbooks.read_dir().unwrap() {
        let path = entry.unwrap().path().join("world.yaml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        World::load(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        built += 1;
    }
    assert!(built > 0, "no playbook has a world");
}
