//! Tests of a playbook out of their tree: worlds, faults, answers, orders. What they expect is read in `load_expect`.

use std::collections::BTreeMap;

use super::diagnostic::{Collector, Diagnostic};
use super::fields::{Fields, Reader};
use super::gaps::Gaps;
use super::trial::{Answers, Change, Damage, FaultAt, HOWS, How, KillAt, Kind, Moment, Say, Trial};
use super::yaml::{Data, Node};
use crate::model::command::Order;
use crate::model::span::Spanned;
use crate::model::{StepPath, Value};

/// Keys at the top of a file of tests.
pub const FILE_KEYS: [&str; 5] = ["muster_tests", "world", "change", "params", "tests"];
/// Keys of a test.
pub const TRIAL_KEYS: [&str; 9] = ["name", "world", "change", "params", "answers", "fail", "kill", "then", "expect"];
/// Keys of `change`.
pub const CHANGE_KEYS: [&str; 3] = ["set", "remove", "damage"];
/// Keys of `remove`.
pub const REMOVE_KEYS: [&str; 5] = ["files", "containers", "volumes", "databases", "endpoints"];
/// Keys of an entry of `fail`.
pub const FAIL_KEYS: [&str; 5] = ["op", "step", "use", "how", "message"];
/// Keys of an entry of `kill`.
pub const KILL_KEYS: [&str; 3] = ["effect", "at", "record"];
/// The orders of `then`.
pub const ORDERS: [&str; 8] = ["retry", "skip", "done", "rollback", "skip_undo", "settle", "cancel", "resume"];
/// What else an order can say.
pub const ORDER_KEYS: [&str; 6] = ["from_start", "reason", "result", "evidence", "force", "no_rollback"];

/// Reads a file of tests. What is wrong goes to the collector.
pub fn read(tree: &Node, source: &str, collector: &mut Collector) -> Vec<Trial> {
    let mut reader = Reader { text: source, faults: collector, gaps: Gaps::default(), stored: false };
    reader.trials(tree).unwrap_or_default()
}

impl Reader<'_> {
    fn trials(&mut self, tree: &Node) -> Option<Vec<Trial>> {
        let fields = self.fields(tree, "file of tests", &FILE_KEYS)?;
        if let Some(node) = self.required(&fields, "muster_tests")
            && node.value().as_i64() != Some(1)
        {
            let fault = Diagnostic::error("format", node.span, "this is not format 1, the one that is understood");
            self.faults.push(fault.hint("write `muster_tests: 1`"));
        }
        let world = fields.get("world").and_then(|node| self.some_text(node));
        let change = fields.get("change").and_then(|node| self.change(node));
        let params = fields.get("params").map(|node| self.values(node)).unwrap_or_default();
        let list = self.required(&fields, "tests")?;
        let mut trials: Vec<Trial> = Vec::new();
        for item in self.items(list, "a list of tests", false) {
            let Some(mut trial) = self.trial(item) else { continue };
            if let Some(first) = trials.iter().find(|other| other.name.value == trial.name.value) {
                let message = "two tests have this name";
                let fault = Diagnostic::error("duplicate-id", trial.name.span, message);
                self.faults.push(fault.related(first.name.span, "first here"));
            }
            trial.world = trial.world.or_else(|| world.clone());
            trial.changes.splice(0..0, change.clone());
            for (name, value) in &params {
                trial.params.entry(name.clone()).or_insert_with(|| value.clone());
            }
            trials.push(trial);
        }
        Some(trials)
    }

    fn trial(&mut self, node: &Node) -> Option<Trial> {
        let fields = self.fields(node, "test", &TRIAL_KEYS)?;
        let name = self.required(&fields, "name").and_then(|node| self.some_text(node));
        let expect = self.required(&fields, "expect").and_then(|node| self.expect(node));
        Some(Trial {
            world: fields.get("world").and_then(|node| self.some_text(node)),
            changes: fields.get("change").and_then(|node| self.change(node)).into_iter().collect(),
            params: fields.get("params").map(|node| self.values(node)).unwrap_or_default(),
            answers: fields.get("answers").and_then(|node| self.answers(node)).unwrap_or_default(),
            faults: self.each(&fields, "fail", Self::fault_at),
            kills: self.each(&fields, "kill", Self::kill_at),
            orders: self.each(&fields, "then", Self::order),
            expect: expect?,
            name: name?,
        })
    }

    /// The entries of a field that is a list, or one entry.
    pub(super) fn each<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let items = match &node.data {
            Data::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| read(self, item)).collect()
    }

    /// A map as it is.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Spanned<String>, Node)] {
        match &node.data {
            Data::Map(entries) => entries,
            _ => {
                self.wrong(node, what);
                &[]
            }
        }
    }

    fn values(&mut self, node: &Node) -> BTreeMap<String, Spanned<Value>> {
        let entries = self.entries(node, "a map of parameters").iter();
        entries.map(|(name, value)| (name.value.clone(), Spanned::new(value.value(), value.span))).collect()
    }

    fn change(&mut self, node: &Node) -> Option<Change> {
        let fields = self.fields(node, "change", &CHANGE_KEYS)?;
        let mut change = Change::default();
        if let Some(node) = fields.get("set") {
            self.entries(node, "a map, as in world.yaml");
            change.set = Some(Spanned::new(node.value(), node.span));
        }
        if let Some(found) = fields.get("remove").and_then(|node| self.fields(node, "`remove`", &REMOVE_KEYS)) {
            let kinds = [Kind::File, Kind::Container, Kind::Volume, Kind::Database, Kind::Endpoint];
            for (key, kind) in REMOVE_KEYS.into_iter().zip(kinds) {
                let names = self.each(&found, key, Self::some_text);
                change.remove.extend(names.into_iter().map(|name| (kind, name)));
            }
        }
        if let Some(node) = fields.get("damage") {
            for (path, how) in self.entries(node, "a map of files, and how they are damaged") {
                let damage = self.damage(how);
                change.damage.extend(damage.map(|damage| (path.clone(), damage)));
            }
        }
        Some(change)
    }

    fn damage(&mut self, node: &Node) -> Option<Damage> {
        if node.value() == "flip" {
            return Some(Damage::Flip);
        }
        if !matches!(node.data, Data::Map(_)) {
            self.wrong(node, "`flip`, { cut: SIZE } or { text: … }");
            return None;
        }
        let fields = self.fields(node, "damage", &["cut", "text"])?;
        if let Some(text) = fields.get("text") {
            return self.text(text).map(|text| Damage::Text(text.value));
        }
        let cut = self.required(&fields, "cut")?;
        self.size(cut).map(Damage::Cut)
    }

    pub(super) fn size(&mut self, node: &Node) -> Option<u64> {
        let found = match node.value() {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => crate::model::amount::parse_size(&text).ok(),
            _ => None,
        };
        if found.is_none() {
            self.wrong(node, "a size like 64KiB, or a number of bytes");
        }
        found
    }

    fn answers(&mut self, node: &Node) -> Option<Answers> {
        if node.value() == "yes" || node.value() == true {
            return Some(Answers::Yes);
        }
        if !matches!(node.data, Data::Map(_)) {
            self.wrong(node, "`yes`, or a map of steps and what is said to them");
            return None;
        }
        let mut steps = BTreeMap::new();
        for (step, said) in self.entries(node, "a map") {
            if let Some(say) = self.say(said) {
                steps.insert(step.value.clone(), Spanned::new(say, step.span));
            }
        }
        Some(Answers::Steps(steps))
    }

    fn say(&mut self, node: &Node) -> Option<Say> {
        match node.value() {
            Value::String(word) if word == "approve" => return Some(Say::Approve),
            Value::String(word) if word == "reject" => return Some(Say::Reject("rejected in a test".to_owned())),
            Value::String(word) if word == "confirm" => return Some(Say::Answer(Value::Bool(true))),
            Value::String(word) if word == "done" => return Some(Say::Done("done in a test".to_owned())),
            Value::Object(_) => {}
            _ => {
                self.wrong(
                    node,
                    "`approve`, `reject`, `confirm`, `done`, or { reject: WHY }, { answer: VALUE }, { done: EVIDENCE }",
                );
                return None;
            }
        }
        let fields = self.fields(node, "answer", &["reject", "answer", "done"])?;
        if let Some(why) = fields.get("reject") {
            return self.some_text(why).map(|why| Say::Reject(why.value));
        }
        if let Some(evidence) = fields.get("done") {
            return self.some_text(evidence).map(|evidence| Say::Done(evidence.value));
        }
        self.required(&fields, "answer").map(|value| Say::Answer(value.value()))
    }

    fn fault_at(&mut self, node: &Node) -> Option<FaultAt> {
        let fields = self.fields(node, "failure", &FAIL_KEYS)?;
        let op = fields.get("op").and_then(|node| self.some_text(node));
        let step = fields.get("step").and_then(|node| self.some_text(node));
        if fields.get("op").is_none() && fields.get("step").is_none() {
            let message = "a failure needs an operation (`op`), a step, or both";
            self.faults.push(Diagnostic::error("missing-key", node.span, message));
            return None;
        }
        let uses = match fields.get("use") {
            None => vec![1],
            Some(node) if node.value() == "every" => Vec::new(),
            Some(_) => self.each(&fields, "use", |reader, node| reader.whole(node, 1, 100_000)),
        };
        let how = match fields.get("how") {
            None => How::Refused,
            Some(node) => self.one_of(node, "way to fail", &HOWS)?,
        };
        let message = fields.get("message").and_then(|node| self.some_text(node)).map(|text| text.value);
        Some(FaultAt { op, step, uses, how, message, span: node.span })
    }

    /// One of these words.
    pub(super) fn one_of<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.some_text(node)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let message = format!("`{}` is no {what}", super::yaml::shown(&text.value));
            let fault = Diagnostic::error("unknown-word", text.span, message);
            self.faults.push(fault.likely(&text.value, words.iter().map(|(word, _)| *word)));
        }
        found
    }

    fn kill_at(&mut self, node: &Node) -> Option<KillAt> {
        let fields = self.fields(node, "stop of the engine", &KILL_KEYS)?;
        if let Some(node) = fields.get("record") {
            return self.whole(node, 1, 1_000_000).map(KillAt::Record);
        }
        let number = self.required(&fields, "effect").and_then(|node| self.whole(node, 1, 1_000_000))?;
        let moments = [("before", Moment::Before), ("half", Moment::Half), ("after", Moment::After)];
        let moment = match fields.get("at") {
            None => Moment::After,
            Some(node) => self.one_of(node, "moment of an effect", &moments)?,
        };
        Some(KillAt::Effect(number, moment))
    }

    fn order(&mut self, node: &Node) -> Option<Spanned<Order>> {
        let known: Vec<&'static str> = ORDERS.into_iter().chain(ORDER_KEYS).collect();
        let (verb, fields, of) = match &node.data {
            Data::Scalar { .. } => (self.some_text(node)?, None, None),
            _ => {
                let fields = self.fields(node, "order", &known)?;
                // The order is what comes first: `done` is one, and what `settle` says too.
                let first = self.entries(node, "an order").first().map(|(key, value)| (key.clone(), value))?;
                (first.0, Some(fields), Some(first.1))
            }
        };
        let field = |key: &str| fields.as_ref().and_then(|fields| fields.get(key));
        let flag = |key: &str| field(key).is_some_and(|node| node.value() == true);
        let words = |key: &str| {
            let given = field(key).and_then(|node| node.value().as_str().map(str::to_owned));
            given.unwrap_or_else(|| "in a test".to_owned())
        };
        let result = field("result").map(Node::value);
        let needs_step = matches!(verb.value.as_str(), "retry" | "skip" | "done" | "settle");
        let step = match of.map(Node::value) {
            Some(Value::String(step)) => Some(StepPath::of(&step)),
            _ if needs_step => {
                let message = format!("`{}` needs a step: write `{}: STEP`", verb.value, verb.value);
                self.faults.push(Diagnostic::error("missing-key", node.span, message));
                return None;
            }
            _ => None,
        };
        let given = || step.clone().unwrap_or_else(|| StepPath::of(""));
        let order = match verb.value.as_str() {
            "retry" => Order::Retry { step: given(), from_start: flag("from_start") },
            "skip" => Order::Skip { step: given(), reason: words("reason"), result },
            "done" => Order::Done { step: given(), evidence: words("evidence"), result },
            "settle" => Order::Settle { step: given(), done: flag("done"), result, reason: words("reason") },
            "rollback" => Order::Rollback { to: step, force: flag("force") },
            "skip_undo" => Order::SkipUndo { reason: words("reason") },
            "cancel" => Order::Cancel { no_rollback: flag("no_rollback") },
            "resume" => Order::Resume,
            other => {
                let message = format!("`{}` is no order", super::yaml::shown(other));
                self.faults.push(Diagnostic::error("unknown-word", verb.span, message).likely(other, ORDERS));
                return None;
            }
        };
        Some(Spanned::new(order, node.span))
    }
}
