//! What parameters promise: every fault at once, and values that mean the same to every script.

use std::path::Path;

use muster::model::Value;
use muster::playbook::diagnostic::{Collector, Diagnostic};
use muster::playbook::params::{self, Given, Means};
use muster::playbook::types::{Param, Template};
use muster::playbook::{load, yaml};
use proptest::prelude::*;
use serde_json::json;

fn declared(params: &str) -> Vec<Param> {
    let text =
        format!("muster: 1\nname: x\nversion: 1.0.0\ntitle: X\nparams:\n{params}steps: [{{ id: a, script: '1' }}]\n");
    let mut collector = Collector::default();
    let tree = yaml::parse(text.as_bytes(), 0, &mut collector).unwrap();
    let playbook = load::read(&tree, &text, &mut collector).0;
    let faults = collector.finish();
    assert!(faults.is_empty(), "{faults:#?}");
    playbook.params
}

fn evaluate(params: &[Param], texts: &[&str], file: Option<&[u8]>) -> (Value, Vec<Diagnostic>) {
    let mut collector = Collector::default();
    let mut given = Given::default();
    for text in texts {
        given.add_text(text).unwrap();
    }
    if let Some(bytes) = file {
        given.add_file("given.yaml", bytes, &mut collector);
    }
    // Stands for Rhai: the only expressions of these tests are names of parameters.
    let evaluate = |template: &Template, scope: &Value| match template {
        Template::Expr(expr) => {
            let name = expr.value.trim_start_matches("params.");
            scope["params"].get(name).cloned().ok_or_else(|| format!("no {name}"))
        }
        other => other.as_plain().ok_or_else(|| "not in this test".to_owned()),
    };
    let means = Means {
        evaluate: &evaluate,
        seal: &|text| Ok(json!({ "$secret": { "provider": "sealed", "letters": text.len() } })),
        matches: &|pattern, text| pattern == text,
        folder: Path::new("/home/ops"),
    };
    let values = params::evaluate(params, &given, &means, &mut collector);
    (values, collector.finish())
}

#[test]
fn what_hangs_on_a_missing_parameter_is_not_told_as_well() {
    let params = declared(
        "  mode: { type: string }\n  name: { type: string, default: \"${params.mode}\" }\n  volume: { type: string, default: \"${params.name}\" }\n",
    );
    let (_, faults) = evaluate(&params, &[], None);
    let told: Vec<_> = faults.iter().map(|fault| (fault.code, fault.message.as_str())).collect();
    assert_eq!(told, [("missing-param", "parameter `mode` has to be given")]);
}

#[test]
fn every_missing_unknown_and_wrong_parameter_is_told_at_once() {
    let params = declared(
        "  source: { type: string, doc: What to recover }\n  target: { type: path, doc: Where to }\n  wait: { type: duration, default: 1m }\n",
    );
    let (_, faults) = evaluate(&params, &["sorce=x", "wait=90"], Some(b"targt: /x\nwait: [1]\n"));
    let told: Vec<_> = faults.iter().map(|fault| (fault.code, fault.message.as_str(), fault.hint.as_deref())).collect();
    let has = |code: &str, part: &str| told.iter().any(|(c, message, _)| *c == code && message.contains(part));
    assert!(has("missing-param", "`source` has to be given: What to recover"), "{told:#?}");
    assert!(has("missing-param", "`target` has to be given: Where to"), "{told:#?}");
    assert!(has("unknown-param", "`sorce`") && has("unknown-param", "`targt`"), "{told:#?}");
    assert!(told.iter().any(|(_, _, hint)| *hint == Some("did you mean `source`?")), "{told:#?}");
    assert!(has("param-value", "wait"), "{told:#?}");
}

#[test]
fn values_are_the_same_from_the_command_line_from_a_file_and_by_default() {
    let params = declared(
        "  wait: { type: duration, default: 90m }\n  keep: { type: size, default: 1KiB }\n  at: { type: time, default: 2026-07-24T04:00:00+02:00 }\n  \
         folder: { type: path, default: backups }\n  names: { type: list(string), default: [a, b] }\n  really: { type: bool, default: true }\n  \
         same: { type: duration, default: '${params.wait}' }\n",
    );
    let expected = json!({
        "wait": 5_400_000, "keep": 1024, "at": "2026-07-24T02:00:00Z", "folder": "/home/ops/backups", "names": ["a", "b"],
        "really": true, "same": 5_400_000,
    });
    let texts = [
        "wait=1h30m",
        "keep=1KiB",
        "at=2026-07-24T04:00:00+02:00",
        "folder=./x/../backups",
        "names=a, b",
        "really=true",
    ];
    let file =
        b"wait: 90m\nkeep: 1024\nat: '2026-07-24T02:00:00Z'\nfolder: /home/ops/backups\nnames: [a, b]\nreally: true\n";
    for (values, faults) in
        [evaluate(&params, &[], None), evaluate(&params, &texts, None), evaluate(&params, &[], Some(file))]
    {
        assert!(faults.is_empty(), "{faults:#?}");
        assert_eq!(values, expected);
    }
}

#[test]
fn a_secret_is_a_handle_however_it_is_given() {
    let params = declared("  token: { type: secret, default: 'env:TOKEN' }\n");
    let handle = |text: &str| evaluate(&params, &[text], None).0["token"].clone();
    assert_eq!(evaluate(&params, &[], None).0["token"], json!({ "$secret": { "provider": "env", "name": "TOKEN" } }));
    assert_eq!(handle("token=file:t"), json!({ "$secret": { "provider": "file", "path": "/home/ops/t" } }));
    let dotenv = json!({ "$secret": { "provider": "dotenv", "path": "/x/.env", "key": "A" } });
    assert_eq!(handle("token=dotenv:/x/.env#A"), dotenv);
    assert!(!handle("token=hunter2").to_string().contains("hunter2"));
}

#[test]
fn a_hostile_parameter_file_is_refused() {
    let params = declared("  a: { type: string, default: x }\n");
    for (bytes, code) in [
        (&b"a: &x [*x]\n"[..], "no-alias"),
        (b"\xff", "not-utf8"),
        (b"- a\n", "params-file"),
        (b"a: 1\na: 2\n", "duplicate-key"),
    ] {
        let (_, faults) = evaluate(&params, &[], Some(bytes));
        assert!(faults.iter().any(|fault| fault.code == code), "{code}: {faults:#?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_of_parameters_panic(text in "[ -~é\n]{0,40}", file in prop::collection::vec(any::<u8>(), 0..60)) {
        let params = declared(
            "  a: { type: int, default: 1 }\n  b: { type: list(map(size)), default: [] }\n  c: { type: enum(x|y), default: x }\n  \
             d: { type: time, default: 2026-07-24T02:00:00Z }\n  e: { type: secret, default: '' }\n  f: { type: path, default: . }\n",
        );
        for name in ["a", "b", "c", "d", "e", "f"] {
            let _ = evaluate(&params, &[&format!("{name}={text}")], Some(&file));
        }
    }
}
