//! What was asked of AWS, and whether it changes anything there.

#![allow(dead_code, reason = "each test file uses what it needs")]

/// The shipped playbooks that work on AWS: their plans are watched by `aws_ops`, in `plans.rs`, where each of them has an estate. AWS
/// is asked by POST, reads too, so that the test of all other playbooks would take these for writing.
pub const ON_AWS: [&str; 5] =
    ["ai-vault-backup", "ai-vault-restore", "omnichat-aws-backup", "omnichat-aws-restore", "rds-restore"];

/// Those that work on Kubernetes alone: planned in `helm_ops`, where it is held that nothing was asked that writes.
pub const ON_KUBERNETES: [&str; 12] = [
    "pgo-failback",
    "pgo-standby-create",
    "pgo-backup",
    "pgo-clone",
    "pgo-restore-database",
    "pgo-restore-in-place",
    "pgo-standby-promote",
    "pgo4-backup",
    "pgo4-restore",
    "pgo4-schedule",
    "runai-backup",
    "runai-recover",
];

/// The shipped playbook that works on a host's own server: its plan is watched by `pg_ops`, where there is one.
pub const ON_A_HOST: &str = "pgbackrest-restore";

/// The actions that change nothing, by how they begin. Whatever else is asked is taken for writing.
const READS: [&str; 8] =
    ["Describe", "Get", "List", "Head", "BatchGet", "Simulate", "AssumeRole", "DecodeAuthorizationMessage"];

/// What of these requests writes, as `SERVICE ACTION`.
pub fn writes<'r>(requests: impl IntoIterator<Item = &'r String>) -> Vec<String> {
    let asked = requests.into_iter().map(|request| action(request));
    asked.filter(|(_, action)| !only_reads(action)).map(|(service, action)| format!("{service} {action}")).collect()
}

fn only_reads(action: &str) -> bool {
    match action.split_once(' ') {
        Some((method, _)) => ["GET", "HEAD"].contains(&method),
        None => READS.iter().any(|begin| action.starts_with(begin)),
    }
}

/// The service that a request is signed for, and what is asked of it: the action's name where the service has names, otherwise method
/// and path.
fn action(request: &str) -> (&str, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let service = head.split("Credential=").nth(1).and_then(|scope| scope.split('/').nth(3)).unwrap_or("nobody");
    let target = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-amz-target").then(|| value.trim())
    });
    if let Some(target) = target {
        return (service, target.rsplit('.').next().unwrap_or(target).to_owned());
    }
    let first = head.lines().next().unwrap_or_default();
    let named = body.split('&').find_map(|field| field.strip_prefix("Action="));
    match named.filter(|_| first.starts_with("POST / ")) {
        Some(name) => (service, name.to_owned()),
        None => (service, first.rsplit_once(' ').map_or(first, |(asked, _)| asked).to_owned()),
    }
}
