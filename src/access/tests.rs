//! Tests of the desk over a store in memory: tokens, sessions, orders, reviews.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::audit::{self, Deed};
use super::*;
use crate::journal::record::FORMAT;
use crate::journal::{Fact, Head, MemoryStore, Query, RunJournal, Store};
use crate::model::command::{Actor, Order};
use crate::model::secret::Redactor;
use crate::model::status::{Mode, RunStatus};
use crate::model::{RunId, StepPath, Timestamp, Value};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn at(seconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
}

struct Rig {
    store: Arc<MemoryStore>,
    redactor: Arc<Redactor>,
    desk: Desk,
}

impl Rig {
    fn new() -> Self {
        let (store, redactor) = (Arc::new(MemoryStore::new()), Arc::new(Redactor::default()));
        let desk = Desk::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&redactor));
        Self { store, redactor, desk }
    }

    fn token(&self, name: &str, roles: &[Role]) -> (Token, String) {
        self.desk.create_token(&root(), new(name, roles), at(0)).expect("a token")
    }

    fn bearer(&self, name: &str, roles: &[Role]) -> Identity {
        let (_, shown) = self.token(name, roles);
        self.desk.authenticate(&shown, HOME, at(1)).expect("a valid token")
    }

    /// A run of `pgo-clone` that somebody started.
    fn run(&self, by: &str) -> Head {
        let head = Head {
            run: RunId::from_entropy(77),
            playbook: "pgo-clone".to_owned(),
            version: "1.0.0".to_owned(),
            bundle: "b".repeat(64),
            status: RunStatus::Running,
            detail: String::new(),
            started: at(0),
            updated: at(0),
            records: 0,
            epoch: 0,
            holder: None,
        };
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let mut journal = RunJournal::create(store, Arc::clone(&self.redactor), &head).expect("a run");
        journal.push(started(&head, by), at(0));
        journal.commit(&[], RunStatus::Running, "").expect("durable");
        head
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        audit::verify(self.store.as_ref(), |entry| entries.push(entry.clone())).expect("a whole log");
        entries
    }
}

fn started(head: &Head, by: &str) -> Fact {
    Fact::RunStarted {
        format: FORMAT,
        run: head.run.clone(),
        playbook: head.playbook.clone(),
        version: head.version.clone(),
        bundle: head.bundle.clone(),
        mode: Mode::Live,
        params: Value::Null,
        by: Actor { name: by.to_owned() },
        seed: 1,
        engine: "test".to_owned(),
        forked_from: None,
        drill: None,
    }
}

fn root() -> Identity {
    Identity::asserted(&Actor { name: "root@host".to_owned() })
}

fn new(name: &str, roles: &[Role]) -> NewToken {
    NewToken {
        name: name.to_owned(),
        roles: roles.iter().copied().collect(),
        playbooks: Vec::new(),
        approves_as: Vec::new(),
        seconds: None,
    }
}

fn approve(break_glass: bool, reason: Option<&str>) -> Order {
    Order::Approve {
        step: StepPath::of("promote"),
        role: None,
        reason: reason.map(str::to_owned),
        break_glass,
        valid_until: None,
        digest: None,
    }
}

#[test]
fn a_token_says_who_its_bearer_is_and_what_they_may() {
    let rig = Rig::new();
    let alice = rig.bearer("alice", &[Role::Operator, Role::Viewer]);
    assert_eq!(alice.name, "alice");
    assert_eq!(alice.roles, BTreeSet::from([Role::Viewer, Role::Operator]));
    assert!(alice.is_proven());
}

#[test]
fn whatever_is_wrong_with_a_token_the_answer_is_the_same() {
    let rig = Rig::new();
    let (token, shown) = rig.token("alice", &[Role::Viewer]);
    let (gone, of_gone) = rig.token("bob", &[Role::Viewer]);
    rig.desk.revoke_token(&root(), &gone.id, at(1)).expect("revoked");
    let wrong = format!("mst_{}_{}", token.id, "A".repeat(43));
    let unknown = format!("mst_00000000_{}", "A".repeat(43));
    let days = |days: u64| at(days * 86_400);
    for (shown, now, what) in [
        (wrong.as_str(), at(10_000), "a wrong secret"),
        (unknown.as_str(), at(20_000), "no such token"),
        (of_gone.as_str(), at(30_000), "revoked"),
        ("", at(40_000), "nothing"),
        ("Bearer x", at(50_000), "no token"),
        (shown.as_str(), days(91), "expired"),
    ] {
        let error = rig.desk.authenticate(shown, HOME, now).expect_err(what);
        assert_eq!(error.to_string(), "the token is not valid: unknown, expired or revoked", "{what}");
    }
    assert!(rig.desk.authenticate(&shown, HOME, days(89)).is_ok());
}

#[test]
fn guessing_gets_slow_and_is_in_the_audit_log() {
    let rig = Rig::new();
    let (token, shown) = rig.token("alice", &[Role::Viewer]);
    for _ in 0..5 {
        let guess = format!("mst_{}_{}", token.id, "A".repeat(43));
        assert!(matches!(rig.desk.authenticate(&guess, HOME, at(1)), Err(AccessError::NotValid)));
    }
    assert!(matches!(rig.desk.authenticate(&shown, HOME, at(1)), Err(AccessError::Slow { .. })));
    assert!(rig.desk.authenticate(&shown, HOME, at(3)).is_ok(), "the wait is not over");
    let told: Vec<Entry> = rig.entries().into_iter().filter(|entry| entry.act == "login").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].details["from"], "10.0.0.1");
}

#[test]
fn the_store_holds_nothing_by_which_anybody_gets_in() {
    let rig = Rig::new();
    let (_, shown) = rig.token("alice", &[Role::Viewer]);
    let login = rig.desk.login(&shown, None, HOME, at(1)).expect("a login");
    let secret = shown.rsplit('_').next().expect("a secret");
    for kind in [token::KIND, session::KIND, audit::KIND, review::KIND] {
        for document in rig.store.documents(kind, &Query::default()).expect("readable") {
            let text = format!("{} {}", document.key, document.body);
            assert!(!text.contains(secret), "the secret of a token: {text}");
            assert!(!text.contains(&login.cookie), "the cookie of a session: {text}");
        }
    }
    let listed = rig.desk.tokens(&root()).expect("a list");
    assert!(listed.iter().all(|token| token.digest.is_empty()));
}

#[test]
fn a_login_never_goes_on_with_a_session_that_was_there_before() {
    let rig = Rig::new();
    let (_, shown) = rig.token("alice", &[Role::Viewer]);
    let first = rig.desk.login(&shown, Some("chosen-by-somebody-else"), HOME, at(1)).expect("a login");
    assert_ne!(first.cookie, "chosen-by-somebody-else");
    assert_eq!(rig.desk.session("chosen-by-somebody-else", at(1)).expect("readable"), None);
    let second = rig.desk.login(&shown, Some(&first.cookie), HOME, at(2)).expect("a login");
    assert_ne!(second.cookie, first.cookie);
    assert_eq!(rig.desk.session(&first.cookie, at(2)).expect("readable"), None);
    assert!(rig.desk.session(&second.cookie, at(2)).expect("readable").is_some());
}

#[test]
fn a_session_ends_with_its_token_and_by_logout() {
    let rig = Rig::new();
    let (token, shown) = rig.token("alice", &[Role::Viewer]);
    let login = || rig.desk.login(&shown, None, HOME, at(1)).expect("a login").cookie;
    let (one, other) = (login(), login());
    let alive = |cookie: &str| rig.desk.session(cookie, at(2)).expect("readable").is_some();
    rig.desk.logout(&one, at(2)).expect("a logout");
    assert!(!alive(&one) && alive(&other));
    rig.desk.revoke_token(&root(), &token.id, at(2)).expect("revoked");
    assert!(!alive(&other));
    assert!(rig.store.documents(session::KIND, &Query::default()).expect("readable").is_empty());
}

#[test]
fn a_token_has_no_more_sessions_than_it_needs() {
    let rig = Rig::new();
    let (_, shown) = rig.token("alice", &[Role::Viewer]);
    let first = rig.desk.login(&shown, None, HOME, at(1)).expect("a login").cookie;
    for number in 0..session::MOST as u64 {
        rig.desk.login(&shown, None, HOME, at(2 + number)).expect("a login");
    }
    assert_eq!(rig.desk.session(&first, at(30)).expect("readable"), None);
    assert_eq!(rig.store.documents(session::KIND, &Query::default()).expect("readable").len(), session::MOST);
}

#[test]
fn only_an_admin_of_everything_makes_tokens() {
    let rig = Rig::new();
    for role in [Role::Viewer, Role::Operator, Role::Approver] {
        let bearer = rig.bearer("bob", &[role]);
        let error = rig.desk.create_token(&bearer, new("mallory", &[Role::Admin]), at(2)).expect_err("may not");
        assert!(error.denied().is_some());
        assert!(rig.desk.tokens(&bearer).is_err());
    }
    let scoped = NewToken { playbooks: vec!["pgo-*".to_owned()], ..new("carol", &[Role::Admin]) };
    let (_, shown) = rig.desk.create_token(&root(), scoped, at(0)).expect("a token");
    let scoped = rig.desk.authenticate(&shown, HOME, at(1)).expect("valid");
    assert!(rig.desk.create_token(&scoped, new("mallory", &[Role::Admin]), at(2)).is_err());
    assert!(rig.entries().iter().filter(|entry| entry.denied.is_some()).count() >= 4);
}

#[test]
fn the_starter_does_not_approve_by_a_token_what_they_started_at_the_keyboard() {
    let rig = Rig::new();
    let head = rig.run("alice@laptop");
    let alice = rig.bearer("alice", &[Role::Admin]);
    let error = rig.desk.say(&alice, &head, approve(false, None), at(2)).expect_err("she started it");
    assert!(matches!(error.denied(), Some(Denied::Starter { .. })));
    assert!(rig.store.inbox(&head.run).expect("readable").is_empty());
    assert!(rig.entries().iter().any(|entry| entry.act == "approve" && entry.denied.is_some()));
    let bob = rig.bearer("bob", &[Role::Approver]);
    rig.desk.say(&bob, &head, approve(false, None), at(3)).expect("he did not");
    assert_eq!(rig.store.inbox(&head.run).expect("readable").len(), 1);
}

#[test]
fn breaking_the_glass_needs_a_reason_and_opens_a_review_that_somebody_else_closes() {
    let rig = Rig::new();
    let head = rig.run("alice");
    let alice = rig.bearer("alice", &[Role::Operator, Role::Approver]);
    for reason in [None, Some(" ")] {
        assert!(matches!(rig.desk.say(&alice, &head, approve(true, reason), at(2)), Err(AccessError::Wordless(_))));
    }
    assert!(rig.desk.reviews(&alice).expect("readable").is_empty());
    rig.desk.say(&alice, &head, approve(true, Some("the database is gone")), at(2)).expect("an emergency");
    let open = rig.desk.reviews(&alice).expect("readable");
    assert_eq!((open.len(), open[0].reason.as_str(), &open[0].closed), (1, "the database is gone", &None));
    let id = open[0].id.to_string();
    let own = rig.desk.close_review(&alice, &id, "fine", at(3)).expect_err("her own");
    assert!(matches!(own.denied(), Some(Denied::OwnReview { .. })));
    let bob = rig.bearer("bob", &[Role::Approver]);
    assert!(rig.desk.close_review(&bob, &id, "  ", at(3)).is_err());
    assert!(rig.desk.close_review(&bob, "77", "fine", at(3)).is_err());
    let closed = rig.desk.close_review(&bob, &id, "it was right", at(3)).expect("closed");
    assert_eq!(closed.closed.map(|closed| closed.by), Some("bob".to_owned()));
    assert!(matches!(rig.desk.close_review(&bob, &id, "again", at(4)), Err(AccessError::Closed { .. })));
}

#[test]
fn every_order_is_in_the_audit_log_before_it_is_given() {
    let rig = Rig::new();
    let head = rig.run("alice");
    let bob = rig.bearer("bob", &[Role::Operator]);
    rig.desk.say(&bob, &head, Order::Cancel { no_rollback: true }, at(2)).expect("he may");
    rig.desk.say(&bob, &head, approve(false, None), at(2)).expect_err("he may not");
    let entries = rig.entries();
    let told: Vec<(&str, bool)> =
        entries.iter().rev().take(2).map(|entry| (entry.act.as_str(), entry.denied.is_none())).collect();
    assert_eq!(told, [("approve", false), ("cancel", true)]);
    assert_eq!(rig.store.inbox(&head.run).expect("readable").len(), 1);
}

#[test]
fn what_stands_in_the_audit_log_is_redacted() {
    let rig = Rig::new();
    let head = rig.run("alice");
    rig.redactor.learn("hunter2-and-more");
    let bob = rig.bearer("bob", &[Role::Operator]);
    let skip = Order::Skip {
        step: StepPath::of("a"),
        reason: "the password hunter2-and-more is wrong".to_owned(),
        result: None,
    };
    rig.desk.say(&bob, &head, skip, at(2)).expect("he may");
    assert!(rig.entries().iter().all(|entry| !format!("{entry:?}").contains("hunter2")));
}

#[test]
fn looking_is_not_written_down_and_doing_is() {
    let rig = Rig::new();
    let bob = Identity { roles: BTreeSet::from([Role::Viewer]), ..root() };
    let permit = |act: Act| {
        let deed = Deed::done("", "playbook pgo-clone");
        rig.desk.permit(&bob, act, &Subject::Playbook("pgo-clone"), deed, at(2))
    };
    permit(Act::View).expect("he may");
    assert!(rig.entries().is_empty());
    permit(Act::Start).expect_err("he may not");
    assert_eq!(rig.entries().len(), 1);
}
