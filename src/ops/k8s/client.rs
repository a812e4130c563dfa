//! The clusters that this process can reach, one client for each, and how requests are made on them from threads that know nothing
//! of async.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use kube::Client;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::discovery::Known;
use super::fault::{Complaint, Fault};
use super::watch::Watches;
use crate::clock::Clock;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::model::{Timestamp, Value};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::helm::client::Cluster;

/// How long a call may take, all its attempts together, that has no deadline of its own.
const USUAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is attempted that is known not to have been done, or that only reads.
const ATTEMPTS: u32 = 5;
/// How long to wait before the second attempt; twice as long each time after.
const PAUSE: Duration = Duration::from_millis(200);
/// Longer than this nobody waits because a server says so.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The owner of fields that this program sets.
pub const MANAGER: &str = "muster";

/// How a cluster is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Only requests that change nothing leave this process: reads, and what is only tried (`dryRun=All`). Whatever fails for now
    /// is tried again.
    Reads,
    /// Only what is known not to have been done is tried again: throttled, turned away, never connected.
    Writes,
}

/// The clusters that this process can reach, as far as they have been used. Cheap until then: there is neither a thread nor a look
/// at a kubeconfig before the first request.
#[derive(Default)]
pub struct Clusters {
    runtime: OnceLock<Runtime>,
    connected: Mutex<BTreeMap<String, Arc<Connection>>>,
}

/// One cluster as one kubeconfig and context reach it.
pub(super) struct Connection {
    client: Client,
    server: String,
    identity: Mutex<Option<String>>,
    pub(super) known: Mutex<Known>,
    pub(super) watches: Watches,
}

impl Connection {
    /// A client of its own for what the requests here cannot express.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }
}

/// A request.
pub(super) struct Ask<'a> {
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// Media type and contents of the body.
    pub body: Option<(&'a str, Vec<u8>)>,
    /// The media types that are taken.
    pub accept: &'a str,
}

impl Ask<'_> {
    /// A GET.
    pub(super) fn get(path: String) -> Self {
        Self { method: http::Method::GET, path, body: None, accept: "application/json" }
    }

    /// Whether it changes nothing.
    fn only_reads(&self) -> bool {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let exec = path.ends_with("/exec") || path.ends_with("/attach") || path.ends_with("/portforward");
        if self.method == http::Method::DELETE {
            // Of a DELETE with options in its body the server does not read the query.
            let options = self.body.as_ref().and_then(|(_, body)| serde_json::from_slice::<Value>(body).ok());
            return options.is_some_and(|options| options["dryRun"] == serde_json::json!(["All"]));
        }
        (self.method == http::Method::GET && !exec)
            || query.split('&').any(|part| part == "dryRun=All")
            || path.ends_with("/selfsubjectaccessreviews")
    }
}

/// What is wrong with a kubeconfig; not by quoting it, for it holds credentials.
fn said(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "it is no kubeconfig".to_owned(),
        other => other.to_string(),
    }
}

async fn configuration(cluster: &Cluster) -> Result<Config, String> {
    let options = KubeConfigOptions { context: cluster.context.clone(), ..KubeConfigOptions::default() };
    let loaded = match &cluster.kubeconfig {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(file) => Config::from_custom_kubeconfig(file, &options).await,
            Err(error) => Err(error),
        },
        None => Config::from_kubeconfig(&options).await,
    };
    let mut config = match loaded {
        Ok(config) => config,
        // Nothing was named: perhaps this is a Pod of the cluster.
        Err(error) if cluster.kubeconfig.is_none() && cluster.context.is_none() => {
            Config::incluster().map_err(|_| said(&error))?
        }
        Err(error) => return Err(said(&error)),
    };
    // The client's own repeats do not ask whether a request was done.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    if config.cluster_url.host().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
    {
        config.proxy_url = None;
    }
    Ok(config)
}

impl Clusters {
    fn runtime(&self) -> Result<&Runtime, OpError> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let made = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kubernetes")
            .enable_all()
            .build()
            .map_err(|e| OpError::transient(format!("cannot reach Kubernetes: no thread can be started: {e}")))?;
        Ok(self.runtime.get_or_init(|| made))
    }

    fn connection(&self, cluster: &Cluster) -> Result<Arc<Connection>, OpError> {
        let name = cluster.name();
        if let Some(connection) = self.connected.lock().get(&name) {
            return Ok(Arc::clone(connection));
        }
        if let Some(path) = &cluster.kubeconfig {
            crate::ops::files::absolute(path)?;
        }
        let act = format!("cannot reach Kubernetes cluster {name}");
        let (client, server) = self.runtime()?.block_on(async {
            let config = configuration(cluster).await.map_err(|why| {
                OpError::refused(format!("{act}: its kubeconfig cannot be used: {why}"))
                    .with_hint("`kubectl config get-contexts` lists what there is; KUBECONFIG names the file")
            })?;
            let server = config.cluster_url.to_string();
            match Client::try_from(config) {
                Ok(client) => Ok((client, server)),
                Err(error) => Err(match Complaint::unanswered(&act, Hand::Reads, &error) {
                    complaint if complaint.fault == Fault::Credentials => complaint.into(),
                    _ => OpError::refused(format!("{act}: its kubeconfig cannot be used: {error}")),
                }),
            }
        })?;
        let (identity, known) = (Mutex::default(), Mutex::default());
        let connection = Arc::new(Connection { client, server, identity, known, watches: Watches::default() });
        self.connected.lock().insert(name, Arc::clone(&connection));
        Ok(connection)
    }

    pub(super) fn reading<'c>(
        &'c self,
        cluster: &Cluster,
        deadline: Option<Timestamp>,
        clock: &'c dyn Clock,
    ) -> Result<Line<'c>, OpError> {
        let (connection, cluster) = (self.connection(cluster)?, cluster.clone());
        Ok(Line { clusters: self, connection, cluster, hand: Hand::Reads, deadline, clock })
    }
}

/// A line to one cluster, on which requests are made and waited for.
pub struct Line<'c> {
    clusters: &'c Clusters,
    pub(super) connection: Arc<Connection>,
    pub(super) cluster: Cluster,
    hand: Hand,
    deadline: Option<Timestamp>,
    clock: &'c dyn Clock,
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    again: Option<Duration>,
}

async fn exchange(client: &Client, ask: &Ask<'_>) -> Result<Answer, kube::Error> {
    let mut request = http::Request::builder().method(ask.method.clone()).uri(&ask.path).header(ACCEPT, ask.accept);
    if let Some((kind, _)) = &ask.body {
        request = request.header(CONTENT_TYPE, *kind);
    }
    let body = ask.body.as_ref().map_or_else(Vec::new, |(_, body)| body.clone());
    let request = request.body(Body::from(body)).map_err(kube::Error::HttpError)?;
    let response = client.send(request).await?;
    let again = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let status = response.status().as_u16();
    let body = response.into_body().collect_bytes().await?.to_vec();
    Ok(Answer { status, body, again: again.map(Duration::from_secs) })
}

impl Line<'_> {
    /// Makes a request, again where that is harmless, and answers its body.
    ///
    /// # Errors
    /// What went wrong, `act` first. By [`Hand::Writes`] what may have been done is unknown.
    pub(super) fn ask(&self, act: &str, ask: &Ask<'_>) -> Result<Vec<u8>, Complaint> {
        let hand = if ask.only_reads() { Hand::Reads } else { self.hand };
        if self.hand == Hand::Reads && !ask.only_reads() {
            let what = format!("{act}: {} changes something, and only what reads may be asked here", ask.method);
            return Err(OpError::refused(what).into());
        }
        let client = &self.connection.client;
        self.wait(act, async {
            let mut pause = PAUSE;
            for attempt in 1.. {
                let (complaint, wanted) = match exchange(client, ask).await {
                    Ok(answer) if answer.status < 400 => return Ok(answer.body),
                    Ok(answer) => (Complaint::answered(act, hand, answer.status, &answer.body), answer.again),
                    Err(error) => (Complaint::unanswered(act, hand, &error), None),
                };
                let again = complaint.class() == ErrorClass::Transient && complaint.fault != Fault::Expired;
                if !again || attempt >= ATTEMPTS {
                    return Err(complaint);
                }
                tokio::time::sleep(wanted.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                pause *= 2;
            }
            Err(Complaint::late(act, hand))
        })?
        .map_err(|complaint| self.noted(complaint))
    }

    /// As [`Line::ask`], for what is answered by JSON.
    ///
    /// # Errors
    /// As [`Line::ask`].
    pub(super) fn value(&self, act: &str, ask: &Ask<'_>) -> Result<Value, Complaint> {
        let body = self.ask(act, ask)?;
        serde_json::from_slice(&body).map_err(|error| {
            let class = if ask.only_reads() { ErrorClass::Transient } else { ErrorClass::Unknown };
            OpError::new(class, format!("{act}: the answer cannot be read: {error}")).into()
        })
    }

    /// Waits for something to the call's deadline.
    ///
    /// # Errors
    /// When its time is over.
    pub(super) fn wait<F: Future>(&self, act: &str, future: F) -> Result<F::Output, Complaint> {
        self.wait_for(act, USUAL_TIMEOUT, future)
    }

    /// Waits for something so long at most, and to the call's deadline.
    ///
    /// # Errors
    /// When its time is over.
    pub(super) fn wait_for<F: Future>(&self, act: &str, limit: Duration, future: F) -> Result<F::Output, Complaint> {
        let left = self
            .deadline
            .map(|deadline| Duration::try_from(deadline.duration_since(self.clock.now())).unwrap_or(Duration::ZERO));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(OpError::transient(format!("{act}: its time was over before")).into());
        }
        let limit = left.unwrap_or(limit).min(limit);
        // The timer has to be made inside of the runtime.
        let answer = self.clusters.runtime()?.block_on(async { tokio::time::timeout(limit, future).await });
        answer.map_err(|_| Complaint::late(act, self.hand))
    }

    /// Lets something go on by itself.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn begin(&self, future: impl Future<Output = ()> + Send + 'static) -> Result<(), OpError> {
        self.clusters.runtime()?.spawn(future);
        Ok(())
    }

    /// When the call must have ended.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Credentials that were refused are looked for anew the next time.
    pub(super) fn noted(&self, complaint: Complaint) -> Complaint {
        if complaint.fault == Fault::Credentials {
            self.clusters.connected.lock().remove(&self.cluster.name());
        }
        complaint
    }

    /// The cluster's own identity: the UID of its namespace `kube-system`; where that may not be read, its address. As the family
    /// `helm` has it.
    fn target(&self) -> Result<Target, OpError> {
        let name = format!("kubernetes {}", self.cluster.name());
        if let Some(identity) = self.connection.identity.lock().clone() {
            return Ok(Target { name, identity });
        }
        let act = format!("cannot identify Kubernetes cluster {}", self.cluster.name());
        let identity = match self.value(&act, &Ask::get("/api/v1/namespaces/kube-system".to_owned())) {
            Ok(found) => format!("kube-system {}", found["metadata"]["uid"].as_str().unwrap_or_default()),
            Err(complaint) if complaint.fault == Fault::Denied => {
                format!("server {}", self.connection.server.trim_end_matches('/'))
            }
            Err(complaint) => return Err(complaint.into()),
        };
        Ok(Target { name, identity })
    }
}

/// The identity of a cluster.
///
/// # Errors
/// When it does not answer.
pub(super) fn target(context: &ReadContext<'_>, cluster: &Cluster) -> Result<Option<Target>, OpError> {
    context.kubernetes(cluster)?.target().map(Some)
}

impl<'c> ReadContext<'c> {
    /// A line to the cluster, for requests that change nothing.
    ///
    /// # Errors
    /// Refused, when the kubeconfig cannot be used.
    pub fn kubernetes(&self, cluster: &Cluster) -> Result<Line<'c>, OpError> {
        self.secrets.clusters().reading(cluster, self.deadline, self.clock)
    }
}

impl<'c> WriteContext<'c> {
    /// A line to the cluster, for requests that change something.
    ///
    /// # Errors
    /// Refused, when the kubeconfig cannot be used.
    pub fn kubernetes(&self, cluster: &Cluster) -> Result<Line<'c>, OpError> {
        Ok(Line { hand: Hand::Writes, ..self.read.kubernetes(cluster)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_is_a_read() {
        let ask = |method: http::Method, path: &str| {
            Ask { method, path: path.to_owned(), body: None, accept: "" }.only_reads()
        };
        assert!(ask(http::Method::GET, "/api/v1/pods?watch=true"));
        assert!(ask(http::Method::PATCH, "/api/v1/namespaces/a/configmaps/x?fieldManager=muster&dryRun=All"));
        assert!(ask(http::Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
        assert!(!ask(http::Method::PATCH, "/api/v1/namespaces/a/configmaps/x?fieldManager=dryRun=All"));
        let delete = |query: &str, body: &str| {
            let path = format!("/api/v1/namespaces/a/configmaps/x{query}");
            let body = Some(("application/json", body.as_bytes().to_vec()));
            Ask { method: http::Method::DELETE, path, body, accept: "" }.only_reads()
        };
        assert!(delete("", "{\"dryRun\":[\"All\"]}"));
        assert!(!delete("?dryRun=All", "{}") && !delete("?dryRun=All", ""));
        assert!(!ask(http::Method::GET, "/api/v1/namespaces/a/pods/x/exec?command=rm"));
    }
}
