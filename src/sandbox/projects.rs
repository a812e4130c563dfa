//! What brings whole deployments up and down in the sandbox: `compose` and `make`.

use super::models::docker;
use super::shell::{self, Outcome, Program};
use super::world::World;

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

/// `docker compose [-p PROJECT] up -d [SERVICES]`, `start`, `stop` and `down`. A project is named after the folder, as compose does it, and
/// its containers are those that `world.yaml` declares with the labels of project and service.
pub fn compose(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let folder = program.view.cwd.rsplit('/').next().unwrap_or_default().to_owned();
    let (project, words) = match words {
        ["-p" | "--project-name", project, rest @ ..] => ((*project).to_owned(), rest),
        words => (folder, words),
    };
    let (Some(verb), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
        return Outcome::failed(1, "compose: no command");
    };
    if !["docker-compose.yml", "compose.yaml"].iter().any(|file| program.view.place(world, file).exists(world)) {
        return Outcome::failed(14, "no configuration file provided: not found");
    }
    let wanted: Vec<&str> = rest.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let names: Vec<String> = world
        .declared
        .iter()
        .filter(|(_, container)| {
            container.labels.get(PROJECT) == Some(&project)
                && (wanted.is_empty()
                    || container.labels.get(SERVICE).is_some_and(|service| wanted.contains(&service.as_str())))
        })
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(missing) = wanted.iter().find(|service| {
        !names.iter().any(|name| world.declared[name].labels.get(SERVICE).is_some_and(|found| found == *service))
    }) {
        return Outcome::failed(1, format!("no such service: {missing}"));
    }
    for name in &names {
        match *verb {
            "up" => {
                docker::make_declared(world, name, program.now);
            }
            "start" if world.containers.contains_key(name) => docker::bring_up(world, name, program.now),
            "stop" => docker::bring_down(world, name),
            "down" => docker::take_down(world, name),
            _ => return Outcome::failed(1, format!("compose: the sandbox does not know {verb}")),
        }
    }
    Outcome::said("")
}

/// `make [-C FOLDER] TARGET…`: runs the recipes of a `Makefile` without variables, conditions or patterns, prerequisites first.
pub fn make(world: &mut World, program: &Program<'_>, words: &[&str]) -> Outcome {
    let mut view = program.view.clone();
    let mut targets = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "-C" => view.cwd = view.absolute(words.next().copied().unwrap_or(".")),
            word if word.starts_with('-') || word.contains('=') => {}
            target => targets.push(target.to_owned()),
        }
    }
    let at = view.place(world, "Makefile");
    let Some(text) = at.tree(world).and_then(|tree| tree.content(&at.path)).and_then(|file| file.text()) else {
        return Outcome::failed(2, "make: *** No targets specified and no makefile found.  Stop.");
    };
    let text = text.to_owned();
    let mut recipes = Vec::new();
    for target in &targets {
        if let Err(missing) = collect(&text, target, &mut recipes, 0) {
            return Outcome::failed(2, format!("make: *** No rule to make target '{missing}'.  Stop."));
        }
    }
    for recipe in recipes {
        let argv = ["sh".to_owned(), "-ec".to_owned(), recipe];
        let outcome = shell::run(world, &Program { view: view.clone(), argv: &argv, stdin: None, now: program.now });
        if outcome.code != 0 {
            return Outcome { code: 2, ..outcome };
        }
    }
    Outcome::said("")
}

/// The lines of a target's recipe after those of what it needs.
fn collect(text: &str, target: &str, into: &mut Vec<String>, depth: usize) -> Result<(), String> {
    let mut lines = text.lines();
    let head = lines.by_ref().find_map(|line| {
        let (name, needs) = line.split_once(':').filter(|_| !line.starts_with('\t'))?;
        (name.trim() == target).then_some(needs)
    });
    let needs = head.filter(|_| depth < 20).ok_or_else(|| target.to_owned())?;
    for need in needs.split_whitespace() {
        collect(text, need, into, depth + 1)?;
    }
    let recipe = lines.take_while(|line| line.starts_with('\t'));
    into.extend(recipe.map(|line| line.trim_start_matches(['\t', '@', '-']).to_owned()));
    Ok(())
}
