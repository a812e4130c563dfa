//! Programs inside Pods, and those that only read there.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::client::{Hand, Line, target};
use super::fault::{Complaint, Fault};
use super::fields::meta;
use super::kind::Kind;
use super::look::Look;
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::args::{Confidential, Period};
use crate::ops::context::ReadContext;
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Operation, Read};

/// `k8s.read`.
pub struct ReadInside;

/// A program that only reads, inside a running Pod.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadInsideArgs {
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
    /// How long it may take; 30 s when absent.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// Whether an exit code other than 0 is an answer rather than an error.
    #[serde(default)]
    pub any_exit: bool,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// What a program printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Printed {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// How long a program may take of which nobody says.
const USUAL: Duration = Duration::from_secs(30);
/// More than this of either output is refused.
const MOST: usize = 16 << 20;
/// How much is read or written at once.
const CHUNK: usize = 64 << 10;

impl ReadInsideArgs {
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
}

/// A program in a Pod.
pub struct Inside<'a> {
    /// The Pod's name.
    pub pod: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The container; the Pod's first one when absent.
    pub container: Option<&'a str>,
    /// The program and its arguments.
    pub argv: &'a [String],
    /// How long it may take.
    pub limit: Duration,
    /// Whether an exit code other than 0 is an answer rather than an error.
    pub any_exit: bool,
    /// Which cluster.
    pub cluster: &'a Cluster,
}

impl Inside<'_> {
    /// The Pod.
    ///
    /// # Errors
    /// Refused, when it cannot be the name of one.
    pub fn named(&self) -> Result<Named, OpError> {
        let kind = Kind::parse("v1/Pod").map_err(OpError::refused)?;
        let (namespace, name) = (Some(self.namespace.to_owned()), self.pod.to_owned());
        let named = Named { kind, namespace, name, cluster: self.cluster.clone() };
        named.check()?;
        Ok(named)
    }

    /// What is said to be impossible.
    ///
    /// # Errors
    /// Refused, when no program is named.
    pub fn act(&self) -> Result<String, OpError> {
        let program = self.argv.first().map_or("", String::as_str);
        let act = format!("cannot run {program} in Pod {}/{}", self.namespace, self.pod);
        if program.is_empty() {
            return Err(OpError::refused(format!("cannot run a program in Pod {}: argv is empty", self.pod)));
        }
        Ok(act)
    }

    /// The image taken before: which Pod it is.
    ///
    /// # Errors
    /// Refused, when there is no such Pod, or it does not run.
    pub fn image(&self, look: &dyn Look) -> Result<Value, OpError> {
        let (named, act) = (self.named()?, self.act()?);
        let Some(pod) = look.object(&named)? else {
            return Err(OpError::refused(format!("{act}: there is no such Pod"))
                .with_hint("Pods come and go: list them right before"));
        };
        let phase = pod["status"]["phase"].as_str().unwrap_or("Pending");
        if phase != "Running" {
            return Err(OpError::refused(format!("{act}: it does not run: {phase}")));
        }
        Ok(serde_json::json!({ "uid": meta(&pod, "uid") }))
    }

    /// The answer that an end of the program is.
    ///
    /// # Errors
    /// Failed, for an exit code other than 0 unless any will do.
    pub fn judge(&self, printed: Printed) -> Result<Printed, OpError> {
        if printed.code == 0 || self.any_exit {
            return Ok(printed);
        }
        Err(OpError::failed(format!("{}: it ended with exit code {}", self.act()?, printed.code))
            .with_detail(printed.stderr))
    }
}

/// What a program reads on its standard input.
pub(super) enum Input {
    /// Nothing.
    Nothing,
    /// A text.
    Text(String),
    /// A file of this host.
    File(tokio::fs::File),
}

impl Input {
    /// A text, if one is given.
    pub(super) fn of(text: Option<&Confidential>, context: &ReadContext<'_>) -> Result<Self, OpError> {
        text.map_or(Ok(Self::Nothing), |text| text.reveal(context.secrets).map(Self::Text))
    }

    /// A file, read from its beginning.
    pub(super) fn of_file(path: &str) -> Result<Self, OpError> {
        let path = crate::ops::files::absolute(path)?;
        let file = std::fs::File::open(path).map_err(|error| crate::ops::files::cannot("read", path, &error))?;
        Ok(Self::File(tokio::fs::File::from_std(file)))
    }

    /// Feeds it. Who stops reading early has had enough, and its exit code tells whether it was.
    async fn feed(self, to: Option<impl AsyncWrite + Unpin>) -> std::io::Result<()> {
        let Some(mut to) = to else { return Ok(()) };
        let mut chunk = vec![0; CHUNK];
        match self {
            Self::Nothing => {}
            Self::Text(text) => {
                let _ = to.write_all(text.as_bytes()).await;
            }
            Self::File(mut from) => loop {
                let n = from.read(&mut chunk).await?;
                if n == 0 || to.write_all(&chunk[..n]).await.is_err() {
                    break;
                }
            },
        }
        let _ = to.shutdown().await;
        Ok(())
    }
}

/// Reads to the end into what takes the bytes.
///
/// # Errors
/// What breaks off is in doubt as the connection is; where it goes, it may not fit.
async fn pour(
    from: Option<impl AsyncRead + Unpin>,
    into: &mut dyn FnMut(&[u8]) -> Result<(), OpError>,
    broken: impl Fn(&str) -> Complaint,
) -> Result<(), Complaint> {
    let Some(mut from) = from else { return Ok(()) };
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk).await {
            Ok(0) => return Ok(()),
            Ok(n) => into(&chunk[..n])?,
            Err(error) => return Err(broken(&format!("its output breaks off: {error}"))),
        }
    }
}

/// Reads to the end; nothing when there is more than anybody wants to hold.
async fn drain(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(MOST as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok((bytes.len() <= MOST).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What kept a program from being asked, with what to do when its Pod is gone.
pub(super) fn gone(complaint: Complaint) -> OpError {
    let gone = complaint.fault == Fault::NotFound;
    let error = OpError::from(complaint);
    if gone { error.with_hint("Pods come and go: list them right before") } else { error }
}

/// The exit code that the end of a program tells; what else has kept it from running.
fn code_of(status: &Status) -> Result<i32, String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code = causes.into_iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.as_ref()?.parse().ok());
    code.ok_or_else(|| status.message.clone().unwrap_or_else(|| "it did not run".to_owned()))
}

impl Line<'_> {
    /// Runs a program inside a Pod to its end, and captures what it prints. By [`Hand::Writes`] a program that may have run is in doubt.
    ///
    /// # Errors
    /// When it cannot be started, or its end is not known.
    pub(super) fn inside(
        &self,
        act: &str,
        program: &Inside<'_>,
        input: Input,
        hand: Hand,
    ) -> Result<Printed, Complaint> {
        let mut bytes = Vec::new();
        let (code, stderr) = self.inside_into(act, program, input, hand, &mut |chunk| {
            if bytes.len() + chunk.len() > MOST {
                return Err(OpError::failed(format!("{act}: it prints more than {MOST} bytes")));
            }
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(Printed { code, stdout: String::from_utf8_lossy(&bytes).into_owned(), stderr })
    }

    /// As [`Line::inside`], with what it prints given to `into` as it comes; its exit code and its standard error.
    ///
    /// # Errors
    /// As [`Line::inside`]. What was given until then may be half of it.
    pub(super) fn inside_into(
        &self,
        act: &str,
        program: &Inside<'_>,
        input: Input,
        hand: Hand,
        into: &mut dyn FnMut(&[u8]) -> Result<(), OpError>,
    ) -> Result<(i32, String), Complaint> {
        let pods: Api<Pod> = Api::namespaced(self.connection.client(), program.namespace);
        let params = AttachParams {
            container: program.container.map(str::to_owned),
            stdin: !matches!(input, Input::Nothing),
            stdout: true,
            stderr: true,
            ..AttachParams::default()
        };
        let doubt = if hand == Hand::Reads { ErrorClass::Transient } else { ErrorClass::Unknown };
        let broken = |what: &str| Complaint::from(OpError::new(doubt, format!("{act}: {what}")));
        let work = async {
            let mut process = pods.exec(program.pod, program.argv, &params).await.map_err(|error| match &error {
                kube::Error::Api(status) => {
                    let body = serde_json::to_vec(status).unwrap_or_default();
                    Complaint::answered(act, hand, status.code, &body)
                }
                _ => Complaint::unanswered(act, hand, &error),
            })?;
            let (stdin, stdout, stderr) = (process.stdin(), process.stdout(), process.stderr());
            let ended = process.take_status();
            let feed = async {
                input.feed(stdin).await.map_err(|error| broken(&format!("what it is to read cannot be read: {error}")))
            };
            // Without its end, what it printed may be half of it; and nobody closes the outputs then.
            let end = async {
                match ended {
                    Some(ended) => ended.await,
                    None => None,
                }
                .ok_or_else(|| broken("the connection was lost before it ended"))
            };
            let stderr = async {
                match drain(stderr).await {
                    Ok(Some(text)) => Ok(text),
                    Ok(None) => Err(OpError::failed(format!("{act}: it prints more than {MOST} bytes")).into()),
                    Err(error) => Err(broken(&format!("its output breaks off: {error}"))),
                }
            };
            let ((), (), stderr, status) = tokio::try_join!(feed, pour(stdout, into, broken), stderr, end)?;
            let code = code_of(&status).map_err(|what| Complaint::from(OpError::refused(format!("{act}: {what}"))))?;
            Ok((code, stderr))
        };
        self.wait_for(act, program.limit, work)?.map_err(|complaint| self.noted(complaint))
    }
}

impl Operation for ReadInside {
    const NAME: &'static str = "k8s.read";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "runs a program inside a running Pod and captures what it prints. A trusted read: nothing keeps the \
                               program from writing, so it is granted by pattern and also runs in a plan";
    const PERMISSION: &'static str = "get of pods, create of pods/exec";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = ReadInsideArgs;
    type Output = Printed;

    fn resource(args: &ReadInsideArgs) -> String {
        args.inside().named().map(|named| named.resource()).unwrap_or_default()
    }

    fn target(context: &ReadContext<'_>, args: &ReadInsideArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Read for ReadInside {
    fn read(context: &ReadContext<'_>, args: ReadInsideArgs) -> Result<Printed, OpError> {
        args.inside().named()?;
        let act = args.inside().act()?;
        let input = Input::of(args.stdin.as_ref(), context)?;
        let line = context.kubernetes(&args.cluster)?;
        let printed = line.inside(&act, &args.inside(), input, Hand::Reads).map_err(gone)?;
        args.inside().judge(printed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_exit_code_is_read_from_the_end_that_the_server_reports() {
        let status = |value: crate::model::Value| serde_json::from_value::<Status>(value).unwrap();
        assert_eq!(code_of(&status(json!({ "status": "Success" }))), Ok(0));
        let causes = json!([{ "reason": "ExitCode", "message": "3" }]);
        let failed = json!({ "status": "Failure", "reason": "NonZeroExitCode", "details": { "causes": causes } });
        assert_eq!(code_of(&status(failed)), Ok(3));
        let unable = json!({ "status": "Failure", "reason": "InternalError", "message": "no such program" });
        assert_eq!(code_of(&status(unable)), Err("no such program".to_owned()));
    }
}
