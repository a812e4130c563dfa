//! Giving a secret another value, which no script sees.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::document;
use super::look::{plain_name, present};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::args::{Confidential, reveal_all};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::{Access, identity};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::hex;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `secrets.put`.
pub struct Put;

/// What to put: a whole value, or what changes in the fields of a JSON document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutArgs {
    /// The secret's name or ARN.
    pub secret: String,
    /// The whole new value.
    #[serde(default)]
    pub value: Option<Confidential>,
    /// Fields of the document to set; the others stay as they are.
    #[serde(default)]
    pub set: BTreeMap<String, Confidential>,
    /// Fields of the document that are URLs, and the host that each is to lead to (`db.example`, or `db.example:6432`);
    /// user, password, path and, unless given, port stay as they are.
    #[serde(default)]
    pub hosts: BTreeMap<String, String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// A secret has a new value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// The secret's name.
    pub name: String,
    /// The version that holds the new value, which is the current one.
    pub version: String,
    /// The version that was current before.
    pub former: String,
}

/// The image taken before.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Before {
    name: String,
    current: String,
}

/// The version that a call makes: AWS takes it for the request's idempotency token too.
#[must_use]
pub fn token(run: &str, key: &str) -> String {
    let mut digest = hex(&Sha256::digest(format!("version of a secret\0{run}\0{key}")));
    digest.truncate(32);
    for at in [20, 16, 12, 8] {
        digest.insert(at, '-');
    }
    digest
}

in_account!(PutArgs);

impl PutArgs {
    fn act(&self) -> String {
        format!("cannot put secret {}", self.secret)
    }

    fn fits<T>(&self, composed: Result<T, String>) -> Result<T, OpError> {
        composed.map_err(|fault| {
            OpError::refused(format!("{}: {fault}", self.act())).with_hint("secrets.read tells which fields it has")
        })
    }

    fn done(&self, before: &Value, version: &str) -> Stored {
        let before = Before::deserialize(before).unwrap_or_default();
        Stored { name: before.name, version: version.to_owned(), former: before.current }
    }

    /// The new value.
    fn compose(&self, context: &WriteContext<'_>, current: &str) -> Result<String, OpError> {
        let secrets = context.read.secrets;
        if let Some(value) = &self.value {
            return value.reveal(secrets);
        }
        let contents = secrets.contents_in_aws(&self.aws, &self.secret, current)?;
        let set = reveal_all(&self.set, secrets)?;
        let made = self.fits(document::composed(&contents, &set, &self.hosts))?;
        let plain = self.set.iter().filter(|(_, value)| value.plain().is_some());
        let open: Vec<&str> = plain.map(|(name, _)| name.as_str()).collect();
        for text in document::confidential(&made, &open) {
            secrets.redactor().learn(&text);
        }
        Ok(made)
    }
}

impl Operation for Put {
    const NAME: &'static str = "secrets.put";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "gives a secret a new value: a whole one, or its JSON document with fields set, and URLs in it led to \
                               another host, while nothing of it is shown to the script";
    const PERMISSION: &'static str = "secretsmanager:PutSecretValue, secretsmanager:DescribeSecret, \
                                      secretsmanager:GetSecretValue, and kms:Decrypt and kms:GenerateDataKey where it has a \
                                      key of its own";
    const TYPICAL: Duration = Duration::from_millis(500);
    type Args = PutArgs;
    type Output = Stored;

    fn resource(args: &PutArgs) -> String {
        args.aws.resource("secrets", plain_name(&args.secret))
    }

    fn target(context: &ReadContext<'_>, args: &PutArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for Put {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "whether the version that this call makes is the current one: its id comes from the call's key, \
                                     and AWS takes it once";
    const UNDO_DOC: &'static str = "secrets.use_version: the version before is the current one again; tasks that have read the new \
                                    one keep it until they are started anew";

    fn image(look: &dyn Look, args: &PutArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        let parts = !args.set.is_empty() || !args.hosts.is_empty();
        if args.value.is_some() == parts {
            let what = if parts { "a whole value and fields of it" } else { "nothing to put is given" };
            return Err(OpError::refused(format!("{act}: {what}")).with_hint("give `value`, or `set` and `hosts`"));
        }
        let odd = |host: &&String| host.is_empty() || host.contains(['/', '@', '?', '#', ' ']);
        if let Some(host) = args.hosts.values().find(odd) {
            return Err(OpError::refused(format!("{act}: `{host}` is no host"))
                .with_hint("give the name alone, or with a port: `db.example:5432`"));
        }
        if let Some(name) = args.hosts.keys().find(|name| args.set.contains_key(*name)) {
            return Err(OpError::refused(format!("{act}: the field `{name}` stands in both `set` and `hosts`"))
                .with_hint("give it once"));
        }
        let found = present(look, &act, &args.secret)?;
        if parts && let Some(contents) = look.contents(&args.secret, &found.current)? {
            args.fits(document::composed(&contents, &BTreeMap::new(), &args.hosts))?;
        }
        Ok(json!(Before { name: found.name, current: found.current }))
    }

    fn act(hands: &Hands<'_, '_>, args: &PutArgs) -> Result<Send<Stored>, OpError> {
        let (act, line, of) = (args.act(), &hands.line, hands.of);
        let before = Before::deserialize(of.before).unwrap_or_default();
        let version = token(of.run, of.key);
        let found = present(line, &act, &args.secret)?;
        if found.current == version {
            return Ok(Send::Done(args.done(of.before, &version)));
        }
        if found.current != before.current {
            let fault = format!("{act}: somebody has put version {} meanwhile", found.current);
            return Err(OpError::refused(fault).with_hint("look what it is, and retry"));
        }
        let value = args.compose(hands.context, &before.current)?;
        let (id, asked) = (args.secret.clone(), version.clone());
        let answer = line.call(&act, |sm: Client| {
            sm.put_secret_value().secret_id(id).client_request_token(asked).secret_string(value).send()
        })?;
        let stages = answer.version_stages.unwrap_or_default();
        if !stages.iter().any(|stage| stage == "AWSCURRENT") {
            // Put by an earlier try, and not the current one any more.
            let fault = format!("{act}: it was put before, and somebody has put another version since");
            return Err(OpError::refused(fault).with_hint("look which one is current by secrets.describe"));
        }
        Ok(Send::Done(args.done(of.before, &version)))
    }

    fn became(look: &dyn Look, args: &PutArgs, of: Of<'_>) -> Result<Found<Stored>, OpError> {
        let version = token(of.run, of.key);
        let act = args.act();
        let Some(found) = look.secret(&args.secret)? else {
            return Ok(Found::CannotTell(format!("{act}: it is gone")));
        };
        Ok(if found.current == version {
            Found::Done(args.done(of.before, &version))
        } else if found.has(&version) {
            Found::CannotTell(format!("{act}: it was put, and somebody has put version {} since", found.current))
        } else {
            Found::NotDone
        })
    }

    fn undoing(args: &PutArgs, before: &Value, _: &str) -> Undo {
        let args = json!({
            "secret": args.secret, "version": before["current"], "instead_of": "$result/version", "aws": args.aws,
        });
        Undo::Call { op: "secrets.use_version", args }
    }

    fn print(look: &dyn Look, args: &PutArgs, _: &Stored) -> Result<Value, OpError> {
        Ok(json!({ "current": look.secret(&args.secret)?.map(|found| found.current) }))
    }

    fn forecast(_: &PutArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({
            "name": before["name"], "version": unknown("the run makes it"), "former": before["current"],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_makes_one_version_whose_id_aws_takes() {
        let made = token("run", "key");
        assert_eq!((made.len(), made.matches('-').count()), (36, 4));
        assert_eq!(made, token("run", "key"));
        assert_ne!(made, token("run", "key2"));
    }
}
