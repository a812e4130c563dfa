//! Programs in the world: those of the host, those inside containers, those in containers of their own.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::json;

use super::fs::{half_put, may_write, part_of, print_file, probe_put, put, release};
use super::{Call, Effect, Model, docker};
use crate::model::fault::OpError;
use crate::model::{Value, glob};
use crate::ops::host::Probe;
use crate::sandbox::World;
use crate::sandbox::content::Content;
use crate::sandbox::deeds::perform;
use crate::sandbox::modelled::{OPERATIONS, Printed, Told};
use crate::sandbox::resources::{Command, Container, Deed, Mount, State};
use crate::sandbox::shell::{self, Outcome, Program, UNSEEN_CODE};
use crate::sandbox::sight::Sight;
use crate::sandbox::tree::Node;
use crate::sandbox::veil::{fits, mark, marked, unseen};
use crate::sandbox::view::View;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        ("exec.read", Model::Read(read)),
        ("exec.run", Model::Write(Effect::new(before_run, run, lost).by_child(takes))),
        ("docker.read", Model::Read(docker_read)),
        ("k8s.read", Model::Read(pod_read)),
        ("k8s.exec", Model::Write(Effect::new(before_pod, pod_exec, probe_pod).known(may_repeat))),
        (
            "k8s.read_to_file",
            Model::Write(
                Effect::new(super::k8s::before_to_file, pod_to_file, probe_put)
                    .fingerprint(print_file)
                    .release(release)
                    .half(half_put),
            ),
        ),
        ("docker.exec", Model::Write(Effect::new(before_exec, run, lost).by_child(takes))),
        (
            "docker.run",
            Model::Write(
                Effect::new(before_one_shot, one_shot, probe_one_shot)
                    .by_child(takes)
                    .release(release_one_shot)
                    .half(half_one_shot),
            ),
        ),
    ]
}

/// Where the program of a call runs, and what it sees.
fn view(call: &Call<'_>) -> View {
    match call.op {
        "docker.run" => View::container(&own_name(call)),
        // Its files are nobody's here, and never the host's.
        op if op.starts_with("k8s.") => {
            View::container(call.maybe_text("container").or_else(|| call.maybe_text("pod")).unwrap_or_default())
        }
        _ => match call.maybe_text("container") {
            Some(container) => View::container(container),
            None => View::host(call.maybe_text("cwd").unwrap_or("/")),
        },
    }
}

/// The declared command that a command line fits.
fn declared<'w>(world: &'w World, call: &Call<'_>, argv: &[String]) -> Option<&'w Command> {
    let (container, cwd) = (call.maybe_text("container"), call.maybe_text("cwd"));
    world.commands.iter().find(|command| {
        let (words, open) = match command.argv.split_last() {
            Some((last, words)) if last == "..." => (words, true),
            _ => (command.argv.as_slice(), false),
        };
        let long_enough = if open { argv.len() >= words.len() } else { argv.len() == words.len() };
        let there = command.container.as_deref().is_none_or(|wanted| container == Some(wanted))
            && (command.container.is_some() || container.is_none())
            && command.cwd.as_deref().is_none_or(|wanted| cwd.is_some_and(|cwd| glob::matches(wanted, cwd)));
        there && long_enough && words.iter().zip(argv).all(|(pattern, word)| glob::matches(pattern, word))
    })
}

/// The text with `{1}` and so on filled in by the words of the command line.
fn filled(text: &str, argv: &[String]) -> String {
    let mut text = text.to_owned();
    for (place, word) in argv.iter().enumerate() {
        text = text.replace(&format!("{{{place}}}"), word);
    }
    text
}

/// A thing a command does, with the words of the command line filled in.
fn filled_in(deed: &Deed, argv: &[String]) -> Deed {
    let fill = |value: &Value| fill_texts(value, argv);
    let value = serde_json::to_value(deed).map(|value| fill(&value));
    value.ok().and_then(|value| serde_json::from_value(value).ok()).unwrap_or_else(|| deed.clone())
}

fn fill_texts(value: &Value, argv: &[String]) -> Value {
    match value {
        Value::String(text) => Value::String(filled(text, argv)),
        Value::Array(items) => items.iter().map(|item| fill_texts(item, argv)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), fill_texts(value, argv))).collect(),
        other => other.clone(),
    }
}

/// The file of the playbook's own model that answers a call. What `world.yaml` declares of a command is said for that world alone, and
/// comes first.
pub(in crate::sandbox) fn model_file<'w>(world: &'w World, call: &Call<'_>) -> Option<&'w str> {
    if !OPERATIONS.contains(&call.op) {
        return None;
    }
    let argv: Vec<String> = call.maybe("argv").unwrap_or_default();
    declared(world, call, &argv).is_none().then(|| world.models.file_of(call.op, call.args))?
}

/// What the playbook's own model says of a call, and what it looked at; none when there is no such model.
pub(in crate::sandbox) fn told(world: &World, call: &Call<'_>) -> Option<(Result<Told, OpError>, Rc<Sight>)> {
    model_file(world, call)?;
    let stdin = match call.maybe_text("stdin_file") {
        Some(path) => super::absolute(path).ok().and_then(|path| world.files.content(&path).cloned()),
        None => stdin_text(call),
    };
    let sight = Rc::new(Sight::new(world.clone(), view(call), call.now).reading(stdin));
    let told = world.models.ask(call.op, call.args, &sight)?;
    let told = told.and_then(|told| match told.why_unknown() {
        Some(why) => Err(unseen(&why)),
        None => Ok(told),
    });
    Some((told, sight))
}

/// Does what the playbook's own model says.
fn by_model(world: &mut World, call: &Call<'_>, told: &Told, sight: &Sight, stdin: Option<&Content>) -> Outcome {
    if let Some(why) = marked(&told.stderr).filter(|_| told.code != 0) {
        return Outcome::unseen(why);
    }
    for deed in &told.does {
        if let Err(why) = perform(world, &view(call), call.now, deed) {
            return Outcome::failed(1, why);
        }
    }
    let printed = told.printed().unwrap_or(Printed::Text(String::new()));
    match printed.content(world, sight, stdin) {
        Ok(stdout) => Outcome { code: told.code, stdout, stderr: told.stderr.clone() },
        Err(why) => Outcome::failed(1, why),
    }
}

fn program(world: &mut World, call: &Call<'_>, stdin: Option<Content>) -> Result<Outcome, OpError> {
    let argv: Vec<String> = call.get("argv")?;
    if let Some((told, sight)) = told(world, call) {
        return Ok(by_model(world, call, &told?, &sight, stdin.as_ref()));
    }
    let Some(command) = declared(world, call, &argv).cloned() else {
        let argv = entry_point(call, argv);
        return Ok(shell::run(world, &Program { view: view(call), argv: &argv, stdin, now: call.now }));
    };
    if command.code == 0 {
        for deed in &command.does {
            if let Err(why) = perform(world, &view(call), call.now, &filled_in(deed, &argv)) {
                return Ok(Outcome::failed(1, why));
            }
        }
    }
    Ok(Outcome {
        code: command.code,
        stdout: Content::Text(filled(&command.stdout, &argv)),
        stderr: filled(&command.stderr, &argv),
    })
}

/// A given entrypoint stands before the words.
fn entry_point(call: &Call<'_>, argv: Vec<String>) -> Vec<String> {
    let entry = call.maybe_text("entrypoint").filter(|entry| !entry.is_empty()).map(str::to_owned);
    entry.into_iter().chain(argv).collect()
}

// --- reading ---------------------------------------------------------------------------------------------------------------

fn printed(call: &Call<'_>, outcome: &Outcome, act: &str) -> Result<Value, OpError> {
    if outcome.code == UNSEEN_CODE {
        return Err(unseen(&outcome.stderr));
    }
    if let Some(why) = outcome.stdout.why_unseen() {
        return Err(unseen(why));
    }
    if outcome.code == 127 {
        return Err(OpError::refused(format!("{act}: {}", outcome.stderr)));
    }
    if outcome.code != 0 && !call.flag("any_exit") {
        return Err(OpError::failed(format!("{act}: it ended with exit code {}", outcome.code))
            .with_detail(outcome.stderr.clone()));
    }
    let stdout = outcome.stdout.text().ok_or_else(|| OpError::failed(format!("{act}: what it prints is no text")))?;
    Ok(json!({ "code": outcome.code, "stdout": stdout, "stderr": outcome.stderr }))
}

fn act(call: &Call<'_>) -> String {
    let argv: Vec<String> = call.maybe("argv").unwrap_or_default();
    let program = argv.first().map_or("", String::as_str);
    match call.maybe_text("container").or_else(|| call.maybe_text("image")) {
        Some(place) => format!("cannot run {program} in {place}"),
        None => format!("cannot run {program}"),
    }
}

fn stdin_text(call: &Call<'_>) -> Option<Content> {
    call.maybe_text("stdin").map(|text| Content::of_text(text.to_owned()))
}

fn read(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    // Trusted to change nothing; whatever it would change is not kept.
    let mut world = world.clone();
    let outcome = program(&mut world, call, stdin_text(call))?;
    printed(call, &outcome, &act(call))
}

fn docker_read(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    docker::running(world, &act(call), call.text("container")?)?;
    read(world, call)
}

/// Whether the world or the playbook's own model says what a program in a Pod does: its files are nobody's here.
fn is_said(world: &World, call: &Call<'_>) -> Result<bool, OpError> {
    Ok(told(world, call).is_some() || declared(world, call, &call.get::<Vec<String>>("argv")?).is_some())
}

fn not_said(act: &str) -> OpError {
    OpError::refused(format!("{act}: the sandbox does not know what it prints"))
        .with_hint("declare it under `commands` of world.yaml, or model it: docs/models.md")
}

fn pod_read(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = super::k8s::in_running_pod(world, call)?;
    if is_said(world, call)? {
        return read(world, call);
    }
    super::k8s::printed_inside(world, call)?.ok_or_else(|| not_said(&act))
}

fn pod_exec(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = super::k8s::in_running_pod(world, call)?;
    if is_said(world, call)? {
        let stdin = match call.maybe_text("stdin_file") {
            Some(path) => Some(file_content(world, path)?),
            None => stdin_text(call),
        };
        let outcome = program(world, call, stdin)?;
        return printed(call, &outcome, &act);
    }
    super::k8s::done_inside(world, call)?.ok_or_else(|| not_said(&act))
}

/// What it prints goes into a file of the host; what it would change is not kept.
fn pod_to_file(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = super::k8s::in_running_pod(world, call)?;
    if !is_said(world, call)? {
        return Err(not_said(&act));
    }
    let mut tried = world.clone();
    let outcome = program(&mut tried, call, stdin_text(call))?;
    if outcome.code == UNSEEN_CODE {
        return Err(unseen(&outcome.stderr));
    }
    if outcome.code != 0 {
        return Err(
            OpError::failed(format!("{act}: it ended with exit code {}", outcome.code)).with_detail(outcome.stderr)
        );
    }
    put(world, call, outcome.stdout)
}

fn before_pod(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    check_streams(world, call)?;
    super::k8s::before_exec(world, call)
}

/// Whether it is a program that has run and may run again.
fn may_repeat(world: &World, call: &Call<'_>) -> bool {
    call.flag("repeatable") && world.effects.iter().any(|done| done.key == call.key)
}

fn probe_pod(_: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    super::typed::found(super::typed::args::<crate::ops::k8s::Exec>(call)?.became())
}

// --- running ---------------------------------------------------------------------------------------------------------------

fn check_streams(world: &World, call: &Call<'_>) -> Result<(), OpError> {
    if let Some(path) = call.maybe_text("stdin_file")
        && world.files.content(&super::absolute(path)?).is_none()
    {
        return Err(OpError::refused(format!("cannot read {path}: there is no such file")));
    }
    if call.maybe::<Vec<String>>("argv").unwrap_or_default().is_empty() && call.maybe_text("entrypoint").is_none() {
        return Err(OpError::refused(format!("{}: argv is empty", act(call))));
    }
    match call.maybe_text("stdout_file") {
        Some(path) => may_write(world, &super::absolute(path)?, call.flag("replace")),
        None => Ok(()),
    }
}

fn before_run(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    check_streams(world, call)?;
    Ok(json!({}))
}

fn before_exec(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    check_streams(world, call)?;
    let container = docker::running(world, &act(call), call.text("container")?)?;
    Ok(json!({ "id": container.id }))
}

fn takes(world: &World, call: &Call<'_>) -> u64 {
    if let Some((told, _)) = told(world, call) {
        return told.ok().and_then(|told| told.takes_ms().ok()).unwrap_or(0);
    }
    let argv: Vec<String> = call.maybe("argv").unwrap_or_default();
    declared(world, call, &argv).map_or(100, |command| command.takes_ms)
}

fn run(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    if let Some(container) = call.maybe_text("container") {
        docker::running(world, &act, container).map_err(|error| OpError::failed(error.message))?;
    }
    finish(world, call, &act)
}

/// What is in a file of the host.
fn file_content(world: &World, path: &str) -> Result<Content, OpError> {
    let content = world.files.content(&super::absolute(path)?).cloned();
    content.ok_or_else(|| OpError::failed(format!("cannot read {path}: there is no such file")))
}

/// Runs the program and brings its output where it belongs.
fn finish(world: &mut World, call: &Call<'_>, act: &str) -> Result<Value, OpError> {
    let stdin = call.maybe_text("stdin_file").map(|path| file_content(world, path)).transpose()?;
    let outcome = program(world, call, stdin)?;
    if outcome.code == UNSEEN_CODE {
        return Err(unseen(&outcome.stderr));
    }
    let ok: Vec<i32> = call.maybe("ok_codes").unwrap_or_else(|| vec![0]);
    if !ok.contains(&outcome.code) {
        return Err(OpError::failed(format!("{act}: it ended with exit code {}", outcome.code))
            .with_detail(outcome.stderr)
            .with_hint("if this code is no failure, list it in ok_codes"));
    }
    let (bytes, sha256) = (outcome.stdout.bytes(), outcome.stdout.sha256());
    let mut tail = String::new();
    match call.maybe_text("stdout_file") {
        Some(path) => {
            let path = super::absolute(path)?;
            if !fits(bytes, world.free) {
                return Err(OpError::failed(format!("cannot write {path}: no space left on device")));
            }
            world.files.remove(&part_of(&path, call.key));
            world.files.put(&path, Node::file(outcome.stdout, 0o600, Some(call.now)));
        }
        None => {
            tail = match outcome.stdout.why_unseen() {
                Some(why) => mark(why),
                None => outcome.stdout.text().unwrap_or_default().to_owned(),
            };
        }
    }
    Ok(json!({
        "code": outcome.code, "stdout_bytes": bytes, "stdout_sha256": sha256, "stdout_tail": tail,
        "stderr_tail": outcome.stderr, "millis": takes(world, call),
    }))
}

/// What is known when there is no status: that it never was started, or nothing.
fn lost(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if !call.lost(world) {
        return Ok(Probe::NotDone);
    }
    let why = format!("{}: it was started, but was killed before it left a status", act(call));
    Ok(Probe::CannotTell { why })
}

// --- in a container of its own ---------------------------------------------------------------------------------------------

fn own_name(call: &Call<'_>) -> String {
    format!("muster-{}", call.key)
}

fn before_one_shot(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    check_streams(world, call)?;
    let act = act(call);
    docker::check_mounts(world, &act, &call.maybe::<Vec<Mount>>("mounts").unwrap_or_default())?;
    Ok(json!({ "image_id": docker::image_id(world, &act, call.text("image")?)? }))
}

/// The container of the call, in which nothing has run yet.
fn own_container(world: &World, call: &Call<'_>) -> Container {
    Container {
        state: State::Created,
        env: BTreeMap::new(),
        mounts: call.maybe("mounts").unwrap_or_default(),
        ..docker::new_container(world, call, call.maybe_text("image").unwrap_or_default())
    }
}

fn one_shot(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    let name = own_name(call);
    if world.containers.get(&name).is_some_and(|found| found.state != State::Created) {
        return Err(OpError::failed(format!("{act}: the name {name} is already taken")));
    }
    world.containers.insert(name.clone(), own_container(world, call));
    let result = finish(world, call, &act);
    if let Some(container) = world.containers.get_mut(&name) {
        container.state = State::Exited;
        container.exit_code = match &result {
            Ok(result) => result["code"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
            Err(_) => 1,
        };
    }
    result
}

/// A kill of client and supervisor before the program began leaves the container made, and not started.
fn half_one_shot(world: &mut World, call: &Call<'_>) {
    world.containers.insert(own_name(call), own_container(world, call));
}

fn probe_one_shot(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    Ok(match world.containers.get(&own_name(call)) {
        None => Probe::NotDone,
        Some(found) if found.state == State::Created => Probe::NotDone,
        Some(found) if found.state == State::Running => Probe::Running { progress: None },
        Some(_) => Probe::CannotTell { why: format!("{}: it ended, and its output is lost", act(call)) },
    })
}

fn release_one_shot(world: &mut World, call: &Call<'_>) {
    world.containers.remove(&own_name(call));
}
