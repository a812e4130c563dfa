//! Worlds that differ from a shipped playbook's own: `tests/worlds/*.yaml` say in what.

use std::path::Path;

use muster::model::Value;
use muster::playbook::shipped;
use muster::sandbox::World;

/// A world of a playbook.
pub struct Variant {
    pub playbook: String,
    pub world: World,
}

/// The world that stands in the playbook itself.
pub fn own(playbook: &str) -> Variant {
    let text = shipped::file(playbook, "world.yaml").expect("every playbook has a world");
    let world = World::load(text).unwrap_or_else(|error| panic!("{playbook}/world.yaml: {error}"));
    Variant { playbook: playbook.to_owned(), world }
}

/// The names of all variants.
#[allow(dead_code, reason = "each test file uses what it needs")]
pub fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("there are worlds")
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The variant of this name: `of` names the playbook or another variant whose world it starts from; `replace` renames texts
/// throughout, keys too; `without` lists what is taken away, as paths of keys; `with` is laid over the rest, maps key by key and all
/// else whole.
pub fn variant(name: &str) -> Variant {
    let (playbook, value) = load(name);
    let world = World::load(&value.to_string()).unwrap_or_else(|error| panic!("tests/worlds/{name}.yaml: {error}"));
    Variant { playbook, world }
}

fn load(name: &str) -> (String, Value) {
    let parse = |text: &str| -> Value { serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}")) };
    if let Some(text) = shipped::file(name, "world.yaml") {
        return (name.to_owned(), parse(text));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds").join(format!("{name}.yaml"));
    let said = parse(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let (playbook, mut world) = load(said["of"].as_str().expect("a variant says of what"));
    for (from, to) in said["replace"].as_object().into_iter().flatten() {
        let text = world.to_string().replace(from, to.as_str().expect("a text"));
        world = serde_json::from_str(&text).expect("texts replace texts");
    }
    for keys in said["without"].as_array().into_iter().flatten() {
        let keys: Vec<&str> = keys.as_array().expect("a path of keys").iter().filter_map(Value::as_str).collect();
        let (last, folders) = keys.split_last().expect("a key");
        let holder = folders.iter().fold(&mut world, |at, key| &mut at[*key]);
        let taken = holder.as_object_mut().and_then(|map| map.remove(*last));
        assert!(taken.is_some(), "{name}: there is no {keys:?} to take away");
    }
    lay(&mut world, &said["with"]);
    (playbook, world)
}

fn lay(under: &mut Value, over: &Value) {
    match (under, over) {
        (_, Value::Null) => {}
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.get_mut(key) {
                    Some(there) if value.is_object() && there.is_object() => lay(there, value),
                    _ => {
                        under.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}
