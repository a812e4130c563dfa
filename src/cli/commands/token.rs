//! `muster token`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;

use crate::access::{NewToken, Role, Token};
use crate::cli::context::Context;
use crate::cli::exit::Code;
use crate::cli::failure::Failure;
use crate::cli::params::duration;
use crate::cli::printer::{Format, Printer};
use crate::cli::render::look::Tone;
use crate::cli::render::table::Table;
use crate::cli::render::when;
use crate::model::Timestamp;

/// Say who may use the server, and what they may do.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a token for somebody, or for a program.
///
/// The token is printed once and stored nowhere: only its digest is. A viewer looks; an operator starts runs and decides for those that wait; an
/// approver approves what others started; an admin does all of it and makes tokens. --role may be given several times.
///
/// Give each person one name: nobody approves what they started, whichever of their tokens they use.
///
/// Example: muster token create alice --role operator --playbook 'omnichat-*' --expires 30d
#[derive(clap::Args)]
struct Create {
    /// What its bearer is called in every record.
    #[arg(value_name = "NAME")]
    name: String,
    /// What its bearer may do: viewer, operator, approver or admin.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
    /// Only for playbooks whose name fits this pattern; for all if not given.
    #[arg(long = "playbook", value_name = "GLOB")]
    playbooks: Vec<String>,
    /// An approver name in which its bearer may approve, as playbooks ask for it in `approval: { by: [dr-lead] }`.
    #[arg(long, value_name = "NAME")]
    approves_as: Vec<String>,
    /// How long it counts, at most 366d.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "90d")]
    expires: Duration,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// List the tokens, without what could be used.
///
/// Example: muster token list
#[derive(clap::Args)]
struct List {
    /// Form of the list.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Make a token count no more, and end the sessions that it began.
///
/// Example: muster token revoke 7k3f9q2m
#[derive(clap::Args)]
struct Revoke {
    /// Its id; or the token itself, if that is what was found.
    #[arg(value_name = "TOKEN")]
    token: String,
}

/// Does it.
///
/// # Errors
/// When a token makes no sense, there is no such token, or the store cannot be written.
pub fn run(args: &Args, context: &Context) -> Result<Code, Failure> {
    let store = context.store()?;
    let (desk, by, now) = (context.desk(Arc::clone(&store)), context.identity(), context.now());
    match &args.what {
        What::Create(args) => {
            let new = NewToken {
                name: args.name.clone(),
                roles: args.roles.iter().copied().collect::<BTreeSet<_>>(),
                playbooks: args.playbooks.clone(),
                approves_as: args.approves_as.clone(),
                seconds: Some(args.expires.as_secs()),
            };
            let (token, shown) = desk.create_token(&by, new, now)?;
            match args.output {
                Format::Json => {
                    context.printer.json(&serde_json::json!({ "token": shown, "about": token }))?;
                }
                Format::Table => {
                    context.printer.result(&format!("{shown}\n"))?;
                    context.printer.note(&format!(
                        "token {} of {}, {}, until {}; it is not shown again",
                        token.id,
                        token.name,
                        roles(&token),
                        when::instant(token.expires)
                    ));
                }
            }
        }
        What::List(args) => {
            let tokens = desk.tokens(&by)?;
            match args.output {
                Format::Json => context.printer.json(&tokens)?,
                Format::Table if tokens.is_empty() => {
                    context.printer.note("no tokens; `muster token create NAME --role ROLE` makes one");
                }
                Format::Table => context.printer.result(&table(&tokens, now, context.printer))?,
            }
        }
        What::Revoke(args) => {
            let id = args.token.strip_prefix("mst_").and_then(|rest| rest.split('_').next()).unwrap_or(&args.token);
            let token = desk.revoke_token(&by, id, now)?;
            context.printer.note(&format!("token {} of {} counts no more", token.id, token.name));
        }
    }
    Ok(Code::Done)
}

fn roles(token: &Token) -> String {
    token.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

fn table(tokens: &[Token], now: Timestamp, printer: Printer) -> String {
    let mut table =
        Table::new(&["ID", "NAME", "ROLES", "PLAYBOOKS", "APPROVES AS", "STANDING", "EXPIRES", "USED", "CREATED BY"]);
    for token in tokens {
        let standing = token.standing(now);
        let tone = if standing == "valid" { Tone::Good } else { Tone::Faint };
        table.row([
            token.id.clone(),
            token.name.clone(),
            roles(token),
            token.playbooks.join(", "),
            token.approves_as.join(", "),
            printer.out.paint(tone, standing),
            when::relative(token.expires, now),
            token.used.map(|used| when::relative(used, now)).unwrap_or_else(|| "never".to_owned()),
            token.created_by.clone(),
        ]);
    }
    table.print(0, |heading| printer.heading(heading))
}
