//! Secrets of Secrets Manager in the sandbox: what operations decide is the same as on AWS, since it is the same code.

use std::collections::BTreeMap;

use serde_json::json;

use super::typed::{args, asks, effect, encode};
use super::{Call, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::model::secret::is_handle;
use crate::ops::aws::secrets::{
    Describe, Described, InUse, Look, Put, ReadSecret, Stored, UseVersion, Version, document, handles, plain_name,
    token,
};
use crate::ops::spec::Operation;
use crate::sandbox::World;
use crate::sandbox::aws::{Secret, View};
use crate::sandbox::veil;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        asks::<Describe>(),
        (ReadSecret::NAME, Model::Read(read)),
        (Put::NAME, Model::Write(effect::<Put>(put))),
        (UseVersion::NAME, Model::Write(effect::<UseVersion>(use_version))),
    ]
}

impl View<'_> {
    fn stored(&self, id: &str) -> Option<&Secret> {
        self.world.aws.secrets.get(plain_name(id))
    }
}

impl Look for View<'_> {
    fn secret(&self, id: &str) -> Result<Option<Described>, OpError> {
        let Some(found) = self.stored(id) else { return Ok(None) };
        let (account, region, name) = (&self.world.aws.account, &self.world.aws.region, plain_name(id));
        let previous = found.earlier_versions.last().map(|one| one.id.clone()).unwrap_or_default();
        let version = |id: &str, stage: &str| Version { version: id.to_owned(), stages: vec![stage.to_owned()] };
        let mut versions = vec![version(&found.id, "AWSCURRENT")];
        versions.extend(Some(&previous).filter(|id| !id.is_empty()).map(|id| version(id, "AWSPREVIOUS")));
        let arn = match found.arn.as_str() {
            "" => format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-c0ffee"),
            arn => arn.to_owned(),
        };
        Ok(Some(Described {
            exists: true,
            name: name.to_owned(),
            arn,
            kms_key: found.kms_key.clone(),
            rotated: found.rotated,
            current: found.id.clone(),
            previous,
            versions,
            changed_at: if self.world.planned { veil::mark("when the run comes to it") } else { String::new() },
            deleted_at: String::new(),
        }))
    }

    fn contents(&self, id: &str, version: &str) -> Result<Option<String>, OpError> {
        let Some(found) = self.stored(id) else { return Ok(None) };
        let value = if found.id == version {
            Some(&found.value)
        } else {
            found.earlier_versions.iter().find(|one| one.id == version).map(|one| &one.value)
        };
        match value {
            Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            // What is behind a handle, the sandbox does not know; it is taken for a text.
            Some(handle) if is_handle(handle) => Ok(Some("a secret".to_owned())),
            Some(value) => Ok(Some(value.to_string())),
            None => Err(OpError::refused(format!(
                "cannot read secret {id}: ResourceNotFoundException: no version {version}"
            ))),
        }
    }
}

fn read(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<ReadSecret>(call)?;
    match handles(&View::at(world, call.now), &args)? {
        Some(found) => encode(&found),
        None => Err(veil::unseen("what the run puts into the secret")),
    }
}

fn put(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Put>(call)?;
    let planned = world.planned;
    let version = if planned { veil::mark("the run makes it") } else { token(call.run.as_str(), call.key) };
    let name = plain_name(&args.secret);
    let Some(found) = world.aws.secrets.get_mut(name) else {
        return Err(OpError::refused(format!("cannot put secret {name}: there is none")));
    };
    let former = found.id.clone();
    let (value, note) = match &args.value {
        Some(value) => match encode(value)? {
            handle if planned && is_handle(&handle) => (Value::Null, json!({ "value": handle })),
            value => (value.clone(), json!({ "value": value })),
        },
        None if found.value.is_null() => return Err(veil::unseen("which fields the secret has")),
        None => (changed(found, &args.hosts, call.args), json!({ "set": args.set, "hosts": args.hosts })),
    };
    found.put(version.clone(), value, note);
    encode(&Stored { name: name.to_owned(), version, former })
}

/// The document with what the call changes in it; nothing, when it is not known.
fn changed(secret: &Secret, hosts: &BTreeMap<String, String>, args: &Value) -> Value {
    let document = match &secret.value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        value => value.clone(),
    };
    let Value::Object(mut fields) = document else { return Value::Null };
    for (name, host) in hosts {
        let led = fields.get(name).and_then(Value::as_str).and_then(|text| document::with_host(text, host));
        if let Some(led) = led {
            fields.insert(name.clone(), json!(led));
        }
    }
    for (name, value) in args["set"].as_object().into_iter().flatten() {
        fields.insert(name.clone(), value.clone());
    }
    Value::Object(fields)
}

fn use_version(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<UseVersion>(call)?;
    let name = plain_name(&args.secret);
    let found = world.aws.secrets.get_mut(name);
    let former = call.earlier("current").to_owned();
    if former != args.version && !found.is_some_and(|found| found.go_to(&args.version)) {
        return Err(OpError::refused(format!("cannot go to version {} of secret {name}: there is none", args.version)));
    }
    encode(&InUse { version: args.version, former })
}
