//! Calls of a plan that the playbook's own models answer: what they hang on, and why one is not answered after all.

use super::Overlay;
use super::footprint::{self, Depth, Reach};
use super::import::Importer;
use super::state::State;
use crate::model::Value;
use crate::ops::host::Request;
use crate::sandbox::modelled;
use crate::sandbox::models::exec;

/// A model that looks at more and more things each time it is asked is asked no more often.
const MOST_ROUNDS: usize = 16;

impl Overlay {
    /// The file of the playbook's own model that answers a call.
    pub(super) fn model_of(&self, state: &State, request: &Request) -> Option<String> {
        exec::model_file(&state.world, &self.call(request, &Value::Null, state.now)).map(str::to_owned)
    }

    /// What the call looks at: what its model looks at and changes, beside the streams of the program. On a live system each thing is
    /// looked at, and the model asked again, until it has seen all that it wants to know.
    pub(super) fn reach_by_model(&self, state: &mut State, request: &Request) -> Vec<Reach> {
        let mut reach = footprint::streams(&request.args);
        if !request.op.effect.writes() {
            // Whatever its model looks at: what a program tells nobody knows once anything may have changed.
            reach.push(Reach { key: "exec/read".to_owned(), depth: Depth::Itself });
        }
        for _ in 0..MOST_ROUNDS {
            let call = self.call(request, &Value::Null, state.now);
            let Some((told, sight)) = exec::told(&state.world, &call) else { break };
            let seen = modelled::seen(told.as_ref().ok(), &sight);
            let known = reach.len();
            for one in seen {
                let depth = if one.below { Depth::Below } else { Depth::Itself };
                let one = Reach { key: one.key, depth };
                if !reach.contains(&one) {
                    reach.push(one);
                }
            }
            if reach.len() == known {
                break;
            }
            if !self.whole {
                let importer = Importer { base: self.base.as_ref(), request, clusters: sight.clusters() };
                // What cannot be looked at is told once the call is answered.
                for one in &reach[known..] {
                    let _ = importer.import(state, std::slice::from_ref(one));
                }
            }
        }
        reach
    }
}
