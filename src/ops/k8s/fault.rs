//! What a complaint of the API server means: what is known about the world after it, in the server's words, with what to do next.

use std::error::Error;

use kube::client::AuthError;

use super::client::{Hand, MANAGER};
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError};

/// The kinds of complaint that operations tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What the request names is not there.
    NotFound,
    /// What the request would make is there already.
    Exists,
    /// The object has changed since it was looked at.
    Changed,
    /// Somebody else owns a field that would be applied.
    Owned,
    /// The caller may not do this.
    Denied,
    /// Credentials are missing, wrong or have expired.
    Credentials,
    /// Too many requests, or the server is not able to do anything now; nothing was done.
    Unavailable,
    /// No answer, or none that can be read, or one that does not say whether it was done.
    Broken,
    /// What a list or watch went on from is forgotten.
    Expired,
    /// Anything else that the server refuses.
    Refused,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What kind it is.
    pub fault: Fault,
    /// Whether nobody but this program owns what it could not apply.
    pub own: bool,
    pub(super) error: OpError,
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
        Self { fault, own: false, error }
    }
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

/// A request that may have been done.
fn in_doubt(hand: Hand) -> ErrorClass {
    match hand {
        Hand::Reads => ErrorClass::Transient,
        Hand::Writes => ErrorClass::Unknown,
    }
}

/// Why credentials cannot be had. What a plugin printed is not shown: it may be the credentials.
fn lacking(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let program = cmd.split_whitespace().next().unwrap_or_default().trim_matches('"').to_owned();
            let said = String::from_utf8_lossy(&out.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
            format!("the credential plugin {program} failed ({}): {last}", out.status)
        }
        AuthError::AuthExecParse(_) | AuthError::AuthExecSerialize(_) => {
            "what the credential plugin printed cannot be read".to_owned()
        }
        other => other.to_string(),
    }
}

impl Complaint {
    /// No request was answered. `act` reads like `cannot get Deployment shop/web`.
    pub(super) fn unanswered(act: &str, hand: Hand, error: &(dyn Error + 'static)) -> Self {
        if let Some(why) = chain(error).find_map(|error| error.downcast_ref::<AuthError>()) {
            return Self::credentials(act, &lacking(why));
        }
        let connect = |error: &(dyn Error + 'static)| {
            error
                .downcast_ref::<hyper_util::client::legacy::Error>()
                .is_some_and(hyper_util::client::legacy::Error::is_connect)
        };
        let class = if chain(error).any(connect) { ErrorClass::Transient } else { in_doubt(hand) };
        let what = chain(error).last().map(ToString::to_string).unwrap_or_default();
        let error = OpError::new(class, format!("{act}: the API server does not answer: {what}"))
            .with_hint("see whether the cluster is up and the kubeconfig names the right one");
        let fault = if class == ErrorClass::Transient { Fault::Unavailable } else { Fault::Broken };
        Self { fault, own: false, error }
    }

    /// The time of the call is over.
    pub(super) fn late(act: &str, hand: Hand) -> Self {
        Self {
            fault: Fault::Broken,
            own: false,
            error: OpError::new(in_doubt(hand), format!("{act}: no answer in time")),
        }
    }

    /// Credentials are missing or have expired.
    pub(super) fn credentials(act: &str, why: &str) -> Self {
        // In the message: a run that waits for credentials shows no hint, only how to go on.
        let message =
            format!("{act}: {why}; log in again so that `kubectl get ns` works with the same kubeconfig and context");
        Self { fault: Fault::Credentials, own: false, error: OpError::new(ErrorClass::Credentials, message) }
    }

    /// What the server has answered with this status.
    pub(super) fn answered(act: &str, hand: Hand, status: u16, body: &[u8]) -> Self {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let reason = parsed["reason"].as_str().unwrap_or_default();
        let said = parsed["message"].as_str().map_or_else(|| format!("status {status}"), |said| said.trim().to_owned());
        let causes = parsed.pointer("/details/causes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let owned: Vec<String> = causes
            .iter()
            .filter(|cause| cause["reason"] == "FieldManagerConflict")
            .map(|cause| {
                let who = cause["message"].as_str().unwrap_or_default();
                let who = who.split('"').nth(1).unwrap_or(who);
                let field = cause["field"].as_str().unwrap_or_default().trim_start_matches('.');
                format!("{field} is owned by {who}")
            })
            .collect();
        let (fault, class) = match (status, reason) {
            (401, _) => return Self::credentials(act, &said),
            (403, _) => (Fault::Denied, ErrorClass::Refused),
            (404, _) => (Fault::NotFound, ErrorClass::Refused),
            (409, "AlreadyExists") => (Fault::Exists, ErrorClass::Refused),
            (409, _) if !owned.is_empty() => (Fault::Owned, ErrorClass::Refused),
            (409, _) => (Fault::Changed, ErrorClass::Refused),
            (410, _) => (Fault::Expired, ErrorClass::Transient),
            (429 | 503, _) => (Fault::Unavailable, ErrorClass::Transient),
            (500.., "ServerTimeout") => (Fault::Unavailable, ErrorClass::Transient),
            (500.., _) => (Fault::Broken, in_doubt(hand)),
            _ => (Fault::Refused, ErrorClass::Refused),
        };
        if fault == Fault::Owned {
            let own = owned.iter().all(|one| one.ends_with(&format!(" is owned by {MANAGER}")));
            let error = OpError::refused(format!("{act}: somebody else owns what it sets: {}", owned.join("; ")))
                .with_hint("leave the field out, have its owner change it, or pass force: true to take it over");
            return Self { fault, own, error };
        }
        let error = OpError::new(class, format!("{act}: {said}"));
        let hint = match fault {
            Fault::Denied => Some("`muster ops` names the verb that the operation needs; a Role has to allow it"),
            Fault::NotFound => Some("is it the right cluster and namespace?"),
            Fault::Unavailable => Some("the API server has too much to do or is starting; try again later"),
            _ => None,
        };
        Self { fault, own: false, error: if let Some(hint) = hint { error.with_hint(hint) } else { error } }
    }

    /// What is known about the world after it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.error.class
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answered(hand: Hand, status: u16, reason: &str) -> Complaint {
        let body = json!({ "kind": "Status", "message": "said", "reason": reason, "code": status }).to_string();
        Complaint::answered("cannot", hand, status, body.as_bytes())
    }

    #[test]
    fn a_status_tells_what_is_known_about_the_world() {
        use ErrorClass::{Credentials, Refused, Transient, Unknown};
        for (status, reason, reads, writes) in [
            (401, "Unauthorized", Credentials, Credentials),
            (403, "Forbidden", Refused, Refused),
            (404, "NotFound", Refused, Refused),
            (409, "Conflict", Refused, Refused),
            (410, "Expired", Transient, Transient),
            (422, "Invalid", Refused, Refused),
            (429, "TooManyRequests", Transient, Transient),
            (500, "InternalError", Transient, Unknown),
            (503, "ServiceUnavailable", Transient, Transient),
            (504, "Timeout", Transient, Unknown),
        ] {
            let classes = [Hand::Reads, Hand::Writes].map(|hand| answered(hand, status, reason).class());
            assert_eq!(classes, [reads, writes], "{status}");
        }
        assert_eq!(answered(Hand::Writes, 409, "AlreadyExists").fault, Fault::Exists);
        assert_eq!(answered(Hand::Writes, 409, "Conflict").fault, Fault::Changed);
    }

    #[test]
    fn a_conflict_says_who_owns_which_field() {
        let cause = |field: &str| json!({ "reason": "FieldManagerConflict", "message": "conflict with \"helm\" using apps/v1", "field": field });
        let body = json!({ "reason": "Conflict", "message": "Apply failed", "details": { "causes": [cause(".spec.replicas")] } });
        let complaint = Complaint::answered("cannot apply", Hand::Writes, 409, body.to_string().as_bytes());
        assert_eq!((complaint.fault, complaint.own), (Fault::Owned, false));
        assert!(complaint.error.message.contains("spec.replicas is owned by helm"), "{:?}", complaint.error);
    }

    #[test]
    fn an_answer_that_is_no_status_is_told_by_its_code() {
        let complaint = Complaint::answered("cannot", Hand::Reads, 502, b"<html>");
        assert_eq!(
            (complaint.class(), complaint.error.message.as_str()),
            (ErrorClass::Transient, "cannot: status 502")
        );
    }
}
