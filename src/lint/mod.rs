//! Everything that can be found wrong with a loaded playbook without running it: all of it at once, each with its place in
//! the user's text, what is wrong, and what to do.
//!
//! | codes | what is checked |
//! | --- | --- |
//! | `duplicate-step` `unknown-step` `duplicate-need` `cycle` | the graph |
//! | `script-syntax` `unknown-variable` | every script, expression and module compiles |
//! | `unknown-param` `param-order` `duplicate-param` `unused-param` | parameters, and defaults that use others |
//! | `steps-here` `step-not-needed` `own-output` `unknown-output` | results of steps are used where they are known |
//! | `unknown-run-field` `no-foreach` `unused-item` | what else scripts see |
//! | `unknown-operation` `unknown-argument` `missing-argument` `argument-type` `argument-value` | calls of operations |
//! | `not-imported` `unknown-module` `unknown-function` `private-function` `wrong-arity` | calls of functions, those of modules and plain ones |
//! | `call-in-expression` `only-reads` `call-outside-function` | operations stand only where they may |
//! | `missing-capability` `unknown-scope` `unused-capability` | what is done is granted, and nothing else |
//! | `time-in-name` | names do not come from the clock |
//! | `unknown-import` `import-alias` `import-in-script` `unused-import` | imports |
//! | `bad-model` `model-reaches-out` `unused-model` | the playbook's own models |
//! | `no-condition` `never-runs` `approval-of-nobody` `stands-after-rollback` | single steps |

pub mod arguments;
pub mod calls;
pub mod capabilities;
pub mod clock;
pub mod codes;
pub mod compile;
pub mod facts;
pub mod functions;
pub mod given;
pub mod graph;
pub mod models;
pub mod modules;
pub mod names;
mod partial;
pub mod sites;
pub mod steps;
pub mod text;

use crate::model::span::Source;
use crate::playbook::bundle::ModuleSource;
use crate::playbook::diagnostic::{Collector, Diagnostic};
use crate::playbook::types::Playbook;

/// Everything wrong with a loaded playbook, in the order of its text. Empty: it can be run.
///
/// `sources` are the files that the playbook's spans point into; modules and models are found among them by name and text.
#[must_use]
pub fn lint(
    playbook: &Playbook,
    modules: &[ModuleSource],
    models: &[ModuleSource],
    sources: &[Source],
) -> Vec<Diagnostic> {
    let mut collector = Collector::default();
    for diagnostic in find(playbook, modules, models, sources) {
        collector.push(diagnostic);
    }
    collector.finish()
}

/// What every check finds, in the order of the checks.
fn find(playbook: &Playbook, modules: &[ModuleSource], models: &[ModuleSource], sources: &[Source]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let places = sites::places(playbook);
    let scripts = places.iter().map(|(_, _, script)| script.value.as_str());
    let texts = modules.iter().chain(models).map(|module| module.text.as_str());
    let compiler = compile::Compiler::new(scripts.chain(texts));
    let modules = modules::Modules::read(modules, sources, &compiler, &mut found);
    let sites = sites::read(playbook, places, sources, &compiler, &mut found);
    let graph = graph::Graph::of(playbook);
    let complete = sites.iter().all(|site| site.readable) && modules.iter().all(|module| module.readable);

    graph::check(playbook, &graph, &mut found);
    steps::imports(playbook, &sites, &mut found);
    modules.check(&mut found);
    names::check(playbook, &graph, &sites, &mut found);
    functions::check(playbook, &sites, &modules, &mut found);
    let calls = calls::check(playbook, &sites, &modules, &mut found);
    capabilities::check(playbook, &calls, complete, &mut found);
    clock::check(playbook, &sites, &mut found);
    steps::check(playbook, &sites, &mut found);
    let checked = models::Checked { playbook, models, sources, modules: &modules, calls: &calls, complete };
    models::check(&checked, &compiler, &mut found);
    found
}

pub use partial::{explain, lint_partial};

#[cfg(test)]
mod tests;
