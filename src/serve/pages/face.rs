//! The face of every page: its head, its ways to the others, and the headers that let nothing from elsewhere in.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::access::{Act, Subject, decide};
use crate::serve::call::Call;
use crate::serve::endpoint::{Answer, SchemaOf};
use crate::serve::problem::Problem;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><path fill=\"#0b5a9d\" d=\"M8 0 15 4v8l-7 4-7-4V4z\"/></svg>";

/// Nothing inline, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Changes with what is in the files, so that browsers may keep them.
static EDITION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::new().chain_update(STYLE).chain_update(SCRIPT).finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// A page.
pub struct Html {
    /// Its status.
    pub status: StatusCode,
    /// What it says.
    pub markup: Markup,
}

impl Answer for Html {
    const STATUSES: &'static [u16] = &[200];
    const MEDIA: &'static str = "text/html; charset=utf-8";

    fn schema() -> Option<SchemaOf> {
        None
    }

    fn respond(self) -> Result<Response, Problem> {
        let mut response = Response::new(Body::from(self.markup.into_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        headers.insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
        Ok(response)
    }
}

/// Which of the places in the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    Readiness,
    Runs,
    Schedules,
    Playbooks,
    Audit,
    Tokens,
    Elsewhere,
}

/// The places: name, path, key, and the act it takes.
const PLACES: [(Here, &str, &str, &str, Act); 6] = [
    (Here::Readiness, "Readiness", "/", "1", Act::View),
    (Here::Runs, "Runs", "/runs", "2", Act::View),
    (Here::Schedules, "Schedules", "/schedules", "3", Act::View),
    (Here::Playbooks, "Playbooks", "/playbooks", "4", Act::View),
    (Here::Audit, "Audit", "/audit", "5", Act::ViewAudit),
    (Here::Tokens, "Tokens", "/tokens", "6", Act::ManageTokens),
];

/// A page for somebody who is known.
pub fn page(call: &Call, here: Here, title: &str, body: &Markup) -> Html {
    let bar = html! {
        header.bar {
            a.brand href="/" { (mark()) "Muster" }
            nav aria-label="Places" {
                @for (place, name, path, key, act) in PLACES {
                    @if decide(&call.who, act, &Subject::List).is_ok() {
                        a href=(path) data-key=(key) aria-current=[(place == here).then_some("page")] { (name) }
                    }
                }
            }
            div.who {
                span { (call.who.name) }
                @if call.session.is_some() {
                    form method="post" action="/logout" { (csrf(call)) button { "Log out" } }
                }
            }
        }
    };
    Html { status: StatusCode::OK, markup: whole(title, &bar, body) }
}

/// A page for whoever comes.
pub fn bare(status: StatusCode, title: &str, body: &Markup) -> Html {
    let bar = html! { header.bar { a.brand href="/" { (mark()) "Muster" } } };
    Html { status, markup: whole(title, &bar, body) }
}

fn whole(title: &str, bar: &Markup, body: &Markup) -> Markup {
    let edition = EDITION.as_str();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Muster" }
                link rel="stylesheet" href={ "/assets/style.css?v=" (edition) };
                link rel="icon" href={ "/assets/icon.svg?v=" (edition) };
                script src={ "/assets/script.js?v=" (edition) } defer {}
            }
            body {
                a.skip href="#main" { "To the content" }
                (bar)
                main #main tabindex="-1" { (body) }
            }
        }
    }
}

fn mark() -> Markup {
    html! { svg viewBox="0 0 16 16" aria-hidden="true" { path d="M8 0 15 4v8l-7 4-7-4V4z" {} } }
}

/// What says that a form was made here.
pub fn csrf(call: &Call) -> Markup {
    html! { input type="hidden" name="csrf" value=(call.csrf()); }
}

/// A problem, as a page.
pub fn problem(problem: &Problem) -> Html {
    let body = html! {
        div.panel.need.failed role="alert" {
            h1 { (heading(problem.status())) }
            p { (problem.detail) }
            @if let Some(hint) = &problem.hint { p.soft { (hint) } }
            @for fault in &problem.faults { pre { (fault) } }
            p { a.button href="/" { "To the overview" } }
        }
    };
    bare(problem.status(), heading(problem.status()), &body)
}

fn heading(status: StatusCode) -> &'static str {
    match status.as_u16() {
        403 => "You may not do that",
        404 => "There is nothing here",
        409 => "Not as things stand",
        400 | 415 | 422 => "That makes no sense",
        429 => "Too many tries",
        503 => "Not now",
        _ => "It was not done",
    }
}

/// Which edition of a file: read by nobody, it only makes the address another.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct Edition {
    /// Any.
    #[allow(dead_code, reason = "it only makes the address another")]
    pub v: Option<String>,
}

/// A file of the pages.
pub struct Asset<const KIND: u8>(&'static str);

impl<const KIND: u8> Answer for Asset<KIND> {
    const STATUSES: &'static [u16] = &[200];
    const MEDIA: &'static str = match KIND {
        0 => "text/css; charset=utf-8",
        1 => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };

    fn schema() -> Option<SchemaOf> {
        None
    }

    fn respond(self) -> Result<Response, Problem> {
        let mut response = Response::new(Body::from(self.0));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        Ok(response)
    }
}

/// `GET /assets/style.css`
///
/// # Errors
/// None.
pub fn style(_call: &Call, _: Edition) -> Result<Asset<0>, Problem> {
    Ok(Asset(STYLE))
}

/// `GET /assets/script.js`
///
/// # Errors
/// None.
pub fn script(_call: &Call, _: Edition) -> Result<Asset<1>, Problem> {
    Ok(Asset(SCRIPT))
}

/// `GET /assets/icon.svg`
///
/// # Errors
/// None.
pub fn icon(_call: &Call, _: Edition) -> Result<Asset<2>, Problem> {
    Ok(Asset(ICON))
}

/// Text that is markup already: a drawing made here.
pub fn drawn(svg: String) -> Markup {
    PreEscaped(svg)
}
