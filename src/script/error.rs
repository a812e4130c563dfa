//! Why a script did not give a result.

use rhai::{EvalAltResult, Position};

use super::convert;
use super::current::{Limit, MAX_MEMORY};
use crate::model::amount::{format_duration, format_size};
use crate::model::fault::{ErrorClass, OpError};
use crate::model::unknown::in_words;

/// Why a script did not give a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", place(*.line, *.column, .module.as_deref()))]
pub struct ScriptError {
    /// What is wrong.
    pub message: String,
    /// Line within the script, from 1, if known.
    pub line: Option<usize>,
    /// Column within that line, from 1.
    pub column: Option<usize>,
    /// The module it happened in, when not the step's own script.
    pub module: Option<String>,
    /// The operation's error, if it was one that the script let through.
    pub op: Option<OpError>,
    /// It looked inside something that only the run will know.
    pub unknown: bool,
    /// The limit of ours that ended it.
    pub limit: Option<Limit>,
}

fn place(line: Option<usize>, column: Option<usize>, module: Option<&str>) -> String {
    match (line, column, module) {
        (Some(line), Some(column), Some(module)) => format!(" ({module}:{line}:{column})"),
        (Some(line), Some(column), None) => format!(" (line {line}, column {column} of the script)"),
        _ => String::new(),
    }
}

impl ScriptError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None, column: None, module: None, op: None, unknown: false, limit: None }
    }

    /// From Rhai's error and the limit of ours that ended the evaluation, if one did.
    #[must_use]
    pub fn from_rhai(error: &EvalAltResult, limit: Option<Limit>) -> Self {
        let (inner, position, module) = innermost(error);
        let mut made = limit.map_or_else(|| Self::new(describe(inner)), Self::of_limit);
        if let EvalAltResult::ErrorRuntime(value, _) = inner
            && let Ok(value) = convert::to_value(value)
            && let Ok(op) = serde_json::from_value::<OpError>(value)
        {
            made.message.clone_from(&op.message);
            made.op = Some(op);
        }
        made.unknown = super::unknown::spoken_of(&made.message);
        if made.unknown {
            made.message = super::unknown::in_words(&made.message);
        }
        made.line = position.line();
        made.column = position.position();
        made.module = module;
        made
    }

    /// From the limit that ended the evaluation, whatever the script made of that.
    #[must_use]
    pub fn of_limit(limit: Limit) -> Self {
        let message = match limit {
            Limit::Time(patience) => {
                format!("the script computed for more than {} without a call", format_duration(patience))
            }
            Limit::Memory => format!("the script held more than {} of memory", format_size(MAX_MEMORY as u64)),
        };
        Self { limit: Some(limit), ..Self::new(message) }
    }

    /// It was stopped for the time it took, which may be the machine's fault as well as the script's.
    #[must_use]
    pub fn is_overtime(&self) -> bool {
        matches!(self.limit, Some(Limit::Time(_)))
    }

    /// As the error of a step.
    #[must_use]
    pub fn into_op_error(self) -> OpError {
        let place = place(self.line, self.column, self.module.as_deref());
        match self.op {
            Some(op) => op,
            None => OpError::new(ErrorClass::Failed, format!("{}{place}", self.message)),
        }
    }
}

impl From<OpError> for ScriptError {
    fn from(error: OpError) -> Self {
        Self { op: Some(error.clone()), ..Self::new(error.message) }
    }
}

/// The error at the bottom of nested function calls, where it happened, and in which module.
fn innermost(error: &EvalAltResult) -> (&EvalAltResult, Position, Option<String>) {
    let mut inner = error;
    let mut module = None;
    let mut position = error.position();
    loop {
        inner = match inner {
            EvalAltResult::ErrorInFunctionCall(_, source, next, at) => {
                if !source.is_empty() {
                    module = Some(source.clone());
                }
                if next.position().is_none() {
                    position = *at;
                    module = None;
                } else {
                    position = next.position();
                }
                next
            }
            EvalAltResult::ErrorInModule(path, next, _) => {
                module = Some(path.clone());
                position = next.position();
                next
            }
            _ => break (inner, position, module),
        };
    }
}

fn describe(error: &EvalAltResult) -> String {
    match error {
        // What only the run will know is told in words, the whole message or a part of it.
        EvalAltResult::ErrorRuntime(value, _) => match convert::to_value(value).map(|value| in_words(&value)) {
            Ok(crate::model::Value::String(text)) => text,
            Ok(crate::model::Value::Null) => "the script gave up (`throw` without a message)".to_owned(),
            Ok(value) => value
                .get("message")
                .and_then(|message| message.as_str().map(str::to_owned))
                .unwrap_or_else(|| value.to_string()),
            Err(_) => "the script gave up".to_owned(),
        },
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("the script took more than {} steps: it probably loops for ever", super::dialect::MAX_OPERATIONS)
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            format!("the script calls functions more than {} levels deep", super::dialect::MAX_CALL_LEVELS)
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => format!("a value of the script is too large: {what}"),
        EvalAltResult::ErrorPropertyNotFound(name, _) => format!("there is no field `{name}` here"),
        EvalAltResult::ErrorVariableNotFound(name, _) => format!("there is no variable `{name}`"),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => format!("there is no function `{signature}`"),
        other => {
            let text = other.to_string();
            text.split(" (line ").next().unwrap_or(&text).to_owned()
        }
    }
}
