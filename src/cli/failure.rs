//! Why a command failed, as people see it: the one place that turns an error into prefix, hint and exit code.

use std::fmt;

use super::exit::Code;
use super::render::brief::{self, cut, one_line};
use super::render::look::{Look, Tone};
use crate::access::AccessError;
use crate::app::{AppError, HandoverError, Stale};
use crate::engine::EngineError;
use crate::journal::{Holder, StoreError};
use crate::model::fault::{ErrorClass, OpError};
use crate::plan::file::PlanFileError;
use crate::playbook::bundle::BundleError;
use crate::playbook::diagnostic;
use crate::schedule::file::FileError;
use crate::serve::ServeError;

/// No message needs more characters; one that has more repeats what it was given.
const LONGEST_MESSAGE: usize = 1200;

/// Whose fault it is, and therefore what the process exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command could not be carried out as given.
    User,
    /// The playbook or its parameters are invalid.
    Invalid,
    /// A precondition failed, and nothing was touched.
    Precondition,
    /// A person has to look before anything goes on.
    NeedsPerson,
    /// What was approved is not what would run.
    Stale,
    /// Muster itself is wrong.
    Internal,
    /// Nobody reads our output any more: no failure of ours.
    Closed,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub kind: Kind,
    /// Act, thing and fault, in one lowercase sentence. Empty when everything has been said already.
    pub message: String,
    /// What a program or a check said, line by line, printed as it is.
    pub detail: String,
    /// What to do next.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: String::new(), hints: Vec::new() }
    }

    /// The command could not be carried out as given.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    /// A failure about which everything has been printed already.
    #[must_use]
    pub fn said(kind: Kind) -> Self {
        Self::new(kind, "")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what a program or a check said.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// What the process exits with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.kind {
            Kind::User | Kind::Internal => Code::Error,
            Kind::Invalid => Code::Invalid,
            Kind::Precondition => Code::Precondition,
            Kind::NeedsPerson => Code::NeedsPerson,
            Kind::Stale => Code::Stale,
            Kind::Closed => Code::Done,
        }
    }

    /// The text for standard error; empty when there is nothing to say.
    #[must_use]
    pub fn text(&self, look: Look) -> String {
        if self.kind == Kind::Closed {
            return String::new();
        }
        let mut text = String::new();
        if !self.message.is_empty() {
            let prefix = if self.kind == Kind::Internal { "internal error:" } else { "error:" };
            text.push_str(&format!(
                "{} {}\n",
                look.paint(Tone::Bad, prefix),
                cut(&one_line(&self.message), LONGEST_MESSAGE)
            ));
        }
        for line in brief::lines(&self.detail) {
            text.push_str(&format!("  │ {line}\n"));
        }
        for hint in &self.hints {
            text.push_str(&format!("  hint: {}\n", one_line(hint)));
        }
        if self.kind == Kind::Internal {
            text.push_str("  this is a fault of muster; journals are safe, and `muster resume` carries runs on\n");
        }
        text
    }

    /// Somebody alive holds the run.
    #[must_use]
    pub fn held_by(run: &str, holder: &Holder) -> Self {
        Self::user(format!("run {run} is held by {} (process {})", holder.who, holder.pid))
            .hint(format!("`muster logs {run} --follow` shows what it does"))
            .hint("approve, cancel, retry and the like reach it from here")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from_store(&error)
    }
}

impl Failure {
    /// What an error of the store means for whoever gave the command.
    #[must_use]
    pub fn from_store(error: &StoreError) -> Self {
        let failure = Self::user(error.to_string());
        match error {
            StoreError::NoSuchRun(_) => failure.hint("`muster ps --all` lists the runs of this store"),
            StoreError::HandedOver { run, .. } => {
                failure.hint(format!("`muster show {}` says how far it had got", run.short())).hint(
                    "if nobody goes on with it: `muster adopt FILE --take-over REASON` with the file that was exported",
                )
            }
            StoreError::Ambiguous { .. } => failure.hint("give more letters of the run's id"),
            StoreError::Full { .. } => failure.hint("free some room; `muster resume` then carries the run on"),
            StoreError::ReadOnly { .. } => failure
                .hint("runs can be looked at; to carry them on, make the store writable or choose another by --store"),
            StoreError::Damaged { run, .. } => Self { kind: Kind::NeedsPerson, ..failure }.hint(format!(
                "nothing goes on with run {} before somebody has looked: compare the store with its last backup",
                run.short()
            )),
            StoreError::Database { act: "open", .. } => failure.hint("name another store by --store or $MUSTER_STORE"),
            StoreError::Corrupt { .. } => Self { kind: Kind::NeedsPerson, ..failure }
                .hint("`muster doctor` says what can still be read; restore the store's file from a backup"),
            StoreError::Fenced { run, .. } => failure
                .hint(format!("`muster ps` says who holds it, `muster logs {} --follow` what it does", run.short())),
            _ => failure,
        }
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Store(error) => Self::from(error),
            AppError::Engine(error) => Self::from(error),
            AppError::Precondition(error) => Self::from(error),
            AppError::Held { run, holder } => Self::held_by(run.short(), &holder),
            AppError::Invalid { diagnostics, sources } => {
                // As text without a terminal's niceties; commands that can do better print them before.
                let text = diagnostic::render(&diagnostics, &sources, diagnostic::Style::PLAIN);
                Self::new(Kind::Invalid, "the playbook or its parameters are not valid").detail(text)
            }
            AppError::Playbook(error) => {
                let failure = Self::new(Kind::Invalid, error.to_string());
                match error {
                    BundleError::NotFound { likely: Some(name), .. } => failure.hint(format!("did you mean `{name}`?")),
                    BundleError::NotFound { .. } => failure.hint("`muster playbook list` shows those there are"),
                    _ => failure,
                }
            }
            AppError::Script(error) => Self::new(Kind::Invalid, error.to_string()),
            AppError::Over { ref run, .. } => {
                let hint = format!("`muster show {}` says how", run.short());
                Self::user(error.to_string()).hint(hint)
            }
            AppError::Bundle { .. } => Self::new(Kind::NeedsPerson, error.to_string())
                .hint("the version of muster that started the run can read it"),
            AppError::Stale(stale) => {
                let failure = Self::new(Kind::Stale, stale.to_string());
                match stale {
                    Stale::Changed { differences } => failure
                        .detail(differences.iter().map(|line| format!("- {line}\n")).collect::<String>())
                        .hint("review a new plan: `muster plan … --out FILE`"),
                    Stale::Applied { run } => {
                        failure.hint(format!("`muster show {}` says what became of it", run.short()))
                    }
                    Stale::Approval { .. } => {
                        failure.hint("a new plan of the same has no approvals: have that one approved")
                    }
                    Stale::OfRest { run } => failure
                        .hint(format!("`muster resume {} --plan FILE` goes on with the run under it", run.short())),
                    Stale::MovedOn { run } | Stale::OfAnother { run } => failure
                        .hint(format!("make a plan of what is left: `muster plan --run {} --out FILE`", run.short())),
                    Stale::Expired { .. } | Stale::Base { .. } | Stale::Fails { .. } => {
                        failure.hint("make a new plan and have it reviewed")
                    }
                }
            }
            AppError::PlanFile(error) => match error {
                PlanFileError::Changed { .. } => {
                    Self::new(Kind::Stale, error.to_string()).hint("make a new plan and have it reviewed")
                }
                PlanFileError::Form { .. } | PlanFileError::TooNew { .. } => Self::new(Kind::Stale, error.to_string()),
                PlanFileError::Read { .. } | PlanFileError::Write { .. } => Self::user(error.to_string()),
            },
            AppError::Handover(error) => match &error {
                HandoverError::Damaged(what) => {
                    Self::new(Kind::NeedsPerson, format!("the file is not the run that was exported: {what}"))
                        .hint("bring it over again from where it was exported")
                }
                HandoverError::NotReleased { .. } => Self::user(error.to_string())
                    .hint("export it with --release there; if that store is gone, --take-over REASON here"),
                HandoverError::Here { run } => {
                    Self::user(error.to_string()).hint(format!("`muster resume {}` goes on with it", run.short()))
                }
                HandoverError::Unpackable(_) => Self::user(error.to_string()),
            },
            AppError::World { .. } => Self::new(Kind::Invalid, error.to_string())
                .hint("`--world FILE` names another; docs and the shipped playbooks show what stands in one"),
            AppError::System { .. } => Self::user(error.to_string()),
        }
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        let failure = Self::user(error.to_string());
        match error {
            AccessError::Store(error) => Self::from(error),
            AccessError::Denied(denied) => failure.hint(denied.hint()),
            AccessError::NoSuchToken(_) => failure.hint("`muster token list` shows those there are"),
            AccessError::NoSuchReview(_) | AccessError::Closed { .. } => {
                failure.hint("`muster review list --all` shows those there are")
            }
            AccessError::Audit { .. } | AccessError::Document { .. } => Self { kind: Kind::NeedsPerson, ..failure }
                .hint("nothing is done before somebody has looked: compare the store with its last backup"),
            AccessError::Token(_)
            | AccessError::Wordless(_)
            | AccessError::NotValid
            | AccessError::Slow { .. }
            | AccessError::Chance(_) => failure,
        }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let text = error.to_string();
        match error {
            ServeError::Served { .. } => {
                Self::user(text).hint("with --standby it waits, and takes over when that one ends")
            }
            ServeError::NoToken { .. } => Self::user(text)
                .hint("`muster token create NAME --role admin` makes one; or listen on 127.0.0.1, behind a proxy"),
            ServeError::System { .. } => Self::user(text).hint("--listen ADDR:PORT names another place"),
            ServeError::Traces { .. } => {
                Self::user(text).hint("OTEL_EXPORTER_OTLP_ENDPOINT is a URL: http://localhost:4318")
            }
            ServeError::Schedules(FileError::Invalid { diagnostics, sources, path }) => {
                let text = diagnostic::render(&diagnostics, &sources, diagnostic::Style::PLAIN);
                Self::new(Kind::Invalid, format!("the schedules in {path} are not valid")).detail(text)
            }
            ServeError::Schedules(FileError::Read { .. }) => {
                Self::new(Kind::Invalid, text).hint("--schedules FILE names the schedules")
            }
            ServeError::Access(error) => Self::from(error),
            ServeError::Store(error) => Self::from(error),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => Self::from(error),
            EngineError::Journal { .. } => Self::new(Kind::NeedsPerson, error.to_string()),
            EngineError::Diverged { .. } => Self::new(Kind::NeedsPerson, error.to_string()).hint(
                "the script is not deterministic, or the journal is another run's: fork the run on a mended playbook",
            ),
            EngineError::Program(_) => Self::new(Kind::Invalid, error.to_string()),
            EngineError::NoRest { ref run, .. } => {
                let hint = format!("`muster show {}` says how it stands", run.short());
                Self::user(error.to_string()).hint(hint)
            }
            EngineError::Plan { .. } => Self::new(Kind::NeedsPerson, error.to_string()),
            EngineError::Revision { .. } => Self::new(Kind::NeedsPerson, error.to_string()),
        }
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        let kind = match error.class {
            ErrorClass::Refused | ErrorClass::Credentials | ErrorClass::Transient => Kind::Precondition,
            ErrorClass::Failed => Kind::User,
            ErrorClass::Unknown => Kind::NeedsPerson,
        };
        let mut failure = Self::new(kind, error.message).detail(error.detail.unwrap_or_default());
        failure.hints.extend(error.hint);
        failure
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::said(Kind::Closed)
        } else {
            Self::user(format!("cannot write the output: {error}"))
        }
    }
}

/// Makes a panic a calm message: the place, what to do, and no trace.
pub fn calm_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let said = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        let failure = Failure::new(Kind::Internal, format!("{said}{place}"));
        // Standard error may be closed, and a panic in here would abort.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), failure.text(Look::PLAIN).as_bytes());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_to_do_next() {
        let failure = Failure::from(StoreError::NoSuchRun("zz".to_owned()));
        assert_eq!(failure.code(), Code::Error);
        assert_eq!(
            failure.text(Look::PLAIN),
            "error: no run `zz`\n  hint: `muster ps --all` lists the runs of this store\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((failure.code(), failure.text(Look::PLAIN)), (Code::Done, String::new()));
    }
}
