//! Every endpoint for every role: the answer is as the table of endpoints and the table of acts say, and nobody unknown gets in.

#[path = "support/cli.rs"]
mod cli;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeMap;

use cli::Desk;
use muster::access::Role;
use muster::serve::endpoint::{Face, Handler, Needs};
use muster::serve::table;
use serving::{Page, Serving, browse};

const WAITS: &str = r#"muster: 1
name: waits
version: 1.0.0
title: Wait for a person
params:
  folder: { type: path, default: "." }
capabilities:
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: retire
    approval: { by: [dr-lead], count: 1 }
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: a }
"#;

/// The path of an endpoint, with what its names stand for.
fn filled(path: &str, run: &str) -> String {
    let known = BTreeMap::from([
        ("run", run),
        ("playbook", "waits"),
        ("schedule", "nightly"),
        ("token", "00000000"),
        ("review", "77"),
    ]);
    let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(name) => known.get(name).copied().unwrap_or("something").to_owned(),
        None => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_endpoint_answers_every_role_as_the_table_says() {
    let desk = Desk::new();
    desk.file("playbooks/waits/playbook.yaml", WAITS);
    let token = |name: &str, role: Role| {
        let said = desk.muster(&["token", "create", name, "--role", role.as_str()]);
        assert_eq!(said.code, 0, "{said:?}");
        said.stdout.trim().to_owned()
    };
    let tokens: Vec<(Role, String)> = Role::ALL.into_iter().map(|role| (role, token(role.as_str(), role))).collect();
    let server = Serving::start(&mut desk.command(&["serve", "--listen", "127.0.0.1:0", "--playbooks", "playbooks"]));
    let url = server.url.clone();
    let bearer = format!("Bearer {}", tokens[3].1);
    let json = ("Content-Type", "application/json");
    let begun =
        browse(&format!("{url}/api/v1/runs"), "POST", r#"{"playbook":"waits"}"#, &[("Authorization", &bearer), json]);
    assert_eq!(begun.status, 201, "{}", begun.text);
    let run =
        serde_json::from_str::<serde_json::Value>(&begun.text).expect("JSON")["id"].as_str().expect("an id").to_owned();
    let mut cases = 0;
    let mut faults = Vec::new();
    for endpoint in table::endpoints() {
        let place = format!("{url}{}", filled(endpoint.path, &run));
        let (method, page) = (endpoint.method.as_str(), endpoint.face == Face::Page);
        let what = format!("{method} {}", endpoint.path);
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let body = if method == "GET" || page { "" } else { "{}" };
        let common = [if page { form } else { json }, ("Origin", url.as_str())];
        let mut check = |who: &str, answer: &Page, fits: bool| {
            cases += 1;
            if answer.status >= 500 || !fits {
                faults.push(format!(
                    "{what} for {who}: {} {} {}",
                    answer.status,
                    answer.header("location"),
                    answer.text
                ));
            }
        };
        let streams = matches!(endpoint.handler, Handler::Stream(_));
        let stranger = browse(&place, method, body, &common);
        let unknown = match (page, endpoint.needs) {
            (_, Needs::Nobody) => {
                [200, 401].contains(&stranger.status) && (stranger.status == 200) == (what != "POST /login")
            }
            (true, _) => stranger.status == 303 && stranger.header("location").starts_with("/login"),
            (false, _) => stranger.status == 401,
        };
        check("a stranger", &stranger, unknown);
        for (role, token) in &tokens {
            let bearer = format!("Bearer {token}");
            let headers = [&common[..], &[("Authorization", bearer.as_str())]].concat();
            let answer = browse(&place, method, body, &headers);
            let may = endpoint.needs.act().is_none_or(|act| act.allows(*role));
            // Who may is answered, or told what is missing. A form without its token is refused as one, not for the role.
            let refused = answer.status == 403 && !answer.text.contains("this form was not made by a page of yours");
            // A login shows its token in the form; these show none there.
            let unknown = answer.status == 401 && what != "POST /login";
            check(role.as_str(), &answer, refused != may && !unknown);
            if streams && may {
                check(role.as_str(), &answer, answer.header("content-type") == "text/event-stream");
            }
        }
    }
    assert!(faults.is_empty(), "{} of {cases} are not as the table says:\n{}", faults.len(), faults.join("\n"));
    assert!(cases >= 5 * 60, "only {cases} were tried");
}
