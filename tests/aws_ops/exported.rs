//! The shipped backup of AI Vault with an export, live: spoiled and killed in the middle of the upload of what pg_dump wrote. In the end
//! there is the whole object, or nothing, and no upload that was begun and not ended.

use std::sync::OnceLock;

use serde_json::json;

use crate::application::{DATABASE, PASSWORD, Server, USER};
use crate::estate::{Case, Estate, Picture, TRACES, differences, vault_to_back_up};
use crate::faulty::Spoil;
use crate::point::{Point, in_full, side_by_side};

const CASE: Case = Case { name: "ai-vault-export", playbook: "ai-vault-backup", widely: false, stage };

/// A database whose sealed dump takes two parts. Gone with this process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server::start().ready();
        server.ask(
            "create table pages as select n, (select string_agg(encode(sha256((n || '-' || m)::text::bytea), 'base64'), '') \
             from generate_series(1, 1000) m) as text from generate_series(1, 300) n",
        );
        server
    })
}

fn stage(estate: &mut Estate) -> Option<()> {
    vault_to_back_up(estate)?;
    estate.ground.proxy.resolve("vault", &server().address);
    let password = estate.ground.file("password", PASSWORD.as_bytes());
    estate.set("method", json!("export"));
    estate.set("db_name", json!(DATABASE));
    estate.set("db_user", json!(USER));
    estate.set("db_password", json!(format!("file:{password}")));
    estate.set("sslmode", json!("prefer"));
    Some(())
}

/// What happens in the middle of the upload, and at which of its calls.
struct Job {
    spoil: Spoil,
    points: Vec<Point>,
}

fn wrong(job: &Job, before: &Picture, after: &Picture) -> Option<String> {
    let estate = CASE.start()?;
    let refused = matches!(job.spoil, Spoil::Instead(403, _));
    let times = if refused { usize::MAX } else { 1 };
    job.points.iter().for_each(|point| point.spoil(&estate, times, job.spoil.clone()));
    let begun = estate.begin();
    let wrong = match estate.carry_on(begun) {
        Ok(asked) if !asked.is_empty() => vec![format!("it asked {asked:?}")],
        Ok(_) if refused && estate.is_rolled_back() => differences(before, &estate.picture(), &TRACES),
        Ok(_) if refused => vec!["it was not rolled back".to_owned()],
        Ok(_) => differences(after, &estate.picture(), &[]),
        Err(why) => vec![why],
    };
    (!wrong.is_empty()).then(|| format!("{:?} {:?}: {}", job.spoil, job.points, wrong.join("\n")))
}

#[test]
fn an_export_spoiled_or_killed_in_the_middle_of_its_upload_is_whole_or_not_there() {
    let Some(estate) = CASE.start() else { return };
    let before = estate.picture();
    let (code, said) = estate.begin();
    assert_eq!(code, Some(0), "{said}");
    let (after, points) = (estate.picture(), Point::of(&estate.ground.proxy.calls()));
    // The request that begins it, its two parts, and the one that makes an object of them.
    let of_upload = |point: &Point| point.writes() && point.call.to_ascii_lowercase().contains("upload");
    let points: Vec<Point> = points.into_iter().filter(of_upload).collect();
    assert_eq!(points.len(), 4, "{points:?}");
    let refusal = Spoil::Instead(403, "AccessDenied");
    let jobs: Vec<Job> = if in_full() {
        let all = [
            Spoil::KilledBefore,
            Spoil::KilledAfter,
            Spoil::Unsent,
            Spoil::Unanswered,
            Spoil::Cut(0),
            Spoil::Instead(500, "InternalError"),
            Spoil::Afterwards(500, "InternalError"),
            Spoil::Instead(503, "SlowDown"),
            refusal,
        ];
        let alone = |point: &Point| all.clone().map(|spoil| Job { spoil, points: vec![point.clone()] });
        points.iter().flat_map(alone).collect()
    } else {
        let all = [Spoil::KilledBefore, Spoil::KilledAfter, Spoil::Unanswered];
        let mut jobs: Vec<Job> = all.into_iter().map(|spoil| Job { spoil, points: points.clone() }).collect();
        jobs.push(Job { spoil: refusal, points: points[3..].to_vec() });
        jobs
    };
    let complaints = side_by_side(&jobs, |job| wrong(job, &before, &after));
    println!("ai-vault-export: {} runs", jobs.len());
    assert!(complaints.is_empty(), "{} of {} runs:\n{}", complaints.len(), jobs.len(), complaints.join("\n\n"));
}
