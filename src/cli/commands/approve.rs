//! `muster approve`.

use std::path::PathBuf;
use std::time::Duration;

use crate::access::Act;
use crate::cli::args::words;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::gated;
use crate::cli::order::{self, Manner};
use crate::cli::params::duration;
use crate::cli::printer::Format;
use crate::cli::render::view::StepState;
use crate::cli::render::{summary, when};
use crate::model::command::Order;
use crate::model::{StepPath, Timestamp};
use crate::plan::file::PlanFile;

/// How long an approval of a plan counts when nobody says.
const A_DAY: Duration = Duration::from_hours(24);

/// Let a step start that waits for approval, or approve a plan before it is run.
///
/// Nobody approves what they started. In an emergency --break-glass does away with that rule; it needs a reason and stands
/// in the record as what it is.
///
/// An approval of a step lets the run do what `muster show` lists: the effects of that step and of those that need it, up to the next
/// approval, as they were foreseen when it was asked for. What is not among them stops the run before it is done. An approval of a
/// plan file counts at every step of it that waits for you; whatever changes the plan voids it.
///
/// Example: muster approve 7k3f9q retire --role dr-lead -m 'checked the new database'
#[derive(clap::Args)]
pub struct Args {
    /// The run: its id, the first letters of it, or @latest.
    #[arg(value_name = "RUN", required_unless_present = "plan")]
    run: Option<String>,
    /// The step; of a `foreach` step, the instance: 'dump[chatbot_db]'.
    #[arg(value_name = "STEP", required_unless_present = "plan")]
    step: Option<String>,
    /// Approve the plan in this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "break_glass", "later", "wait"])]
    plan: Option<PathBuf>,
    /// How long the approval counts. That of a plan: 24h unless you say otherwise. That of a step: until the step begins, and no
    /// longer than its playbook says.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    valid_for: Option<Duration>,
    /// The role in which you approve; recorded as asserted, not proven.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Why.
    #[arg(short = 'm', long, value_name = "TEXT", value_parser = words, required_if_eq("break_glass", "true"))]
    reason: Option<String>,
    /// Approve although you may not.
    #[arg(long)]
    break_glass: bool,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// As [`order::give`]; when the plan is none or its time is over.
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    if let Some(path) = &args.plan {
        let app = context.app()?;
        let explain = |error| context.printer.explain(error);
        let file = PlanFile::read(path).map_err(|error| explain(error.into()))?;
        let on = format!("plan {}", file.plan.digest);
        context.permit(&app, Act::ApprovePlan, &file.plan.playbook, &on)?;
        let file = app.approve_plan(file, args.role, args.reason, args.valid_for.unwrap_or(A_DAY)).map_err(explain)?;
        file.write(path).map_err(|error| explain(error.into()))?;
        let until = file.approvals.last().map(|sealed| when::instant(sealed.approval.valid_until)).unwrap_or_default();
        context.printer.result(&format!(
            "approved the plan {} of {} {}: {} effects; it counts until {until}\n",
            file.plan.digest.get(..12).unwrap_or_default(),
            file.plan.playbook,
            file.plan.version,
            file.plan.effects
        ))?;
        return Ok(Code::Done);
    }
    let (Some(run), Some(step)) = (&args.run, &args.step) else {
        return Err(Failure::user("name a run and its step, or a plan by --plan FILE"));
    };
    let step = StepPath::of(step);
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), run)?;
    let view = context::view_of(store.as_ref(), &head)?;
    if args.manner.watch.output == Format::Table {
        let what = gated::of_step(store.as_ref(), &head, &view, &step, context.printer.err)?;
        if !what.is_empty() {
            context.printer.note(what.trim_end());
        }
    }
    drop(store);
    // In the sandbox it is as late as it is there.
    let now = summary::time_of(&view, context.now());
    let valid_until = args.valid_for.map(|long| now.saturating_add(long).unwrap_or(Timestamp::MAX));
    let digest = match view.find(&step).map(|step| &step.state) {
        Some(StepState::Approval { digest, .. }) => Some(digest.clone()),
        _ => None,
    };
    let order = Order::Approve {
        step,
        role: args.role,
        reason: args.reason,
        break_glass: args.break_glass,
        valid_until,
        digest,
    };
    order::give(context, run, order, args.manner)
}
