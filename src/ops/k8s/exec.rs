//! Programs inside Pods that change something.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::client::{Hand, target};
use super::inside::{Input, Inside, Printed};
use super::look::Live;
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::args::{Confidential, Period};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `k8s.exec`.
pub struct Exec;

/// A program, inside a running Pod.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecArgs {
    /// The Pod's name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// The container; the Pod's first one when absent.
    #[serde(default)]
    pub container: Option<String>,
    /// The program and its arguments. No shell. They stand in the API server's audit log: no secrets.
    pub argv: Vec<String>,
    /// What it reads; may be a secret.
    #[serde(default)]
    pub stdin: Option<Confidential>,
    /// A file of this host that it reads instead, streamed.
    #[serde(default)]
    pub stdin_file: Option<String>,
    /// How long it may take; 10 min when absent.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// Whether an exit code other than 0 is an answer rather than an error.
    #[serde(default)]
    pub any_exit: bool,
    /// Whether it does no harm a second time: otherwise, when nobody knows whether it ran to its end, a person is asked.
    #[serde(default)]
    pub repeatable: bool,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// How long a program may take of which nobody says.
const USUAL: Duration = Duration::from_secs(600);

impl ExecArgs {
    /// What of it a program needs that runs in a Pod.
    #[must_use]
    pub fn inside(&self) -> Inside<'_> {
        Inside {
            pod: &self.pod,
            namespace: &self.namespace,
            container: self.container.as_deref(),
            argv: &self.argv,
            limit: self.timeout.map_or(USUAL, |timeout| timeout.0),
            any_exit: self.any_exit,
            cluster: &self.cluster,
        }
    }

    /// Refuses what it cannot read.
    ///
    /// # Errors
    /// Refused, when it is to read two things, or a path depends on where muster runs.
    pub fn check_streams(&self) -> Result<(), OpError> {
        let Some(path) = &self.stdin_file else { return Ok(()) };
        if self.stdin.is_some() {
            return Err(OpError::refused(format!("{}: give `stdin` or `stdin_file`, not both", self.inside().act()?)));
        }
        crate::ops::files::absolute(path).map(|_| ())
    }

    /// What became of it, as far as anybody can say.
    #[must_use]
    pub fn became(&self) -> Found<Printed> {
        if self.repeatable {
            return Found::NotDone;
        }
        let program = self.argv.first().map_or("", String::as_str);
        Found::CannotTell(format!(
            "only Pod {}/{} could tell whether {program} ran there to its end",
            self.namespace, self.pod
        ))
    }
}

impl Operation for Exec {
    const NAME: &'static str = "k8s.exec";
    const EFFECT: Effect = Effect::Exec;
    const DOC: &'static str = "runs a program inside a running Pod and captures what it prints; at most once, unless it is said to be \
                               `repeatable`. For what takes long, make a Job: it goes on when the connection does not";
    const PERMISSION: &'static str = "get of pods, create of pods/exec";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = ExecArgs;
    type Output = Printed;

    fn resource(args: &ExecArgs) -> String {
        args.inside().named().map(|named: Named| named.resource()).unwrap_or_default()
    }

    fn touches(args: &ExecArgs, _before: &Value) -> Vec<Touch> {
        args.inside().named().map(|named| vec![named.touched()]).unwrap_or_default()
    }

    fn target(context: &ReadContext<'_>, args: &ExecArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Write for Exec {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "none: a connection that was lost tells nothing. What is `repeatable` is run again, otherwise a person is asked";
    const UNDO_DOC: &'static str = "impossible: what the program did is not known; give the step a `rollback:`";

    fn before(context: &ReadContext<'_>, args: &ExecArgs) -> Result<Value, OpError> {
        args.check_streams()?;
        if let Some(path) = &args.stdin_file
            && !std::path::Path::new(path).is_file()
        {
            return Err(OpError::refused(format!("cannot read {path}: there is no such file")));
        }
        let line = context.kubernetes(&args.cluster)?;
        args.inside().image(&Live::on(&line, context))
    }

    fn send(context: &WriteContext<'_>, args: ExecArgs) -> Result<Send<Printed>, OpError> {
        let act = args.inside().act()?;
        let input = match &args.stdin_file {
            Some(path) => Input::of_file(path)?,
            None => Input::of(args.stdin.as_ref(), &context.read)?,
        };
        let line = context.kubernetes(&args.cluster)?;
        // Asking for the Pod once more narrows the gap in which another of its name may have come; the server knows no condition for this.
        let now = args.inside().image(&Live { line: &line, secrets: context.read.secrets })?;
        if now["uid"] != context.read.before["uid"] {
            return Err(OpError::refused(format!("{act}: it was deleted and made anew since it was looked at")));
        }
        let printed = line.inside(&act, &args.inside(), input, Hand::Writes)?;
        Ok(Send::Done(args.inside().judge(printed)?))
    }

    fn probe(_: &ReadContext<'_>, args: &ExecArgs) -> Result<Found<Printed>, OpError> {
        Ok(args.became())
    }

    fn undo(_: &ExecArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible("nobody knows what the program did; give the step a `rollback:`")
    }

    fn fingerprint(_: &ReadContext<'_>, _: &ExecArgs, _: &Printed) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_: &ExecArgs, _: &Value, _: &str) -> Predicted {
        let why = "only the run of the program tells";
        Predicted::Result(json!({ "code": 0, "stdout": unknown(why), "stderr": unknown(why) }))
    }

    fn release(_: &WriteContext<'_>, _: &ExecArgs) {}
}
