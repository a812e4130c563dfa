//! The pages in headless Chromium, light, dark and on a telephone: no error on the console, nothing from elsewhere, no sideways scrolling at
//! 360 px, everything within reach of the keyboard, nothing that axe-core finds against WCAG A and AA. Pictures are left in
//! `target/pages/`.

#[path = "support/cli.rs"]
mod cli;
#[path = "support/serving.rs"]
mod serving;

use std::path::{Path, PathBuf};
use std::process::Command;

use cli::Desk;
use serving::{Serving, request};

/// Three steps: the second waits for approval, or has no folder to write to.
const BOOK: &str = r#"muster: 1
name: NAME
version: 1.0.0
title: Restore the orders database beside the live one and swap it in
objectives: { rto: 10m, rpo: 1h }
params:
  folder: { type: path, default: "." }
capabilities:
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: choose
    title: Choose the newest verified backup
    uses: fs.write_text
    with: { path: "${params.folder}/choice.txt", text: a }
  - id: swap
    title: Swap the databases
    needs: [choose]
    GATE
    uses: fs.write_text
    with: { path: "${params.folder}/PLACE/live.txt", text: a }
  - id: thaw
    title: Let the writers go on
    needs: [swap]
    uses: fs.write_text
    with: { path: "${params.folder}/thawed.txt", text: a }
"#;

/// What the pages are looked at with; `None`, said loudly, where it cannot be had.
fn browser() -> Option<(PathBuf, PathBuf)> {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/browser-setup.sh");
    let asked = ". tests/deployment/environment.sh && echo \"$MUSTER_TEST_CACHE\"";
    let mut bash = Command::new("bash");
    let cache = bash.args(["-c", asked]).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("bash runs").stdout;
    let folder = PathBuf::from(String::from_utf8(cache).expect("text").trim()).join("browser");
    if !Command::new(setup).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no browser can be had (tests/deployment/browser-setup.sh says why)");
        return None;
    }
    Some((folder.join("venv/bin/python"), folder.join("package/axe.min.js")))
}

#[test]
fn the_pages_hold_up_in_a_browser() {
    let Some((python, axe)) = browser() else { return };
    let desk = Desk::new();
    let book = |name: &str, gate: &str, place: &str| {
        let text = BOOK.replace("NAME", name).replace("    GATE\n", gate).replace("/PLACE", place);
        desk.file(&format!("playbooks/{name}/playbook.yaml"), &text);
    };
    book("gated", "    approval: { by: [dr-lead], count: 1 }\n", "");
    book("failing", "", "/not-there");
    book("smooth", "", "");
    let drill =
        "drill:\n  params: { folder: \"drill-${run.short_id}\" }\n  proof: thaw\n  measure: { rpo: \"7200000\" }\n";
    let first = "steps:\n  - id: folder\n    uses: fs.make_dir\n    with: { path: \"${params.folder}\" }\n";
    let text = BOOK.replace("NAME", "drilled").replace("    GATE\n", "").replace("/PLACE", "");
    let text = text.replace("steps:\n", first).replace("id: choose\n", "id: choose\n    needs: [folder]\n");
    let text = text.replace("capabilities:\n", "capabilities:\n  - fs.make_dir\n");
    desk.file("playbooks/drilled/playbook.yaml", &format!("{text}{drill}"));
    desk.file("schedules.yaml", "muster: 1\nschedules:\n  nightly: { playbook: drilled, cron: \"0 3 * * *\" }\n");
    let late = desk.muster(&["drill", "playbooks/drilled"]);
    assert_eq!(late.code, 11, "its newest data are older than its objective allows: {late:?}");
    let made = desk.muster(&["token", "create", "dana", "--role", "admin"]);
    let token = made.stdout.trim();
    let server = Serving::start(&mut desk.command(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--playbooks",
        "playbooks",
        "--schedules",
        "schedules.yaml",
    ]));
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let count = std::cell::Cell::new(0);
    let run = |name: &str, state: &str| {
        count.set(count.get() + 1);
        let folder = desk.path().join(format!("place-{}", count.get()));
        std::fs::create_dir(&folder).expect("a folder");
        let body = serde_json::json!({ "playbook": name, "params": { "folder": folder } });
        let answer = request(&format!("{}/api/v1/runs", server.url), "POST", Some(&body), &headers);
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let place = format!("{}/api/v1/runs/{id}", server.url);
        for _ in 0..600 {
            if request(&place, "GET", None, &headers).json()["status"] == state {
                return format!("/runs/{id}");
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{name} never was {state}: {}", request(&place, "GET", None, &headers).text);
    };
    let over = [run("smooth", "succeeded"), run("smooth", "succeeded")];
    let (gated, failing) = (run("gated", "paused"), run("failing", "paused"));
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&pictures).expect("a folder for pictures");
    let look = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/look.py");
    let report = format!("{}/report", over[0]);
    let paths = [
        "/",
        "/runs",
        &over[0],
        &gated,
        &failing,
        "/schedules",
        "/playbooks",
        "/playbooks/gated",
        "/playbooks/drilled",
        "/audit",
        "/tokens",
        &report,
        "/report",
    ];
    let said = Command::new(python)
        .arg(look)
        .args([server.url.as_str(), token])
        .args([&pictures, &axe])
        .args(paths)
        .output()
        .expect("python runs");
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{err}");
}
