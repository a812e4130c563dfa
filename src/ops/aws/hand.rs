//! The two hands by which AWS is reached: one that cannot write, and one that never sends twice what may have been done.

use std::error::Error;

use aws_sdk_sts::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sts::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority};

/// How an account is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hand {
    /// Only calls that read leave this process. Whatever fails for now is tried again.
    Reads,
    /// Only what is known not to have been done is tried again: throttled, turned away, never connected.
    Writes,
}

/// Lets nothing out but calls that read: a plan cannot write, whatever an operation gets wrong.
#[derive(Debug)]
pub(super) struct OnlyReads;

/// What the names of calls that read begin with.
const READING: [&str; 5] = ["Get", "List", "Head", "Describe", "Simulate"];

impl Intercept for OnlyReads {
    fn name(&self) -> &'static str {
        "OnlyReads"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let name = config.load::<Metadata>().map_or("", |metadata| metadata.name());
        if READING.iter().any(|verb| name.starts_with(verb)) {
            return Ok(());
        }
        Err(format!("{name} is no call that reads, and only those may be made here").into())
    }
}

/// Forbids to try again what may have been done: the probe finds out.
#[derive(Debug)]
pub(super) struct OnlyUndone;

impl ClassifyRetry for OnlyUndone {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        if let Some(error) = error.as_connector_error() {
            return if never_sent(error) { RetryAction::transient_error() } else { RetryAction::RetryForbidden };
        }
        if error.is_timeout_error() || error.is_response_error() {
            return RetryAction::RetryForbidden;
        }
        match context.response().map(|response| response.status().as_u16()) {
            // Turned away before anything was done.
            Some(429 | 503) | None => RetryAction::NoActionIndicated,
            Some(500..) => RetryAction::RetryForbidden,
            Some(_) => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "OnlyUndone"
    }

    fn priority(&self) -> RetryClassifierPriority {
        // Before all others: what is forbidden here, none of them is asked about.
        RetryClassifierPriority::run_before(RetryClassifierPriority::http_status_code_classifier())
    }
}

/// Whether a request that ended so never reached the server.
pub(super) fn never_sent(error: &ConnectorError) -> bool {
    let mut at: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(found) = at {
        if found.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            return true;
        }
        at = found.source();
    }
    false
}
