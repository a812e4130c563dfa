//! A playbook as loaded: typed, checked for form, every part with its place in the user's text.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use crate::model::Value;
use crate::model::span::{Span, Spanned};

/// A Rhai expression: pure, over `params`, `steps`, `run`, `item` and `key`.
pub type Expr = Spanned<String>;

/// A YAML value whose texts may hold `${ expression }`s. A text that is one `${…}` and nothing else has the expression's
/// value and type; otherwise the values are put into the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// As it is.
    Plain(Spanned<Value>),
    /// One expression.
    Expr(Expr),
    /// Text and expressions in turn.
    Text(Vec<TextPart>, Span),
    /// A list.
    List(Vec<Template>, Span),
    /// A map, in the order written.
    Map(Vec<(Spanned<String>, Template)>, Span),
}

/// A piece of an interpolated text.
#[derive(Clone, Debug, PartialEq)]
pub enum TextPart {
    /// As it is.
    Plain(String),
    /// Replaced by its value.
    Expr(Expr),
}

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamType {
    String,
    Int,
    Bool,
    /// In scripts: whole milliseconds.
    Duration,
    /// RFC 3339; in scripts: text in UTC.
    Time,
    /// In scripts: bytes.
    Size,
    Enum(Vec<String>),
    /// `list` or `list(string)`.
    List(Option<Box<ParamType>>),
    /// `map` or `map(int)`.
    Map(Option<Box<ParamType>>),
    /// Made absolute against the folder of the command.
    Path,
    /// A handle; never its contents.
    Secret,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub name: Spanned<String>,
    pub kind: ParamType,
    pub doc: String,
    /// An expression over the parameters declared before it. A parameter without one has to be given.
    pub default: Option<Template>,
    /// A regular expression is overkill; a glob that the text must match.
    pub matches: Option<Spanned<String>>,
    pub span: Span,
}

/// Something a playbook may do: an operation or a pattern (`docker.*`), and what its arguments must match.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// `pg.dump`, `rds.describe_*`, `docker.*`.
    pub pattern: Spanned<String>,
    /// Argument name → glob or list of globs, after `${}`.
    pub scope: Vec<(Spanned<String>, Template)>,
}

/// Where secrets stand that scripts never ask for but output could show: declared so that they are redacted.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretSource {
    /// `dotenv`: the values of a `.env` file; `file`: a file's whole contents; `env`: a variable of the environment.
    pub provider: Spanned<String>,
    /// The file's path or the variable's name.
    pub from: Template,
    /// For `dotenv`: only these keys; all when empty.
    pub keys: Vec<Spanned<String>>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// An operation (`pg.dump`) or a function of the standard library or an imported module (`stdlib/pg.swap`).
    Uses { path: Spanned<String>, with: Option<Template> },
    /// Rhai; its last value is the step's result.
    Script(Spanned<String>),
    /// A person does it.
    Manual { instructions: Template, evidence: Option<Spanned<String>> },
}

/// How a failing step is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Before the second attempt.
    pub delay: Duration,
    /// Multiplies the delay each time. 1.0: constant.
    pub backoff: f64,
    /// Longest delay.
    pub max_delay: Duration,
    /// Fraction of the delay that is random, 0 to 1.
    pub jitter: f64,
}

/// What happens when a step has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The run pauses and offers choices.
    #[default]
    Pause,
    /// The run is rolled back.
    Rollback,
    /// The run goes on; the step is recorded as failed, handled. Dependants see `()`.
    Continue,
}

/// Proof that a step did what it should: an expression or block that reads, and is asked until it is true. What is not allowed
/// fails it at once, and expired credentials pause the run: neither comes by waiting.
#[derive(Clone, Debug, PartialEq)]
pub struct Verify {
    /// Rhai; must be `true` in the end.
    pub check: Spanned<String>,
    /// How long it may take to become true.
    pub within: Duration,
    /// How often it is asked.
    pub every: Duration,
}

/// Who has to agree before a step starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Names or roles; anybody but the starter when empty.
    pub by: Vec<String>,
    /// How many of them.
    pub count: u32,
    /// How long an approval counts at most, if the step does not begin before; for ever when absent.
    pub valid_for: Option<Duration>,
}

/// A step with `foreach`: one instance an item. The step's output is a map from key to the instance's output, so dependants
/// write `steps.dump["chatbot_db"].path`, or loop over `steps.dump.values()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreach {
    /// A list.
    pub items: Template,
    /// The instance's key, an expression over `item`; the item itself, as text, when absent. Keys are unique.
    pub key: Option<Expr>,
    /// How many at once; all when absent.
    pub parallel: Option<u32>,
}

/// A node of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub id: Spanned<String>,
    pub title: String,
    pub needs: Vec<Spanned<String>>,
    pub body: Body,
    /// Must be a bool; the step is skipped when false.
    pub when: Option<Expr>,
    pub foreach: Option<Foreach>,
    pub retry: Option<Retry>,
    /// For each attempt, without the time people take.
    pub timeout: Option<Duration>,
    pub verify: Option<Verify>,
    /// Rhai that replaces the undos of the step's calls.
    pub rollback: Option<Spanned<String>>,
    pub approval: Option<Approval>,
    pub on_failure: OnFailure,
    /// Why there is no way back after this step's first effect.
    pub point_of_no_return: Option<Spanned<String>>,
    pub span: Span,
}

/// How the playbook is drilled.
#[derive(Clone, Debug, PartialEq)]
pub struct Drill {
    /// Why it cannot be drilled; nothing else is said then.
    pub none: Option<Spanned<String>>,
    /// Parameters that a drill sets, over `run`.
    pub params: Vec<(Spanned<String>, Template)>,
    /// Steps that a drill leaves out.
    pub skip: Vec<Spanned<String>>,
    /// Containers and the like that a drill may touch although it did not make them.
    pub shared: Vec<Template>,
    /// The steps whose end proves the recovery; the end of the last step when empty.
    pub proof: Vec<Spanned<String>>,
    /// What is measured when the steps have ended: a name and a Rhai expression. `rpo` gives when the newest of the recovered
    /// data were written, or how old they are.
    pub measure: Vec<(Spanned<String>, Expr)>,
    /// How long it may take until it is torn down.
    pub time: Option<Duration>,
    /// How many things the operations that fit a glob may make.
    pub makes: Vec<(Spanned<String>, u32)>,
    pub span: Span,
}

/// A precondition that the author states: whether the playbook would work now.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub id: Spanned<String>,
    /// What is asked, in a line.
    pub title: String,
    /// What it asks.
    pub asks: Asks,
    /// What to do when it does not hold.
    pub hint: Option<String>,
    /// Longer than this, and it has failed.
    pub timeout: Duration,
    pub span: Span,
}

/// What a check asks. Both are Rhai, and only read.
#[derive(Clone, Debug, PartialEq)]
pub enum Asks {
    /// Whether this is true; it may also give a map `{ ok, found, hint }`.
    Holds(Spanned<String>),
    /// When the newest recovery point was taken, and how old it may be: as old as the playbook's RPO when not said.
    RecoveryPoint { at: Spanned<String>, max_age: Option<Duration> },
}

impl Check {
    /// Its Rhai.
    #[must_use]
    pub fn script(&self) -> &Spanned<String> {
        match &self.asks {
            Asks::Holds(script) | Asks::RecoveryPoint { at: script, .. } => script,
        }
    }
}

/// A playbook.
#[derive(Clone, Debug, PartialEq)]
pub struct Playbook {
    pub name: Spanned<String>,
    pub version: Spanned<String>,
    pub title: String,
    pub doc: String,
    /// `stdlib/pg`, `lib/mine`: the module's alias is the last name.
    pub imports: Vec<Spanned<String>>,
    pub rto: Option<Duration>,
    pub rpo: Option<Duration>,
    pub params: Vec<Param>,
    pub capabilities: Vec<Grant>,
    pub secrets: Vec<SecretSource>,
    /// Whether it would work now.
    pub checks: Vec<Check>,
    /// Steps at once; 8 when absent.
    pub parallel: u32,
    pub steps: Vec<Step>,
    pub drill: Option<Drill>,
    /// Where each step stands, found out when first asked.
    pub places: Places,
}

/// Where each step of a playbook stands, by its id. All of them are equal: it says nothing that the steps do not.
#[derive(Debug, Default)]
pub struct Places(OnceLock<HashMap<String, usize>>);

impl Clone for Places {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Playbook {
    /// The step with this id.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.place(id).and_then(|place| self.steps.get(place))
    }

    /// The number of the step with this id.
    #[must_use]
    pub fn place(&self, id: &str) -> Option<usize> {
        let places = self.places.0.get_or_init(|| {
            // The first of those that share an id, as everywhere.
            self.steps.iter().enumerate().rev().map(|(place, step)| (step.id.value.clone(), place)).collect()
        });
        let is = |step: &Step| step.id.value == id;
        let known = places.get(id).copied().filter(|place| self.steps.get(*place).is_some_and(is));
        // Steps may have been put in since.
        known.or_else(|| self.steps.iter().position(is))
    }
}
