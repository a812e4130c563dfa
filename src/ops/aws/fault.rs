//! What a complaint of AWS means: what is known about the world after it, in the words of AWS, with what to do next.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::hand::{Hand, never_sent};
use crate::model::fault::{ErrorClass, OpError};

/// The kinds of complaint that operations tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What the call names is not there.
    NotFound,
    /// What the call would make is there already.
    Exists,
    /// A condition of the call does not hold any more.
    Changed,
    /// The caller may not do this.
    Denied,
    /// Credentials are missing, wrong or have expired.
    Credentials,
    /// Too many requests, after all attempts.
    Throttled,
    /// The service is not able to do anything now, after all attempts.
    Unavailable,
    /// No answer, or none that can be read.
    Broken,
    /// Anything else that the service refuses.
    Refused,
}

/// A call of the SDK that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What kind it is.
    pub fault: Fault,
    /// The service's own name of it: `DBInstanceNotFound`; empty when it gave none.
    pub code: String,
    error: OpError,
}

impl Complaint {
    /// What is known about the world after it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.error.class
    }

    /// The meaning of an error of the SDK. `act` reads like `cannot describe database x`.
    pub(super) fn of<E>(act: &str, hand: Hand, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let Some(why) = lacking_credentials(error) {
            return Self::credentials(act, "", &why);
        }
        match error {
            SdkError::ServiceError(answered) => Self::answered(act, hand, answered.err(), answered.raw()),
            SdkError::TimeoutError(_) => Self::late(act, hand),
            SdkError::DispatchFailure(failure) => {
                let unsent = failure.as_connector_error().is_some_and(never_sent);
                let class = if unsent { ErrorClass::Transient } else { in_doubt(hand) };
                let (fault, what) = (Fault::Broken, innermost(error));
                let error = OpError::new(class, format!("{act}: no answer: {what}"))
                    .with_hint("the network or the endpoint is in the way: look at AWS_ENDPOINT_URL and the proxy");
                Self { fault, code: String::new(), error }
            }
            SdkError::ResponseError(response) => {
                let id = request_id(response.raw());
                let message = format!("{act}: the answer cannot be read: {}{id}", innermost(error));
                Self { fault: Fault::Broken, code: String::new(), error: OpError::new(in_doubt(hand), message) }
            }
            // Nothing left this process.
            other => {
                let error = OpError::refused(format!("{act}: {}", innermost(other)));
                Self { fault: Fault::Refused, code: String::new(), error }
            }
        }
    }

    /// An answer that broke off.
    pub(super) fn broken(act: &str, hand: Hand, error: &(dyn Error + 'static)) -> Self {
        let error = OpError::new(in_doubt(hand), format!("{act}: the answer cannot be read: {}", innermost(error)));
        Self { fault: Fault::Broken, code: String::new(), error }
    }

    /// The time of the call is over.
    pub(super) fn late(act: &str, hand: Hand) -> Self {
        let error = OpError::new(in_doubt(hand), format!("{act}: no answer in time"));
        Self { fault: Fault::Broken, code: String::new(), error }
    }

    fn credentials(act: &str, code: &str, why: &str) -> Self {
        // In the message: a run that waits for credentials shows no hint, only how to go on.
        // Muster itself does not read what `aws sso login` leaves behind: AWS's own tool turns it into what it reads.
        let message = format!(
            "{act}: {why}; get fresh credentials (AWS_PROFILE, a new session token; after `aws sso login`: \
             `eval \"$(aws configure export-credentials --format env)\"`)"
        );
        let error = OpError::new(ErrorClass::Credentials, message);
        Self { fault: Fault::Credentials, code: code.to_owned(), error }
    }

    fn answered<E: ProvideErrorMetadata + Error + 'static>(
        act: &str,
        hand: Hand,
        error: &E,
        response: &HttpResponse,
    ) -> Self {
        let status = response.status().as_u16();
        let code = error.code().unwrap_or_default();
        if status < 400 {
            return Self::broken(act, hand, error);
        }
        let (fault, class) = meaning(code, status, hand);
        let said = error.message().map_or_else(|| format!("status {status}"), |said| said.trim().to_owned());
        let named = if code.is_empty() { String::new() } else { format!("{code}: ") };
        let what = format!("{named}{}{}", said.trim_end_matches('.'), request_id(response));
        if fault == Fault::Credentials {
            return Self::credentials(act, code, &what);
        }
        let error = OpError { denied: fault == Fault::Denied, ..OpError::new(class, format!("{act}: {what}")) };
        let error = match hint(fault) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        Self { fault, code: code.to_owned(), error }
    }

    /// Whether the service turned the call away without saying why.
    pub(super) fn is_silent(&self) -> bool {
        self.code.is_empty() && matches!(self.fault, Fault::Denied | Fault::Refused)
    }

    /// With another hint than that of its kind.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.error = self.error.with_hint(hint);
        self
    }
}

impl From<Complaint> for OpError {
    fn from(complaint: Complaint) -> Self {
        complaint.error
    }
}

impl From<OpError> for Complaint {
    fn from(error: OpError) -> Self {
        let fault = match error.class {
            ErrorClass::Credentials => Fault::Credentials,
            ErrorClass::Unknown | ErrorClass::Transient => Fault::Broken,
            ErrorClass::Refused | ErrorClass::Failed => Fault::Refused,
        };
        Self { fault, code: String::new(), error }
    }
}

/// The answer; `None` when what was asked for is not there.
///
/// # Errors
/// Any other complaint.
pub fn found<T>(answer: Result<T, Complaint>) -> Result<Option<T>, OpError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(complaint) if complaint.fault == Fault::NotFound => Ok(None),
        Err(complaint) => Err(complaint.into()),
    }
}

/// A request that may have been done.
fn in_doubt(hand: Hand) -> ErrorClass {
    match hand {
        Hand::Reads => ErrorClass::Transient,
        Hand::Writes => ErrorClass::Unknown,
    }
}

fn meaning(code: &str, status: u16, hand: Hand) -> (Fault, ErrorClass) {
    let has = |part: &str| code.contains(part);
    let bare = code.strip_suffix("Exception").or_else(|| code.strip_suffix("Fault")).unwrap_or(code);
    match bare {
        "ExpiredToken"
        | "TokenRefreshRequired"
        | "InvalidClientTokenId"
        | "UnrecognizedClient"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "AuthFailure"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidSignature" => (Fault::Credentials, ErrorClass::Credentials),
        "Throttling"
        | "Throttled"
        | "ThrottledClient"
        | "TooManyRequests"
        | "SlowDown"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "EC2Throttled"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete" => (Fault::Throttled, ErrorClass::Transient),
        _ if status == 429 || has("Throttl") => (Fault::Throttled, ErrorClass::Transient),
        _ if status == 503 => (Fault::Unavailable, ErrorClass::Transient),
        _ if status >= 500 => (Fault::Unavailable, in_doubt(hand)),
        "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" | "AuthorizationError" | "KMSAccessDenied" => {
            (Fault::Denied, ErrorClass::Refused)
        }
        "PreconditionFailed" => (Fault::Changed, ErrorClass::Refused),
        _ if status == 412 => (Fault::Changed, ErrorClass::Refused),
        _ if has("NotFound") || bare.starts_with("NoSuch") => (Fault::NotFound, ErrorClass::Refused),
        _ if has("AlreadyExist") => (Fault::Exists, ErrorClass::Refused),
        "" if status == 404 => (Fault::NotFound, ErrorClass::Refused),
        "" if status == 403 => (Fault::Denied, ErrorClass::Refused),
        _ => (Fault::Refused, ErrorClass::Refused),
    }
}

fn hint(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::Denied => Some("`muster ops` names the IAM action that the operation needs"),
        Fault::Throttled => Some("the account makes too many requests; try again later, or ask for a higher quota"),
        Fault::Unavailable => Some("look at the AWS health page of the region, and try again later"),
        Fault::NotFound => Some("is it the right account and region? `sts.identity` tells which one this is"),
        _ => None,
    }
}

/// ` (request 1b2c…)`, as AWS's support asks for it.
fn request_id(response: &HttpResponse) -> String {
    let id = ["x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id"]
        .into_iter()
        .find_map(|name| response.headers().get(name));
    id.map_or_else(String::new, |id| format!(" (request {id})"))
}

/// Why no request could be signed, if that is what is wrong.
fn lacking_credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let found = chain(error).find_map(|error| error.downcast_ref::<CredentialsError>())?;
    Some(match found {
        CredentialsError::CredentialsNotLoaded(_) => "there are no AWS credentials".to_owned(),
        other => format!("AWS credentials cannot be had: {}", innermost(other)),
    })
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

/// What the last error of a chain says: those before it only say that there is one.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_tells_what_is_known_about_the_world() {
        use ErrorClass::{Credentials, Refused, Transient, Unknown};
        for (code, status, reads, writes) in [
            ("ExpiredTokenException", 400, Credentials, Credentials),
            ("InvalidClientTokenId", 403, Credentials, Credentials),
            ("ThrottlingException", 400, Transient, Transient),
            ("SlowDown", 503, Transient, Transient),
            ("ServiceUnavailable", 503, Transient, Transient),
            ("InternalFailure", 500, Transient, Unknown),
            ("AccessDenied", 403, Refused, Refused),
            ("", 403, Refused, Refused),
            ("DBInstanceNotFound", 404, Refused, Refused),
            ("InvalidDBInstanceState", 400, Refused, Refused),
        ] {
            let classes = [Hand::Reads, Hand::Writes].map(|hand| meaning(code, status, hand).1);
            assert_eq!(classes, [reads, writes], "{code}");
        }
        for (code, fault) in [
            ("DBInstanceNotFoundFault", Fault::NotFound),
            ("NoSuchKey", Fault::NotFound),
            ("ResourceNotFoundException", Fault::NotFound),
            ("DBSnapshotAlreadyExists", Fault::Exists),
            ("FileSystemAlreadyExists", Fault::Exists),
            ("AccessDeniedException", Fault::Denied),
        ] {
            assert_eq!(meaning(code, 400, Hand::Reads).0, fault, "{code}");
        }
    }
}
