//! The command line as a whole: global options, the commands and their groups, and arguments that several share.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::commands::{
    accept, adopt, answer, approve, audit, cancel, check, completions, doctor, done, drill, exit_codes, export, fork,
    kill, lint, logs, new, note, notify, ops, plan, playbook, ps, reject, report, resume, retry, review, rollback, run,
    schedule, schema, serve, settle, show, skip, skip_undo, test, token, world,
};
use super::context::Context;
use super::exit::Code;
use super::failure::Failure;
use crate::model::Value;

/// Runs disaster-recovery playbooks: previewed, durable, rolled back and drilled.
#[derive(Parser)]
#[command(name = "muster", version, max_term_width = 100)]
pub struct Cli {
    /// Keep runs in this file; $MUSTER_STORE if not given.
    // Not clap's `env`: its usage lines would then show --store as if it were required.
    #[arg(long, global = true, value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    New(new::Args),
    Lint(lint::Args),
    Schema(schema::Args),
    Test(test::Args),
    Playbook(playbook::Args),
    Check(check::Args),
    Plan(plan::Args),
    Run(run::Args),
    Drill(drill::Args),
    Resume(resume::Args),
    Fork(fork::Args),
    Schedule(schedule::Args),
    Serve(serve::Args),
    Export(export::Args),
    Adopt(adopt::Args),
    Retry(retry::Args),
    Skip(skip::Args),
    Done(done::Args),
    Answer(answer::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Settle(settle::Args),
    Accept(accept::Args),
    SkipUndo(skip_undo::Args),
    Note(note::Args),
    Rollback(rollback::Args),
    Cancel(cancel::Args),
    Kill(kill::Args),
    Ps(ps::Args),
    Show(show::Args),
    Report(report::Args),
    Audit(audit::Args),
    Notify(notify::Args),
    Logs(logs::Args),
    World(world::Args),
    Token(token::Args),
    Review(review::Args),
    Ops(ops::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    ExitCodes(exit_codes::Args),
}

/// The commands as they are grouped in `muster --help`.
pub const GROUPS: [(&str, &[&str]); 7] = [
    ("Write a playbook", &["new", "lint", "test", "schema", "playbook"]),
    ("Run a playbook", &["check", "plan", "run", "drill", "resume", "fork", "export", "adopt", "schedule", "serve"]),
    (
        "Decide for a run that waits",
        &["retry", "skip", "done", "answer", "approve", "reject", "settle", "accept", "skip-undo"],
    ),
    ("End or undo a run", &["rollback", "cancel", "kill"]),
    ("Look", &["ps", "show", "report", "audit", "notify", "logs", "world", "note"]),
    ("Who may do what", &["token", "review"]),
    ("About Muster", &["ops", "doctor", "completions", "exit-codes", "help"]),
];

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// As the command says.
    pub fn run(self, context: &Context) -> Result<Code, Failure> {
        match self {
            Self::New(args) => new::run(&args, context),
            Self::Lint(args) => lint::run(&args, context),
            Self::Schema(args) => schema::run(&args, context),
            Self::Test(args) => test::run(&args, context),
            Self::Playbook(args) => playbook::run(&args, context),
            Self::Check(args) => check::run(&args, context),
            Self::Plan(args) => plan::run(&args, context),
            Self::Run(args) => run::run(&args, context),
            Self::Drill(args) => drill::run(&args, context),
            Self::Resume(args) => resume::run(args, context),
            Self::Fork(args) => fork::run(&args, context),
            Self::Schedule(args) => schedule::run(&args, context),
            Self::Serve(args) => serve::run(&args, context),
            Self::Export(args) => export::run(&args, context),
            Self::Adopt(args) => adopt::run(&args, context),
            Self::Retry(args) => retry::run(args, context),
            Self::Skip(args) => skip::run(args, context),
            Self::Done(args) => done::run(args, context),
            Self::Answer(args) => answer::run(args, context),
            Self::Approve(args) => approve::run(args, context),
            Self::Reject(args) => reject::run(args, context),
            Self::Settle(args) => settle::run(args, context),
            Self::Accept(args) => accept::run(args, context),
            Self::SkipUndo(args) => skip_undo::run(args, context),
            Self::Note(args) => note::run(args, context),
            Self::Rollback(args) => rollback::run(args, context),
            Self::Cancel(args) => cancel::run(args, context),
            Self::Kill(args) => kill::run(args, context),
            Self::Ps(args) => ps::run(&args, context),
            Self::Show(args) => show::run(&args, context),
            Self::Report(args) => report::run(&args, context),
            Self::Audit(args) => audit::run(&args, context),
            Self::Notify(args) => notify::run(&args, context),
            Self::Logs(args) => logs::run(&args, context),
            Self::World(args) => world::run(&args, context),
            Self::Token(args) => token::run(&args, context),
            Self::Review(args) => review::run(&args, context),
            Self::Ops(args) => ops::run(&args, context),
            Self::Doctor(args) => doctor::run(&args, context),
            Self::Completions(args) => completions::run(&args, context),
            Self::ExitCodes(args) => exit_codes::run(&args, context),
        }
    }
}

/// The command line with its commands in groups.
#[must_use]
pub fn command() -> clap::Command {
    let mut plain = Cli::command();
    plain.build();
    let mut groups = String::new();
    for (title, names) in GROUPS {
        groups.push_str(&format!("{title}:\n"));
        for name in names {
            let about = plain.find_subcommand(name).and_then(clap::Command::get_about).map(ToString::to_string);
            groups.push_str(&format!("  {name:<12} {}\n", about.unwrap_or_default()));
        }
        groups.push('\n');
    }
    let text = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}\n\n\
         Wherever a RUN is wanted: its id, as many of its first letters as tell it from the others, or @latest.\n\
         The store is $XDG_STATE_HOME/muster/muster.db, or the same under ~/.local/state. Output has no colour if\n\
         NO_COLOR is set, and has it in files too if CLICOLOR_FORCE is. `muster help COMMAND` says more about a command,\n\
         `muster exit-codes` what it exits with.\n"
    );
    Cli::command().help_template(text)
}

/// A run.
#[derive(Args, Clone, Debug)]
pub struct RunArg {
    /// The run: its id, the first letters of it, or @latest.
    #[arg(value_name = "RUN")]
    pub run: String,
}

/// A step of a run.
#[derive(Args, Clone, Debug)]
pub struct StepArg {
    /// The run: its id, the first letters of it, or @latest.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The step; of a `foreach` step, the instance: 'dump[chatbot_db]'.
    #[arg(value_name = "STEP")]
    pub step: String,
}

/// Reads words a person wrote down: a reason, evidence, a note.
///
/// # Errors
/// When there are none.
pub fn words(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("say it in words".to_owned()) } else { Ok(text.to_owned()) }
}

/// Reads a JSON value from the command line.
///
/// # Errors
/// When it is none.
pub fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON ({error}); texts are quoted: '\"like this\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_stands_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut whole = Cli::command();
        whole.build();
        let mut all: Vec<&str> = whole.get_subcommands().map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }
}
