//! The worlds of the shipped playbooks, and the variants of them that the kill sweep goes through.

#[path = "support/variants.rs"]
mod variants;

use muster::playbook::shipped;

#[test]
fn the_world_of_every_shipped_playbook_can_be_built() {
    let mut built = 0;
    for name in shipped::names() {
        variants::own(name);
        built += 1;
    }
    assert!(built > 0, "no playbook has a world");
}

#[test]
fn every_variant_can_be_built_and_is_another_world() {
    for name in variants::names() {
        let variant = variants::variant(&name);
        assert_ne!(variant.world, variants::own(&variant.playbook).world, "{name}");
    }
}

#[test]
fn no_world_says_itself_what_a_modelled_program_does() {
    let modelled =
        ["age", "gpg", "tar", "make", "podman", "docker", "find", "du", "df", "ls", "rm", "pg_isready", "sha256sum"];
    let worlds = shipped::names()
        .map(variants::own)
        .chain(variants::names().iter().map(|name| variants::variant(name)).collect::<Vec<_>>());
    for variant in worlds {
        for command in variant.world.commands.iter() {
            let program = command.argv.first().map_or("", String::as_str);
            assert!(!modelled.contains(&program), "{}: {:?}", variant.playbook, command.argv);
        }
    }
}
