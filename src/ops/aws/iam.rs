//! What one may do in AWS, as AWS itself evaluates it without doing anything: asked long before the night on which it matters.

use std::time::Duration;

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{
    EvaluationResult, PermissionsBoundaryDecisionDetail, PolicyEvaluationDecisionType as Decision, Statement,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Access;
use super::client::Line;
use super::fault::{Complaint, Fault};
use super::identity::{self, Identity};
use crate::model::fault::{OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::spec::{self, Effect, OpEntry, Operation, Read};

pub(super) fn entries() -> Vec<OpEntry> {
    vec![spec::read::<Simulate>()]
}

/// AWS sends so many results at once at most; a simulation that has more pages than this is not one of a playbook.
const PAGES: usize = 100;

/// `iam.simulate`.
pub struct Simulate;

/// What one wants to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateArgs {
    /// Actions as IAM names them: `rds:RestoreDBInstanceFromDBSnapshot`. At least one: being allowed nothing proves nothing.
    #[schemars(length(min = 1))]
    pub actions: Vec<String>,
    /// The ARNs of what they are to be done to, each action to each of them. `*` when absent, which a policy that names its
    /// resources does not allow.
    #[serde(default)]
    pub resources: Vec<String>,
    /// The ARN of the user or role whose permissions are meant; whoever asks, when absent.
    #[serde(default)]
    pub principal: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// What AWS would decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulated {
    /// Whose permissions they are.
    pub principal: String,
    /// Whether AWS tells at all: not to everybody, and not of the root user.
    pub told: bool,
    /// Why it does not; empty when it does.
    pub why_not: String,
    /// Whether every action is allowed on every resource. Never where it is not told.
    pub allowed: bool,
    /// What is not allowed.
    pub denied: Vec<Denied>,
}

/// An action that is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Denied {
    /// The action.
    pub action: String,
    /// The ARN of what it is not allowed on, or `*`.
    pub resource: String,
    /// Whether a policy forbids it, and not only none allows it.
    pub forbidden: bool,
    /// Why, in words: which policies, a boundary, the organization, conditions whose values the simulation does not know.
    pub why: String,
}

impl Operation for Simulate {
    const NAME: &'static str = "iam.simulate";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "asks AWS whether actions would be allowed, without doing them; policies of the resources \
                               themselves (a bucket's, a key's, a vault's) are no part of it";
    const PERMISSION: &'static str = "iam:SimulatePrincipalPolicy; iam:GetRole for a role with a path";
    const TYPICAL: Duration = Duration::from_millis(400);
    type Args = SimulateArgs;
    type Output = Simulated;

    fn resource(args: &SimulateArgs) -> String {
        args.aws.resource("iam", args.principal.as_deref().unwrap_or("self"))
    }

    fn target(context: &ReadContext<'_>, args: &SimulateArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Read for Simulate {
    fn read(context: &ReadContext<'_>, args: SimulateArgs) -> Result<Simulated, OpError> {
        asked(&args)?;
        let line = context.aws(&args.aws)?;
        let principal = match &args.principal {
            Some(principal) => principal.clone(),
            None => match line.principal(&line.identity()?)? {
                Ok(principal) => principal,
                Err(untold) => return Ok(untold),
            },
        };
        let untold = |why: String| Simulated { principal: principal.clone(), why_not: why, ..Simulated::default() };
        match line.simulate(&principal, &args) {
            Ok(results) => Ok(judged(principal, &args, &results)),
            Err(complaint) if complaint.fault == Fault::Denied => {
                Ok(untold("it takes iam:SimulatePrincipalPolicy, which is not allowed either".to_owned()))
            }
            Err(complaint) if complaint.fault == Fault::NotFound => Err(complaint
                .with_hint(
                    "pass the whole ARN as `principal`: a role's path is not part of the name by which it is taken on",
                )
                .into()),
            Err(complaint) => Err(complaint.into()),
        }
    }
}

/// Whether a question was asked.
///
/// # Errors
/// Refused, when not.
pub fn asked(args: &SimulateArgs) -> Result<(), OpError> {
    let named =
        |action: &String| action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    match args.actions.iter().find(|action| !named(action)) {
        Some(action) => Err(OpError::refused(format!("cannot simulate `{action}`: it is no action of IAM"))
            .with_hint("actions are written as in policies: `rds:ModifyDBInstance`")),
        None if args.actions.is_empty() => {
            Err(OpError::refused("cannot simulate no action: its answer would prove nothing")
                .with_hint("name the actions that the playbook needs"))
        }
        None => Ok(()),
    }
}

impl Line<'_> {
    /// The ARN by which IAM knows whoever has this identity; or what can be said where it knows none.
    fn principal(&self, who: &Identity) -> Result<Result<String, Simulated>, OpError> {
        let untold =
            |why: &str| Simulated { principal: who.arn.clone(), why_not: why.to_owned(), ..Simulated::default() };
        let parts: Vec<&str> = who.arn.splitn(6, ':').collect();
        let (partition, name) = match parts.as_slice() {
            [_, partition, _, _, account, name] if *account == who.account => (*partition, *name),
            _ => return Ok(Err(untold("the answer to who this is cannot be read"))),
        };
        if name == "root" {
            return Ok(Err(untold("the permissions of the root user cannot be simulated: take on a role")));
        }
        let Some(role) = name.strip_prefix("assumed-role/").and_then(|name| name.split('/').next()) else {
            return Ok(if name.starts_with("user/") {
                Ok(who.arn.clone())
            } else {
                Err(untold("this is neither a user nor a role"))
            });
        };
        // The session does not tell the path of its role.
        let act = format!("cannot look at the role {role}");
        match self.call(&act, |iam: Client| iam.get_role().role_name(role).send()) {
            Ok(answer) => Ok(Ok(answer.role.map_or_else(|| whole(partition, who, role), |role| role.arn))),
            Err(complaint) if [Fault::Denied, Fault::NotFound].contains(&complaint.fault) => {
                Ok(Ok(whole(partition, who, role)))
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn simulate(&self, principal: &str, args: &SimulateArgs) -> Result<Vec<EvaluationResult>, Complaint> {
        let act = format!("cannot ask AWS what {principal} may do");
        let resources = (!args.resources.is_empty()).then(|| args.resources.clone());
        let (mut all, mut marker) = (Vec::new(), None);
        for _ in 0..PAGES {
            let answer = self.call(&act, |iam: Client| {
                iam.simulate_principal_policy()
                    .policy_source_arn(principal)
                    .set_action_names(Some(args.actions.clone()))
                    .set_resource_arns(resources.clone())
                    .set_marker(marker.take())
                    .send()
            })?;
            all.extend(answer.evaluation_results.unwrap_or_default());
            marker = answer.marker.filter(|_| answer.is_truncated);
            if marker.is_none() {
                return Ok(all);
            }
        }
        Err(OpError::refused(format!("{act}: the answer does not end")).into())
    }
}

/// A role without a path.
fn whole(partition: &str, who: &Identity, role: &str) -> String {
    format!("arn:{partition}:iam::{}:role/{role}", who.account)
}

/// What AWS answered for an action and resource.
#[derive(Clone, Debug)]
struct Answer<'r> {
    decision: &'r Decision,
    statements: &'r [Statement],
    missing: &'r [String],
    boundary: Option<bool>,
    organization: Option<bool>,
}

/// The answer for this action and resource: that for the resource, where AWS gives one, otherwise that for all that was asked.
fn answer<'r>(results: &'r [EvaluationResult], action: &str, resource: &str) -> Option<Answer<'r>> {
    let of_action = || results.iter().filter(|result| result.eval_action_name.eq_ignore_ascii_case(action));
    let of_resource = of_action().find_map(|result| {
        let one = result.resource_specific_results().iter().find(|one| one.eval_resource_name == resource)?;
        Some(Answer {
            decision: &one.eval_resource_decision,
            statements: one.matched_statements(),
            missing: one.missing_context_values(),
            boundary: within(one.permissions_boundary_decision_detail.as_ref()),
            organization: allowed_above(result),
        })
    });
    let of_all = || of_action().find(|result| covers(result, resource));
    of_resource.or_else(|| {
        of_all().map(|result| Answer {
            decision: &result.eval_decision,
            statements: result.matched_statements(),
            missing: result.missing_context_values(),
            boundary: within(result.permissions_boundary_decision_detail.as_ref()),
            organization: allowed_above(result),
        })
    })
}

/// Whether a result as a whole speaks of this resource too. One of another resource does not: older answers have a result for each.
fn covers(result: &EvaluationResult, resource: &str) -> bool {
    if resource == "*" {
        return true;
    }
    // A template of ARNs stands for all that were asked about.
    let name = result.eval_resource_name.as_deref();
    result.resource_specific_results().is_empty()
        && name.is_none_or(|name| name == resource || name == "*" || name.contains("${"))
}

fn within(boundary: Option<&PermissionsBoundaryDecisionDetail>) -> Option<bool> {
    boundary.map(|detail| detail.allowed_by_permissions_boundary)
}

fn allowed_above(result: &EvaluationResult) -> Option<bool> {
    result.organizations_decision_detail.as_ref().map(|detail| detail.allowed_by_organizations)
}

/// What the answers come to. Allowed is only what was said to be.
fn judged(principal: String, args: &SimulateArgs, results: &[EvaluationResult]) -> Simulated {
    let everything = ["*".to_owned()];
    let resources = if args.resources.is_empty() { &everything } else { args.resources.as_slice() };
    let mut denied = Vec::new();
    for action in &args.actions {
        for resource in resources {
            let (forbidden, why) = match answer(results, action, resource) {
                Some(answer) if *answer.decision == Decision::Allowed && answer.organization != Some(false) => continue,
                Some(answer) => (*answer.decision == Decision::ExplicitDeny, why(&answer)),
                None => (false, "AWS does not say".to_owned()),
            };
            denied.push(Denied { action: action.clone(), resource: resource.clone(), forbidden, why });
        }
    }
    Simulated { principal, told: true, why_not: String::new(), allowed: denied.is_empty(), denied }
}

fn why(answer: &Answer<'_>) -> String {
    let mut policies: Vec<&str> = answer.statements.iter().filter_map(Statement::source_policy_id).collect();
    policies.sort_unstable();
    policies.dedup();
    let mut said = if *answer.decision == Decision::ExplicitDeny {
        match policies.as_slice() {
            [] => "a policy forbids it".to_owned(),
            all => format!("{} forbids it", all.join(", ")),
        }
    } else if answer.organization == Some(false) {
        "the organization's policies do not allow it".to_owned()
    } else if answer.boundary == Some(false) {
        "the permissions boundary does not allow it".to_owned()
    } else {
        "no policy allows it".to_owned()
    };
    if !answer.missing.is_empty() {
        said.push_str(&format!("; it hangs on {}, which the simulation does not know", answer.missing.join(", ")));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iam::types::{OrganizationsDecisionDetail, ResourceSpecificResult};

    fn args(actions: &[&str], resources: &[&str]) -> SimulateArgs {
        let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        SimulateArgs { actions: own(actions), resources: own(resources), principal: None, aws: Access::default() }
    }

    fn result(action: &str, decision: Decision) -> aws_sdk_iam::types::builders::EvaluationResultBuilder {
        EvaluationResult::builder().eval_action_name(action).eval_decision(decision)
    }

    fn judge(args: &SimulateArgs, results: &[EvaluationResult]) -> Simulated {
        judged("me".to_owned(), args, results)
    }

    #[test]
    fn what_aws_does_not_answer_is_not_allowed() {
        let two = args(&["rds:A", "rds:B"], &[]);
        let found = judge(&two, &[result("rds:A", Decision::Allowed).build().unwrap()]);
        assert!(!found.allowed);
        assert_eq!((found.denied[0].action.as_str(), found.denied[0].why.as_str()), ("rds:B", "AWS does not say"));
        assert_eq!(found.denied.len(), 1);
    }

    #[test]
    fn an_aggregate_answer_is_told_apart_by_resource() {
        let one = |name: &str, decision| {
            ResourceSpecificResult::builder().eval_resource_name(name).eval_resource_decision(decision).build().unwrap()
        };
        let both = args(&["rds:A"], &["arn:1", "arn:2"]);
        let aggregate = result("rds:A", Decision::ImplicitDeny)
            .eval_resource_name("arn:${Partition}:rds")
            .resource_specific_results(one("arn:1", Decision::Allowed))
            .resource_specific_results(one("arn:2", Decision::ImplicitDeny));
        let found = judge(&both, &[aggregate.build().unwrap()]);
        assert_eq!(found.denied.iter().map(|one| one.resource.as_str()).collect::<Vec<_>>(), ["arn:2"]);
        // As it was answered before: a result for each.
        let each = |name: &str, decision| result("rds:A", decision).eval_resource_name(name).build().unwrap();
        let found = judge(&both, &[each("arn:1", Decision::ImplicitDeny), each("arn:2", Decision::Allowed)]);
        assert_eq!(found.denied.iter().map(|one| one.resource.as_str()).collect::<Vec<_>>(), ["arn:1"]);
    }

    #[test]
    fn the_answer_for_another_resource_is_none_for_this_one() {
        let each = |name: &str| result("rds:A", Decision::Allowed).eval_resource_name(name).build().unwrap();
        let found = judge(&args(&["rds:A"], &["arn:1", "arn:2", "arn:3"]), &[each("arn:1"), each("arn:2")]);
        assert_eq!(found.denied.iter().map(|one| one.resource.as_str()).collect::<Vec<_>>(), ["arn:3"]);
        let found = judge(&args(&["rds:A"], &["arn:1", "arn:2"]), &[each("arn:1")]);
        assert_eq!(found.denied.iter().map(|one| one.resource.as_str()).collect::<Vec<_>>(), ["arn:2"]);
    }

    #[test]
    fn why_something_is_not_allowed_is_said() {
        let statement = Statement::builder().source_policy_id("no-deletes").build();
        let organization = OrganizationsDecisionDetail::builder().allowed_by_organizations(false).build();
        let boundary = PermissionsBoundaryDecisionDetail::builder().allowed_by_permissions_boundary(false).build();
        for (made, wanted) in [
            (result("rds:A", Decision::ExplicitDeny).matched_statements(statement), "no-deletes forbids it"),
            (result("rds:A", Decision::ExplicitDeny), "a policy forbids it"),
            (
                result("rds:A", Decision::Allowed).organizations_decision_detail(organization),
                "the organization's policies do not allow it",
            ),
            (
                result("rds:A", Decision::ImplicitDeny).permissions_boundary_decision_detail(boundary),
                "the permissions boundary does not allow it",
            ),
            (
                result("rds:A", Decision::ImplicitDeny).missing_context_values("aws:SourceIp"),
                "no policy allows it; it hangs on aws:SourceIp, which the simulation does not know",
            ),
        ] {
            let found = judge(&args(&["rds:A"], &[]), &[made.build().unwrap()]);
            assert_eq!((found.allowed, found.denied[0].why.as_str()), (false, wanted));
        }
    }

    #[test]
    fn a_question_about_nothing_is_refused() {
        for (actions, fault) in
            [(&[][..], "no action"), (&["DeleteDBInstance"][..], "is no action of IAM"), (&["rds:"][..], "rds:")]
        {
            let error = asked(&args(actions, &[])).unwrap_err();
            assert!(error.message.contains(fault) && error.hint.is_some(), "{error:?}");
        }
    }
}
