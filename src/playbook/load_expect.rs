//! What a test expects, out of its tree.

use super::diagnostic::Diagnostic;
use super::fields::{Fields, Reader};
use super::trial::{CallWanted, Calls, DatabaseFacts, Expect, FileFacts, PauseWanted, PlanFacts, WorldFacts};
use super::yaml::{Data, Node};
use crate::model::Value;
use crate::model::span::Spanned;
use crate::model::status::RunStatus;

/// Keys of `expect`.
pub const EXPECT_KEYS: [&str; 12] =
    ["exit", "status", "steps", "effects", "undos", "pauses", "outputs", "errors", "log", "world", "plan", "within"];
/// Keys of `effects` and `undos`.
pub const CALLS_KEYS: [&str; 4] = ["only", "contains", "none", "count"];
/// Keys of `world`.
pub const WORLD_KEYS: [&str; 6] = ["unchanged", "files", "containers", "databases", "volumes", "resources"];
/// Keys of a file.
pub const FILE_FACTS: [&str; 5] = ["text", "contains", "sha256", "bytes", "mode"];
/// Keys of `plan`.
pub const PLAN_KEYS: [&str; 6] = ["effects", "unknown_steps", "failing_steps", "warnings", "coverage", "within"];
/// Where a step can stand.
pub const STEP_WORDS: [&str; 8] =
    ["succeeded", "failed", "skipped", "done", "not begun", "waiting", "running", "rolled back"];
/// What people can be waited for.
pub const PAUSE_WORDS: [&str; 12] = [
    "step_failed",
    "approval",
    "manual",
    "question",
    "in_doubt",
    "target",
    "credentials",
    "overtime",
    "secret",
    "undo",
    "point_of_no_return",
    "rolled_back_to",
];
/// Where a container can stand.
pub const CONTAINER_WORDS: [&str; 4] = ["running", "exited", "created", "absent"];
impl Reader<'_> {
    pub(super) fn expect(&mut self, node: &Node) -> Option<Expect> {
        let fields = self.fields(node, "expectation", &EXPECT_KEYS)?;
        if EXPECT_KEYS.iter().all(|key| fields.get(key).is_none()) {
            self.faults.push(Diagnostic::error("empty", node.span, "this test expects nothing"));
        }
        let mut steps = Vec::new();
        if let Some(node) = fields.get("steps") {
            for (step, word) in self.entries(node, "a map of steps and where they stand") {
                steps.extend(self.word(word, "state of a step", &STEP_WORDS).map(|word| (step.clone(), word)));
            }
        }
        let mut outputs = Vec::new();
        if let Some(node) = fields.get("outputs") {
            let entries = self.entries(node, "a map of steps and their results");
            outputs.extend(entries.iter().map(|(step, value)| (step.clone(), value.value())));
        }
        Some(Expect {
            exit: self.counted(&fields, "exit", 255),
            status: fields.get("status").and_then(|node| {
                let words: Vec<&str> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
                self.word(node, "status of a run", &words)
            }),
            steps,
            effects: fields.get("effects").and_then(|node| self.calls(node)),
            undos: fields.get("undos").and_then(|node| self.calls(node)),
            pauses: fields.get("pauses").map(|node| {
                let pauses = self.each(&fields, "pauses", Self::pause);
                Spanned::new(pauses, node.span)
            }),
            outputs,
            errors: self.each(&fields, "errors", Self::some_text),
            log: self.each(&fields, "log", Self::some_text),
            world: fields.get("world").and_then(|node| self.world_facts(node)).unwrap_or_default(),
            plan: fields.get("plan").and_then(|node| self.plan_facts(node)),
            within: self.lasting(&fields),
        })
    }

    fn counted(&mut self, fields: &Fields<'_>, key: &str, high: u32) -> Option<Spanned<u32>> {
        let node = fields.get(key)?;
        self.whole(node, 0, high).map(|number| Spanned::new(number, node.span))
    }

    fn lasting(&mut self, fields: &Fields<'_>) -> Option<Spanned<std::time::Duration>> {
        let node = fields.get("within")?;
        self.duration(node).map(|duration| Spanned::new(duration, node.span))
    }

    fn named(&mut self, fields: &Fields<'_>, key: &str) -> Option<Spanned<Vec<String>>> {
        let node = fields.get(key)?;
        let names = self.each(fields, key, Self::some_text).into_iter().map(|name| name.value).collect();
        Some(Spanned::new(names, node.span))
    }

    /// One of these words, as it is.
    fn word(&mut self, node: &Node, what: &str, words: &[&str]) -> Option<Spanned<String>> {
        let pairs: Vec<(&str, ())> = words.iter().map(|word| (*word, ())).collect();
        self.one_of(node, what, &pairs)?;
        self.some_text(node)
    }

    fn pause(&mut self, node: &Node) -> Option<PauseWanted> {
        match &node.data {
            Data::Map(entries) if entries.len() == 1 => {
                let (word, step) = entries.first()?;
                let known = self.fields(node, "pause", &PAUSE_WORDS)?;
                known.get(&word.value)?;
                Some(PauseWanted { why: word.clone(), step: self.some_text(step).map(|step| step.value) })
            }
            Data::Map(_) => {
                self.wrong(node, "one pause: `step_failed: STEP`");
                None
            }
            _ => self.word(node, "pause", &PAUSE_WORDS).map(|why| PauseWanted { why, step: None }),
        }
    }

    fn calls(&mut self, node: &Node) -> Option<Calls> {
        if let Data::List(items) = &node.data {
            let only = items.iter().filter_map(|item| self.call(item)).collect();
            return Some(Calls { only: Some(Spanned::new(only, node.span)), ..Calls::default() });
        }
        let fields = self.fields(node, "calls", &CALLS_KEYS)?;
        Some(Calls {
            only: fields.get("only").map(|node| {
                let only = self.each(&fields, "only", Self::call);
                Spanned::new(only, node.span)
            }),
            contains: self.each(&fields, "contains", Self::call),
            none: self.each(&fields, "none", Self::some_text),
            count: self.counted(&fields, "count", 1_000_000),
        })
    }

    fn call(&mut self, node: &Node) -> Option<CallWanted> {
        match &node.data {
            Data::Map(entries) if entries.len() == 1 => {
                let (op, args) = entries.first()?;
                self.entries(args, "a map of arguments");
                Some(CallWanted { op: op.clone(), args: args.value() })
            }
            Data::Map(_) => {
                self.wrong(node, "one operation with arguments: `fs.rename: { to: … }`");
                None
            }
            _ => self.some_text(node).map(|op| CallWanted { op, args: Value::Object(serde_json::Map::new()) }),
        }
    }

    fn world_facts(&mut self, node: &Node) -> Option<WorldFacts> {
        let fields = self.fields(node, "expected world", &WORLD_KEYS)?;
        let mut facts = WorldFacts::default();
        if let Some(node) = fields.get("unchanged") {
            match node.value() {
                Value::Bool(true) => facts.unchanged = Some(Spanned::new(Vec::new(), node.span)),
                Value::Object(_) => {
                    let but = self.fields(node, "`unchanged`", &["but"])?;
                    self.required(&but, "but");
                    facts.unchanged = self.named(&but, "but").map(|but| Spanned::new(but.value, node.span));
                }
                _ => self.wrong(node, "`true`, or { but: [PART] }"),
            }
        }
        if let Some(node) = fields.get("files") {
            for (path, fact) in self.entries(node, "a map of files") {
                let found = self.file_facts(fact);
                facts.files.extend(found.map(|found| (path.clone(), found)));
            }
        }
        if let Some(node) = fields.get("containers") {
            for (name, word) in self.entries(node, "a map of containers") {
                let state = self.word(word, "state of a container", &CONTAINER_WORDS);
                facts.containers.extend(state.map(|state| (name.clone(), state)));
            }
        }
        if let Some(node) = fields.get("databases") {
            for (name, fact) in self.entries(node, "a map of databases") {
                let found = self.database_facts(fact);
                facts.databases.extend(found.map(|found| (name.clone(), found)));
            }
        }
        if let Some(node) = fields.get("volumes") {
            for (name, fact) in self.entries(node, "a map of volumes") {
                let there = self.one_of(fact, "fact", &[("exists", true), ("absent", false)]);
                facts.volumes.extend(there.map(|there| (name.clone(), there)));
            }
        }
        if let Some(node) = fields.get("resources") {
            for (name, fact) in self.entries(node, "a map of resources") {
                let found = if matches!(fact.data, Data::Map(_)) {
                    let fields = self.entries(fact, "a map of fields");
                    Some(Some(fields.iter().map(|(field, value)| (field.clone(), value.value())).collect()))
                } else {
                    let there = self.one_of(fact, "fact", &[("exists", true), ("absent", false)]);
                    there.map(|there| there.then(Vec::new))
                };
                facts.resources.extend(found.map(|found| (name.clone(), found)));
            }
        }
        Some(facts)
    }

    fn file_facts(&mut self, node: &Node) -> Option<FileFacts> {
        let none = FileFacts { exists: true, text: None, contains: None, sha256: None, bytes: None, mode: None };
        if !matches!(node.data, Data::Map(_)) {
            let exists = self.one_of(node, "fact", &[("exists", true), ("absent", false)])?;
            return Some(FileFacts { exists, ..none });
        }
        let fields = self.fields(node, "file", &FILE_FACTS)?;
        let mut text = |key: &str| fields.get(key).and_then(|node| self.text(node)).map(|text| text.value);
        let (whole, contains, sha256, mode) = (text("text"), text("contains"), text("sha256"), text("mode"));
        let bytes = fields.get("bytes").and_then(|node| self.size(node));
        Some(FileFacts { text: whole, contains, sha256, mode, bytes, ..none })
    }

    fn database_facts(&mut self, node: &Node) -> Option<DatabaseFacts> {
        if !matches!(node.data, Data::Map(_)) {
            let exists = self.one_of(node, "fact", &[("exists", true), ("absent", false)])?;
            return Some(DatabaseFacts { exists, rows: Vec::new() });
        }
        let fields = self.fields(node, "database", &["rows"])?;
        let rows = self.required(&fields, "rows")?;
        let mut found = Vec::new();
        for (table, number) in self.entries(rows, "a map of tables and their rows") {
            let name = if table.value.contains('.') { table.value.clone() } else { format!("public.{}", table.value) };
            let number = self.whole(number, 0, u32::MAX);
            found.extend(number.map(|number| (Spanned::new(name, table.span), u64::from(number))));
        }
        Some(DatabaseFacts { exists: true, rows: found })
    }

    fn plan_facts(&mut self, node: &Node) -> Option<PlanFacts> {
        let fields = self.fields(node, "plan", &PLAN_KEYS)?;
        Some(PlanFacts {
            effects: self.counted(&fields, "effects", 1_000_000),
            unknown_steps: self.named(&fields, "unknown_steps"),
            failing_steps: self.named(&fields, "failing_steps"),
            warnings: self.named(&fields, "warnings"),
            coverage: self.counted(&fields, "coverage", 100),
            within: self.lasting(&fields),
        })
    }
}
