//! Tokens, for admins: who may use the server.

use maud::html;

use super::face::{self, Here, Html, csrf};
use super::form;
use super::state::{self, Tone};
use crate::access::{NewToken, Role};
use crate::evidence::when;
use crate::serve::call::Call;
use crate::serve::endpoint::Nothing;
use crate::serve::problem::{Kind, Problem};

/// `GET /tokens`
///
/// # Errors
/// When they may not, or the store cannot be read.
pub fn list(call: &Call, _: Nothing) -> Result<Html, Problem> {
    shown(call, None)
}

/// `POST /tokens`: shows the token that was made, once.
///
/// # Errors
/// When they may not, or it makes no sense.
pub fn create(call: &Call) -> Result<Html, Problem> {
    let mut fields = form::fields(call)?;
    form::take_csrf(call, &mut fields)?;
    let new: NewToken = serde_json::from_value(form::json(fields))
        .map_err(|error| Problem::new(Kind::Invalid, format!("the form cannot be read: {error}")))?;
    let name = new.name.clone();
    call.asked();
    let (_, token) = call.server.desk.create_token(&call.who, new, call.now())?;
    shown(call, Some((&name, &token)))
}

fn shown(call: &Call, made: Option<(&str, &str)>) -> Result<Html, Problem> {
    let now = call.now();
    call.asked();
    let tokens = call.server.desk.tokens(&call.who)?;
    let body = html! {
        h1 { "Tokens" }
        @if let Some((name, token)) = made {
            div.panel.said role="status" {
                p { "The token of " b { (name) } ". It is not shown again:" }
                pre #made tabindex="0" { (token) }
            }
        }
        @if tokens.is_empty() { p.empty { "None yet." } } @else {
            table.stack {
                thead { tr { th { "Name" } th { "May" } th { "Playbooks" } th { "State" } th { "Expires" } th { "Used" } th { "Made by" } th {} } }
                tbody {
                    @for token in &tokens {
                        @let standing = token.standing(now);
                        tr {
                            td { b { (token.name) } " " span.soft.mono { (token.id) } }
                            td { (token.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")) @if !token.approves_as.is_empty() { " as " (token.approves_as.join(", ")) } }
                            td { @if token.playbooks.is_empty() { "all" } @else { (token.playbooks.join(", ")) } }
                            td { @if standing == "valid" { (state::badge(Tone::Good, "✓", standing)) } @else { (state::badge(Tone::Still, "−", standing)) } }
                            td.num data-label="expires" { (when::relative(token.expires, now)) }
                            td.num data-label="used" { @match token.used { Some(used) => (when::relative(used, now)), None => "never" } }
                            td data-label="made by" { (token.created_by) }
                            td { @if standing == "valid" { form method="post" action={ "/tokens/" (token.id) "/revoke" } { (csrf(call)) button.danger { "Revoke " (token.name) } } } }
                        }
                    }
                }
            }
        }
        h2 { "Make one" }
        form.panel method="post" action="/tokens" {
            (csrf(call))
            label for="name" { "Name of its bearer" }
            input #name name="name" required maxlength="100" autocomplete="off" data-key="n";
            p.soft.small { "One name for each person: nobody approves what they started, whichever of their tokens they use." }
            fieldset {
                legend { "What its bearer may do" }
                @for role in Role::ALL { label.tick { input type="checkbox" name="roles" value=(role.as_str()); (role.as_str()) } }
            }
            label for="playbooks" { "Only these playbooks (patterns with commas between; all when empty)" }
            input #playbooks name="playbooks" placeholder="omnichat-*, pgo-*";
            label for="approves" { "Approves as (names that playbooks ask for)" }
            input #approves name="approves_as" placeholder="dr-lead";
            label for="days" { "Counts for so many days" }
            input #days name="days" type="number" min="1" max="366" value="90" required;
            p { button.main { "Make the token" } }
        }
    };
    Ok(face::page(call, Here::Tokens, "Tokens", &body))
}
