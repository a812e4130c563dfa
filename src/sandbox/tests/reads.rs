//! What the sandbox answers to reads and waits.

use serde_json::json;

use super::schema::assert_fits;
use super::*;
use crate::model::fault::ErrorClass;

#[test]
fn every_read_answers_in_the_shape_of_the_table() {
    let stage = Stage::new();
    let reads = [
        ("fs.stat", json!({ "path": "/srv/data" })),
        ("fs.stat", json!({ "path": "/nothing" })),
        ("fs.list", json!({ "path": "/srv", "pattern": "*.tar" })),
        ("fs.read_text", json!({ "path": "/srv/data/one.txt" })),
        ("fs.read_json", json!({ "path": "/srv/notes.json" })),
        ("fs.dotenv", json!({ "path": "/srv/.env", "plain": ["NAME"] })),
        ("fs.sha256", json!({ "path": "/srv/old.dump" })),
        ("fs.hash_tree", json!({ "path": "/srv/data" })),
        ("fs.space", json!({ "path": "/srv" })),
        ("fs.tar_list", json!({ "archive": "/srv/data.tar" })),
        ("exec.read", json!({ "argv": ["git", "rev-parse", "HEAD"] })),
        ("docker.info", json!({})),
        ("docker.inspect", json!({ "container": "db" })),
        ("docker.inspect", json!({ "container": "nobody" })),
        ("docker.image", json!({ "image": "postgres:17" })),
        ("docker.list", json!({ "label": "compose=local" })),
        ("docker.volume", json!({ "volume": "models" })),
        ("docker.volumes", json!({})),
        ("docker.read", json!({ "container": "ollama", "argv": ["ls", "/root/.ollama/models/blobs"] })),
        ("pg.server", json!({ "server": db() })),
        ("pg.databases", json!({ "server": db() })),
        ("pg.query", json!({ "server": db(), "database": "chat", "sql": "SELECT name FROM \"user\" LIMIT 1;" })),
        ("pg.census", json!({ "server": db(), "database": "chat", "checksums": true })),
        ("pg.check_dump", json!({ "server": db(), "path": "/srv/old.dump" })),
        ("http.get", json!({ "url": "http://127.0.0.1:3002/health" })),
        ("time.now", json!({})),
        ("time.age", json!({ "at": "2026-01-01T00:00:00Z" })),
        ("rand.id", json!({ "length": 6 })),
        ("rand.hex", json!({ "bytes": 16 })),
        ("rand.uuid", json!({})),
    ];
    for (op, args) in reads {
        let result = stage.read(op, args.clone()).unwrap_or_else(|e| panic!("{op} {args}: {e}"));
        assert_fits(op, &result);
    }
}

#[test]
fn chance_is_the_same_for_the_same_seed_and_differs_from_call_to_call() {
    let (one, two) = (Stage::new(), Stage::new());
    let draw = |stage: &Stage| stage.read("rand.id", json!({})).unwrap();
    let first = draw(&one);
    assert_eq!(first, draw(&two));
    assert_ne!(first, draw(&one));
}

#[test]
fn secrets_of_a_dotenv_are_handles_and_known_to_the_redactor() {
    let stage = Stage::new();
    let redactor = Arc::new(crate::model::secret::Redactor::default());
    let host = SandboxHost::new(Arc::clone(&stage.world), stage.clock.clone(), Arc::clone(&redactor));
    let answer = host.read(&stage.request("fs.dotenv", json!({ "path": "/srv/.env", "plain": ["NAME"] }), "")).unwrap();
    assert_eq!(answer["values"]["NAME"], "value");
    assert!(crate::model::secret::is_handle(&answer["values"]["SECRET"]));
    assert!(!redactor.scrub("it is s3cr3t-text").contains("s3cr3t-text"));
}

#[test]
fn a_damaged_dump_is_found_out() {
    let stage = Stage::new();
    for (path, said) in [
        ("/srv/cut.dump", "cut short"),
        ("/srv/empty.dump", "empty"),
        ("/srv/data.tar", "no dump"),
        ("/srv/none", "no such file"),
    ] {
        let error = stage.read("pg.check_dump", json!({ "server": db(), "path": path })).unwrap_err();
        assert!(error.message.contains(said), "{error}");
    }
}

#[test]
fn questions_in_sql_are_answered_from_the_tables() {
    let stage = Stage::new();
    let ask = |sql: &str| {
        stage
            .read("pg.query", json!({ "server": db(), "database": "chat", "sql": sql }))
            .map(|answer| answer["rows"].clone())
    };
    assert_eq!(ask("select count(*) as n from chat").unwrap(), json!([{ "n": 40 }]));
    assert_eq!(ask("select id, name from public.user limit 1").unwrap(), json!([{ "id": 1, "name": "ann" }]));
    assert_eq!(ask("SELECT * FROM pg_settings WHERE x").unwrap(), json!([{ "name": "x" }]));
    assert!(ask("select a from nowhere").unwrap_err().message.contains("does not exist"));
    assert!(ask("select 1").is_err());
}

#[test]
fn programs_see_the_mounts_of_their_container() {
    let stage = Stage::new();
    let run = |argv: Value| {
        let answer =
            stage.read("docker.read", json!({ "container": "ollama", "argv": argv, "any_exit": true })).unwrap();
        (answer["code"].as_i64().unwrap(), answer["stdout"].as_str().unwrap().to_owned())
    };
    assert_eq!(run(json!(["test", "-e", "/root/.ollama/models"])).0, 0);
    assert_eq!(run(json!(["test", "-e", "/models"])).0, 1);
    assert_eq!(
        run(json!(["find", "/root/.ollama/models/blobs", "-name", "*-partial*"])).1,
        "/root/.ollama/models/blobs/x-partial\n"
    );
    let script = "cd /root/.ollama && find models/manifests -type f && cd models/blobs && find . -type f -name 'sha256-*' -exec sha256sum {} +";
    assert_eq!(run(json!(["sh", "-ec", script])).1, "models/manifests/m\naa  ./sha256-aa\n");
    assert_eq!(run(json!(["du", "-sk", "/root/.ollama"])).1, "2049\t/root/.ollama\n");
    let unknown = stage.read("docker.read", json!({ "container": "ollama", "argv": ["cowsay"] })).unwrap_err();
    assert!(unknown.message.contains("world.yaml"), "{unknown}");
    assert_eq!(
        stage.read("docker.read", json!({ "container": "idle", "argv": ["ls"] })).unwrap_err().class,
        ErrorClass::Refused
    );
}

#[test]
fn a_program_that_is_trusted_to_read_changes_nothing() {
    let stage = Stage::new();
    let earlier = stage.world.lock().clone();
    stage.read("docker.read", json!({ "container": "ollama", "argv": ["rm", "-rf", "/root/.ollama/models"] })).unwrap();
    assert_eq!(super::super::diff(&earlier, &stage.world.lock()), Vec::<String>::new());
}

#[test]
fn waits_end_when_the_modelled_time_is_over() {
    let stage = Stage::new();
    stage.perform("docker.stop", json!({ "container": "db" }), "m-1").unwrap();
    let down = stage.read("pg.server", json!({ "server": db() })).unwrap_err();
    assert!(down.message.contains("not running"), "{down}");
    stage.perform("docker.start", json!({ "container": "db" }), "m-2").unwrap();
    let (ready, polls) = stage.wait("pg.wait_ready", json!({ "server": db() })).unwrap();
    assert_fits("pg.wait_ready", &ready);
    assert!(polls > 1);
    let (healthy, _) = stage.wait("docker.wait_healthy", json!({ "container": "db" })).unwrap();
    assert_fits("docker.wait_healthy", &healthy);
    assert!(stage.wait("docker.wait_healthy", json!({ "container": "idle" })).is_err());
    let (ok, _) =
        stage.wait("http.wait_ok", json!({ "url": "http://127.0.0.1:3002/health", "contains": "true" })).unwrap();
    assert_fits("http.wait_ok", &ok);
}
