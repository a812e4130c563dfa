//! The pure part of the standard library: dates, retention, names, comparisons.

use std::path::Path;

use muster::model::Value;
use muster::model::span::{Span, Spanned};
use muster::playbook::types::Playbook;
use muster::script::program::ModuleSource;
use muster::script::{Program, Scope};
use proptest::prelude::*;
use serde_json::json;

/// Modules in an order in which each comes after those it imports.
const MODULES: [&str; 24] = [
    "calendar",
    "epoch",
    "words",
    "permissions",
    "ecs",
    "terraform",
    "backup",
    "pg",
    "omnichat",
    "pgo4",
    "pgo4_restore",
    "rds",
    "release",
    "aws_backup",
    "omnichat_aws_backup",
    "omnichat_aws_restore",
    "vault_backup",
    "pgbackrest",
    "pgo",
    "pgo_database",
    "pgo_restore",
    "pgo_standby",
    "runai",
    "runai_restore",
];

fn spanned(text: &str) -> Spanned<String> {
    Spanned { value: text.to_owned(), span: Span::default() }
}

fn library() -> Program {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
    let modules: Vec<ModuleSource> = MODULES
        .iter()
        .map(|name| ModuleSource {
            path: format!("stdlib/{name}"),
            text: std::fs::read_to_string(root.join(format!("{name}.rhai"))).unwrap(),
        })
        .collect();
    let playbook = Playbook {
        name: spanned("library"),
        version: spanned("1.0.0"),
        title: String::new(),
        doc: String::new(),
        imports: modules.iter().map(|module| spanned(&module.path)).collect(),
        rto: None,
        rpo: None,
        params: Vec::new(),
        capabilities: Vec::new(),
        secrets: Vec::new(),
        checks: Vec::new(),
        parallel: 1,
        steps: Vec::new(),
        drill: None,
        places: Default::default(),
    };
    Program::compile(playbook, String::new(), &modules).unwrap()
}

fn ask(program: &Program, expression: &str, item: Value) -> Value {
    let scope = Scope { item, ..Scope::default() };
    program.expression(&spanned(expression), &scope).unwrap_or_else(|e| panic!("{expression}: {e:?}"))
}

const DAY: i64 = 86_400_000;

fn expired(program: &Program, now: &str, backups: &[(String, String)]) -> Vec<String> {
    let backups: Vec<Value> = backups.iter().map(|(id, at)| json!({ "id": id, "finished": at })).collect();
    let item = json!({
        "backups": backups, "now": now,
        "keep": { "daily": 7 * DAY, "weekly": 31 * DAY, "monthly": 184 * DAY },
    });
    let gone = ask(program, "backup::expired(item.backups, item.now, item.keep)", item);
    gone.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn days_before(now: &str, days: i64) -> String {
    let now: jiff::Timestamp = now.parse().unwrap();
    (now - jiff::SignedDuration::from_hours(24 * days)).to_string()
}

#[test]
fn every_module_compiles_and_every_function_that_others_call_says_what_it_does() {
    library();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (place, line) in lines.iter().enumerate() {
            if line.starts_with("fn ") {
                assert!(place > 0 && lines[place - 1].starts_with("/// "), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn a_year_of_nightly_backups_is_thinned_to_days_weeks_and_months() {
    let program = library();
    let now = "2026-07-24T02:10:00Z";
    let backups: Vec<(String, String)> = (0..365).map(|day| (format!("b{day}"), days_before(now, day))).collect();
    let gone = expired(&program, now, &backups);
    let kept: Vec<i64> = (0..365).filter(|day| !gone.contains(&format!("b{day}"))).collect();
    let weeks = [11, 18, 25, 30];
    let months = [23, 53, 84, 114, 145, 173, 183];
    let wanted: Vec<i64> = (0..365).filter(|day| *day < 7 || weeks.contains(day) || months.contains(day)).collect();
    assert_eq!(kept, wanted);
}

#[test]
fn the_newest_backup_is_never_expired_however_old() {
    let program = library();
    let old =
        [("a".to_owned(), "2020-01-01T00:00:00Z".to_owned()), ("b".to_owned(), "2020-01-02T00:00:00Z".to_owned())];
    assert_eq!(expired(&program, "2026-07-24T02:10:00Z", &old), ["a"]);
    assert_eq!(expired(&program, "2026-07-24T02:10:00Z", &[]), Vec::<String>::new());
}

#[test]
fn a_time_that_is_not_in_utc_is_refused() {
    let program = library();
    for wrong in ["2026-07-24", "2026-07-24T02:00:00+02:00", ""] {
        let scope = Scope { item: json!(wrong), ..Scope::default() };
        assert!(program.expression(&spanned("calendar::unix_seconds(item)"), &scope).is_err(), "{wrong}");
    }
}

#[test]
fn a_name_beside_another_fits_postgresql_and_keeps_the_run() {
    let program = library();
    assert_eq!(ask(&program, "pg::beside(item, \"r\", \"7k3f9q\")", json!("chatbot_db")), json!("chatbot_db_r_7k3f9q"));
    let long = ask(&program, "pg::beside(item, \"old\", \"7k3f9q\")", json!("x".repeat(63)));
    assert_eq!(long.as_str().unwrap().len(), 63);
    assert!(long.as_str().unwrap().ends_with("_old_7k3f9q"));
}

#[test]
fn a_census_that_differs_is_found_out() {
    let program = library();
    let census = |rows: i64, checksum: &str| {
        json!({
            "tables": [{ "name": "public.chat", "rows": rows, "checksum": checksum }],
            "large_objects": 2, "extensions": [],
        })
    };
    let differences = |a: Value, b: Value| {
        ask(&program, "pg::differences(item[0], item[1])", json!([a, b])).as_array().unwrap().len()
    };
    assert_eq!(differences(census(3, "a"), census(3, "a")), 0);
    assert_eq!(differences(census(3, "a"), census(4, "a")), 1);
    assert_eq!(differences(census(3, "a"), census(3, "b")), 1);
    assert_eq!(differences(census(3, "a"), json!({ "tables": [], "large_objects": 0, "extensions": [] })), 2);
    let between = |low: i64, high: i64, rows: i64| {
        let item = json!([census(low, "a"), census(high, "b"), census(rows, "c")]);
        ask(&program, "pg::differences_between(item[0], item[1], item[2])", item).as_array().unwrap().len()
    };
    assert_eq!((between(3, 9, 5), between(3, 9, 2), between(9, 3, 10)), (0, 1, 1));
}

#[test]
fn the_environment_is_compared_without_showing_a_secret() {
    let program = library();
    let present = json!({ "keys": ["POSTGRES_DB", "POSTGRES_PASSWORD"], "values": { "POSTGRES_DB": "a" } });
    let wanted = json!({ "keys": ["POSTGRES_DB", "WEBUI_SECRET_KEY"], "values": { "POSTGRES_DB": "b" } });
    let lines = ask(&program, "omnichat::env_changes(item[0], item[1])", json!([present, wanted]));
    assert_eq!(lines, json!(["WEBUI_SECRET_KEY comes back", "POSTGRES_DB: a -> b", "POSTGRES_PASSWORD goes away"]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_time_counts_the_same_seconds_as_the_library_for_times(second in 0i64..7_000_000_000) {
        let program = library();
        let at = jiff::Timestamp::from_second(second).unwrap();
        prop_assert_eq!(ask(&program, "calendar::unix_seconds(item)", json!(at.to_string())), json!(second));
        prop_assert_eq!(ask(&program, "epoch::utc(item)", json!(second)), json!(at.to_string()));
        let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let months = i64::from(day.year()) * 12 + i64::from(day.month()) - 1;
        prop_assert_eq!(ask(&program, "calendar::month(item)", json!(at.to_string())), json!(months));
    }

    #[test]
    fn retention_thinned_every_night_always_leaves_a_month_its_backup(start in 0i64..400) {
        let program = library();
        let first: jiff::Timestamp = "2024-01-01T02:00:00Z".parse().unwrap();
        let mut kept: Vec<(String, String)> = Vec::new();
        for day in start..start + 240 {
            let at = first + jiff::SignedDuration::from_hours(24 * day);
            kept.push((format!("b{day}"), at.to_string()));
            let gone = expired(&program, &at.to_string(), &kept);
            let tonight = format!("b{day}");
            prop_assert!(!gone.contains(&tonight));
            kept.retain(|(id, _)| !gone.contains(id));
        }
        // Of the 240 days, those of the last 184 must be covered by some backup at most a month and a week older.
        prop_assert!(kept.len() >= 7 + 3 + 4, "{:?}", kept);
        for pair in kept.windows(2) {
            let days = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second() / 86_400;
            prop_assert!(days(&pair[1].1) - days(&pair[0].1) <= 38, "{:?}", kept);
        }
    }
}

#[test]
fn a_restored_database_has_a_name_that_aws_takes_and_its_instances_too() {
    let program = library();
    let name = |wanted: &str, database: &str| {
        let item = json!({ "wanted": wanted, "database": database });
        ask(&program, "rds::new_name(item.wanted, item.database, `7k3f9q`)", item)
    };
    assert_eq!(name("other", "shop"), "other");
    assert_eq!(name("", "shop"), "shop-r-7k3f9q");
    assert_eq!(name("", &"a".repeat(63)).as_str().map(str::len), Some(60));
    assert_eq!(name("", &format!("{}-b", "a".repeat(50))), format!("{}-r-7k3f9q", "a".repeat(50)));
    assert_eq!(ask(&program, "rds::kept_name(item, `7k3f9q`)", json!("a".repeat(63))).as_str().map(str::len), Some(63));
    assert_eq!(ask(&program, "rds::instance_names(`shop-r`, 2)", json!({})), json!(["shop-r-1", "shop-r-2"]));
}

#[test]
fn a_value_keeps_what_stands_around_the_host() {
    let program = library();
    let told = |value: &str, before: &str| {
        let item = json!({ "value": value, "before": before });
        ask(&program, "release::with_host(item.value, item.before, `new.example`)", item)
    };
    assert_eq!(told("old.example", "old.example"), "new.example");
    assert_eq!(told("postgres://u@old.example:5432/d", "old.example"), "postgres://u@new.example:5432/d");
    assert_eq!(told("db.alias", "old.example"), "new.example");
    assert_eq!(told("anything", ""), "new.example");
}

#[test]
fn a_moment_is_told_to_pgbackrest_with_its_offset_and_anything_else_is_refused() {
    let program = library();
    for (at, target, ms) in [
        ("2026-06-21T08:00:00Z", "2026-06-21 08:00:00+00", 1_782_028_800_000_i64),
        ("2026-06-21T08:00:00.5Z", "2026-06-21 08:00:00.5+00", 1_782_028_800_500),
        ("2026-06-21T08:00:00.123456Z", "2026-06-21 08:00:00.123456+00", 1_782_028_800_123),
    ] {
        assert_eq!(ask(&program, "pgbackrest::target(item)", json!(at)), target);
        assert_eq!(ask(&program, "pgbackrest::unix_ms(item)", json!(at)), ms);
    }
    for wrong in
        ["2026-06-21 08:00:00", "2026-06-21T08:00:00+02:00", "2026-06-21T08:00:00.1234567Z", "2026-06-21T08:00:00';--Z"]
    {
        let scope = Scope { item: json!(wrong), ..Scope::default() };
        assert!(program.expression(&spanned("pgbackrest::target(item)"), &scope).is_err(), "{wrong}");
    }
}

#[test]
fn only_a_backup_that_ended_before_the_moment_and_from_which_wal_leads_there_is_taken() {
    let program = library();
    let backup = |label: &str, timeline: u32, stop: i64, lsn: &str| {
        json!({
            "label": label, "error": label == "damaged", "timestamp": { "stop": stop }, "lsn": { "stop": lsn },
            "archive": { "start": format!("{timeline:08X}0000000000000005") },
        })
    };
    // The second timeline was left for good: it was rolled back. The third grew out of the first at 0/9000000.
    let backups = [
        backup("first", 1, 100, "0/5000000"),
        backup("late", 1, 200, "0/A000000"),
        backup("gone", 2, 300, "0/A000000"),
        backup("third", 3, 400, "0/B000000"),
        backup("damaged", 3, 500, "0/C000000"),
    ];
    let chosen = |from: &str, at: &str, label: &str, timeline: u32| {
        let item = json!({ "stanza": { "name": "main", "backup": backups }, "from": from, "at": at, "label": label, "timeline": timeline });
        let ancestors =
            if timeline == 3 { "[#{ timeline: 1, left_at: pgbackrest::lsn(\"0/9000000\") }]" } else { "[]" };
        let call = format!(
            "pgbackrest::choose(item.stanza, item.from, item.at, item.label, item.timeline, {ancestors}).label"
        );
        let scope = Scope { item, ..Scope::default() };
        program.expression(&spanned(&call), &scope).map_err(|error| format!("{error:?}"))
    };
    assert_eq!(chosen("newest", "", "", 3).unwrap(), "third");
    assert_eq!(chosen("newest", "", "", 1).unwrap(), "late");
    assert_eq!(chosen("time", "1970-01-01T00:06:41Z", "", 3).unwrap(), "third");
    // One that ends in that very second does not lead there, nor one of the first timeline from after it was left.
    assert_eq!(chosen("time", "1970-01-01T00:06:40Z", "", 3).unwrap(), "first");
    assert_eq!(chosen("backup", "", "damaged", 3).unwrap(), "damaged");
    assert!(chosen("time", "1970-01-01T00:01:40Z", "", 3).unwrap_err().contains("one has to have ended before it"));
    assert!(chosen("newest", "", "", 4).unwrap_err().contains("4 are of a timeline that does not lead"));
    assert!(chosen("backup", "", "other", 1).unwrap_err().contains("there is no backup other"));
}

#[test]
fn a_time_is_told_to_pgbackrest_as_it_takes_it_or_not_at_all() {
    let program = library();
    let target = |at: &str| ask(&program, "pgo_restore::target(item)", json!(at));
    assert_eq!(target("2026-01-31T09:30:00Z"), "2026-01-31 09:30:00+00");
    assert_eq!(target("2026-01-31T09:30:00.25Z"), "2026-01-31 09:30:00.25+00");
    for wrong in
        ["2026-01-31T09:30:00.1234567Z", "2026-01-31T09:30:00.Z", "2026-01-31T09:30:00x1Z", "2026-01-31T09:30:00.1'Z"]
    {
        let scope = Scope { item: json!(wrong), ..Scope::default() };
        assert!(program.expression(&spanned("pgo_restore::target(item)"), &scope).is_err(), "{wrong}");
    }
}

#[test]
fn places_in_the_wal_are_compared_as_numbers() {
    let program = library();
    for (one, other, so) in [
        ("0/9", "0/10", false),
        ("1/0", "0/FFFFFFFF", true),
        ("A/1", "9/2", true),
        ("16/B374D848", "16/B374D848", true),
    ] {
        assert_eq!(ask(&program, "pgo_standby::reached(item[0], item[1])", json!([one, other])), so, "{one} {other}");
    }
}

#[test]
fn an_option_that_a_shell_would_read_is_refused() {
    let program = library();
    let check = |option: &str| {
        let scope = Scope { item: json!(option), ..Scope::default() };
        program.expression(&spanned("pgo_restore::restore_options(\"\", \"\", [item])"), &scope)
    };
    assert!(check("--process-max=4").is_ok());
    for wrong in [
        "process-max",
        "--a=$(id)",
        "--a=`id`",
        "--a=b; id",
        "--a=b | id",
        "--a='b",
        "--repo=2",
        "--repo1-path=/x",
        "--target-action=pause",
        "--db-include=x",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
