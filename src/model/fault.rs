//! Why an operation did not do what it was asked.

use serde::{Deserialize, Serialize};

/// What is known about the world after an error. It decides whether the engine may send the call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Nothing was done, and asking again will not help: bad arguments, a precondition, no permission, a missing binary.
    Refused,
    /// Nothing was done; asking again later may help: connection refused, throttled.
    Transient,
    /// It ran and said that it failed. Whether it left anything is for the probe to say.
    Failed,
    /// Nobody knows whether it was done: a deadline, a lost connection. The call is in doubt.
    Unknown,
    /// Nothing was done, because credentials are missing or have expired. The run pauses instead of failing.
    Credentials,
}

/// An operation did not do what it was asked. Texts are redacted before they are shown or stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct OpError {
    /// What is known about the world.
    pub class: ErrorClass,
    /// Act, thing and fault in one lowercase sentence: `cannot dump database chatbot_db: connection refused`.
    pub message: String,
    /// What the program itself said last, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether it was refused for want of a permission or a capability: waiting alone does not change that, as it does where
    /// something is only not there yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
}

impl OpError {
    /// An error of this class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), detail: None, hint: None, denied: false }
    }

    /// Nothing was done, and asking again will not help.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Refused, message)
    }

    /// Nothing was done, since it is not allowed.
    pub fn denied(message: impl Into<String>) -> Self {
        Self { denied: true, ..Self::refused(message) }
    }

    /// Nothing was done; asking again later may help.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, message)
    }

    /// It ran and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Failed, message)
    }

    /// Nobody knows whether it was done.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unknown, message)
    }

    /// Adds what the program itself said.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        self.detail = (!detail.trim().is_empty()).then_some(detail);
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A thing whose identity a run records at its start, and checks before it goes on: a container host, a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// What it is, with the name it goes by: `container host`, `postgres open-webui-db`.
    pub name: String,
    /// What tells it from any other of that name: a machine id, a system identifier.
    pub identity: String,
}
