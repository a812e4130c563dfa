//! The pages as a browser meets them: every page for every role, forms of other sites, logins, names that would be markup.

#[path = "support/cli.rs"]
mod cli;
#[path = "support/serving.rs"]
mod serving;

use std::time::Duration;

use cli::Desk;
use serving::{Page, Serving, browse};

const GATED: &str = r#"muster: 1
name: gated
version: 1.0.0
title: "Wait for a word <script>alert(1)</script>"
objectives: { rto: 10m }
params:
  folder: { type: path, default: ".", doc: "Where <b>it</b> works" }
capabilities:
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: first
    uses: fs.write_text
    with: { path: "${params.folder}/first.txt", text: a }
  - id: retire
    needs: [first]
    title: "Retire the \"old\" one & <i>go on</i>"
    approval: { by: [dr-lead], count: 1 }
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: a }
"#;

/// What forms of a page send back.
fn csrf_of(page: &Page) -> String {
    let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

/// A server with a playbook and a token for each role, and what a browser would send.
struct Site {
    desk: Desk,
    server: Serving,
}

impl Site {
    fn new() -> Self {
        Self::serving(Desk::new(), &[])
    }

    fn serving(desk: Desk, more: &[&str]) -> Self {
        desk.file("playbooks/gated/playbook.yaml", GATED);
        let args = [&["serve", "--listen", "127.0.0.1:0", "--playbooks", "playbooks"], more].concat();
        let server = Serving::start(&mut desk.command(&args));
        Self { desk, server }
    }

    fn token(&self, name: &str, role: &str, more: &[&str]) -> String {
        let said = self.desk.muster(&[&["token", "create", name, "--role", role][..], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        said.stdout.trim().to_owned()
    }

    fn get(&self, path: &str, cookie: &str) -> Page {
        browse(&format!("{}{path}", self.server.url), "GET", "", &[("Cookie", cookie), ("Accept", "text/html")])
    }

    /// A form sent by a page of this server.
    fn send(&self, path: &str, cookie: &str, body: &str) -> Page {
        let origin = self.server.url.clone();
        self.send_from(path, cookie, body, &[("Origin", &origin)])
    }

    fn send_from(&self, path: &str, cookie: &str, body: &str, headers: &[(&str, &str)]) -> Page {
        let own = [("Cookie", cookie), ("Content-Type", "application/x-www-form-urlencoded")];
        browse(&format!("{}{path}", self.server.url), "POST", body, &[&own[..], headers].concat())
    }

    /// Logs in; the cookie.
    fn login(&self, token: &str, old: &str) -> String {
        let page = self.send("/login", old, &format!("token={token}&to=%2Fruns"));
        assert_eq!((page.status, page.header("location")), (303, "/runs"), "{}", page.text);
        let cookie = page.header("set-cookie");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        cookie.split(';').next().expect("a cookie").to_owned()
    }

    fn begin(&self, token: &str) -> String {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let answer = browse(&format!("{}/api/v1/runs", self.server.url), "POST", r#"{"playbook":"gated"}"#, &headers);
        assert_eq!(answer.status, 201, "{}", answer.text);
        let run: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        run["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until the page of a run says this.
    fn until(&self, run: &str, cookie: &str, wanted: &str) -> Page {
        for _ in 0..600 {
            let page = self.get(&format!("/runs/{run}"), cookie);
            if page.text.contains(wanted) {
                return page;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the page never said `{wanted}`: {}", self.get(&format!("/runs/{run}"), cookie).text);
    }
}

#[test]
fn every_page_is_shown_to_those_who_may_and_to_nobody_else() {
    let site = Site::new();
    let admin = site.token("root", "admin", &[]);
    let run = site.begin(&admin);
    let admin = site.login(&admin, "");
    site.until(&run, &admin, "waits for approval");
    let run = format!("/runs/{run}");
    let pages = ["/", "/runs", &run, "/schedules", "/playbooks", "/playbooks/gated", "/audit", "/tokens"];
    for path in pages {
        let stranger = site.get(path, "");
        assert_eq!(stranger.status, 303, "{path}");
        assert!(stranger.header("location").starts_with("/login"), "{path}: {}", stranger.header("location"));
        assert_eq!(site.get(path, "muster_session=guessed").status, 303, "{path}");
    }
    for role in ["viewer", "operator", "approver", "admin"] {
        let cookie = site.login(&site.token(role, role, &[]), "");
        for path in pages {
            let page = site.get(path, &cookie);
            let may = role == "admin" || path != "/tokens";
            assert_eq!(page.status, if may { 200 } else { 403 }, "{role} {path}: {}", page.text);
            assert!(page.header("content-type").starts_with("text/html"), "{role} {path}");
            assert_eq!(page.text.contains("href=\"/tokens\""), may && role == "admin", "{role} {path}");
        }
        let page = site.get(&run, &cookie);
        assert_eq!(
            page.text.contains("action=\"/runs/") && page.text.contains("/approve\""),
            ["approver", "admin"].contains(&role)
        );
        assert_eq!(page.text.contains("/kill\""), ["operator", "admin"].contains(&role), "{role}");
    }
}

#[test]
fn no_page_can_be_framed_or_load_anything_from_elsewhere() {
    let site = Site::new();
    let cookie = site.login(&site.token("root", "admin", &[]), "");
    for path in ["/", "/login", "/runs", "/audit", "/tokens", "/playbooks/gated", "/runs/000000000000"] {
        let page = site.get(path, &cookie);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
        assert!(!page.text.contains(" style=") && !page.text.contains(" onclick="), "{path}: inline");
        assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{path}: something from elsewhere");
    }
    for asset in ["/assets/style.css", "/assets/script.js", "/assets/icon.svg"] {
        let file = site.get(asset, "");
        assert_eq!((file.status, file.header("x-content-type-options")), (200, "nosniff"), "{asset}");
    }
}

#[test]
fn what_playbooks_and_addresses_say_is_never_markup() {
    let site = Site::new();
    let admin = site.token("root", "admin", &["--approves-as", "<img src=x>"]);
    let run = site.begin(&admin);
    let cookie = site.login(&admin, "");
    site.until(&run, &cookie, "waits for approval");
    let evil = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let run = format!("/runs/{run}");
    let filtered = format!("/runs?playbook={evil}&status={evil}");
    let unknown = format!("/playbooks/{evil}");
    let login = format!("/login?to=%22%3E{evil}");
    for path in ["/", "/runs", &run, "/playbooks", "/playbooks/gated", "/tokens", "/audit", &filtered, &unknown, &login]
    {
        let text = site.get(path, &cookie).text;
        for markup in ["<script>alert", "<i>go on", "<b>it</b>", "<img"] {
            assert!(!text.contains(markup), "{path}: {markup}");
        }
    }
    assert!(site.get(&run, &cookie).text.contains("&lt;i&gt;go on"));
}

#[test]
fn a_form_of_another_site_or_another_session_does_nothing() {
    let site = Site::new();
    let (token, other) = (site.token("root", "admin", &[]), site.token("erin", "admin", &[]));
    let run = site.begin(&token);
    let (cookie, others) = (site.login(&token, ""), site.login(&other, ""));
    let page = site.until(&run, &cookie, "waits for approval");
    let (csrf, path, own) = (csrf_of(&page), format!("/runs/{run}/note"), site.server.url.clone());
    let theirs = csrf_of(&site.get(&format!("/runs/{run}"), &others));
    let body = |csrf: &str| format!("csrf={csrf}&text=forged");
    let tried = [
        ("no token", site.send(&path, &cookie, "text=forged")),
        ("an empty token", site.send(&path, &cookie, &body(""))),
        ("the token of another session", site.send(&path, &cookie, &body(&theirs))),
        ("another site", site.send_from(&path, &cookie, &body(&csrf), &[("Origin", "http://evil.example.com")])),
        ("no origin", site.send_from(&path, &cookie, &body(&csrf), &[])),
        (
            "cross-site",
            site.send_from(&path, &cookie, &body(&csrf), &[("Origin", &own), ("Sec-Fetch-Site", "cross-site")]),
        ),
    ];
    for (what, answer) in tried {
        assert_eq!(answer.status, 403, "{what}: {}", answer.text);
    }
    // A session is for pages: the API takes a change only with a token.
    let headers = [("Cookie", cookie.as_str()), ("Content-Type", "application/json"), ("Origin", own.as_str())];
    let api = browse(&format!("{own}/api/v1/runs/{run}/note"), "POST", r#"{"text":"forged"}"#, &headers);
    assert_eq!(api.status, 401, "{}", api.text);
    let sent = site.send(&path, &cookie, &format!("csrf={csrf}&text=a+real+%26+true+note"));
    assert_eq!((sent.status, sent.header("location")), (303, format!("/runs/{run}").as_str()), "{}", sent.text);
    let text = site.until(&run, &cookie, "a real &amp; true note").text;
    assert!(!text.contains("forged"));
}

#[test]
fn a_login_makes_a_new_session_and_a_logout_ends_it() {
    let site = Site::new();
    let token = site.token("root", "admin", &[]);
    let fixed = "muster_session=chosen-by-somebody-else";
    let first = site.login(&token, fixed);
    assert_ne!(first, fixed);
    assert_eq!(site.get("/", fixed).status, 303, "the session that was there before goes on");
    let second = site.login(&token, &first);
    assert_ne!(second, first);
    assert_eq!((site.get("/", &first).status, site.get("/", &second).status), (303, 200));
    let csrf = csrf_of(&site.get("/", &second));
    let out = site.send("/logout", &second, &format!("csrf={csrf}"));
    assert_eq!((out.status, out.header("location")), (303, "/login"));
    assert_eq!(site.get("/", &second).status, 303);
    let id = token.split('_').nth(1).expect("an id");
    let third = site.login(&token, "");
    assert_eq!(site.desk.muster(&["token", "revoke", id]).code, 0);
    assert_eq!(site.get("/", &third).status, 303, "its token was revoked");
}

#[test]
fn a_login_leads_nowhere_else_and_wrong_tokens_get_slow() {
    let site = Site::new();
    let token = site.token("root", "admin", &[]);
    let away = site.send("/login", "", &format!("token={token}&to=%2F%2Fevil.example.com"));
    assert_eq!((away.status, away.header("location")), (303, "/"));
    let elsewhere = site.send_from("/login", "", &format!("token={token}"), &[("Origin", "http://evil.example.com")]);
    assert_eq!(elsewhere.status, 403, "a login from another site");
    let wrong = format!("token=mst_00000000_{}", "A".repeat(43));
    let mut statuses: Vec<u16> = (0..7).map(|_| site.send("/login", "", &wrong).status).collect();
    statuses.dedup();
    assert_eq!(statuses, [401, 429]);
    let fresh = site.token("erin", "viewer", &[]);
    let slow = site.send("/login", "", &format!("token={fresh}"));
    assert_eq!(slow.status, 429, "whoever guesses waits also with a right one");
    assert!(!slow.header("retry-after").is_empty());
    // Others behind the same address are not locked out by it.
    site.login(&token, "");
}

#[test]
fn the_starter_does_not_approve_by_a_page_either_and_somebody_else_does() {
    let site = Site::new();
    let alice = site.token("alice", "admin", &["--approves-as", "dr-lead"]);
    let erin = site.token("erin", "approver", &["--approves-as", "dr-lead"]);
    let run = site.begin(&alice);
    let alice = site.login(&alice, "");
    let page = site.until(&run, &alice, "waits for approval");
    assert!(page.text.contains("You started this run") && page.text.contains("Break the glass"), "{}", page.text);
    let own = site.send(
        &format!("/runs/{run}/approve"),
        &alice,
        &format!("csrf={}&step=retire&role=dr-lead", csrf_of(&page)),
    );
    assert_eq!(own.status, 403, "{}", own.text);
    assert!(own.text.contains("nobody approves what they started"), "{}", own.text);
    assert!(!site.desk.path().join("a.txt").exists());
    let erin = site.login(&erin, "");
    let page = site.get(&format!("/runs/{run}"), &erin);
    assert!(page.text.contains("It lets the run do this one effect and no other"), "{}", page.text);
    assert!(page.text.contains("fs.write_text") && page.text.contains("a.txt"), "{}", page.text);
    let claimed =
        site.send(&format!("/runs/{run}/approve"), &erin, &format!("csrf={}&step=retire&role=ciso", csrf_of(&page)));
    assert_eq!(claimed.status, 403, "{}", claimed.text);
    let given =
        site.send(&format!("/runs/{run}/approve"), &erin, &format!("csrf={}&step=retire&role=dr-lead", csrf_of(&page)));
    assert_eq!(given.status, 303, "{}", given.text);
    site.until(&run, &erin, "</i>succeeded");
    assert!(site.desk.path().join("a.txt").exists());
}

#[test]
fn a_broken_glass_waits_on_the_audit_page_for_somebody_else() {
    let site = Site::new();
    let (alice, erin) = (site.token("alice", "admin", &[]), site.token("erin", "approver", &[]));
    let run = site.begin(&alice);
    let (alice, erin) = (site.login(&alice, ""), site.login(&erin, ""));
    let page = site.until(&run, &alice, "waits for approval");
    let broken = site.send(
        &format!("/runs/{run}/break-glass"),
        &alice,
        &format!("csrf={}&step=retire&reason=it+burns", csrf_of(&page)),
    );
    assert_eq!(broken.status, 303, "{}", broken.text);
    site.until(&run, &alice, "</i>succeeded");
    let own = site.get("/audit", &alice);
    assert!(
        own.text.contains("it burns") && own.text.contains("nobody closes the review of what they did"),
        "{}",
        own.text
    );
    let theirs = site.get("/audit", &erin);
    let (_, rest) = theirs.text.split_once("action=\"/reviews/").expect("a form");
    let id = rest.split('/').next().expect("a number");
    let closed = site.send(&format!("/reviews/{id}/close"), &erin, &format!("csrf={}&word=rightly", csrf_of(&theirs)));
    assert_eq!(closed.status, 303, "{}", closed.text);
    assert!(site.get("/audit", &erin).text.contains("Nothing. Each broken glass opens one."));
}

#[test]
fn a_token_for_some_playbooks_sees_nothing_of_the_others() {
    let site = Site::new();
    let admin = site.token("root", "admin", &[]);
    let run = site.begin(&admin);
    let scoped = site.login(&site.token("carol", "operator", &["--playbook", "pgo-*"]), "");
    assert_eq!(site.get(&format!("/runs/{run}"), &scoped).status, 404);
    assert_eq!(site.get("/playbooks/gated", &scoped).status, 403);
    for path in ["/", "/runs", "/playbooks"] {
        let page = site.get(path, &scoped);
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.contains("gated"), "{path}");
    }
    assert!(site.get("/playbooks", &scoped).text.contains("pgo-clone"));
}

#[test]
fn a_token_is_made_on_the_page_and_shown_once() {
    let site = Site::new();
    let cookie = site.login(&site.token("root", "admin", &[]), "");
    let csrf = csrf_of(&site.get("/tokens", &cookie));
    let body =
        format!("csrf={csrf}&name=erin&roles=viewer&roles=approver&playbooks=pgo-*%2C+hello&approves_as=&days=30");
    let made = site.send("/tokens", &cookie, &body);
    assert_eq!(made.status, 200, "{}", made.text);
    let (_, rest) = made.text.split_once("mst_").expect("the token");
    let token = format!("mst_{}", rest.split('<').next().expect("its end").trim());
    assert!(made.text.contains("viewer, approver") && made.text.contains("pgo-*, hello"), "{}", made.text);
    site.login(&token, "");
    assert!(!site.get("/tokens", &cookie).text.contains(&token));
}

#[test]
fn no_path_of_a_request_reaches_the_file_system() {
    let site = Site::new();
    let cookie = site.login(&site.token("root", "admin", &[]), "");
    std::fs::write(site.desk.path().join("playbook.yaml"), GATED).expect("written");
    let paths = [
        "/playbooks/..%2F..%2Fplaybooks%2Fgated",
        "/playbooks/.%2Fgated",
        "/playbooks/%2Fetc%2Fpasswd",
        "/assets/..%2F..%2Fmuster.db",
        "/playbooks/gated/diff?from=..%2F..%2Fetc%2Fpasswd",
        "/runs/..%2Fgated",
        "/runs/..%00",
    ];
    for path in paths {
        assert_eq!(site.get(path, &cookie).status, 404, "{path}");
    }
}

/// A playbook whose drill writes a copy and asks how old it is.
fn drilled(name: &str, prove: &str, rpo: &str) -> String {
    format!(
        r#"muster: 1
name: {name}
version: 1.0.0
title: Copy a file
objectives: {{ rto: 1h, rpo: 1h }}
params:
  into: {{ type: path, default: "copy", doc: "The copy." }}
capabilities: [fs.write_text]
steps:
  - id: copy
    uses: fs.write_text
    with: {{ path: "${{params.into}}", text: copied }}
  - id: prove
    needs: [copy]
    script: |
      {prove}
drill:
  params: {{ into: "copy-${{run.short_id}}" }}
  proof: prove
  measure: {{ rpo: {rpo:?} }}
"#
    )
}

#[test]
fn only_a_drill_that_proved_it_in_time_makes_a_playbook_ready() {
    let site = Site::new();
    let cookie = site.login(&site.token("root", "admin", &[]), "");
    // In the order of the table: what it is called, what its proof does, its RPO, its exit code, and what the page says of it.
    let books = [
        ("proved", "true", "60000", 0, "ready"),
        ("failing", "throw \"it cannot be read\"", "60000", 5, "last drill failed"),
        ("too-old", "true", "7200000", 11, "objective missed"),
        ("ageless", "true", "throw \"no time in it\"", 11, "not measured"),
    ];
    for (name, prove, rpo, _, _) in books {
        site.desk.file(&format!("playbooks/{name}/playbook.yaml"), &drilled(name, prove, rpo));
    }
    assert_eq!(site.desk.muster(&["drill", "pgo-clone", "--sandbox", "--yes"]).code, 0);
    let page = site.get("/", &cookie).text;
    assert!(page.contains("<b>0</b> of "), "a rehearsal proves nothing of the real system: {page}");
    for (name, _, _, code, _) in books {
        assert_eq!(site.desk.muster(&["drill", &format!("playbooks/{name}")]).code, code, "{name}");
    }
    let page = site.get("/", &cookie).text;
    assert!(page.contains("<b>1</b> of "), "{page}");
    assert!(!card(&page, "failing").contains("0.0s"), "no time is shown for what was not proved");
    for (name, _, _, _, word) in books {
        let card = card(&page, name);
        assert!(card.contains(word), "{name} is not said to be `{word}`: {card}");
    }
}

#[test]
fn a_drill_is_begun_on_the_page_of_its_playbook_and_its_report_is_read_in_the_browser() {
    let site = Site::new();
    site.desk.file("playbooks/proved/playbook.yaml", &drilled("proved", "true", "60000"));
    let admin = site.token("root", "admin", &[]);
    let cookie = site.login(&admin, "");
    let viewer = site.login(&site.token("vera", "viewer", &[]), "");
    let page = site.get("/playbooks/proved", &cookie);
    assert!(page.text.contains("Start the drill"), "{}", page.text);
    assert!(!site.get("/playbooks/proved", &viewer).text.contains("Start the drill"));
    assert!(site.get("/playbooks/gated", &cookie).text.contains("does not say how it is drilled"));
    let refused = site.send("/drills", &cookie, &format!("csrf={}&playbook=gated", csrf_of(&page)));
    assert_eq!(refused.status, 409, "{}", refused.text);
    let begun = site.send("/drills", &cookie, &format!("csrf={}&playbook=proved&param.into=", csrf_of(&page)));
    assert_eq!(begun.status, 303, "{}", begun.text);
    let run = begun.header("location").strip_prefix("/runs/").expect("its page").to_owned();
    site.until(&run, &cookie, "</i>succeeded");
    let report = site.get(&format!("/runs/{run}/report"), &viewer);
    assert_eq!(report.status, 200, "{}", report.text);
    let own = report.text.replace(&site.desk.path().display().to_string(), "DESK");
    let written = site.desk.muster(&["report", &run, "-o", "html"]).stdout;
    assert!(own == written, "it is the one that the command writes: {own}\n{written}");
    assert!(report.header("content-security-policy").contains("style-src 'sha256-"));
    let bearer = format!("Bearer {admin}");
    let api =
        |path: &str| browse(&format!("{}/api/v1{path}", site.server.url), "GET", "", &[("Authorization", &bearer)]);
    let json: serde_json::Value = serde_json::from_str(&api(&format!("/runs/{run}/report")).text).expect("JSON");
    let note = ("Content-Type", "application/json");
    let place = format!("{}/api/v1/runs/{run}/note", site.server.url);
    let noted = browse(&place, "POST", r#"{"text":"too late"}"#, &[("Authorization", &bearer), note]);
    assert_eq!(noted.status, 409, "the record of a run that has ended is closed: {}", noted.text);
    assert_eq!((&json["drill"]["green"], &json["drill"]["rpo_ms"]), (&true.into(), &60_000.into()), "{json:#}");
    let month = site.get("/report?since=1d", &viewer);
    assert!(month.status == 200 && month.text.contains("proved"), "{}", month.text);
    assert_eq!(api("/report?since=yesterday").status, 422);
    assert_eq!(api("/report?since=1d&until=2d").status, 422);
    let scoped = site.login(&site.token("carol", "operator", &["--playbook", "gated"]), "");
    assert_eq!(site.get("/report", &scoped).status, 403, "it tells of playbooks that she does not see");
    assert_eq!(site.get(&format!("/runs/{run}/report"), &scoped).status, 404);
}

#[test]
fn a_drill_that_is_asked_for_twice_with_one_key_is_one_drill() {
    let site = Site::new();
    site.desk.file("playbooks/proved/playbook.yaml", &drilled("proved", "true", "60000"));
    let bearer = format!("Bearer {}", site.token("root", "admin", &[]));
    let ask = |path: &str, body: &str| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "quarterly"),
        ];
        let answer = browse(&format!("{}/api/v1/{path}", site.server.url), "POST", body, &headers);
        let json: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        (answer.status, json["id"].as_str().unwrap_or_default().to_owned())
    };
    let (made, first) = ask("drills", r#"{"playbook":"proved"}"#);
    let (again, second) = ask("drills", r#"{"playbook":"proved"}"#);
    assert_eq!((made, again, &first), (201, 200, &second));
    assert_eq!(ask("runs", r#"{"playbook":"proved"}"#).0, 409, "a run is another request");
    assert_eq!(ask("drills", r#"{"playbook":"proved","declared_at":"yesterday"}"#).0, 422);
    assert_eq!(site.server.until_ended_as(&first, &bearer), "succeeded");
}

/// What the overview says of a playbook that was drilled.
fn card<'p>(page: &'p str, name: &str) -> &'p str {
    let (_, card) = page.split_once(&format!("href=\"/playbooks/{name}\"")).expect("its card");
    card.split("</section>").next().unwrap_or_default()
}

#[test]
fn the_overview_says_when_a_drill_is_due_and_what_of_it_did_not_run() {
    let desk = Desk::new();
    let every = |name: &str, cron: &str| format!("  of-{name}: {{ playbook: playbooks/{name}, cron: {cron:?} }}\n");
    let (often, seldom) = (every("often", "* * * * * *"), every("seldom", "0 3 1 1 *"));
    desk.file("schedules.yaml", &format!("muster: 1\nschedules:\n{often}{seldom}"));
    for name in ["often", "seldom"] {
        desk.file(&format!("playbooks/{name}/playbook.yaml"), &drilled(name, "true", "60000"));
        assert_eq!(desk.muster(&["drill", &format!("playbooks/{name}")]).code, 0);
    }
    let site = Site::serving(desk, &["--schedules", "schedules.yaml"]);
    let cookie = site.login(&site.token("root", "admin", &[]), "");
    let bearer = format!("Bearer {}", site.token("olga", "operator", &["--playbook", "often"]));
    let read = |path: &str| -> serde_json::Value {
        let answer = browse(&format!("{}{path}", site.server.url), "GET", "", &[("Authorization", &bearer)]);
        serde_json::from_str(&answer.text).unwrap_or_else(|_| panic!("{}", answer.text))
    };
    let pause = |name: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let url = format!("{}/api/v1/schedules/of-{name}/pause", site.server.url);
        browse(&url, "POST", r#"{"reason":"too often"}"#, &headers).status
    };
    let until = |wanted: &str| {
        for _ in 0..600 {
            let page = site.get("/", &cookie).text;
            if card(&page, "often").contains(wanted) {
                return page;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the overview never said `{wanted}`: {}", site.get("/", &cookie).text);
    };
    // Until the clock has begun one.
    while !read("/api/v1/schedules/of-often/ticks")["ticks"][0]["run"].is_string() {
        std::thread::sleep(Duration::from_millis(100));
    }
    until("of-often");
    assert_eq!((pause("often"), pause("seldom"), pause("none")), (200, 403, 403), "her token is for one playbook");
    let page = until("did not run: paused by olga");
    assert!(card(&page, "often").contains("paused by olga"), "{}", card(&page, "often"));
    let seldom = card(&page, "seldom");
    assert!(seldom.contains("of-seldom") && seldom.contains("in ") && !seldom.contains("did not run"), "{seldom}");
    assert!(page.contains("not scheduled"), "of all others nobody sees to it");
    let listed = read("/api/v1/schedules")["schedules"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed:#}");
    assert_eq!((&listed[0]["playbook"], &listed[0]["paused"]["by"]), (&"often".into(), &"olga".into()), "{listed:#}");
    let ticks = read("/api/v1/schedules/of-often/ticks?limit=500")["ticks"].clone();
    let ticks = ticks.as_array().expect("ticks");
    assert!(ticks.iter().any(|tick| tick["fate"] == "run" && tick["run"].is_string()), "{ticks:#?}");
    assert!(ticks.iter().any(|tick| tick["fate"] == "skipped" && tick["why"].is_string()), "{ticks:#?}");
    assert_eq!(read("/api/v1/schedules/of-seldom/ticks")["status"], 404);
}

#[test]
fn a_server_is_its_starters_own_only_until_the_first_token_is_made() {
    let site = Site::new();
    let own = site.get("/", "");
    assert_eq!(own.status, 200, "{}", own.text);
    assert_eq!(site.send("/login", "", "").status, 401);
    let id = site.token("erin", "viewer", &[]).split('_').nth(1).expect("an id").to_owned();
    assert_eq!(site.get("/", "").status, 303);
    assert_eq!(site.desk.muster(&["token", "revoke", &id]).code, 0);
    assert_eq!(site.get("/", "").status, 303, "without a token that counts it is open again");
}
