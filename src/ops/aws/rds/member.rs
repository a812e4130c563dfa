//! Instances of a cluster: a restored cluster has none, and without one nobody can connect to it.

use std::time::Duration;

use aws_sdk_rds::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checks::{check_free, check_name, check_settled, check_tags, present, tags, taken};
use super::database::{Database, Kind};
use super::restore::{deletion, same};
use super::settings::Settings;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `rds.create_cluster_instance`.
pub struct CreateClusterInstance;

/// Which instance to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateClusterInstanceArgs {
    /// The cluster, which must be available.
    pub cluster: String,
    /// The name of the instance, which must be free.
    pub id: String,
    /// The instance to be like, one of the source's: class, parameter group, tags and so on.
    #[serde(default)]
    pub like: Option<String>,
    /// The class, `db.r6g.large`; that of `like` when absent.
    #[serde(default)]
    pub class: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(CreateClusterInstanceArgs);

/// An instance is being made; `rds.wait_available` waits for it.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberMade {
    /// Its identifier.
    pub id: String,
    /// What stays the same when it is renamed.
    pub resource_id: String,
    /// What was set.
    pub settings: Settings,
}

/// The image taken before.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberBefore {
    /// What will be set.
    pub settings: Settings,
    /// The engine of the cluster.
    pub engine: String,
    /// Its version.
    pub engine_version: String,
}

impl MemberBefore {
    /// Of a before-image.
    #[must_use]
    pub fn read(before: &Value) -> Self {
        Self::deserialize(before).unwrap_or_default()
    }
}

impl CreateClusterInstanceArgs {
    fn act(&self) -> String {
        format!("cannot make instance {} of cluster {}", self.id, self.cluster)
    }
}

fn made(of: Of<'_>, found: &Database) -> MemberMade {
    let (id, resource_id) = (found.id.clone(), found.resource_id.clone());
    MemberMade { id, resource_id, settings: MemberBefore::read(of.before).settings }
}

impl Operation for CreateClusterInstance {
    const NAME: &'static str = "rds.create_cluster_instance";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "begins to make an instance of an Aurora cluster, like another one on request";
    const PERMISSION: &'static str = "rds:CreateDBInstance, rds:AddTagsToResource; to undo it rds:DeleteDBInstance";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = CreateClusterInstanceArgs;
    type Output = MemberMade;

    fn resource(args: &CreateClusterInstanceArgs) -> String {
        args.aws.resource("rds", &Kind::Instance.of(&args.id))
    }

    fn touches(args: &CreateClusterInstanceArgs, _before: &Value) -> Vec<Touch> {
        let cluster = args.aws.resource("rds", &Kind::Cluster.of(&args.cluster));
        vec![Touch::makes(Self::resource(args)).held_by(cluster.clone()), Touch::changes(cluster)]
    }

    fn target(context: &ReadContext<'_>, args: &CreateClusterInstanceArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for CreateClusterInstance {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "the instance of that name, if its tag holds the key";
    const UNDO_DOC: &'static str = "rds.delete, if its tag holds the key";

    fn image(look: &dyn Look, args: &CreateClusterInstanceArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        check_name(&act, &args.id, 63)?;
        let cluster = present(look, &act, Kind::Cluster, &args.cluster)?;
        check_settled(&act, Kind::Cluster, &cluster)?;
        check_free(look, &act, Kind::Instance, &args.id)?;
        let theirs = match &args.like {
            Some(like) => present(look, &act, Kind::Instance, like)?.settings,
            None => Settings::default(),
        };
        let own = |name: &String| !name.starts_with("default");
        let mut settings = Settings {
            class: args.class.clone().or(theirs.class),
            parameter_group: theirs.parameter_group.filter(own),
            publicly_accessible: theirs.publicly_accessible,
            minor_upgrades: theirs.minor_upgrades,
            tags: theirs.tags,
            ..Settings::default()
        };
        if let Some(tags) = &mut settings.tags {
            tags.retain(|name, _| !name.starts_with("aws:") && !name.starts_with("muster."));
        }
        check_tags(&act, settings.tags.as_ref())?;
        if settings.class.is_none() {
            return Err(OpError::refused(format!("{act}: its class is not known"))
                .with_hint("give `class`, or `like`: an instance of the same kind"));
        }
        Ok(json!(MemberBefore { settings, engine: cluster.engine, engine_version: cluster.engine_version }))
    }

    fn act(hands: &Hands<'_, '_>, args: &CreateClusterInstanceArgs) -> Result<Send<MemberMade>, OpError> {
        let act = args.act();
        let before = MemberBefore::read(hands.of.before);
        let set = before.settings;
        let tags = Some(tags(hands.of, set.tags.as_ref()));
        let (id, cluster) = (args.id.clone(), args.cluster.clone());
        let answer = hands.line.call(&act, |rds: Client| {
            rds.create_db_instance()
                .db_instance_identifier(id)
                .db_cluster_identifier(cluster)
                .engine(before.engine)
                .set_db_instance_class(set.class)
                .set_db_parameter_group_name(set.parameter_group)
                .set_publicly_accessible(set.publicly_accessible)
                .set_auto_minor_version_upgrade(set.minor_upgrades)
                .set_tags(tags)
                .send()
        });
        match answer.map(|answer| answer.db_instance().map(Database::of_instance)) {
            Ok(Some(found)) => Ok(Send::Done(made(hands.of, &found))),
            Ok(None) => Err(OpError::unknown(format!("{act}: AWS answered without what it makes"))),
            // A request of ours that was thought lost may have arrived after all.
            Err(complaint) if complaint.fault == Fault::Exists => match Self::became(&hands.line, args, hands.of)? {
                Found::Done(made) => Ok(Send::Done(made)),
                _ => Err(taken(&hands.line, &act, Kind::Instance, &args.id, complaint)),
            },
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &CreateClusterInstanceArgs, of: Of<'_>) -> Result<Found<MemberMade>, OpError> {
        let found = look.database(Kind::Instance, &args.id)?.filter(|found| found.made_by == of.key);
        Ok(found.map_or(Found::NotDone, |found| Found::Done(made(of, &found))))
    }

    fn undoing(args: &CreateClusterInstanceArgs, _: &Value, key: &str) -> Undo {
        deletion(Kind::Instance, &args.id, key, &args.aws)
    }

    fn print(look: &dyn Look, args: &CreateClusterInstanceArgs, _: &MemberMade) -> Result<Value, OpError> {
        same(look, Kind::Instance, &args.id)
    }

    fn forecast(args: &CreateClusterInstanceArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({
            "id": args.id, "resource_id": unknown("AWS chooses it"), "settings": before["settings"],
        }))
    }
}
