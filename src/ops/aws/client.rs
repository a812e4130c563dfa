//! The accounts that this process can reach, one client for each, and how calls are made on them from threads that know nothing
//! of async.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::SharedHttpClient;
use aws_sdk_sts::config::retry::RetryPartition;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::access::Access;
use super::fault::Complaint;
use super::hand::{Hand, OnlyReads, OnlyUndone};
use super::identity::Identity;
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::model::fault::{ErrorClass, OpError};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::secrets::Secrets;

/// How long a call may take, all its attempts together, that does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(120);
/// The same for a call that moves much.
pub(super) const MOVING_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long one attempt may take until it is answered.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a call is attempted where nothing else is configured: about half a minute of throttling is outlasted.
const ATTEMPTS: u32 = 6;
/// What the SDK takes when nothing is configured.
const SDK_ATTEMPTS: u32 = 3;

/// The accounts that this process can reach, as far as they have been used. Cheap until then: there is neither a thread nor a
/// look at the configuration before the first call.
#[derive(Default)]
pub struct Aws {
    runtime: OnceLock<Runtime>,
    http: OnceLock<SharedHttpClient>,
    accounts: Mutex<BTreeMap<Access, Arc<Account>>>,
}

/// One account and region as one access reaches it.
pub(super) struct Account {
    pub(super) access: Access,
    sdk: SdkConfig,
    clients: Mutex<BTreeMap<(TypeId, Hand), Box<dyn Any + Send>>>,
    pub(super) identity: Mutex<Option<Identity>>,
}

/// A service's client as an account has it.
pub trait Service: Clone + Send + 'static {
    /// A client for this hand. Calls of one `partition` slow each other down when they are throttled.
    fn build(sdk: &SdkConfig, hand: Hand, partition: String) -> Self;
}

/// Makes clients of crates of the SDK into services. What follows `=>` settles more of the configuration.
macro_rules! services {
    ($($sdk:ident $(=> $settle:expr)?),+ $(,)?) => {$(
        impl Service for $sdk::Client {
            fn build(sdk: &SdkConfig, hand: Hand, partition: String) -> Self {
                let partition = RetryPartition::new(format!("{} {partition}", stringify!($sdk)));
                let config = $sdk::config::Builder::from(sdk).retry_partition(partition);
                $(let config = ($settle)(sdk, config);)?
                Self::from_conf(match hand {
                    Hand::Reads => config.interceptor(OnlyReads).build(),
                    Hand::Writes => config.retry_classifier(OnlyUndone).build(),
                })
            }
        }
    )+};
}

services! {
    aws_sdk_backup,
    aws_sdk_ecs,
    aws_sdk_efs,
    aws_sdk_iam,
    aws_sdk_rds,
    aws_sdk_s3 => |sdk: &SdkConfig, config: aws_sdk_s3::config::Builder| {
        // Other servers than AWS have no name for each bucket.
        config.force_path_style(sdk.endpoint_url().is_some())
    },
    aws_sdk_secretsmanager,
    aws_sdk_sts,
}

impl Account {
    fn client<S: Service>(&self, hand: Hand) -> S {
        let mut clients = self.clients.lock();
        let kept = clients.get(&(TypeId::of::<S>(), hand)).and_then(|client| client.downcast_ref::<S>());
        if let Some(client) = kept {
            return client.clone();
        }
        let client = S::build(&self.sdk, hand, self.access.label());
        clients.insert((TypeId::of::<S>(), hand), Box::new(client.clone()));
        client
    }

    /// The region.
    pub(super) fn region(&self) -> &str {
        self.sdk.region().map_or("", |region| region.as_ref())
    }

    /// Where calls go, if that is not AWS.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.sdk.endpoint_url()
    }
}

impl Aws {
    fn runtime(&self) -> Result<&Runtime, OpError> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        // One thread moves the bytes; the work is done where it is waited for.
        let made = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("aws")
            .enable_all()
            .build()
            .map_err(|e| OpError::transient(format!("cannot reach AWS: no thread can be started: {e}")))?;
        Ok(self.runtime.get_or_init(|| made))
    }

    fn http(&self) -> SharedHttpClient {
        let ring = || Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        self.http.get_or_init(ring).clone()
    }

    fn account(&self, access: &Access) -> Result<Arc<Account>, OpError> {
        if let Some(account) = self.accounts.lock().get(access) {
            return Ok(Arc::clone(account));
        }
        let sdk = self.runtime()?.block_on(configuration(access, self.http()));
        if sdk.region().is_none() {
            return Err(OpError::refused("cannot reach AWS: no region is set")
                .with_hint("set AWS_REGION, or `region` of the profile, or `aws: { region: … }` of the call"));
        }
        let (clients, identity) = (Mutex::default(), Mutex::default());
        let account = Arc::new(Account { access: access.clone(), sdk, clients, identity });
        self.accounts.lock().insert(access.clone(), Arc::clone(&account));
        Ok(account)
    }

    /// Forgets the credentials of an access: the next use looks for them anew.
    fn forget(&self, access: &Access) {
        self.accounts.lock().remove(access);
    }
}

async fn configuration(access: &Access, http: SharedHttpClient) -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).timeout_config(timeouts);
    if let Some(profile) = &access.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &access.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let loaded = loader.load().await;
    let configured = loaded.retry_config().map(RetryConfig::max_attempts).filter(|attempts| *attempts != SDK_ATTEMPTS);
    let retries = RetryConfig::adaptive().with_max_attempts(configured.unwrap_or(ATTEMPTS));
    let sdk = loaded.into_builder().retry_config(retries).build();
    let Some(role) = &access.role else { return sdk };
    let assumed = AssumeRoleProvider::builder(role).configure(&sdk).session_name("muster").build().await;
    sdk.into_builder()
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(assumed))
        .build()
}

/// A line to one account, on which calls are made and waited for.
pub struct Line<'c> {
    pub(super) secrets: &'c Secrets,
    pub(super) account: Arc<Account>,
    hand: Hand,
    deadline: Option<Timestamp>,
    limit: Duration,
    clock: &'c dyn Clock,
}

impl<'c> Line<'c> {
    /// A line to an account on which only calls that read can be made, open until `deadline`.
    ///
    /// # Errors
    /// Refused, when no region is set.
    pub fn reading(
        secrets: &'c Secrets,
        access: &Access,
        deadline: Option<Timestamp>,
        clock: &'c dyn Clock,
    ) -> Result<Self, OpError> {
        Ok(Self {
            secrets,
            account: secrets.aws().account(access)?,
            hand: Hand::Reads,
            deadline,
            limit: USUAL_TIMEOUT,
            clock,
        })
    }

    /// Makes one call of the SDK and waits for its answer: `line.call("cannot describe x", |sts: Client| sts.….send())`.
    ///
    /// # Errors
    /// What went wrong, `act` first. By [`Hand::Reads`] everything that may pass is transient; by [`Hand::Writes`] what may
    /// have been done is unknown.
    pub fn call<S, T, E, F>(&self, act: &str, call: impl FnOnce(S) -> F) -> Result<T, Complaint>
    where
        S: Service,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let future = call(self.account.client(self.hand));
        let answer = self.wait(act, future)?;
        answer.map_err(|error| self.noted(Complaint::of(act, self.hand, &error)))
    }

    /// As [`Line::call`], for calls that are turned away without a word, as HEAD is by S3: then AWS is asked whether it knows the
    /// caller at all, so that expired credentials are told from what is forbidden.
    ///
    /// # Errors
    /// As [`Line::call`].
    pub fn peek<S, T, E, F>(&self, act: &str, call: impl FnOnce(S) -> F) -> Result<T, Complaint>
    where
        S: Service,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let complaint = match self.call(act, call) {
            Err(complaint) if complaint.is_silent() => complaint,
            answer => return answer,
        };
        match self.call(act, |sts: aws_sdk_sts::Client| sts.get_caller_identity().send()) {
            Err(why) if why.class() == ErrorClass::Credentials => Err(why),
            _ => Err(complaint),
        }
    }

    /// Waits for what a call has left to come, a stream say, to the same deadline.
    ///
    /// # Errors
    /// As [`Line::call`] when its time is over.
    pub fn wait<F: Future>(&self, act: &str, future: F) -> Result<F::Output, Complaint> {
        let left = self
            .deadline
            .map(|deadline| Duration::try_from(deadline.duration_since(self.clock.now())).unwrap_or(Duration::ZERO));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(OpError::transient(format!("{act}: its time was over before")).into());
        }
        let limit = left.unwrap_or(self.limit);
        let runtime = self.secrets.aws().runtime()?;
        // The timer has to be made inside of the runtime.
        let answer = runtime.block_on(async { tokio::time::timeout(limit, future).await });
        answer.map_err(|_| Complaint::late(act, self.hand))
    }

    /// Credentials that were refused are looked for anew the next time.
    fn noted(&self, complaint: Complaint) -> Complaint {
        if complaint.class() == ErrorClass::Credentials {
            self.secrets.aws().forget(&self.account.access);
        }
        complaint
    }

    /// The same line for calls that move much: without another deadline they may take a quarter of an hour.
    #[must_use]
    pub fn patiently(mut self) -> Self {
        self.limit = MOVING_TIMEOUT;
        self
    }

    /// The instant, by the clock of the call.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What went wrong with a stream.
    pub(super) fn broken(&self, act: &str, error: &(dyn std::error::Error + 'static)) -> Complaint {
        Complaint::broken(act, self.hand, error)
    }
}

impl<'c> ReadContext<'c> {
    /// A line to the account that this access reaches, for calls that read.
    ///
    /// # Errors
    /// Refused, when no region is set.
    pub fn aws(&self, access: &Access) -> Result<Line<'c>, OpError> {
        Line::reading(self.secrets, access, self.deadline, self.clock)
    }
}

impl<'c> WriteContext<'c> {
    /// A line to the account that this access reaches, for calls that write.
    ///
    /// # Errors
    /// Refused, when no region is set.
    pub fn aws(&self, access: &Access) -> Result<Line<'c>, OpError> {
        Ok(Line { hand: Hand::Writes, ..self.read.aws(access)? })
    }
}
