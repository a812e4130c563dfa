//! Login by token, and logout.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::html;
use schemars::JsonSchema;
use serde::Deserialize;

use super::face::{self, Html};
use super::form;
use crate::access::AccessError;
use crate::serve::call::Call;
use crate::serve::endpoint::Answer as _;
use crate::serve::problem::Problem;

/// The name of the cookie.
pub const COOKIE: &str = "muster_session";

/// Where to after the login.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// A path of this server.
    pub to: Option<String>,
}

/// `GET /login`
///
/// # Errors
/// None.
pub fn show(_call: &Call, to: To) -> Result<Html, Problem> {
    Ok(login(StatusCode::OK, &own(to.to.as_deref()), None))
}

fn login(status: StatusCode, to: &str, why: Option<&str>) -> Html {
    let body = html! {
        div.panel.login {
            h1 { "Log in" }
            @if let Some(why) = why { p.text-bad role="alert" { (why) } }
            form method="post" action="/login" {
                input type="hidden" name="to" value=(to);
                label for="token" { "Your token" }
                input #token name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false";
                p { button.main { "Log in" } }
            }
            p.soft.small { "An admin makes one: " code { "muster token create NAME --role ROLE" } }
        }
    };
    face::bare(status, "Log in", &body)
}

/// A path of this server, whatever was asked for: `//elsewhere` is none.
fn own(to: Option<&str>) -> String {
    let is_own = |to: &&str| {
        to.starts_with('/')
            && !to.starts_with("//")
            && !to.starts_with("/login")
            && to.len() < 2000
            && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    to.filter(is_own).unwrap_or("/").to_owned()
}

/// `POST /login`
///
/// # Errors
/// When the form is none, or the store cannot be written.
pub fn enter(call: &Call) -> Result<Response, Problem> {
    let fields = form::fields(call)?;
    let of = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
    let to = own(of("to"));
    let old = call.cookie();
    match call.server.desk.login(of("token").unwrap_or_default().trim(), old.as_deref(), call.from, call.now()) {
        Ok(login) => {
            let mut response = form::see(&to);
            set_cookie(call, &mut response, &login.cookie, "Max-Age=86400");
            Ok(response)
        }
        Err(error @ (AccessError::NotValid | AccessError::Slow { .. })) => {
            let (status, wait) = match error {
                AccessError::Slow { wait } => (StatusCode::TOO_MANY_REQUESTS, Some(wait.as_secs().max(1))),
                _ => (StatusCode::UNAUTHORIZED, None),
            };
            let mut response = self::login(status, &to, Some(&error.to_string())).respond()?;
            if let Some(wait) = wait {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /logout`
///
/// # Errors
/// When the form was not made here, or the store cannot be written.
pub fn leave(call: &Call) -> Result<Response, Problem> {
    let mut fields = form::fields(call)?;
    form::take_csrf(call, &mut fields)?;
    if let Some(cookie) = call.cookie() {
        call.server.desk.logout(&cookie, call.now())?;
    }
    let mut response = form::see("/login");
    set_cookie(call, &mut response, "", "Max-Age=0");
    Ok(response)
}

fn set_cookie(call: &Call, response: &mut Response, value: &str, until: &str) {
    // A browser would not send it back over http if it were told so.
    let secure = if call.server.is_https() { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; {until}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn a_login_leads_nowhere_else() {
        for to in ["/runs", "/runs/7k3f?x=1"] {
            assert_eq!(own(Some(to)), to);
        }
        for to in ["//evil.org", "https://evil.org", "/\\evil.org", "evil", "/a\r\nSet-Cookie: x", "/login", ""] {
            assert_eq!(own(Some(to)), "/", "{to}");
        }
    }
}
