//! A plan on disk: what was reviewed, in a form that a run can be bound to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Plan, digest};
use crate::engine::bound::Bound;
use crate::model::check::Verdict;
use crate::model::command::Actor;
use crate::model::forecast::PlanApproval;
use crate::model::paths::{PathEffect, Paths};
use crate::model::{RunId, Timestamp, Value};

/// The version of the file's form.
pub const FORMAT: u32 = 1;
/// A plan file that is larger was not written by `muster plan`.
const MAX_BYTES: u64 = 256 << 20;

/// A plan on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// [`FORMAT`].
    pub muster_plan: u32,
    /// The id that the run has, or will have: names that contain it are as planned, and no second run can have it.
    pub run: RunId,
    /// Where the run's chance begins.
    pub seed: u64,
    /// When it was made.
    pub made: Timestamp,
    /// By whom.
    pub by: Actor,
    /// After this it is refused.
    pub valid_until: Timestamp,
    /// The playbook as it was named on the command line.
    pub playbook: String,
    /// The world it was made over.
    pub base: Base,
    /// The plan.
    pub plan: Plan,
    /// Approvals of the plan, each with the code that shows that it was given at the store where the plan is to be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<SealedApproval>,
    /// SHA-256 of all but the approvals: finds out a file that was damaged, or changed without care. Changes with care are found out by
    /// planning anew.
    pub seal: String,
}

/// An approval that cannot be written by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedApproval {
    /// The approval.
    pub approval: PlanApproval,
    /// HMAC-SHA-256 over it, with the key of the store at which it was given.
    pub mac: String,
}

impl SealedApproval {
    /// Seals an approval with the key of a store.
    #[must_use]
    pub fn new(approval: PlanApproval, key: &[u8; 32]) -> Self {
        let mac = hex(&code(&approval, key).finalize().into_bytes());
        Self { approval, mac }
    }

    /// Whether it was sealed with this key, as it is.
    #[must_use]
    pub fn is_genuine(&self, key: &[u8; 32]) -> bool {
        unhex(&self.mac).is_some_and(|mac| code(&self.approval, key).verify_slice(&mac).is_ok())
    }
}

fn code(approval: &PlanApproval, key: &[u8; 32]) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length makes an HMAC");
    code.update(b"approval of a plan\0");
    code.update(serde_json::to_value(approval).map(|value| value.to_string()).unwrap_or_default().as_bytes());
    code
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The world a plan was made over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "world", rename_all = "snake_case")]
pub enum Base {
    /// The live system.
    Live,
    /// A world of the sandbox.
    Sandbox {
        /// SHA-256 of the world as it was.
        digest: String,
    },
}

/// Why a file is no plan to run.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It cannot be read.
    #[error("cannot read the plan {path}: {source}")]
    Read { path: String, source: io::Error },
    /// It cannot be written.
    #[error("cannot write the plan {path}: {source}")]
    Write { path: String, source: io::Error },
    /// It is none.
    #[error("{path} is no plan: {what}")]
    Form { path: String, what: String },
    /// It was written by a later version.
    #[error("the plan {path} has format {found}, and this muster reads formats up to {FORMAT}")]
    TooNew { path: String, found: u64 },
    /// It is not what was written.
    #[error("the plan {path} is not what was written: {what}")]
    Changed { path: String, what: String },
}

impl PlanFile {
    /// Puts the seal on it.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.seal = self.sum();
        self
    }

    fn sum(&self) -> String {
        let mut bare = self.clone();
        bare.seal.clear();
        bare.approvals.clear();
        // Through a value: its objects are sorted, so that the order of fields in the file says nothing.
        let text = serde_json::to_value(&bare).map(|value| value.to_string()).unwrap_or_default();
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// Writes it: wholly or not at all, readable for its owner and group only, since parameters may say much.
    ///
    /// # Errors
    /// With the path and the system's reason.
    pub fn write(&self, path: &Path) -> Result<(), PlanFileError> {
        let failed = |source| PlanFileError::Write { path: path.display().to_string(), source };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other).map_err(failed)?;
        bytes.push(b'\n');
        // The folder of a bare name is the present one.
        let whole = std::path::absolute(path).map_err(failed)?;
        crate::ops::files::write_atomically(&whole, &bytes, 0o640)
            .map_err(|error| failed(io::Error::other(error.message)))
    }

    /// Reads one that [`PlanFile::write`] wrote.
    ///
    /// # Errors
    /// When it cannot be read, is none, or was changed since.
    pub fn read(path: &Path) -> Result<Self, PlanFileError> {
        let name = || path.display().to_string();
        let failed = |source| PlanFileError::Read { path: name(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(PlanFileError::Form { path: name(), what: "it is no file".to_owned() });
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_BYTES + 1), &mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(PlanFileError::Form { path: name(), what: format!("it has more than {MAX_BYTES} bytes") });
        }
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| PlanFileError::Form { path: name(), what: error.to_string() })?;
        match value.get("muster_plan").and_then(Value::as_u64) {
            Some(found) if found > u64::from(FORMAT) => return Err(PlanFileError::TooNew { path: name(), found }),
            Some(_) => {}
            None => {
                let what = "it has no field `muster_plan`; `muster plan --out FILE` writes plans".to_owned();
                return Err(PlanFileError::Form { path: name(), what });
            }
        }
        let file: Self = serde_json::from_value(value)
            .map_err(|error| PlanFileError::Form { path: name(), what: error.to_string() })?;
        if file.seal != file.sum() {
            return Err(PlanFileError::Changed { path: name(), what: "its seal does not fit".to_owned() });
        }
        if file.plan.digest != digest::of(&file.plan) {
            return Err(PlanFileError::Changed {
                path: name(),
                what: "its digest is not that of its effects".to_owned(),
            });
        }
        Ok(file)
    }

    /// What a run under this plan may do.
    #[must_use]
    pub fn bound(&self) -> Bound {
        self.plan.bound()
    }
}

impl Plan {
    /// What a run under this plan may do.
    #[must_use]
    pub fn bound(&self) -> Bound {
        let steps = self.steps.iter().map(|step| {
            let effects = step.calls.iter().filter(|call| call.writes && call.refused.is_none());
            // What has been made already is the beginning of what the step may do; a step that has ended may do nothing more.
            let made = step.made.iter().filter(|_| step.outcome != super::StepOutcome::Done);
            let made = made.map(|made| PathEffect { op: made.op.clone(), args: made.args.clone(), at_most: None });
            let effects =
                effects.map(|call| PathEffect { op: call.op.clone(), args: call.args.clone(), at_most: call.at_most });
            let paths = step.paths.clone().unwrap_or_else(|| Paths::sequence(made.chain(effects)));
            (step.step.clone(), paths)
        });
        let steps = steps.collect();
        Bound { digest: self.digest.clone(), steps }
    }

    /// The effects that the run had made when its rest was planned.
    #[must_use]
    pub fn made(&self) -> usize {
        self.steps.iter().map(|step| step.made.len()).sum()
    }

    /// The preconditions that were better when this was planned than they are now, a line each.
    #[must_use]
    pub fn worse_checks(&self, now: &Self) -> Vec<String> {
        let was = |id: &str| self.checks.iter().find(|check| check.id == id).map_or(Verdict::Pass, |was| was.verdict);
        let worse = now.checks.iter().filter(|check| check.verdict > was(&check.id));
        worse
            .map(|check| {
                let what = if check.found.is_empty() { &check.title } else { &check.found };
                let (was, is) = (was(&check.id).as_str(), check.verdict.as_str());
                format!("the check `{}`: it was {was}, it is {is}: {what}", check.id)
            })
            .collect()
    }

    /// How another plan differs from this one in what it does, a line each; empty when it does the same.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.bundle != now.bundle {
            found.push(format!(
                "the playbook: bundle {} was planned, it is {}",
                short(&self.bundle),
                short(&now.bundle)
            ));
        }
        let names = |plan: &Self| plan.params.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        let all: std::collections::BTreeSet<String> = names(self).into_iter().chain(names(now)).flatten().collect();
        for name in all {
            if self.params.get(&name) != now.params.get(&name) {
                found.push(format!("the parameter `{name}`"));
            }
        }
        let targets: std::collections::BTreeSet<&String> = self.targets.keys().chain(now.targets.keys()).collect();
        for name in targets {
            let (was, is) = (self.targets.get(name), now.targets.get(name));
            if was != is {
                let shown = |identity: Option<&String>| identity.map_or("not there", String::as_str).to_owned();
                found.push(format!("the target {name}: it was {}, it is {}", shown(was), shown(is)));
            }
        }
        if self.rest != now.rest {
            found.push("where the run stands".to_owned());
        }
        let (was, is) = (effects(self), effects(now));
        let steps: std::collections::BTreeSet<&str> = was.keys().chain(is.keys()).copied().collect();
        for step in steps {
            let (was, is) = (was.get(step), is.get(step));
            if was != is {
                let shown = |lines: Option<&Vec<String>>| match lines {
                    None => "is not there".to_owned(),
                    Some(lines) if lines.is_empty() => "has no effect".to_owned(),
                    Some(lines) => format!("does {}", lines.join("; ")),
                };
                found.push(format!("the effects of {step}: in the plan it {}, now it {}", shown(was), shown(is)));
            }
        }
        found
    }
}

fn effects(plan: &Plan) -> BTreeMap<&str, Vec<String>> {
    plan.steps
        .iter()
        .map(|step| {
            let lines = step.calls.iter().filter(|call| call.writes).map(|call| {
                let refused = call.refused.as_ref().map(|why| format!(" (refused: {why})")).unwrap_or_default();
                format!("{} {}{refused}", call.op, call.args)
            });
            (step.step.as_str(), lines.collect())
        })
        .collect()
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
