//! Whether the playbooks that schedules name can be run as they want it.

use super::file::{Schedule, Schedules};
use crate::lint;
use crate::playbook::bundle::{Bundle, BundleError};
use crate::playbook::diagnostic::{Collector, Diagnostic, has_errors};

impl Schedules {
    /// Everything that keeps a schedule's playbook from being run: there is none, it is not valid, it cannot be drilled, parameters
    /// that it does not know or that are missing.
    #[must_use]
    pub fn check(&self) -> Vec<Diagnostic> {
        let mut collector = Collector::default();
        for schedule in &self.list {
            of(schedule, &mut collector);
        }
        collector.finish()
    }
}

fn of(schedule: &Schedule, collector: &mut Collector) {
    let (span, name) = (schedule.playbook.span, &schedule.playbook.value);
    let bundle = match Bundle::load(&schedule.origin) {
        Ok(bundle) => bundle,
        Err(BundleError::NotFound { likely, .. }) => {
            let fault = Diagnostic::error("unknown-playbook", span, format!("there is no playbook `{name}`"));
            let beside = "a folder beside this file, or in playbooks/ beside it; or the name of a shipped playbook";
            return collector
                .push(fault.hint(likely.map_or(beside.to_owned(), |name| format!("did you mean `{name}`?"))));
        }
        Err(BundleError::Invalid { .. }) => return collector.push(invalid(schedule)),
        Err(error) => {
            let message = format!("the playbook `{name}` cannot be read: {error}");
            return collector.push(Diagnostic::error("unknown-playbook", span, message));
        }
    };
    if has_errors(&lint::lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources)) {
        return collector.push(invalid(schedule));
    }
    let playbook = &bundle.playbook;
    let none = match &playbook.drill {
        None => Some(format!("the playbook `{name}` does not say how it is drilled")),
        Some(drill) => {
            drill.none.as_ref().map(|why| format!("the playbook `{name}` cannot be drilled: {}", why.value.trim()))
        }
    };
    if let Some(message) = none.filter(|_| schedule.drill) {
        let hint = "give it a `drill` section, or say `drill: false` if a live run is meant";
        collector.push(Diagnostic::error("no-drill", span, message).hint(hint));
    }
    let known = || playbook.params.iter().map(|param| param.name.value.as_str());
    for (param, value) in &schedule.params {
        if !known().any(|one| one == param) {
            let message = format!("the playbook has no parameter `{param}`");
            collector.push(Diagnostic::error("unknown-param", value.span, message).likely(param, known()));
        }
    }
    let set = |param: &str| {
        let drill = playbook.drill.as_ref().filter(|_| schedule.drill);
        drill.is_some_and(|drill| drill.params.iter().any(|(name, _)| name.value == param))
    };
    for param in playbook.params.iter().filter(|param| param.default.is_none()) {
        let name = &param.name.value;
        if !schedule.params.contains_key(name) && !set(name) {
            let message = format!("the parameter `{name}` has no value");
            let fault = Diagnostic::error("missing-param", schedule.span, message);
            collector.push(fault.hint(format!("params: {{ {name}: … }}")));
        }
    }
}

fn invalid(schedule: &Schedule) -> Diagnostic {
    let message = format!("the playbook `{}` is not valid", schedule.playbook.value);
    let fault = Diagnostic::error("invalid-playbook", schedule.playbook.span, message);
    fault.hint(format!("`muster lint {}` says why", schedule.origin))
}
