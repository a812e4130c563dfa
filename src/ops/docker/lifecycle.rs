//! Starting and stopping a container that is there.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::ContainerArgs;
use super::client::{client, explain, host_target};
use super::inspect::{Container, inspect, inspect_existing};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::args::Period;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// What both need to know of the container as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Earlier {
    id: String,
    running: bool,
    started_at: String,
}

impl Earlier {
    fn of(container: Container) -> Value {
        json!({ "id": container.id, "running": container.running, "started_at": container.started_at })
    }

    fn read(before: &Value) -> Self {
        Self::deserialize(before).unwrap_or_default()
    }
}

fn replaced(container: &str) -> String {
    format!("the container named {container} is not the one it was: it was removed and made anew in between")
}

/// `docker.start`.
pub struct Start;

/// A container was started.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// When, as the client writes it.
    pub started_at: String,
    /// Whether it ran already, and nothing was done.
    pub was_running: bool,
}

impl Operation for Start {
    const NAME: &'static str = "docker.start";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "starts a container that is there. One that runs already is left alone";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = ContainerArgs;
    type Output = Started;

    fn resource(args: &ContainerArgs) -> String {
        format!("docker/{}", args.container)
    }

    fn target(context: &ReadContext<'_>, _args: &ContainerArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Write for Start {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "the container's state and start time, against those before the call";
    const UNDO_DOC: &'static str = "docker.stop, if it did not run before";

    fn before(context: &ReadContext<'_>, args: &ContainerArgs) -> Result<Value, OpError> {
        let act = format!("cannot start container {}", args.container);
        inspect_existing(context, &act, &args.container).map(Earlier::of)
    }

    fn send(context: &WriteContext<'_>, args: ContainerArgs) -> Result<Send<Started>, OpError> {
        let act = format!("cannot start container {}", args.container);
        let was_running = Earlier::read(context.read.before).running;
        let now = inspect_existing(&context.read, &act, &args.container)?;
        if now.running {
            return Ok(Send::Done(Started { started_at: now.started_at, was_running }));
        }
        let command = ReadCommand { timeout: Some(Duration::from_secs(60)), ..client(["start", &args.container]) };
        let ended = context.run_write(&ReadCommand { any_exit: true, ..command })?;
        if ended.code != 0 {
            return Err(explain(&act, &args.container, ended.code, &ended.stderr));
        }
        let now = inspect_existing(&context.read, &act, &args.container)?;
        Ok(Send::Done(Started { started_at: now.started_at, was_running }))
    }

    fn probe(context: &ReadContext<'_>, args: &ContainerArgs) -> Result<Found<Started>, OpError> {
        let earlier = Earlier::read(context.before);
        let now = inspect(context, &args.container)?;
        if now.id != earlier.id {
            return Ok(Found::CannotTell(replaced(&args.container)));
        }
        // One that was started and has stopped again was started: its start time has moved on.
        if now.running || now.started_at != earlier.started_at {
            return Ok(Found::Done(Started { started_at: now.started_at, was_running: earlier.running }));
        }
        Ok(Found::NotDone)
    }

    fn undo(args: &ContainerArgs, before: &Value, _key: &str) -> Undo {
        if Earlier::read(before).running {
            Undo::Nothing
        } else {
            Undo::Call { op: "docker.stop", args: json!({ "container": args.container }) }
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &ContainerArgs, _result: &Started) -> Result<Value, OpError> {
        let now = inspect(context, &args.container)?;
        Ok(json!({ "id": now.id, "running": now.running }))
    }

    fn predict(_args: &ContainerArgs, before: &Value, _key: &str) -> Predicted {
        let earlier = Earlier::read(before);
        let started_at =
            if earlier.running { Value::from(earlier.started_at) } else { unknown("when the container starts") };
        Predicted::Result(json!({ "started_at": started_at, "was_running": earlier.running }))
    }

    fn release(_context: &WriteContext<'_>, _args: &ContainerArgs) {}
}

/// `docker.stop`.
pub struct Stop;

/// Which container to stop, and how gently.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopArgs {
    /// Name or id of the container.
    pub container: String,
    /// How long it may take to end by itself before it is killed; 10 s when absent.
    #[serde(default)]
    pub grace: Option<Period>,
}

impl StopArgs {
    fn grace(&self) -> Duration {
        self.grace.map_or(Duration::from_secs(10), |grace| grace.0)
    }
}

/// A container was stopped.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    /// Whether it ran before.
    pub was_running: bool,
}

impl Operation for Stop {
    const NAME: &'static str = "docker.stop";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "stops a container and keeps it, with its files. One that does not run is left alone";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_secs(3);
    type Args = StopArgs;
    type Output = Stopped;

    fn resource(args: &StopArgs) -> String {
        format!("docker/{}", args.container)
    }

    fn target(context: &ReadContext<'_>, _args: &StopArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Write for Stop {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "the container's state";
    const UNDO_DOC: &'static str = "docker.start, if it ran before";

    fn before(context: &ReadContext<'_>, args: &StopArgs) -> Result<Value, OpError> {
        inspect_existing(context, &format!("cannot stop container {}", args.container), &args.container)
            .map(Earlier::of)
    }

    fn send(context: &WriteContext<'_>, args: StopArgs) -> Result<Send<Stopped>, OpError> {
        let act = format!("cannot stop container {}", args.container);
        let grace = args.grace();
        let was_running = Earlier::read(context.read.before).running;
        if !inspect_existing(&context.read, &act, &args.container)?.running {
            return Ok(Send::Done(Stopped { was_running }));
        }
        let mut command = client(["stop", "-t", &grace.as_secs().to_string(), &args.container]);
        command.timeout = Some(grace + Duration::from_secs(60));
        let ended = context.run_write(&ReadCommand { any_exit: true, ..command })?;
        if ended.code != 0 {
            return Err(explain(&act, &args.container, ended.code, &ended.stderr));
        }
        Ok(Send::Done(Stopped { was_running }))
    }

    fn probe(context: &ReadContext<'_>, args: &StopArgs) -> Result<Found<Stopped>, OpError> {
        let earlier = Earlier::read(context.before);
        let now = inspect(context, &args.container)?;
        if now.id != earlier.id {
            return Ok(Found::CannotTell(replaced(&args.container)));
        }
        Ok(if now.state == "stopping" {
            Found::Running(Some("stopping".to_owned()))
        } else if now.running {
            Found::NotDone
        } else {
            Found::Done(Stopped { was_running: earlier.running })
        })
    }

    fn undo(args: &StopArgs, before: &Value, _key: &str) -> Undo {
        if Earlier::read(before).running {
            Undo::Call { op: "docker.start", args: json!({ "container": args.container }) }
        } else {
            Undo::Nothing
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &StopArgs, _result: &Stopped) -> Result<Value, OpError> {
        let now = inspect(context, &args.container)?;
        Ok(json!({ "id": now.id, "running": now.running }))
    }

    fn predict(_args: &StopArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "was_running": Earlier::read(before).running }))
    }

    fn release(_context: &WriteContext<'_>, _args: &StopArgs) {}
}
