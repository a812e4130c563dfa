//! Family `ask`: questions to the operator, put by the engine. The run pauses until they are answered.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::spec::{self, Effect, OpEntry, Operation};

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![spec::engine::<Confirm>(), spec::engine::<Choice>(), spec::engine::<Text>()]
}

/// A question.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The question, as the operator reads it.
    pub question: String,
}

/// A question with the answers it can have.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoiceArgs {
    /// The question, as the operator reads it.
    pub question: String,
    /// The answers to choose from.
    #[schemars(length(min = 1))]
    pub options: Vec<String>,
}

/// `ask.confirm`.
pub struct Confirm;

impl Operation for Confirm {
    const NAME: &'static str = "ask.confirm";
    const EFFECT: Effect = Effect::Ask;
    const DOC: &'static str = "asks the operator yes or no";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::from_secs(60);
    type Args = Question;
    type Output = bool;

    fn resource(_: &Question) -> String {
        "ask".into()
    }
}

/// `ask.choice`.
pub struct Choice;

impl Operation for Choice {
    const NAME: &'static str = "ask.choice";
    const EFFECT: Effect = Effect::Ask;
    const DOC: &'static str = "asks the operator to choose one of some answers";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::from_secs(60);
    type Args = ChoiceArgs;
    type Output = String;

    fn resource(_: &ChoiceArgs) -> String {
        "ask".into()
    }
}

/// `ask.text`.
pub struct Text;

impl Operation for Text {
    const NAME: &'static str = "ask.text";
    const EFFECT: Effect = Effect::Ask;
    const DOC: &'static str = "asks the operator for a text; never for a secret, since it stands in the journal";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::from_secs(60);
    type Args = Question;
    type Output = String;

    fn resource(_: &Question) -> String {
        "ask".into()
    }
}
