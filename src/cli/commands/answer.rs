//! `muster answer`.

use crate::cli::args::StepArg;
use crate::cli::context::{self, Context};
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::order::{self, Manner};
use crate::model::command::Order;
use crate::model::{StepPath, Value};

/// Answer a question that a step asks.
///
/// A yes-or-no question takes yes, no, true or false; a choice takes one of its options; anything else is taken as text.
///
/// Example: muster answer 7k3f9q pick-backup 2026-03-01
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: StepArg,
    /// The answer.
    #[arg(value_name = "ANSWER", allow_hyphen_values = true)]
    answer: String,
    #[command(flatten)]
    manner: Manner,
}

/// Does it.
///
/// # Errors
/// When the step asks nothing, or the answer is none to its question.
pub fn run(args: Args, context: &Context) -> Result<Code, Failure> {
    let step = StepPath::of(&args.on.step);
    let store = context.store()?;
    let head = context::head_of(store.as_ref(), &args.on.run)?;
    let view = context::view_of(store.as_ref(), &head)?;
    let asked = view.find(&step).and_then(|step| view.current(step)).filter(|call| call.op.starts_with("ask."));
    let value = match asked {
        Some(call) if call.op == "ask.confirm" => yes_or_no(&args.answer)?,
        Some(call) if call.op == "ask.choice" => one_of(&args.answer, &call.args)?,
        // Without a question in sight the holder judges, from the run as it then is.
        _ => Value::String(args.answer),
    };
    drop(store);
    order::give(context, &args.on.run, Order::Answer { step, value }, args.manner)
}

fn yes_or_no(answer: &str) -> Result<Value, Failure> {
    match answer.to_lowercase().as_str() {
        "yes" | "y" | "true" => Ok(Value::Bool(true)),
        "no" | "n" | "false" => Ok(Value::Bool(false)),
        _ => Err(Failure::user(format!("`{answer}` is no answer to a question of yes or no")).hint("say yes or no")),
    }
}

fn one_of(answer: &str, args: &Value) -> Result<Value, Failure> {
    let options: Vec<&str> =
        args.get("options").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if options.contains(&answer) {
        return Ok(Value::String(answer.to_owned()));
    }
    Err(Failure::user(format!("`{answer}` is none of the options"))
        .hint(format!("the options are: {}", options.join(", "))))
}
