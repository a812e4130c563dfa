//! The helm and kubectl clients: which cluster they are pointed at, what they see of our environment, what their complaints mean.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::docker::client::tail;
use crate::ops::process::{Captured, ReadCommand};

/// Which cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The kubeconfig file; what `KUBECONFIG` says when absent, else `~/.kube/config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// The context of the kubeconfig; its current one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// What the clients, and the plugins that bring their credentials, read of our environment.
const PASSED_ON: [&str; 24] = [
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "HELM_REGISTRY_CONFIG",
    "HELM_REPOSITORY_CONFIG",
    "HELM_REPOSITORY_CACHE",
    "HELM_CACHE_HOME",
    "HELM_CONFIG_HOME",
    "HELM_DATA_HOME",
    "XDG_CACHE_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

fn environment() -> BTreeMap<String, String> {
    PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// How long a question to the cluster may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    /// The name it goes by in plans and keys.
    #[must_use]
    pub fn name(&self) -> String {
        let file = self.kubeconfig.as_deref().map(|path| path.trim_start_matches('/').replace('/', ":"));
        match (file, &self.context) {
            (None, None) => "current".to_owned(),
            (None, Some(context)) => context.clone(),
            (Some(file), None) => file,
            (Some(file), Some(context)) => format!("{file}:{context}"),
        }
    }

    fn check(&self) -> Result<(), OpError> {
        self.kubeconfig.as_deref().map_or(Ok(()), |path| crate::ops::files::absolute(path).map(|_| ()))
    }

    /// A call of helm in a namespace.
    ///
    /// # Errors
    /// Refused when the kubeconfig's path is not absolute.
    pub fn helm(&self, namespace: &str, arguments: &[&str]) -> Result<ReadCommand, OpError> {
        self.command("helm", "--kube-context", namespace, arguments)
    }

    /// A call of kubectl in a namespace.
    ///
    /// # Errors
    /// Refused when the kubeconfig's path is not absolute.
    pub fn kubectl(&self, namespace: &str, arguments: &[&str]) -> Result<ReadCommand, OpError> {
        self.command("kubectl", "--context", namespace, arguments)
    }

    fn command(&self, tool: &str, option: &str, namespace: &str, arguments: &[&str]) -> Result<ReadCommand, OpError> {
        self.check()?;
        let mut argv = vec![tool.to_owned()];
        argv.extend(arguments.iter().map(|word| (*word).to_owned()));
        for (option, value) in [("--kubeconfig", &self.kubeconfig), (option, &self.context)] {
            argv.extend(value.iter().map(|value| format!("{option}={value}")));
        }
        if !namespace.is_empty() {
            argv.push(format!("--namespace={namespace}"));
        }
        Ok(ReadCommand { argv, env: environment(), timeout: Some(PATIENCE), any_exit: true, ..ReadCommand::default() })
    }

    /// The cluster's own identity: the UID of its namespace `kube-system`; where that may not be read, its address.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn target(&self, context: &ReadContext<'_>) -> Result<Target, OpError> {
        let act = format!("cannot identify Kubernetes cluster {}", self.name());
        let ask = ["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"];
        let identity = match run(context, &act, self.kubectl("", &ask)?) {
            Ok(found) => format!("kube-system {}", found.stdout.trim()),
            Err(error) if error.class == ErrorClass::Refused && is_forbidden(&error) => {
                let ask = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
                format!("server {}", run(context, &act, self.kubectl("", &ask)?)?.stdout.trim())
            }
            Err(error) => return Err(error),
        };
        Ok(Target { name: format!("kubernetes {}", self.name()), identity })
    }
}

/// Whether the API server has refused it for want of permission.
pub(super) fn is_forbidden(error: &OpError) -> bool {
    error.detail.as_deref().is_some_and(|said| said.to_ascii_lowercase().contains("forbidden"))
}

/// Runs a client, and says what its complaint means if it has one.
///
/// # Errors
/// As [`explain`].
pub fn run(context: &ReadContext<'_>, act: &str, command: ReadCommand) -> Result<Captured, OpError> {
    let captured = context.run_read(&command)?;
    if captured.code == 0 { Ok(captured) } else { Err(explain(act, captured.code, &captured.stderr)) }
}

/// What a complaint of helm or kubectl means. `act` reads like `cannot upgrade release shop/web`.
#[must_use]
pub fn explain(act: &str, code: i32, stderr: &str) -> OpError {
    let said = stderr.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    let (class, fault, hint) = if has(&["another operation (install/upgrade/rollback) is in progress"]) {
        (
            ErrorClass::Refused,
            "another operation on the release is in progress, or was killed in the middle",
            "see `helm history`; if nobody is at work on it, roll the release back to its last good revision",
        )
    } else if has(&[
        "unauthorized",
        "must be logged in",
        "expiredtoken",
        "token has expired",
        "getting credentials: exec",
    ]) {
        (
            ErrorClass::Credentials,
            "the credentials of the kubeconfig are missing or have expired",
            "log in again (for EKS: `aws sso login`, `aws eks update-kubeconfig`), then resume",
        )
    } else if has(&["forbidden"]) {
        (
            ErrorClass::Refused,
            "the credentials of the kubeconfig may not do this",
            "the detail names the verb and the resource that the role has to allow",
        )
    } else if has(&["does not exist", "no context exists", "context was not found"]) && has(&["context"]) {
        (ErrorClass::Refused, "the kubeconfig has no such context", "`kubectl config get-contexts` lists them")
    } else if has(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "tls handshake timeout",
        "connection reset",
        "unable to connect to the server",
        "kubernetes cluster unreachable",
        "server is currently unable",
        "etcdserver: request timed out",
        "too many requests",
        "unexpected eof",
    ]) {
        (
            ErrorClass::Transient,
            "the API server does not answer",
            "see whether the cluster is up and the kubeconfig names the right one",
        )
    } else if has(&["apply failed with", "conflict occurred while applying"]) {
        (
            ErrorClass::Failed,
            "somebody else owns a field that the chart sets",
            "the detail names the manager and the field; give the field back (`kubectl apply --force-conflicts`), or set the value in the chart",
        )
    } else if has(&["release: not found"]) {
        (ErrorClass::Refused, "there is no such release", "`helm list --all --all-namespaces` lists them")
    } else if has(&["timed out waiting", "context deadline exceeded", "would exceed context deadline"]) {
        (
            ErrorClass::Failed,
            "what it waited for was not ready in time",
            "`kubectl get pods` and `kubectl describe` in the namespace tell why",
        )
    } else if has(&["is invalid", "strict decoding error", "validationerror"]) {
        (ErrorClass::Failed, "the API server refuses an object of the chart as invalid", "the detail names the field")
    } else if code >= 128 {
        (ErrorClass::Failed, "the client was killed", "see what killed it; then retry")
    } else {
        (ErrorClass::Failed, "the client failed", "the detail is what it said itself")
    };
    let denied = class == ErrorClass::Refused && has(&["forbidden"]);
    let error = OpError { denied, ..OpError::new(class, format!("{act}: {fault}")) };
    error.with_detail(tail(stderr)).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_says_what_is_known_about_the_world() {
        let class = |said: &str| explain("cannot", 1, said).class;
        assert_eq!(
            class("Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress"),
            ErrorClass::Refused
        );
        assert_eq!(class("error: You must be logged in to the server (Unauthorized)"), ErrorClass::Credentials);
        assert_eq!(class("Error: Kubernetes cluster unreachable: dial tcp: connection refused"), ErrorClass::Transient);
        let forbidden = explain("cannot", 1, "secrets is forbidden: User \"x\" cannot list resource");
        assert_eq!((forbidden.class, forbidden.denied), (ErrorClass::Refused, true));
        assert!(!explain("cannot", 1, "Error: release: not found").denied);
        assert_eq!(class("Error: something new"), ErrorClass::Failed);
    }

    #[test]
    fn a_cluster_is_named_by_what_points_at_it() {
        let cluster = |kubeconfig: Option<&str>, context: Option<&str>| {
            Cluster { kubeconfig: kubeconfig.map(str::to_owned), context: context.map(str::to_owned) }.name()
        };
        assert_eq!(cluster(None, None), "current");
        assert_eq!(cluster(None, Some("prod")), "prod");
        assert_eq!(cluster(Some("/etc/kube/prod"), Some("a")), "etc:kube:prod:a");
    }
}
