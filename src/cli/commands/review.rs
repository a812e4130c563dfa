//! `muster review`.

use std::sync::Arc;

use clap::Subcommand;

use crate::access::Review;
use crate::cli::args::words;
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::printer::{Format, Printer};
use crate::cli::render::brief::{cut, one_line};
use crate::cli::render::table::Table;
use crate::cli::render::when;
use crate::model::Timestamp;

/// Look at what was done in an emergency against the rules, and close it.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    List(List),
    Close(Close),
}

/// List what waits for a review.
///
/// Each --break-glass opens one.
///
/// Example: muster review list
#[derive(clap::Args)]
struct List {
    /// Also those that are closed.
    #[arg(short, long)]
    all: bool,
    /// Form of the list.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Close a review, and say what was found. Nobody closes the review of what they did themselves.
///
/// Example: muster review close 17 -m 'the approver was on a plane; talked it through with both'
#[derive(clap::Args)]
struct Close {
    /// Its number.
    #[arg(value_name = "NUMBER")]
    review: String,
    /// What was found.
    #[arg(short = 'm', long, value_name = "TEXT", value_parser = words)]
    word: String,
}

/// Does it.
///
/// # Errors
/// When there is no such review, it is closed, or it is of what they did themselves.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let (desk, by, now) = (context.desk(Arc::clone(&store)), context.identity(), context.now());
    match &args.what {
        What::List(args) => {
            let all = desk.reviews(&by)?;
            let shown: Vec<Review> = all.into_iter().filter(|review| args.all || review.closed.is_none()).collect();
            match args.output {
                Format::Json => context.printer.json(&shown)?,
                Format::Table if shown.is_empty() => context.printer.note("nothing waits for a review"),
                Format::Table => context.printer.result(&table(&shown, now, context.printer))?,
            }
        }
        What::Close(args) => {
            let review = desk.close_review(&by, &args.review, &args.word, now)?;
            context.printer.note(&format!("review {} of what {} did is closed", review.id, review.who));
        }
    }
    Ok(Code::Done)
}

fn table(reviews: &[Review], now: Timestamp, printer: Printer) -> String {
    let mut table = Table::new(&["NUMBER", "WHO", "WHEN", "RUN", "STEP", "REASON", "CLOSED BY", "FOUND"]);
    for review in reviews {
        let closed = review.closed.as_ref();
        table.row([
            review.id.to_string(),
            review.who.clone(),
            when::relative(review.at, now),
            format!("{} {}", review.run.short(), review.playbook),
            review.step.to_string(),
            cut(&one_line(&review.reason), 60),
            closed.map(|closed| closed.by.clone()).unwrap_or_default(),
            closed.map(|closed| cut(&one_line(&closed.word), 60)).unwrap_or_default(),
        ]);
    }
    table.print(0, |heading| printer.heading(heading))
}
