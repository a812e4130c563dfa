//! `--sandbox`: the playbook's own world instead of this one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::failure::Failure;
use crate::model::fault::OpError;
use crate::ops::host::Request;
use crate::sandbox::fault::{Action, Moment};
use crate::sandbox::host::Hook;

/// In which world.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct WorldArgs {
    /// In the playbook's world.yaml instead of the real world, in virtual time. Parameters that are not given are the
    /// world's examples.
    #[arg(long)]
    pub sandbox: bool,
    /// In the world of this file; goes with --sandbox.
    #[arg(long, value_name = "FILE", requires = "sandbox")]
    pub world: Option<PathBuf>,
}

/// What happens in the sandbox that would not by itself.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct FaultArgs {
    /// In the sandbox: say yes to what people are asked (approvals, questions, steps done by hand).
    #[arg(long, requires = "sandbox")]
    pub yes: bool,
    /// In the sandbox: let an effect fail. Its number (7: the seventh of the run), or its operation, with `:2` for its second
    /// use.
    #[arg(long, value_name = "EFFECT", requires = "sandbox")]
    fail: Option<String>,
    /// How it fails: `refused` before anything is done, `half` in the middle, `lost` when all is done and the answer does not come.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", requires = "fail")]
    fail_how: How,
}

/// How an effect fails.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
enum How {
    /// Before anything is done.
    #[default]
    Refused,
    /// In the middle.
    Half,
    /// When all is done and the answer does not come.
    Lost,
}

impl FaultArgs {
    /// What the sandbox asks before and after every effect.
    ///
    /// # Errors
    /// When no effect is meant.
    pub fn hook(&self) -> Result<Option<Hook>, Failure> {
        let Some(text) = &self.fail else { return Ok(None) };
        let (name, number) = match (text.parse::<usize>(), text.rsplit_once(':')) {
            (Ok(number), _) => (None, number),
            (Err(_), Some((op, number))) => (Some(op), number.parse().unwrap_or(0)),
            (Err(_), None) => (Some(text.as_str()), 1),
        };
        if number == 0 {
            return Err(Failure::user(format!("--fail {text}: effects are counted from 1")));
        }
        if let Some(op) = name
            && !crate::ops::find(op).is_some_and(|op| op.effect.writes())
        {
            return Err(Failure::user(format!("--fail {text}: `{op}` is no operation with an effect"))
                .hint("`muster ops` lists them; `muster plan --sandbox` shows those of the playbook"));
        }
        let (name, how, count) = (name.map(str::to_owned), self.fail_how, AtomicUsize::new(0));
        Ok(Some(Box::new(move |request: &Request, moment| {
            if name.as_deref().is_some_and(|name| name != request.op.name) {
                return Action::Go;
            }
            let sent = match moment {
                Moment::Before => count.fetch_add(1, Ordering::SeqCst) + 1,
                Moment::After => count.load(Ordering::SeqCst),
            };
            match (how, moment) {
                _ if sent != number => Action::Go,
                (How::Refused, Moment::Before) => {
                    Action::Fail(OpError::refused(format!("{} was refused on purpose (--fail)", request.op.name)))
                }
                (How::Half, Moment::Before) => Action::Half { stop: false },
                (How::Lost, Moment::After) => Action::Fail(OpError::unknown(
                    "cannot tell what became of it: the answer was lost on purpose (--fail)",
                )),
                _ => Action::Go,
            }
        })))
    }
}
