//! Playbooks with one fault each, and what is said about them.

use std::time::Duration;

use super::lint;
use crate::model::span::{Source, Span, Spanned};
use crate::playbook::diagnostic::{Diagnostic, Severity};
use crate::playbook::types::{
    Approval, Body, Foreach, Grant, OnFailure, Param, ParamType, Playbook, Step, Template, Verify,
};
use crate::script::program::ModuleSource;

/// A playbook together with the text it would have been loaded from: each scalar on a line of its own.
struct Book {
    text: String,
    playbook: Playbook,
    modules: Vec<ModuleSource>,
}

impl Book {
    fn new() -> Self {
        let mut text = String::new();
        let (name, version) = (scalar(&mut text, "test"), scalar(&mut text, "1.0.0"));
        let playbook = Playbook {
            name,
            version,
            title: String::new(),
            doc: String::new(),
            imports: Vec::new(),
            rto: None,
            rpo: None,
            params: Vec::new(),
            capabilities: Vec::new(),
            secrets: Vec::new(),
            checks: Vec::new(),
            parallel: 8,
            steps: Vec::new(),
            drill: None,
            places: Default::default(),
        };
        Self { text, playbook, modules: Vec::new() }
    }

    fn put(&mut self, value: &str) -> Spanned<String> {
        scalar(&mut self.text, value)
    }

    fn import(mut self, path: &str, module: &str) -> Self {
        let import = self.put(path);
        self.playbook.imports.push(import);
        self.modules.push(ModuleSource { path: path.to_owned(), text: module.to_owned() });
        self
    }

    fn param(mut self, name: &str, kind: ParamType, default: Option<&str>) -> Self {
        let name = self.put(name);
        let default = default.map(|expr| Template::Expr(self.put(expr)));
        self.playbook.params.push(Param { span: name.span, name, kind, doc: String::new(), default, matches: None });
        self
    }

    fn grant(mut self, pattern: &str, scope: &[&str]) -> Self {
        let pattern = self.put(pattern);
        let scope =
            scope.iter().map(|name| (self.put(name), Template::Plain(Spanned::new("*".into(), Span::default()))));
        let scope = scope.collect::<Vec<_>>();
        self.playbook.capabilities.push(Grant { pattern, scope });
        self
    }

    fn step(mut self, id: &str, needs: &[&str], body: impl FnOnce(&mut Self) -> Body) -> Self {
        let id = self.put(id);
        let needs = needs.iter().map(|need| self.put(need)).collect();
        let body = body(&mut self);
        self.playbook.steps.push(Step {
            span: id.span,
            id,
            title: String::new(),
            needs,
            body,
            when: None,
            foreach: None,
            retry: None,
            timeout: None,
            verify: None,
            rollback: None,
            approval: None,
            on_failure: OnFailure::Pause,
            point_of_no_return: None,
        });
        self
    }

    fn script(self, id: &str, needs: &[&str], script: &str) -> Self {
        self.step(id, needs, |book| Body::Script(book.put(script)))
    }

    fn uses(self, id: &str, path: &str, with: &[(&str, &str)]) -> Self {
        self.step(id, &[], |book| {
            let path = book.put(path);
            let fields = with.iter().map(|(name, value)| {
                let name = book.put(name);
                let value = match value.strip_prefix('$') {
                    Some(expr) => Template::Expr(book.put(expr)),
                    None => {
                        let value = book.put(value);
                        let parsed = serde_json::from_str(&value.value).unwrap_or_else(|_| value.value.clone().into());
                        Template::Plain(Spanned::new(parsed, value.span))
                    }
                };
                (name, value)
            });
            let fields: Vec<_> = fields.collect();
            let with = (!fields.is_empty()).then_some(Template::Map(fields, path.span));
            Body::Uses { path, with }
        })
    }

    fn last(mut self, change: impl FnOnce(&mut Step, &mut dyn FnMut(&str) -> Spanned<String>)) -> Self {
        let text = &mut self.text;
        change(self.playbook.steps.last_mut().expect("there is a step"), &mut |value| scalar(text, value));
        self
    }

    fn lint(&self) -> (Vec<Diagnostic>, Vec<Source>) {
        let mut sources = vec![Source { name: "playbook.yaml".into(), text: self.text.as_str().into() }];
        for module in &self.modules {
            sources.push(Source { name: format!("{}.rhai", module.path), text: module.text.as_str().into() });
        }
        (lint(&self.playbook, &self.modules, &[], &sources), sources)
    }

    /// Code, the text at the caret, and the hint, of everything found.
    fn found(&self) -> Vec<(String, String, String)> {
        let (found, sources) = self.lint();
        found
            .into_iter()
            .map(|diagnostic| {
                let text = &sources[usize::from(diagnostic.span.source)].text;
                let at = &text[diagnostic.span.start as usize..diagnostic.span.end as usize];
                assert!(!diagnostic.label.is_empty(), "{diagnostic:?} has no label");
                (diagnostic.code.to_owned(), at.to_owned(), diagnostic.hint.unwrap_or_default())
            })
            .collect()
    }

    /// That exactly this is found, where the hint contains the third text.
    fn finds(self, wanted: &[(&str, &str, &str)]) {
        let found = self.found();
        let fits = found.len() == wanted.len()
            && found.iter().zip(wanted).all(|(found, wanted)| {
                found.0 == wanted.0 && found.1 == wanted.1 && !found.2.is_empty() && found.2.contains(wanted.2)
            });
        assert!(fits, "wanted {wanted:#?}\nfound {found:#?}");
    }
}

fn scalar(text: &mut String, value: &str) -> Spanned<String> {
    text.push_str(if value.contains('\n') { "- |\n  " } else { "- " });
    let start = text.len();
    text.push_str(&value.replace('\n', "\n  "));
    let span = Span::new(0, start, text.len());
    text.push('\n');
    Spanned::new(value.to_owned(), span)
}

#[test]
fn a_sound_playbook_has_nothing_wrong() {
    Book::new()
        .import("lib/tools", "fn size(given) { host::fs::stat(given.path).bytes } fn twice(n) { n * 2 }")
        .param("dir", ParamType::Path, None)
        .param("backup", ParamType::Path, Some("params.dir + \"/backup\""))
        .param("wanted", ParamType::Bool, Some("true"))
        .grant("fs.*", &["path"])
        .uses("make", "fs.make_dir", &[("path", "$params.backup")])
        .uses("size", "lib/tools.size", &[("path", "/x")])
        .script(
            "use",
            &["make", "size"],
            "let n = tools::twice(steps.size);\n[1].map(|i| i + n + steps.make.path.len())",
        )
        .last(|step, put| {
            step.when = Some(put("params.wanted"));
            step.foreach = Some(Foreach { items: Template::Expr(put("[1, 2]")), key: None, parallel: None });
            step.rollback = Some(put("host::log::info(`item ${item} of ${run.id}`)"));
            let check = put("host::fs::stat(steps.make.path).exists");
            step.verify = Some(Verify { check, within: Duration::ZERO, every: Duration::ZERO });
        })
        .finds(&[]);
}

#[test]
fn a_circle_is_named_as_a_path() {
    let book =
        Book::new().script("a", &["c"], "1").script("b", &["a"], "1").script("c", &["b"], "1").script("d", &["d"], "1");
    let (found, _) = book.lint();
    let messages: Vec<&str> = found.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(messages, ["steps need each other in a circle: a -> c -> b -> a", "step `d` needs itself"]);
    assert_eq!(found[0].related.len(), 2);
}

#[test]
fn faults_of_the_graph_are_found() {
    Book::new()
        .script("restore", &["chose", "choose"], "1")
        .script("choose", &[], "1")
        .script("choose", &[], "1")
        .finds(&[("unknown-step", "chose", "did you mean `choose`?"), ("duplicate-step", "choose", "another name")]);
    Book::new()
        .script("a", &[], "1")
        .script("b", &[], "1")
        .script("c", &["b"], "let x = `${steps.a.y}`;\nsteps.bb + steps.c + x + steps[\"zzzzzz\"]")
        .finds(&[
            ("step-not-needed", "a", "needs: [b, a]"),
            ("unknown-step", "bb", "did you mean `b`?"),
            ("own-output", "c", ""),
            ("unknown-step", "\"zzzzzz\"", "there are: a, b"),
        ]);
}

#[test]
fn faults_of_rhai_are_found_at_their_place() {
    Book::new().script("a", &[], "let x = 1;\nlet y = x +;\ny").finds(&[("script-syntax", ";", "")]);
    Book::new().script("a", &[], "let x = 1;\nif x > 0 {\n  x").finds(&[("script-syntax", "x", "")]);
    Book::new().script("a", &[], "switch 1 { 1 => 2 }").finds(&[("script-syntax", "switch", "if")]);
    Book::new().param("dir", ParamType::Path, None).script("a", &[], "let found = dir;\nfond + params.dir").finds(&[(
        "unknown-variable",
        "dir",
        "params.dir",
    )]);
    Book::new().script("a", &[], "let found = 1;\nlet n = 2;\nfond").finds(&[(
        "unknown-variable",
        "fond",
        "did you mean `found`?",
    )]);
    Book::new().script("a", &[], "fn f() { params.x }\nf()").finds(&[("unknown-variable", "params", "argument")]);
    Book::new().import("lib/m", "fn f() {\n  params.x\n}").script("a", &[], "m::f()").finds(&[(
        "unknown-variable",
        "params",
        "argument",
    )]);
}

#[test]
fn an_import_in_a_step_is_found_before_it_fails() {
    Book::new()
        .script("a", &[], "import \"lib/m\" as m;\nm::f()")
        .finds(&[("import-in-script", "\"lib/m\"", "to the playbook's `imports`"), ("unknown-module", "m::f", "")]);
}

#[test]
fn faults_of_names_are_found() {
    Book::new()
        .param("first", ParamType::String, Some("params.second + params.first"))
        .param("second", ParamType::String, None)
        .param("third", ParamType::String, Some("steps.a + run.short_ids"))
        .param("second", ParamType::String, None)
        .script("a", &[], "params.frist + item + key + run.started")
        .finds(&[
            ("param-order", "second", "move `second` up"),
            ("param-order", "first", "before it"),
            ("unused-param", "third", ""),
            ("steps-here", "steps", ""),
            ("unknown-run-field", "short_ids", "short_id"),
            ("duplicate-param", "second", ""),
            ("unknown-param", "frist", "did you mean `first`?"),
            ("no-foreach", "item", ""),
            ("no-foreach", "key", ""),
        ]);
}

#[test]
fn faults_of_operations_are_found() {
    Book::new()
        .grant("*", &[])
        .uses("a", "fs.mkae_dir", &[])
        .uses("b", "fs.make_dir", &[("pth", "/x")])
        .uses("c", "fs.make_dir", &[("path", "/x"), ("mode", "448")])
        .uses("d", "time.sleep", &[("duration", "soon")])
        .uses("e", "fs.copy", &[("from", "/x"), ("to", "$1 + 1"), ("replace", "maybe")])
        .finds(&[
            ("unknown-operation", "fs.mkae_dir", "did you mean `fs.make_dir`?"),
            ("missing-argument", "fs.make_dir", "path"),
            ("unknown-argument", "pth", "did you mean `path`?"),
            ("argument-type", "448", "quotes"),
            ("argument-value", "time.sleep", ""),
            ("argument-type", "maybe", ""),
        ]);
    Book::new()
        .grant("*", &[])
        .script(
            "a",
            &[],
            "host::fs::stats(\"/x\");\nhost::fs::stat(#{ pth: \"/x\" });\nhost::fs::copy(\"/x\");\n\
             host::fs::stat(\"/x\", 1);\nfs::stat(1);\nhost::rand::id(8);\nhost::docker::info();\nhost::fs::stat(params);",
        )
        .finds(&[
            ("unknown-operation", "host::fs::stats", "did you mean `host::fs::stat`?"),
            ("missing-argument", "host::fs::stat", "path"),
            ("unknown-argument", "pth", "did you mean `path`?"),
            ("argument-type", "\"/x\"", "muster ops fs.copy"),
            ("wrong-arity", "host::fs::stat", "#{ path: … }"),
            ("unknown-module", "fs::stat", "host::fs::stat"),
            ("argument-type", "8", ""),
        ]);
}

#[test]
fn faults_of_functions_are_found() {
    let module = "fn swap(given) { 1 }\nfn two(a, b) { a }\nprivate fn own(x) { x }";
    Book::new()
        .import("lib/tools", module)
        .script("a", &[], "tools::swp(1) + tools::two(1) + tools::own(1) + tool::swap(1)")
        .uses("b", "lib/tools.two", &[])
        .uses("c", "lib/tools.swp", &[])
        .uses("d", "tools.swap", &[])
        .uses("e", "lib/other.swap", &[])
        .finds(&[
            ("unknown-function", "tools::swp", "did you mean `tools::swap`?"),
            ("wrong-arity", "tools::two", ""),
            ("private-function", "tools::own", ""),
            ("unknown-module", "tool::swap", "did you mean `tools::swap(…)`?"),
            ("wrong-arity", "lib/tools.two", "script"),
            ("unknown-function", "lib/tools.swp", "did you mean `lib/tools.swap`?"),
            ("not-imported", "tools.swap", "did you mean `lib/tools.swap`?"),
            ("not-imported", "lib/other.swap", "imports"),
        ]);
}

#[test]
fn plain_functions_and_methods_that_are_not_there_are_found() {
    let module = "fn swap(x) { frobnicate(x); own(x) + own() + x.lenght() }\nprivate fn own() { 1 }";
    Book::new()
        .param("list", ParamType::List(None), None)
        .import("lib/tools", module)
        .script(
            "a",
            &[],
            "let f = |x| x + 1;\nf(1);\nf.call(1);\n[1].mapp(f);\nparams.list.lenght();\nparams.list.len(1);\nlen();\n\
             swap(1);\nstat(\"/x\");\nfn twice(n) { n + n }\ntwcie(1);\ntwice(1, 2);\n\
             let m = #{ held: |x| x };\nm.held(1);\nm.kept = f;\nm.kept(1);\n1.twice();\ntools::swap(1)",
        )
        .last(|step, put| {
            step.when = Some(put("is_ready(params.list)"));
            step.verify =
                Some(Verify { check: put("params.list.sise() > 0"), within: Duration::ZERO, every: Duration::ZERO });
        })
        .finds(&[
            ("unknown-function", "f", "f.call(…)"),
            ("unknown-function", "mapp", "did you mean `map`?"),
            ("unknown-function", "lenght", "did you mean `len`?"),
            ("wrong-arity", "len", "give it"),
            ("wrong-arity", "len", "give it"),
            ("unknown-function", "swap", "did you mean `tools::swap(…)`?"),
            ("unknown-function", "stat", "host::fs::stat(…)"),
            ("unknown-function", "twcie", "did you mean `twice`?"),
            ("wrong-arity", "twice", "give it"),
            ("unknown-function", "is_ready", ""),
            ("unknown-function", "sise", "did you mean `len`?"),
            ("unknown-function", "frobnicate", "declare it"),
            ("wrong-arity", "own", "give it"),
            ("unknown-function", "lenght", "did you mean `len`?"),
        ]);
}

#[test]
fn a_name_that_comes_from_the_clock_is_warned_of() {
    Book::new()
        .grant("fs.*", &[])
        .script(
            "a",
            &[],
            "let at = host::time::now();\nlet name = \"/x/\" + at.utc;\nhost::fs::make_dir(#{ path: name });\n\
             host::fs::make_dir(\"/x/\" + run.short_id + run.started);\n\
             host::fs::write_text(#{ path: \"/x/y\", text: name });\n#{ named: name, fine: \"/z\", at: run.started }",
        )
        .uses("b", "fs.make_dir", &[("path", "$steps.a.named")])
        .last(|step, put| step.needs = vec![put("a")])
        .uses("c", "fs.make_dir", &[("path", "$steps.a.fine + steps.a.at")])
        .last(|step, put| step.needs = vec![put("a")])
        .finds(&[("time-in-name", "name", "run.short_id"), ("time-in-name", "steps.a.named", "run.short_id")]);
}

#[test]
fn faults_of_capabilities_are_found() {
    let module = "fn outer(x) { inner(x) }\nprivate fn inner(x) { [1].map(|n| host::docker::stop(x)) }";
    Book::new()
        .import("lib/tools", module)
        .grant("fs.*", &["pth"])
        .grant("exec.run", &["arg"])
        .grant("dcoker.*", &[])
        .grant("fs.mak_dir", &[])
        .script(
            "a",
            &[],
            "host::fs::stat(\"/x\");\nhost::log::info(\"x\");\nhost::rand::id();\nhost::docker::info();\n1",
        )
        .script("b", &[], "tools::outer(1)")
        .finds(&[
            ("unknown-scope", "pth", "did you mean `path`?"),
            ("unused-capability", "exec.run", ""),
            ("unknown-scope", "arg", "did you mean `argv`?"),
            ("unknown-operation", "dcoker.*", "did you mean `docker.*`?"),
            ("unknown-operation", "fs.mak_dir", "did you mean `fs.make_dir`?"),
            ("missing-capability", "host::docker::info", "- docker.info"),
            ("missing-capability", "tools::outer", "- docker.stop"),
        ]);
}

#[test]
fn operations_stand_only_where_they_may() {
    Book::new()
        .import("lib/tools", "fn effect() { host::docker::stop(\"x\") }")
        .grant("docker.*", &[])
        .script("a", &[], "1")
        .last(|step, put| {
            step.when = Some(put("host::docker::info().runtime == \"podman\""));
            let check = put("tools::effect(); host::docker::info(); host::docker::wait_healthy(\"x\"); true");
            step.verify = Some(Verify { check, within: Duration::ZERO, every: Duration::ZERO });
            step.rollback = Some(put("tools::effect()"));
        })
        .finds(&[
            ("call-in-expression", "host::docker::info", "earlier step"),
            ("only-reads", "tools::effect", "outcome"),
            ("only-reads", "host::docker::wait_healthy", "again"),
        ]);
}

#[test]
fn faults_of_imports_are_found() {
    Book::new()
        .import("stdlib/pg", "fn f() {}")
        .import("lib/docker", "fn f() {}")
        .import("lib/host", "fn f() {}")
        .import("lib/my-tools", "fn f() {}")
        .import("other/pg", "fn f() {}")
        .import("lib/tools", "fn f() {}")
        .script("a", &[], "pg::f()")
        .finds(&[
            ("import-alias", "lib/docker", ""),
            ("import-alias", "lib/host", ""),
            ("import-alias", "lib/my-tools", ""),
            ("import-alias", "other/pg", ""),
            ("unused-import", "lib/tools", ""),
        ]);
}

#[test]
fn faults_of_single_steps_are_found() {
    let foreach = |put: &mut dyn FnMut(&str) -> Spanned<String>| Foreach {
        items: Template::Expr(put("[1]")),
        key: Some(put("item + 1")),
        parallel: None,
    };
    Book::new()
        .param("mode", ParamType::String, None)
        .grant("fs.delete", &[])
        .script("a", &[], "1")
        .last(|step, put| {
            step.when = Some(put("params.mode"));
            step.approval = Some(Approval { by: Vec::new(), count: 0, valid_for: None });
        })
        .script("b", &[], "2")
        .last(|step, put| {
            step.when = Some(put("1 + 1"));
            step.foreach = Some(foreach(put));
        })
        .script("c", &[], "3")
        .last(|step, put| step.when = Some(put("false")))
        .uses("d", "fs.delete", &[("path", "/x")])
        .uses("e", "fs.delete", &[("path", "/x")])
        .last(|step, put| step.point_of_no_return = Some(put("gone")))
        .uses("f", "fs.delete", &[("path", "/x")])
        .last(|step, put| step.rollback = Some(put("()")))
        .finds(&[
            ("approval-of-nobody", "a", ""),
            ("no-condition", "params.mode", "!="),
            ("unused-item", "b", ""),
            ("no-condition", "1 + 1", "comparison"),
            ("never-runs", "false", ""),
            ("stands-after-rollback", "fs.delete", "rollback:"),
        ]);
}

#[test]
fn a_field_that_an_operation_does_not_return_is_found() {
    Book::new()
        .grant("fs.stat", &[])
        .uses("look", "fs.stat", &[("path", "/x")])
        .script("a", &["look"], "steps.look.exsts && steps.look.bytes > 1")
        .finds(&[("unknown-output", "exsts", "did you mean `exists`?")]);
}

#[test]
fn what_cannot_be_read_makes_no_further_noise() {
    let book = Book::new().param("x", ParamType::Int, None).grant("fs.stat", &[]).script("a", &[], "params.x + + +");
    let (found, _) = book.lint();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].severity, Severity::Error);
}

#[test]
fn every_shipped_playbook_is_sound() {
    let mut all = String::new();
    for name in ["hello-recovery", "omnichat-backup", "omnichat-restore", "omnichat-verify"] {
        let folder = format!("{}/playbooks/{name}", env!("CARGO_MANIFEST_DIR"));
        let bundle = crate::playbook::bundle::Bundle::load(&folder).expect("it loads");
        let found = lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
        let shown =
            crate::playbook::diagnostic::render(&found, &bundle.sources, crate::playbook::diagnostic::Style::PLAIN);
        all.push_str(&shown);
    }
    assert!(all.is_empty(), "{all}");
}

#[test]
fn what_runs_is_what_is_linted() {
    use crate::script::dialect;
    let engine = dialect::engine();
    let run = |script: &str| {
        let mut scope = dialect::compile_scope();
        let mut params = rhai::Map::new();
        params.insert("x".into(), 1.into());
        scope.push_constant("params", params);
        let ast = engine.compile_with_scope(&scope, script).map_err(|e| e.to_string())?;
        engine.eval_ast_with_scope::<i64>(&mut scope, &ast).map_err(|e| e.to_string())
    };
    assert_eq!(run("[1].map(|n| params.x + n)[0]"), Ok(2));
    assert!(run("fn f() { params.x } f()").is_err());
}
