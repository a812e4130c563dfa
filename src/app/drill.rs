//! Drills: from a playbook's `drill` section to a run that is fenced in.

use super::{App, AppError, Identity, Start, prepare};
use crate::model::drill::DrillPin;
use crate::model::fault::OpError;
use crate::model::span::{Span, Spanned};
use crate::model::status::Mode;
use crate::model::{Timestamp, Value};
use crate::playbook::bundle::Bundle;
use crate::playbook::params::Given;
use crate::playbook::types::{Drill, Playbook};
use crate::sandbox::World;
use crate::script::Scope;

/// What is wanted of a drill beyond what its playbook says.
#[derive(Clone, Debug, Default)]
pub struct DrillOrder {
    /// From when the recovery is reckoned; from the start of the run when absent.
    pub declared_at: Option<Timestamp>,
    /// Which run it is to be; drawn anew when absent.
    pub identity: Option<Identity>,
}

/// How a playbook is drilled.
///
/// # Errors
/// Refused, when it does not say, or says that it cannot be.
pub fn section(playbook: &Playbook) -> Result<&Drill, OpError> {
    let name = &playbook.name.value;
    match &playbook.drill {
        None => Err(OpError::refused(format!("playbook {name} does not say how it is drilled"))
            .with_hint("give it a `drill` section: docs/drills.md")),
        Some(Drill { none: Some(why), .. }) => {
            Err(OpError::refused(format!("playbook {name} cannot be drilled: {}", why.value.trim())))
        }
        Some(drill) => Ok(drill),
    }
}

impl App {
    /// Loads and checks a playbook, and evaluates the parameters of a drill of it. What is given goes before what its `drill`
    /// section sets, and that before defaults.
    ///
    /// # Errors
    /// As [`App::prepare`]; and when the playbook cannot be drilled, or the drill was declared later than now.
    pub fn prepare_drill(&self, name: &str, given: Given, order: &DrillOrder) -> Result<Start, AppError> {
        self.prepare_drill_bundle(prepare::load(name)?, given, order)
    }

    /// As [`App::prepare_drill`], for a bundle at hand.
    ///
    /// # Errors
    /// As [`App::prepare_drill`].
    pub fn prepare_drill_bundle(&self, bundle: Bundle, given: Given, order: &DrillOrder) -> Result<Start, AppError> {
        self.drill_at(bundle, given, order, Mode::Live, self.clock.now())
    }

    /// As [`App::prepare_drill`], for a world: parameters that neither are given nor set by the drill are the world's examples.
    ///
    /// # Errors
    /// As [`App::prepare_drill`].
    pub fn prepare_drill_in(
        &self,
        name: &str,
        mut given: Given,
        order: &DrillOrder,
        world: &World,
    ) -> Result<Start, AppError> {
        let bundle = prepare::load(name)?;
        let set: Vec<&str> =
            bundle.playbook.drill.iter().flat_map(|drill| &drill.params).map(|(n, _)| n.value.as_str()).collect();
        for (name, value) in world.params.iter().filter(|(name, _)| !set.contains(&name.as_str())) {
            given.values.entry(name.clone()).or_insert_with(|| Spanned::new(value.clone(), Span::default()));
        }
        self.drill_at(bundle, given, order, Mode::Sandbox, world.now)
    }

    fn drill_at(
        &self,
        bundle: Bundle,
        mut given: Given,
        order: &DrillOrder,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Start, AppError> {
        let drill = section(&bundle.playbook)?.clone();
        if let Some(declared) = order.declared_at.filter(|declared| *declared > now) {
            let error = OpError::refused(format!("a drill cannot be declared at {declared}: that is yet to come"));
            return Err(error.with_hint("--declared-at is in the past; times are in UTC").into());
        }
        let identity = order.identity.clone().map_or_else(Identity::random, Ok)?;
        let run = serde_json::json!({
            "id": identity.run.as_str(),
            "short_id": identity.run.short(),
            "playbook": bundle.playbook.name.value,
            "mode": mode,
            "started": now.to_string(),
        });
        let program = self.compiled(&bundle)?;
        let scope = Scope { run: run.clone(), ..Scope::default() };
        for (name, template) in &drill.params {
            if !given.values.contains_key(&name.value) {
                let value = program.template(template, &scope)?;
                given.values.insert(name.value.clone(), Spanned::new(value, name.span));
            }
        }
        let start = self.prepare_at(bundle, &given, now)?;
        let scope = Scope { params: start.params.clone(), run, ..Scope::default() };
        let mut shared = Vec::new();
        for template in &drill.shared {
            match program.template(template, &scope)? {
                // What an empty parameter gives is nothing.
                Value::String(text) if text.is_empty() => {}
                Value::String(text) => shared.push(text),
                Value::Array(items) => shared.extend(items.iter().filter_map(Value::as_str).map(str::to_owned)),
                other => {
                    let error = OpError::refused(format!("`drill.shared` gives {other}, which is no resource"));
                    return Err(error.into());
                }
            }
        }
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let names = |all: &[Spanned<String>]| all.iter().map(|one| one.value.clone()).collect();
        let pin = DrillPin {
            // When the run begins, if nothing else was said.
            declared_at: order.declared_at.unwrap_or(Timestamp::MAX),
            skip: names(&drill.skip),
            shared,
            proof: names(&drill.proof),
            time_limit_ms: drill.time.map(millis),
            makes: drill.makes.iter().map(|(pattern, most)| (pattern.value.clone(), *most)).collect(),
            rto_ms: start.bundle.playbook.rto.map(millis),
            rpo_ms: start.bundle.playbook.rpo.map(millis),
        };
        Ok(Start { identity: Some(identity), drill: Some(pin), ..start })
    }
}
