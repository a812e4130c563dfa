//! What carries a run's mark in the systems that it worked on, whoever made it: the questions that find it, and what their answers name.
//!
//! Everything that an operation makes where there are labels, tags, annotations or comments is marked with the run and the key of the
//! call. Files, objects of S3 and what programs make carry no mark that could be asked for.

use serde_json::json;

use super::Touch;
use super::aws::Access;
use super::aws::entry::{run_of, token};
use super::aws::rds::Kind;
use super::docker::client::{KEY_LABEL, RUN_LABEL};
use super::k8s::maker_of;
use crate::model::{RunId, Value};

/// A question to one system for everything that carries a run's mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is asked for, in words: `containers`, `instances of RDS in eu-west-1`.
    pub what: String,
    /// A reading operation.
    pub op: &'static str,
    /// Its arguments.
    pub args: Value,
    /// The thing without which there is nobody to ask: the container in which a server runs.
    pub within: Option<String>,
    finds: Finds,
}

/// Something that carries a run's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The thing: `docker/drill-db`.
    pub resource: String,
    /// The key of the call that it was made by, as far as the mark says.
    pub key: String,
}

impl Marked {
    /// Whether the mark is that of the call with this key.
    #[must_use]
    pub fn is_by(&self, key: &str) -> bool {
        self.key == key || self.key == token(key)
    }
}

/// How an answer is read.
#[derive(Clone, Debug, PartialEq)]
enum Finds {
    Containers,
    Volumes,
    Databases { server: String },
    Rds { kind: Kind, snapshots: bool, access: Access },
    FileSystems { access: Access },
    Objects { cluster: String, namespace: String, kind: String },
}

fn texts<'v>(found: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> {
    found.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Question {
    /// What of an answer carries the mark of this run.
    #[must_use]
    pub fn marked(&self, answer: &Value, run: &RunId) -> Vec<Marked> {
        let run = run.as_str();
        // `/` stands for itself in a name of a label only as `~1`, and these have none.
        let labelled = |list: &str, family: &str| -> Vec<Marked> {
            let own = texts(answer, list).filter(|one| text(one, &format!("/labels/{RUN_LABEL}")) == run);
            own.map(|one| Marked {
                resource: format!("{family}/{}", text(one, "/name")),
                key: text(one, &format!("/labels/{KEY_LABEL}")).to_owned(),
            })
            .collect()
        };
        match &self.finds {
            Finds::Containers => labelled("containers", "docker"),
            Finds::Volumes => labelled("volumes", "volume"),
            Finds::Databases { server } => {
                let tag = format!("muster:{run}:");
                let own = texts(answer, "databases").filter_map(|one| {
                    let name = text(one, "/name");
                    let key = text(one, "/comment").strip_prefix(tag.as_str());
                    // Until it is complete, its name is the key of the call.
                    let key = key.or_else(|| (run_of(name) == run && name.starts_with("m-")).then_some(name))?;
                    Some(Marked { resource: format!("pg/{server}/{name}"), key: key.to_owned() })
                });
                own.collect()
            }
            Finds::Rds { kind, snapshots, access } => {
                let list = if *snapshots { "snapshots" } else { "databases" };
                let own = texts(answer, list).filter(|one| text(one, "/owned_by") == run);
                own.map(|one| {
                    let id = text(one, "/id");
                    let name = if *snapshots { kind.snapshot(id) } else { kind.of(id) };
                    Marked { resource: access.resource("rds", &name), key: text(one, "/made_by").to_owned() }
                })
                .collect()
            }
            Finds::FileSystems { access } => {
                let ours = |one: &&Value| text(one, "/owned_by") == run || run_of(text(one, "/token")) == run;
                let own = texts(answer, "file_systems").filter(ours);
                own.map(|one| Marked {
                    resource: access.resource("efs", &format!("fs:{}", text(one, "/id"))),
                    key: text(one, "/token").to_owned(),
                })
                .collect()
            }
            Finds::Objects { cluster, namespace, kind } => {
                let own = texts(answer, "objects").filter(|one| run_of(maker_of(one)) == run);
                own.map(|one| Marked {
                    resource: format!("k8s/{cluster}/{namespace}/{kind}/{}", text(one, "/metadata/name")),
                    key: maker_of(one).to_owned(),
                })
                .collect()
            }
        }
    }
}

fn access_of(args: &Value) -> Access {
    args.get("aws").and_then(|aws| serde_json::from_value(aws.clone()).ok()).unwrap_or_default()
}

/// What to ask for the mark of this run, after an effect of this operation family with these arguments, which touched this.
#[must_use]
pub fn questions(run: &RunId, family: &str, args: &Value, touches: &[Touch]) -> Vec<Question> {
    let given = |name: &str| args.get(name).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!({}));
    let question = |what: &str, op, args, finds| Question { what: what.to_owned(), op, args, within: None, finds };
    let mut all = Vec::new();
    match family {
        "docker" => {
            let label = json!({ "label": format!("{RUN_LABEL}={run}") });
            all.push(question("containers", "docker.list", label.clone(), Finds::Containers));
            all.push(question("volumes", "docker.volumes", label, Finds::Volumes));
        }
        "pg" => {
            let made = touches.iter().filter(|touch| touch.makes);
            for touch in made {
                let Some((server, _)) = touch.resource.strip_prefix("pg/").and_then(|rest| rest.rsplit_once('/'))
                else {
                    continue;
                };
                let what = format!("databases of PostgreSQL server {server}");
                let args = json!({ "server": given("server") });
                let finds = Finds::Databases { server: server.to_owned() };
                let within = touch.under.first().cloned();
                all.push(Question { within, ..question(&what, "pg.databases", args, finds) });
            }
        }
        "rds" => {
            let (aws, access) = (given("aws"), access_of(args));
            let place = access.region.as_deref().map(|region| format!(" in {region}")).unwrap_or_default();
            for touch in touches {
                let of_cluster = touch.resource.contains("cluster:") || touch.resource.contains("cluster-snapshot:");
                let (kind, word) = if of_cluster { (Kind::Cluster, "clusters") } else { (Kind::Instance, "instances") };
                let asked = json!({ "kind": kind, "aws": aws });
                let finds = |snapshots| Finds::Rds { kind, snapshots, access: access.clone() };
                all.push(question(&format!("{word} of RDS{place}"), "rds.databases", asked, finds(false)));
                // Those that AWS makes by itself go with their database.
                let asked = json!({ "kind": kind, "made": "manual", "aws": aws });
                all.push(question(&format!("snapshots of {word} of RDS{place}"), "rds.snapshots", asked, finds(true)));
            }
        }
        "efs" => {
            let asked = json!({ "aws": given("aws") });
            let finds = Finds::FileSystems { access: access_of(args) };
            all.push(question("file systems of EFS", "efs.file_systems", asked, finds));
        }
        "k8s" => {
            for touch in touches.iter().filter(|touch| touch.makes) {
                let parts: Vec<&str> = touch.resource.splitn(5, '/').collect();
                let ["k8s", cluster, namespace, kind, _] = parts[..] else { continue };
                let mut asked = json!({ "kind": kind, "cluster": given("cluster") });
                let mut what = format!("objects of kind {kind}");
                if namespace != "-" {
                    asked["namespace"] = json!(namespace);
                    what.push_str(&format!(" in namespace {namespace}"));
                }
                let finds = Finds::Objects {
                    cluster: cluster.to_owned(),
                    namespace: namespace.to_owned(),
                    kind: kind.to_owned(),
                };
                all.push(question(&what, "k8s.list", asked, finds));
            }
        }
        _ => {}
    }
    let mut once: Vec<Question> = Vec::new();
    for question in all {
        if !once.contains(&question) {
            once.push(question);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        RunId::from_entropy(7)
    }

    /// What these questions find in these answers.
    fn found(family: &str, args: &Value, touches: &[Touch], answers: &[Value]) -> Vec<String> {
        let asked = questions(&run(), family, args, touches);
        assert_eq!(asked.len(), answers.len(), "{asked:?}");
        for question in &asked {
            let op = crate::ops::find(question.op).unwrap_or_else(|| panic!("there is no {}", question.op));
            assert_eq!((op.check_args)(&question.args), Ok(()), "{question:?}");
            assert!(!op.effect.writes(), "{question:?}");
        }
        let marked = asked.iter().zip(answers).flat_map(|(question, answer)| question.marked(answer, &run()));
        marked.map(|marked| format!("{} by {}", marked.resource, marked.key)).collect()
    }

    #[test]
    fn what_carries_the_mark_is_found_and_nothing_of_another_run() {
        let (own, key) = (run().to_string(), format!("m-{}-side-1-0", run()));
        let labels = json!({ "muster.run": own, "muster.key": key });
        let other = json!({ "muster.run": "another", "muster.key": "m-another-side-1-0" });
        let listed = |name: &str| json!({ name: [{ "name": "a", "labels": labels }, { "name": "b", "labels": other }, { "name": "c", "labels": {} }] });
        assert_eq!(
            found("docker", &json!({}), &[], &[listed("containers"), listed("volumes")]),
            [format!("docker/a by {key}"), format!("volume/a by {key}")]
        );
        let databases = json!({ "databases": [
            { "name": "shop_r", "comment": format!("muster:{own}:{key}") }, { "name": key, "comment": "" },
            { "name": "shop", "comment": "muster:another:m-another-side-1-0" }, { "name": "m-another-side-1-0", "comment": "" },
        ]});
        let made = [Touch::makes("pg/db/shop_r").held_by("docker/db")];
        assert_eq!(
            found("pg", &json!({ "server": { "container": "db" } }), &made, &[databases]),
            [format!("pg/db/shop_r by {key}"), format!("pg/db/{key} by {key}")]
        );
        let tagged = |name: &str| json!({ name: [{ "id": "x", "owned_by": own, "made_by": key }, { "id": "y", "owned_by": "another", "made_by": "" }] });
        let aws = json!({ "aws": { "region": "eu-west-1" } });
        let touched = [Touch::makes("rds/eu-west-1:db:x")];
        let wanted = [format!("rds/eu-west-1:db:x by {key}"), format!("rds/eu-west-1:snapshot:x by {key}")];
        assert_eq!(found("rds", &aws, &touched, &[tagged("databases"), tagged("snapshots")]), wanted);
        let objects = json!({ "objects": [
            { "metadata": { "name": "drill", "annotations": { "muster.dr/made-by": key } } },
            { "metadata": { "name": "live", "annotations": { "muster.dr/call": key } } },
            { "metadata": { "name": "others" } },
        ]});
        let made = [Touch::makes("k8s/prod/shop/postgrescluster/drill"), Touch::changes("k8s/prod/shop/secret/s")];
        assert_eq!(
            found("k8s", &json!({}), &made, &[objects]),
            [format!("k8s/prod/shop/postgrescluster/drill by {key}")]
        );
        assert_eq!(found("fs", &json!({ "path": "/x" }), &[Touch::makes("fs/x")], &[]), Vec::<String>::new());
    }
}
