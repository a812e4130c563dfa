//! Renaming a database: the swap of a restored one for the live one, which keeps the endpoint.

use std::time::Duration;

use aws_sdk_rds::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checks::{check_free, check_name, check_settled, is_state, present};
use super::database::Kind;
use super::restore::same;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `rds.rename`.
pub struct Rename;

/// What to rename.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameArgs {
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// The name it bears.
    pub id: String,
    /// The name it shall bear, which must be free. AWS frees the old one's address at once; the new one is
    /// good after some ten minutes.
    pub to: String,
    /// Only if it has this resource id; one that bears the new name already is left alone. An undo passes it.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(RenameArgs);

/// A database bears another name.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renamed {
    /// The name it bears.
    pub id: String,
    /// What stayed the same.
    pub resource_id: String,
}

impl RenameArgs {
    fn act(&self) -> String {
        format!("cannot rename {} {} to {}", self.kind.word(), self.id, self.to)
    }

    fn done(&self, resource_id: &str) -> Renamed {
        Renamed { id: self.to.clone(), resource_id: resource_id.to_owned() }
    }
}

impl Operation for Rename {
    const NAME: &'static str = "rds.rename";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str =
        "renames an instance or cluster, which restarts it; is done when AWS knows it by the new name";
    const PERMISSION: &'static str = "rds:ModifyDBInstance, rds:ModifyDBCluster";
    const TYPICAL: Duration = Duration::from_secs(120);
    type Args = RenameArgs;
    type Output = Renamed;

    fn resource(args: &RenameArgs) -> String {
        args.aws.resource("rds", &args.kind.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &RenameArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for Rename {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "which name the database with the resource id of before bears";
    const UNDO_DOC: &'static str = "rds.rename back";

    fn image(look: &dyn Look, args: &RenameArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        check_name(&act, &args.to, 63)?;
        if let Some(wanted) = &args.resource_id
            && look.database(args.kind, &args.to)?.is_some_and(|found| found.resource_id == *wanted)
        {
            return Ok(json!({ "resource_id": wanted, "already": true }));
        }
        let found = present(look, &act, args.kind, &args.id)?;
        if args.resource_id.as_ref().is_some_and(|wanted| *wanted != found.resource_id) {
            return Err(OpError::refused(format!("{act}: another {} bears that name now", args.kind.word()))
                .with_hint(
                    "somebody renamed or restored in between; rds.instance and rds.cluster tell what is there",
                ));
        }
        check_settled(&act, args.kind, &found)?;
        check_free(look, &act, args.kind, &args.to)?;
        Ok(json!({ "resource_id": found.resource_id, "already": false }))
    }

    fn act(hands: &Hands<'_, '_>, args: &RenameArgs) -> Result<Send<Renamed>, OpError> {
        let act = args.act();
        let resource_id = hands.of.earlier("resource_id");
        if hands.of.before["already"] == true {
            return Ok(Send::Done(args.done(resource_id)));
        }
        // Not whatever bears the name now.
        let found = present(&hands.line, &act, args.kind, &args.id)?;
        if found.resource_id != resource_id {
            return Err(OpError::refused(format!("{act}: another {} bears that name now", args.kind.word())));
        }
        let (from, to) = (args.id.clone(), args.to.clone());
        let told = match args.kind {
            Kind::Instance => hands
                .line
                .call(&act, |rds: Client| {
                    rds.modify_db_instance()
                        .db_instance_identifier(from)
                        .new_db_instance_identifier(to)
                        .apply_immediately(true)
                        .send()
                })
                .map(|_| ()),
            Kind::Cluster => hands
                .line
                .call(&act, |rds: Client| {
                    rds.modify_db_cluster()
                        .db_cluster_identifier(from)
                        .new_db_cluster_identifier(to)
                        .apply_immediately(true)
                        .send()
                })
                .map(|_| ()),
        };
        match told {
            Ok(()) => Ok(Send::Running),
            // It is at it since a request that was thought lost.
            Err(complaint) if is_state(&complaint) && found.pending.iter().any(|what| what == "id") => {
                Ok(Send::Running)
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &RenameArgs, of: Of<'_>) -> Result<Found<Renamed>, OpError> {
        let resource_id = of.earlier("resource_id");
        let bears = |name: &str| {
            Ok::<_, OpError>(look.database(args.kind, name)?.filter(|found| found.resource_id == resource_id))
        };
        if bears(&args.to)?.is_some() {
            return Ok(Found::Done(args.done(resource_id)));
        }
        if let Some(found) = bears(&args.id)? {
            let going = found.status == "renaming" || found.pending.iter().any(|what| what == "id");
            let progress = || format!("{} {} is {}", args.kind.word(), args.id, found.status);
            return Ok(if going { Found::Running(Some(progress())) } else { Found::NotDone });
        }
        Ok(match look.by_resource(args.kind, resource_id)? {
            // Renamed between the two looks.
            Some(found) if found.id == args.to => Found::Done(args.done(resource_id)),
            Some(found) => Found::CannotTell(format!("{}: it is called {} now", args.act(), found.id)),
            None => Found::CannotTell(format!("{}: it is gone", args.act())),
        })
    }

    fn undoing(args: &RenameArgs, before: &Value, _: &str) -> Undo {
        if before["already"] == true {
            return Undo::Nothing;
        }
        let args = json!({
            "kind": args.kind, "id": args.to, "to": args.id, "resource_id": before["resource_id"], "aws": args.aws,
        });
        Undo::Call { op: "rds.rename", args }
    }

    fn print(look: &dyn Look, args: &RenameArgs, _: &Renamed) -> Result<Value, OpError> {
        same(look, args.kind, &args.to)
    }

    fn forecast(args: &RenameArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "id": args.to, "resource_id": before["resource_id"] }))
    }
}
