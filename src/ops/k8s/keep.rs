//! What a program inside a Pod prints, kept in a file of this host: a dump of a database, say.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::client::{Hand, Line, target};
use super::inside::{Input, Inside, Printed, gone};
use super::look::Live;
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::args::{Confidential, Period};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{Digested, absolute, cannot, hex};
use crate::ops::fs::placement::{self, Filled};
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `k8s.read_to_file`.
pub struct ReadToFile;

/// A program that only reads, inside a running Pod, and where what it prints goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadToFileArgs {
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
    /// The file of this host, absolute. There must be none yet; its mode is 0600.
    pub to: String,
    /// How long it may take; 1 h when absent.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// What was kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
}

/// How long a program may take of which nobody says.
const USUAL: Duration = Duration::from_secs(3600);

impl ReadToFileArgs {
    /// What of it a program needs that runs in a Pod.
    #[must_use]
    pub fn inside(&self) -> Inside<'_> {
        Inside {
            pod: &self.pod,
            namespace: &self.namespace,
            container: self.container.as_deref(),
            argv: &self.argv,
            limit: self.timeout.map_or(USUAL, |timeout| timeout.0),
            any_exit: false,
            cluster: &self.cluster,
        }
    }
}

/// Fills a file with what the program prints: all of it, and it ended well.
fn fill(line: &Line<'_>, act: &str, args: &ReadToFileArgs, input: Input, file: &mut File) -> Filled {
    let path = absolute(&args.to)?;
    let (mut sum, mut bytes) = (Sha256::new(), 0u64);
    let (code, stderr) = line
        .inside_into(act, &args.inside(), input, Hand::Reads, &mut |chunk| {
            sum.update(chunk);
            bytes += chunk.len() as u64;
            file.write_all(chunk).map_err(|error| cannot("write", path, &error))
        })
        .map_err(gone)?;
    args.inside().judge(Printed { code, stdout: String::new(), stderr })?;
    Ok((Digested { bytes, sha256: hex(&sum.finalize()) }, 0))
}

impl Operation for ReadToFile {
    const NAME: &'static str = "k8s.read_to_file";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "runs a program that only reads (which is taken on trust) inside a running Pod, and streams what it prints to a \
                               file of this host. The file is there only when the program has ended with exit code 0, and then it is whole: a \
                               connection that breaks leaves none";
    const PERMISSION: &'static str = "get of pods, create of pods/exec; write in the folder";
    const TYPICAL: Duration = Duration::from_secs(60);
    type Args = ReadToFileArgs;
    type Output = Kept;

    fn resource(args: &ReadToFileArgs) -> String {
        format!("fs{}", args.to)
    }

    fn target(context: &ReadContext<'_>, args: &ReadToFileArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Write for ReadToFile {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "device, inode and SHA-256 of the file, against a mark left beside it before it was put in place";
    const UNDO_DOC: &'static str = "fs.restore_before: the file goes; in the Pod there is nothing to undo";

    fn before(context: &ReadContext<'_>, args: &ReadToFileArgs) -> Result<Value, OpError> {
        let _: Named = args.inside().named()?;
        let before = placement::look(absolute(&args.to)?, false)?;
        let line = context.kubernetes(&args.cluster)?;
        args.inside().image(&Live::on(&line, context))?;
        serde_json::to_value(before).map_err(|error| {
            OpError::refused(format!("cannot write {}: its image cannot be written: {error}", args.to))
        })
    }

    fn send(context: &WriteContext<'_>, args: ReadToFileArgs) -> Result<Send<Kept>, OpError> {
        let act = args.inside().act()?;
        let input = Input::of(args.stdin.as_ref(), &context.read)?;
        // Nothing is changed in the cluster.
        let line = context.read.kubernetes(&args.cluster)?;
        let mark = placement::put(context, absolute(&args.to)?, None, |file| fill(&line, &act, &args, input, file))?;
        Ok(Send::Done(Kept { path: args.to.clone(), bytes: mark.bytes, sha256: mark.sha256 }))
    }

    fn probe(context: &ReadContext<'_>, args: &ReadToFileArgs) -> Result<Found<Kept>, OpError> {
        Ok(match placement::found(context, absolute(&args.to)?)? {
            Found::Done(mark) => Found::Done(Kept { path: args.to.clone(), bytes: mark.bytes, sha256: mark.sha256 }),
            Found::NotDone => Found::NotDone,
            Found::Running(progress) => Found::Running(progress),
            Found::Partial(what) => Found::Partial(what),
            Found::Failed(error) => Found::Failed(error),
            Found::CannotTell(why) => Found::CannotTell(why),
        })
    }

    fn undo(args: &ReadToFileArgs, before: &Value, key: &str) -> Undo {
        placement::undo(&args.to, before, key)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &ReadToFileArgs, _: &Kept) -> Result<Value, OpError> {
        placement::fingerprint(absolute(&args.to)?)
    }

    fn predict(args: &ReadToFileArgs, _: &Value, _: &str) -> Predicted {
        let why = "only the run of the program tells";
        Predicted::Result(json!({ "path": args.to, "bytes": unknown(why), "sha256": unknown(why) }))
    }

    fn release(context: &WriteContext<'_>, args: &ReadToFileArgs) {
        placement::release(context, &args.to);
    }
}
