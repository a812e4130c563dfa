//! `muster plan`.

use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::{Failure, Kind};
use crate::cli::foreground;
use crate::cli::given::PlaybookArgs;
use crate::cli::printer::Format;
use crate::plan::{Plan, text};

/// Show what a run would do. Nothing is changed: the plan has no means to.
///
/// Reads go to the live system; effects are recorded and not sent. Each line says how far it can be believed.
///
/// Example: muster plan omnichat-restore -f restore.yaml --detailed-exitcode
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    what: PlaybookArgs,
    /// Form of the plan.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// Exit with 2 when the plan has effects, and with 9 when it has opaque or unknown parts.
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Does it.
///
/// # Errors
/// When the playbook or its parameters are invalid.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let app = foreground::app(context)?;
    let given = args.what.params.read(context.printer)?;
    let start = app.prepare(&args.what.playbook, &given)?;
    let (records, program) = app.plan(&start)?;
    let plan = Plan::of(&records, &program)
        .ok_or_else(|| Failure::new(Kind::Internal, "the plan's own record cannot be read"))?;
    match args.output {
        Format::Json => context.printer.json(&plan)?,
        Format::Table => context.printer.result(&text::render(&plan))?,
    }
    Ok(if plan.fails() {
        Code::Precondition
    } else if args.detailed_exitcode && plan.coverage < 100 {
        Code::Incomplete
    } else if args.detailed_exitcode && plan.effects > 0 {
        Code::Changes
    } else {
        Code::Done
    })
}
