//! Forms: what a page lets somebody do. Each ends at an endpoint of the API: same act, same words, same answer, and then back to the page.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::face::{self, Html};
use crate::serve::call::Call;
use crate::serve::endpoint::{Answer as _, Does, Endpoint, Face, Handler};
use crate::serve::problem::{Kind, Problem};

/// The fields that are yes or no. A tick that is not set is not sent at all.
const TICKS: [&str; 4] = ["from_start", "done", "force", "no_rollback"];
/// The fields that may be any value: JSON, or the text itself.
const VALUES: [&str; 2] = ["result", "value"];
/// The fields that are lists, with commas between.
const LISTS: [&str; 3] = ["roles", "playbooks", "approves_as"];

/// The form that ends at an endpoint of the API: at its path without `/api/v1`, and then to `after`.
pub fn of(api: &Endpoint, name: &'static str, after: fn(&Call) -> String) -> Endpoint {
    let Handler::Once(does) = &api.handler else { return api.clone() };
    let does = Arc::clone(does);
    let handler: Does = Arc::new(move |call| {
        let mut fields = fields(call)?;
        take_csrf(call, &mut fields)?;
        let said = call.with_body(Bytes::from(json(fields).to_string()));
        let answer = does(&said);
        call.asked.set(call.asked.get() || said.asked.get());
        answer.map(|_| see(&after(call)))
    });
    Endpoint {
        path: api.path.strip_prefix("/api/v1").unwrap_or(api.path),
        name,
        face: Face::Page,
        statuses: &[303],
        media: Html::MEDIA,
        answer: None,
        headers: &[],
        handler: Handler::Once(handler),
        ..api.clone()
    }
}

/// The fields of a form.
///
/// # Errors
/// When it is none.
pub fn fields(call: &Call) -> Result<Vec<(String, String)>, Problem> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned()).ok()
    };
    let text = std::str::from_utf8(&call.body).ok();
    let fields = text.and_then(|text| {
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decoded(name)?, decoded(value)?))
            })
            .collect::<Option<Vec<_>>>()
    });
    fields.ok_or_else(|| Problem::new(Kind::Request, "the form cannot be read"))
}

/// Takes out of a form what says that it was made here.
///
/// # Errors
/// When it was not.
pub fn take_csrf(call: &Call, fields: &mut Vec<(String, String)>) -> Result<(), Problem> {
    let place = fields.iter().position(|(name, _)| name == "csrf");
    let (_, shown) = place.map(|place| fields.swap_remove(place)).unwrap_or_default();
    if !call.made(&shown) {
        return Err(Problem::new(Kind::Forbidden, "this form was not made by a page of yours here")
            .hint("go back, load the page anew and send it again"));
    }
    Ok(())
}

/// The words of a form as the body that the API takes. What was left empty is left out.
pub fn json(fields: Vec<(String, String)>) -> Value {
    let mut map = Map::new();
    for (name, text) in fields {
        if text.is_empty() {
            continue;
        }
        if LISTS.contains(&name.as_str()) {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let list = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.extend(parts.map(Value::from));
            }
            continue;
        }
        let value = match name.as_str() {
            tick if TICKS.contains(&tick) => Value::Bool(text == "true" || text == "on"),
            "days" => {
                let seconds = text.trim().parse::<u64>().map(|days| days.saturating_mul(86_400));
                map.insert("seconds".to_owned(), seconds.map_or(Value::String(text), Value::from));
                continue;
            }
            any if VALUES.contains(&any) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            _ => Value::String(text),
        };
        map.insert(name, value);
    }
    Value::Object(map)
}

/// To another page, by asking for it anew.
pub fn see(place: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What went wrong, as a page: to `/login` when it is not known who asks.
pub fn sorry(call_path: &str, is_get: bool, problem: &Problem) -> Response {
    if problem.kind == Kind::Unauthenticated {
        let to = if is_get {
            percent_encoding::utf8_percent_encode(call_path, percent_encoding::NON_ALPHANUMERIC).to_string()
        } else {
            String::new()
        };
        return see(&if to.is_empty() { "/login".to_owned() } else { format!("/login?to={to}") });
    }
    let mut response = face::problem(problem).respond().unwrap_or_default();
    for (name, value) in &problem.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pairs: &[(&str, &str)]) -> Value {
        json(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn a_form_says_what_the_api_takes() {
        let said =
            body(&[("step", "dump[a]"), ("reason", "it \"is\""), ("from_start", "on"), ("result", ""), ("role", "")]);
        assert_eq!(said, serde_json::json!({"step": "dump[a]", "reason": "it \"is\"", "from_start": true}));
        assert_eq!(body(&[("value", "b")]), serde_json::json!({"value": "b"}));
        assert_eq!(body(&[("value", "true")]), serde_json::json!({"value": true}));
    }

    #[test]
    fn lists_and_days_of_a_token_are_what_the_api_takes() {
        let said = body(&[("roles", "viewer"), ("roles", "operator"), ("playbooks", "a-*, b"), ("days", "30")]);
        let wanted =
            serde_json::json!({"roles": ["viewer", "operator"], "playbooks": ["a-*", "b"], "seconds": 2_592_000});
        assert_eq!(said, wanted);
    }
}
