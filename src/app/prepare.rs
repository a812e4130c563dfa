//! From what the user typed to a run that can begin: bundle, checks, parameters.

use super::{App, AppError, Start};
use crate::model::{Timestamp, Value, glob};
use crate::playbook::bundle::Bundle;
use crate::playbook::diagnostic::{Collector, has_errors};
use crate::playbook::params::{self, Given, Means};
use crate::playbook::types::Template;
use crate::script::Scope;

/// Loads a playbook by folder or name.
///
/// # Errors
/// When there is none, or its form is wrong: then with everything that is wrong, not only with its form.
pub fn load(name: &str) -> Result<Bundle, AppError> {
    Bundle::load(name).map_err(|error| match crate::lint::explain(error) {
        Ok((diagnostics, sources)) => AppError::Invalid { diagnostics, sources },
        Err(other) => AppError::Playbook(other),
    })
}

impl App {
    /// Loads and checks a playbook, and evaluates its parameters.
    ///
    /// # Errors
    /// With everything that is wrong with the playbook, or else with everything that is wrong with the parameters.
    pub fn prepare(&self, name: &str, given: &Given) -> Result<Start, AppError> {
        let bundle = load(name)?;
        self.prepare_bundle(bundle, given)
    }

    /// As [`App::prepare`], for a bundle at hand.
    ///
    /// # Errors
    /// As [`App::prepare`].
    pub fn prepare_bundle(&self, bundle: Bundle, given: &Given) -> Result<Start, AppError> {
        self.prepare_at(bundle, given, self.clock.now())
    }

    /// Loads and checks a playbook for parameters that were evaluated when it was planned.
    ///
    /// # Errors
    /// With everything that is wrong with the playbook.
    pub fn prepared(&self, name: &str, params: Value) -> Result<Start, AppError> {
        let bundle = load(name)?;
        let found = crate::lint::lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
        if has_errors(&found) {
            return Err(AppError::Invalid { diagnostics: found, sources: bundle.sources });
        }
        Ok(Start::new(bundle, params))
    }

    /// As [`App::prepare`], as if it were then.
    pub(super) fn prepare_at(&self, bundle: Bundle, given: &Given, now: Timestamp) -> Result<Start, AppError> {
        let found = crate::lint::lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
        if has_errors(&found) {
            return Err(AppError::Invalid { diagnostics: found, sources: bundle.sources });
        }
        self.evaluate(bundle, given, now)
    }

    /// As [`App::prepare`], for a bundle that was checked when it was stored: what has become an error since is none in it.
    ///
    /// # Errors
    /// When it does not compile, or with everything that is wrong with the parameters.
    pub fn prepare_checked(&self, bundle: Bundle, given: &Given) -> Result<Start, AppError> {
        self.evaluate(bundle, given, self.clock.now())
    }

    fn evaluate(&self, bundle: Bundle, given: &Given, started: Timestamp) -> Result<Start, AppError> {
        let program = self.compiled(&bundle)?;
        let folder =
            std::env::current_dir().map_err(|source| AppError::System { act: "find the current folder", source })?;
        let evaluate = |template: &Template, scope: &Value| -> Result<Value, String> {
            let scope = Scope { params: scope["params"].clone(), run: outline(started), ..Scope::default() };
            program.template(template, &scope).map_err(|error| error.to_string())
        };
        let seal = |text: &str| self.secrets.seal(text).map_err(|error| error.message);
        let means = Means { evaluate: &evaluate, seal: &seal, matches: &glob::matches, folder: &folder };
        let mut collector = Collector::default();
        let params = params::evaluate(&bundle.playbook.params, given, &means, &mut collector);
        let diagnostics = collector.finish();
        if has_errors(&diagnostics) {
            let mut sources = bundle.sources;
            sources.resize(
                usize::from(params::FIRST_FILE),
                crate::model::span::Source { name: String::new(), text: "".into() },
            );
            sources.extend(given.files.iter().cloned());
            return Err(AppError::Invalid { diagnostics, sources });
        }
        Ok(Start::new(bundle, params))
    }
}

/// What the defaults of parameters may see of a run that has not begun: when it would begin.
fn outline(started: Timestamp) -> Value {
    serde_json::json!({ "started": started.to_string() })
}
