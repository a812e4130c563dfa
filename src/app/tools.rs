//! The programs of this machine: whether they are there, and work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::SystemClock;
use crate::model::fault::OpError;
use crate::model::secret::Redactor;
use crate::model::{RunId, Value};
use crate::ops::context::ReadContext;
use crate::ops::process::{Children, ReadCommand};
use crate::ops::secrets::Secrets;
use crate::ops::spec::Backend;

/// What a program is given to say its version.
const VERSION: Duration = Duration::from_secs(10);
/// What the client of containers is given to list them.
const LIST: Duration = Duration::from_secs(20);

/// Reads this machine for no run.
fn reading<T>(read: impl FnOnce(&ReadContext<'_>) -> T) -> T {
    let secrets = Secrets::new([0; 32], Arc::new(Redactor::default()));
    let children = Children::new(std::env::temp_dir(), PathBuf::from("muster"));
    let run = RunId::from_entropy(0);
    read(&ReadContext {
        run: &run,
        key: "",
        before: &Value::Null,
        deadline: None,
        clock: &SystemClock,
        secrets: &secrets,
        children: &children,
    })
}

/// The first line of what a program says to `--version`.
///
/// # Errors
/// When it is not there, or does not say.
pub fn version(program: &str) -> Result<String, OpError> {
    let command = ReadCommand {
        argv: vec![program.to_owned(), "--version".to_owned()],
        timeout: Some(VERSION),
        ..ReadCommand::default()
    };
    let said = reading(|context| context.run_read(&command))?;
    Ok(said.stdout.lines().next().unwrap_or_default().trim().to_owned())
}

/// The client of containers, with how many it says are running. A client that tells its version may still have no storage, or no
/// daemon.
///
/// # Errors
/// When there is none, or it does not work.
pub fn containers() -> Result<String, OpError> {
    let other = "for docker.*; MUSTER_CONTAINER_RUNTIME names another client";
    let Some(Backend::Read(read)) = crate::ops::find("docker.info").map(|entry| &entry.backend) else {
        return Err(OpError::refused("this program is built without docker.*"));
    };
    reading(|context| {
        let info = read(context, serde_json::json!({})).map_err(|error| error.with_hint(other))?;
        let part = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let found = format!("{} {}", part("runtime"), part("version"));
        let list = ReadCommand {
            argv: vec![part("runtime"), "ps".to_owned(), "--quiet".to_owned()],
            timeout: Some(LIST),
            ..ReadCommand::default()
        };
        match context.run_read(&list) {
            Ok(said) => Ok(format!("{found}, {} running", said.stdout.lines().count())),
            Err(error) => {
                let said = error.detail.unwrap_or_default();
                let said = said.lines().last().unwrap_or_default();
                Err(OpError::refused(format!("{found} does not work: {} {said}", error.message))
                    .with_hint("docker.* will fail; try the client by hand as this user"))
            }
        }
    })
}
