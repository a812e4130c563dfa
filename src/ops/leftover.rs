//! How something that an effect made is looked for once it should be gone, and how a person removes it. Both are read off its
//! resource.

use serde_json::json;

use crate::model::Value;

/// A reading operation that tells whether something is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The operation.
    pub op: &'static str,
    /// Its arguments.
    pub args: Value,
    /// The name that is to be in the list that it gives; `None` where it says `exists`.
    pub name: Option<String>,
}

impl Look {
    /// Whether it is there, by what the operation gave.
    #[must_use]
    pub fn is_there(&self, found: &Value) -> bool {
        match &self.name {
            None => found.get("exists").and_then(Value::as_bool) == Some(true),
            Some(name) => found
                .get("databases")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|one| one.get("name").and_then(Value::as_str) == Some(name))),
        }
    }
}

fn exists(op: &'static str, args: Value) -> Option<Look> {
    Some(Look { op, args, name: None })
}

/// How to look for this thing, which a call with these arguments made. `None` where only the probe of the call can tell.
#[must_use]
pub fn look(resource: &str, args: &Value) -> Option<Look> {
    let (family, rest) = resource.split_once('/')?;
    let given = |name: &str| args.get(name).cloned().unwrap_or_else(|| json!({}));
    match family {
        "fs" => exists("fs.stat", json!({ "path": format!("/{rest}") })),
        "docker" => exists("docker.inspect", json!({ "container": rest })),
        "volume" => exists("docker.volume", json!({ "volume": rest })),
        "pg" => {
            let (_, database) = rest.rsplit_once('/')?;
            let args = json!({ "server": args.get("server")? });
            Some(Look { op: "pg.databases", args, name: Some(database.to_owned()) })
        }
        "rds" => {
            // What stands before the kind names the account.
            let after = |kind: &str| {
                let at =
                    rest.starts_with(kind).then_some(0).or_else(|| rest.find(&format!(":{kind}")).map(|at| at + 1));
                at.map(|at| rest[at + kind.len()..].to_owned())
            };
            let aws = given("aws");
            if let Some(id) = after("cluster-snapshot:") {
                exists("rds.snapshot", json!({ "kind": "cluster", "snapshot": id, "aws": aws }))
            } else if let Some(id) = after("snapshot:") {
                exists("rds.snapshot", json!({ "kind": "instance", "snapshot": id, "aws": aws }))
            } else if let Some(id) = after("cluster:") {
                exists("rds.cluster", json!({ "id": id, "aws": aws }))
            } else {
                exists("rds.instance", json!({ "id": after("db:")?, "aws": aws }))
            }
        }
        "k8s" => {
            let parts: Vec<&str> = rest.splitn(4, '/').collect();
            let [_, namespace, kind, name] = parts.as_slice() else { return None };
            let mut asked = json!({ "kind": kind, "name": name, "cluster": given("cluster") });
            if *namespace != "-" {
                asked["namespace"] = json!(namespace);
            }
            exists("k8s.get", asked)
        }
        "helm" => exists("helm.release", json!({ "release": args.get("release")?, "cluster": given("cluster") })),
        "s3" => {
            let (bucket, key) = (args.get("bucket")?, args.get("key")?);
            exists("s3.head", json!({ "bucket": bucket, "key": key, "aws": given("aws") }))
        }
        _ => None,
    }
}

/// The command that removes this thing by hand; `None` where none is known.
#[must_use]
pub fn removal(resource: &str, args: &Value) -> Option<String> {
    let (family, rest) = resource.split_once('/')?;
    let quoted = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
        if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
    };
    // Whoever copies it at night may be logged in somewhere else.
    let flags = |of: &str, names: &[(&str, &str)]| -> String {
        let given = |(field, flag): &(&str, &str)| {
            let value = args.get(of)?.get(field)?.as_str()?;
            Some(format!(" {flag} {}", quoted(value)))
        };
        names.iter().filter_map(given).collect()
    };
    let aws = || {
        let role = args.get("aws").and_then(|aws| aws.get("role")).and_then(Value::as_str);
        let role = role.map(|role| format!(" (as role {role})")).unwrap_or_default();
        let flags = flags("aws", &[("profile", "--profile"), ("region", "--region"), ("endpoint", "--endpoint-url")]);
        format!("{flags}{role}")
    };
    let named = |kind: &str| {
        let at = rest.starts_with(kind).then_some(0).or_else(|| rest.find(&format!(":{kind}")).map(|at| at + 1))?;
        Some(quoted(&rest[at + kind.len()..]))
    };
    Some(match family {
        "fs" => format!("rm -r -- {}", quoted(&format!("/{rest}"))),
        "docker" => format!("docker rm --force --volumes {}", quoted(rest)),
        "volume" => format!("docker volume rm {}", quoted(rest)),
        "pg" => {
            let (server, database) = rest.rsplit_once('/')?;
            format!("psql -c 'drop database \"{database}\"' (on {server})")
        }
        "rds" => {
            let told = if let Some(id) = named("cluster-snapshot:") {
                format!("aws rds delete-db-cluster-snapshot --db-cluster-snapshot-identifier {id}")
            } else if let Some(id) = named("snapshot:") {
                format!("aws rds delete-db-snapshot --db-snapshot-identifier {id}")
            } else if let Some(id) = named("cluster:") {
                format!("aws rds delete-db-cluster --skip-final-snapshot --db-cluster-identifier {id}")
            } else {
                let id = named("db:")?;
                format!("aws rds delete-db-instance --skip-final-snapshot --db-instance-identifier {id}")
            };
            format!("{told}{}", aws())
        }
        "k8s" => {
            let parts: Vec<&str> = rest.splitn(4, '/').collect();
            let [_, namespace, kind, name] = parts.as_slice() else { return None };
            let place = if *namespace == "-" { String::new() } else { format!(" -n {namespace}") };
            let cluster = flags("cluster", &[("kubeconfig", "--kubeconfig"), ("context", "--context")]);
            format!("kubectl{cluster}{place} delete {kind} {name}")
        }
        "helm" => {
            let (rest, name) = rest.rsplit_once('/')?;
            let cluster = flags("cluster", &[("kubeconfig", "--kubeconfig"), ("context", "--kube-context")]);
            format!("helm uninstall{cluster} -n {} {name}", rest.rsplit('/').next()?)
        }
        "efs" => format!("aws efs delete-file-system --file-system-id {}{}", named("fs:")?, aws()),
        "s3" => format!("aws s3 rm s3://{}{}", quoted(rest), aws()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_look_is_an_operation_that_takes_these_arguments() {
        let args = json!({
            "server": { "container": "db" }, "release": "shop/web", "bucket": "b", "key": "k",
        });
        let resources = [
            "fs/srv/x",
            "docker/db",
            "volume/v",
            "pg/db/shop",
            "rds/db:chat",
            "rds/eu-west-1:cluster:chat",
            "rds/snapshot:a",
            "rds/eu:cluster-snapshot:a",
            "k8s/prod/shop/deployment/web",
            "k8s/prod/-/namespace/shop",
            "helm/prod/shop/web",
            "s3/b/k",
        ];
        for resource in resources {
            let look = look(resource, &args).unwrap_or_else(|| panic!("{resource} cannot be looked for"));
            let op = crate::ops::find(look.op).unwrap_or_else(|| panic!("there is no {}", look.op));
            assert_eq!((op.check_args)(&look.args), Ok(()), "{resource}");
            assert!(!op.effect.writes() && removal(resource, &args).is_some(), "{resource}");
        }
    }

    #[test]
    fn a_thing_is_named_in_the_command_that_removes_it() {
        let told = |resource| removal(resource, &json!({})).unwrap();
        assert_eq!(
            told("rds/eu-west-1:db:chat"),
            "aws rds delete-db-instance --skip-final-snapshot --db-instance-identifier chat"
        );
        assert_eq!(told("k8s/prod/shop/deployment/web"), "kubectl -n shop delete deployment web");
        assert_eq!(told("fs/srv/a b"), "rm -r -- '/srv/a b'");
        assert_eq!(removal("exec/make", &json!({})), None);
        let there = json!({
            "aws": { "profile": "dr", "region": "eu-west-1", "role": "arn:aws:iam::1:role/dr" },
            "cluster": { "kubeconfig": "/root/kube config", "context": "prod" },
        });
        let told = |resource| removal(resource, &there).unwrap();
        assert_eq!(
            told("rds/dr eu-west-1:snapshot:x"),
            "aws rds delete-db-snapshot --db-snapshot-identifier x --profile dr --region eu-west-1 (as role arn:aws:iam::1:role/dr)"
        );
        assert_eq!(
            told("k8s/prod/shop/deployment/web"),
            "kubectl --kubeconfig '/root/kube config' --context prod -n shop delete deployment web"
        );
        assert_eq!(
            told("helm/prod/shop/web"),
            "helm uninstall --kubeconfig '/root/kube config' --kube-context prod -n shop web"
        );
    }
}
