//! A playbook's own tests, as `tests/*.yaml` say them: a world, what goes wrong in it, what people say, and what is expected.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::Value;
use crate::model::command::Order;
use crate::model::span::{Span, Spanned};

/// One test.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What it shows.
    pub name: Spanned<String>,
    /// The world's file, in the playbook's folder; `world.yaml` when absent.
    pub world: Option<Spanned<String>>,
    /// What is different in that world, in this order.
    pub changes: Vec<Change>,
    /// Parameters, over the world's examples.
    pub params: BTreeMap<String, Spanned<Value>>,
    /// What people say when they are asked.
    pub answers: Answers,
    /// Calls that fail.
    pub faults: Vec<FaultAt>,
    /// Where the engine is stopped and started again; each counts from the one before.
    pub kills: Vec<KillAt>,
    /// Orders, one at each pause that no answer ends.
    pub orders: Vec<Spanned<Order>>,
    /// What is to come of it.
    pub expect: Expect,
}

/// What is different in a world.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Laid over the file before the world is built of it: maps key by key, everything else whole.
    pub set: Option<Spanned<Value>>,
    /// Taken away from the built world.
    pub remove: Vec<(Kind, Spanned<String>)>,
    /// Files of the built world that are damaged.
    pub damage: Vec<(Spanned<String>, Damage)>,
}

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file or folder with all below it.
    File,
    /// A container; the world still knows how it was declared.
    Container,
    /// A volume.
    Volume,
    /// A database, `SERVER/DATABASE`.
    Database,
    /// What answers at a URL.
    Endpoint,
}

/// How a file is damaged. What was summed of it before is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Only so many bytes are left.
    Cut(u64),
    /// Other bytes, as many.
    Flip,
    /// This text instead.
    Text(String),
}

/// What people say when they are asked.
#[derive(Clone, Debug, Default)]
pub enum Answers {
    /// Nothing: the run stays paused.
    #[default]
    None,
    /// Yes, to everything.
    Yes,
    /// By step.
    Steps(BTreeMap<String, Spanned<Say>>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// As many approve as it takes.
    Approve,
    /// One refuses, for this reason.
    Reject(String),
    /// The answer to a question.
    Answer(Value),
    /// It was done by hand; this shows it.
    Done(String),
}

/// A call that fails.
#[derive(Clone, Debug)]
pub struct FaultAt {
    /// Only calls of this operation.
    pub op: Option<Spanned<String>>,
    /// Only effects of this step.
    pub step: Option<Spanned<String>>,
    /// Which of them, counted from 1; all when empty.
    pub uses: Vec<u32>,
    /// How it fails.
    pub how: How,
    /// What the error says; made up when absent.
    pub message: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Before anything is done; asking again does not help.
    Refused,
    /// Before anything is done, for want of a permission.
    Denied,
    /// Before anything is done; asking again may help.
    Transient,
    /// It ran and said that it failed, having done nothing.
    Failed,
    /// In the middle: half of it is done, and nobody answers.
    Half,
    /// All is done, and the answer is lost.
    Lost,
}

/// The ways to fail, as written.
pub const HOWS: [(&str, How); 6] = [
    ("refused", How::Refused),
    ("denied", How::Denied),
    ("transient", How::Transient),
    ("failed", How::Failed),
    ("half", How::Half),
    ("lost", How::Lost),
];

/// Where the engine is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillAt {
    /// Around this effect, counted from 1.
    Effect(u32, Moment),
    /// When so many records are written.
    Record(u32),
}

/// Where around an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Its intent is durable, and it was not sent.
    Before,
    /// In its middle.
    Half,
    /// It is done, and its outcome was not written.
    After,
}

/// What is to come of it. What is not said may be as it likes.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// What `muster run` would exit with.
    pub exit: Option<Spanned<u32>>,
    /// `succeeded`, `rolled back`, `paused`, …
    pub status: Option<Spanned<String>>,
    /// Where steps stand at the end.
    pub steps: Vec<(Spanned<String>, Spanned<String>)>,
    /// The effects that are sent, without undos.
    pub effects: Option<Calls>,
    /// The undos that are sent.
    pub undos: Option<Calls>,
    /// What people are waited for, in order, whether or not it is answered.
    pub pauses: Option<Spanned<Vec<PauseWanted>>>,
    /// Results of steps; of maps, the keys that are named.
    pub outputs: Vec<(Spanned<String>, Value)>,
    /// What is said by errors of steps: each a part of one.
    pub errors: Vec<Spanned<String>>,
    /// What the run logs: each a part of a line.
    pub log: Vec<Spanned<String>>,
    /// The world at the end.
    pub world: WorldFacts,
    /// The plan of the same run, in the same world.
    pub plan: Option<PlanFacts>,
    /// The longest it may take, in the sandbox's time.
    pub within: Option<Spanned<Duration>>,
}

/// What people are waited for.
#[derive(Clone, Debug)]
pub struct PauseWanted {
    /// `step_failed`, `approval`, …
    pub why: Spanned<String>,
    /// At which step; any when absent.
    pub step: Option<String>,
}

/// Which calls.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// These and no others, in this order.
    pub only: Option<Spanned<Vec<CallWanted>>>,
    /// These, in this order, whatever is between them.
    pub contains: Vec<CallWanted>,
    /// None of these operations.
    pub none: Vec<Spanned<String>>,
    /// So many.
    pub count: Option<Spanned<u32>>,
}

/// A call.
#[derive(Clone, Debug)]
pub struct CallWanted {
    /// The operation.
    pub op: Spanned<String>,
    /// Arguments: those that are named; `*` in a text stands for anything.
    pub args: Value,
}

/// The world at the end.
#[derive(Clone, Debug, Default)]
pub struct WorldFacts {
    /// It is as it was, but for these parts (globs over `muster world show --diff`).
    pub unchanged: Option<Spanned<Vec<String>>>,
    /// Files by path; with `*`, one that fits is enough.
    pub files: Vec<(Spanned<String>, FileFacts)>,
    /// States of containers.
    pub containers: Vec<(Spanned<String>, Spanned<String>)>,
    /// Databases, `SERVER/DATABASE`.
    pub databases: Vec<(Spanned<String>, DatabaseFacts)>,
    /// Whether volumes are there.
    pub volumes: Vec<(Spanned<String>, bool)>,
    /// Resources of the playbook's own kinds: the fields that they have to have; none for one that must not be there.
    pub resources: Vec<(Spanned<String>, Option<FieldFacts>)>,
}

/// Fields and their values.
pub type FieldFacts = Vec<(Spanned<String>, Value)>;

/// A file.
#[derive(Clone, Debug)]
pub struct FileFacts {
    /// Whether it is there.
    pub exists: bool,
    /// Its text.
    pub text: Option<String>,
    /// A part of its text.
    pub contains: Option<String>,
    /// Its checksum.
    pub sha256: Option<String>,
    /// Its length.
    pub bytes: Option<u64>,
    /// Its permission bits, `0600`.
    pub mode: Option<String>,
}

/// A database.
#[derive(Clone, Debug)]
pub struct DatabaseFacts {
    /// Whether it is there.
    pub exists: bool,
    /// Rows of tables; a table without a schema is in `public`.
    pub rows: Vec<(Spanned<String>, u64)>,
}

/// What the plan says.
#[derive(Clone, Debug, Default)]
pub struct PlanFacts {
    /// How many effects.
    pub effects: Option<Spanned<u32>>,
    /// The steps that cannot be followed to their end.
    pub unknown_steps: Option<Spanned<Vec<String>>>,
    /// The steps that would fail.
    pub failing_steps: Option<Spanned<Vec<String>>>,
    /// The codes of its warnings.
    pub warnings: Option<Spanned<Vec<String>>>,
    /// The least coverage, in percent.
    pub coverage: Option<Spanned<u32>>,
    /// The longest it may foresee.
    pub within: Option<Spanned<Duration>>,
}
