//! Every place of a playbook where Rhai stands, compiled, with what is true of that place.

use super::compile::{Compiler, Meant, diagnose};
use super::facts::Facts;
use super::text::ScriptText;
use crate::model::span::{Source, Spanned};
use crate::playbook::diagnostic::Diagnostic;
use crate::playbook::types::{Asks, Body, Playbook, Step, Template, TextPart};

/// What a script or expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The default of the parameter with this number.
    Default(usize),
    /// The scope of a capability.
    Scope,
    /// Where a secret stands.
    Secret,
    /// `check`: whether the playbook would work now.
    Check,
    /// `recovery_point` of a check.
    RecoveryPoint,
    /// A parameter that a drill sets.
    DrillParam,
    /// What a drill may touch although it did not make it.
    Shared,
    /// What a drill measures, once all steps have ended.
    Measure,
    /// `when`.
    When,
    /// The items of `foreach`.
    Items,
    /// The key of `foreach`.
    Key,
    /// `with`.
    With,
    /// What a person is told to do.
    Instructions,
    /// `script`.
    Body,
    /// `verify`.
    Verify,
    /// `rollback`.
    Rollback,
}

impl Role {
    /// Whether it must call no operation.
    #[must_use]
    pub fn is_pure(self) -> bool {
        !matches!(self, Self::Body | Self::Verify | Self::Rollback | Self::Measure | Self::Check | Self::RecoveryPoint)
    }

    /// Whether it may call only what reads.
    #[must_use]
    pub fn only_reads(self) -> bool {
        matches!(self, Self::Verify | Self::Measure | Self::Check | Self::RecoveryPoint)
    }

    /// Whether the item of a `foreach` can be seen there.
    #[must_use]
    pub fn sees_item(self) -> bool {
        matches!(
            self,
            Self::When | Self::Key | Self::With | Self::Instructions | Self::Body | Self::Verify | Self::Rollback
        )
    }

    /// What to call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default(_) => "the default of a parameter",
            Self::Scope => "the scope of a capability",
            Self::Secret => "the place of a secret",
            Self::Check => "`check`",
            Self::RecoveryPoint => "`recovery_point`",
            Self::DrillParam => "a parameter of the drill",
            Self::Shared => "what a drill shares",
            Self::Measure => "`measure`",
            Self::When => "`when`",
            Self::Items => "the items of `foreach`",
            Self::Key => "the key of `foreach`",
            Self::With => "`with`",
            Self::Instructions => "the instructions",
            Self::Body => "`script`",
            Self::Verify => "`verify`",
            Self::Rollback => "`rollback`",
        }
    }
}

/// One script or expression.
pub struct Site<'a> {
    /// The step it belongs to.
    pub step: Option<&'a Step>,
    /// What it is for.
    pub role: Role,
    /// The text and its place.
    pub text: ScriptText<'a>,
    /// What it mentions; nothing when it is no Rhai.
    pub facts: Facts,
    /// Whether it could be read.
    pub readable: bool,
}

/// Where a script stands, before it is compiled.
pub type Place<'a> = (Option<&'a Step>, Role, &'a Spanned<String>);

/// Every script and expression of a playbook, in the order of its parts.
#[must_use]
pub fn places(playbook: &Playbook) -> Vec<Place<'_>> {
    let mut all: Vec<Place<'_>> = Vec::new();
    for (index, param) in playbook.params.iter().enumerate() {
        expressions(param.default.as_ref(), &mut |expr| all.push((None, Role::Default(index), expr)));
    }
    for (_, template) in playbook.capabilities.iter().flat_map(|grant| &grant.scope) {
        expressions(Some(template), &mut |expr| all.push((None, Role::Scope, expr)));
    }
    for secret in &playbook.secrets {
        expressions(Some(&secret.from), &mut |expr| all.push((None, Role::Secret, expr)));
    }
    for check in &playbook.checks {
        let role = match &check.asks {
            Asks::Holds(_) => Role::Check,
            Asks::RecoveryPoint { .. } => Role::RecoveryPoint,
        };
        all.push((None, role, check.script()));
    }
    for step in &playbook.steps {
        let here = Some(step);
        all.extend(step.when.iter().map(|when| (here, Role::When, when)));
        if let Some(foreach) = &step.foreach {
            expressions(Some(&foreach.items), &mut |expr| all.push((here, Role::Items, expr)));
            all.extend(foreach.key.iter().map(|key| (here, Role::Key, key)));
        }
        match &step.body {
            Body::Uses { with, .. } => expressions(with.as_ref(), &mut |expr| all.push((here, Role::With, expr))),
            Body::Script(script) => all.push((here, Role::Body, script)),
            Body::Manual { instructions, .. } => {
                expressions(Some(instructions), &mut |expr| all.push((here, Role::Instructions, expr)));
            }
        }
        all.extend(step.verify.iter().map(|verify| (here, Role::Verify, &verify.check)));
        all.extend(step.rollback.iter().map(|script| (here, Role::Rollback, script)));
    }
    if let Some(drill) = &playbook.drill {
        for (_, template) in &drill.params {
            expressions(Some(template), &mut |expr| all.push((None, Role::DrillParam, expr)));
        }
        for template in &drill.shared {
            expressions(Some(template), &mut |expr| all.push((None, Role::Shared, expr)));
        }
        all.extend(drill.measure.iter().map(|(_, expr)| (None, Role::Measure, expr)));
    }
    all
}

/// Compiles them; `found` takes what is wrong with their texts.
pub fn read<'a>(
    playbook: &'a Playbook,
    places: Vec<Place<'a>>,
    sources: &'a [Source],
    compiler: &Compiler,
    found: &mut Vec<Diagnostic>,
) -> Vec<Site<'a>> {
    let params: Vec<&str> = playbook.params.iter().map(|param| param.name.value.as_str()).collect();
    let steps: Vec<&str> = playbook.steps.iter().map(|step| step.id.value.as_str()).collect();
    places
        .into_iter()
        .map(|(step, role, script)| {
            let text = ScriptText::scalar(script, sources);
            let compiled = compiler.script(&script.value);
            let facts = compiled.ast.as_ref().map(Facts::of).unwrap_or_default();
            if let Some(fault) = &compiled.fault {
                let meant = Meant { params: &params, steps: &steps, declared: &facts.declared, module: false };
                found.push(diagnose(&text, fault, &meant));
            }
            Site { step, role, text, facts, readable: compiled.ast.is_some() }
        })
        .collect()
}

fn expressions<'a>(template: Option<&'a Template>, take: &mut impl FnMut(&'a Spanned<String>)) {
    match template {
        None | Some(Template::Plain(_)) => {}
        Some(Template::Expr(expr)) => take(expr),
        Some(Template::Text(parts, _)) => {
            for part in parts {
                if let TextPart::Expr(expr) = part {
                    take(expr);
                }
            }
        }
        Some(Template::List(items, _)) => {
            for item in items {
                expressions(Some(item), take);
            }
        }
        Some(Template::Map(fields, _)) => {
            for (_, item) in fields {
                expressions(Some(item), take);
            }
        }
    }
}
