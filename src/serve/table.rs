//! The table of endpoints. An endpoint that does not stand here does not exist, and none can stand here without saying who may use it.

use super::api::{access, drills, health, orders, playbooks, reports, runs, schedules};
use super::endpoint::{Endpoint, Needs};
use super::pages;
use crate::access::Act;

/// All endpoints.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Needs::{Asked, Nobody, To};
    let mut all = vec![
        Endpoint::get("/healthz", "health", Nobody, "Whether the process answers", health::healthz),
        Endpoint::get(
            "/readyz",
            "ready",
            Nobody,
            "Whether it serves: leading, its store writable, its workers alive",
            health::readyz,
        ),
        Endpoint::get("/metrics", "metrics", Nobody, "What is measured, for Prometheus", health::metrics),
        Endpoint::get("/api/v1/version", "version", Nobody, "What runs here, and who serves", health::version),
        Endpoint::get("/api/v1/openapi.json", "openapi", Nobody, "This API as an OpenAPI document", health::openapi),
        Endpoint::get("/api/v1/runs", "listRuns", To(Act::View), "List runs, newest first, page by page", runs::list),
        Endpoint::post("/api/v1/runs", "startRun", Asked(Act::Start), "Start a run of a playbook", runs::begin)
            .heeding(&[("Idempotency-Key", "the same key begins the same run, however often it is asked for")]),
        Endpoint::post("/api/v1/drills", "startDrill", Asked(Act::Drill), "Drill a playbook", drills::begin)
            .heeding(&[("Idempotency-Key", "the same key begins the same drill, however often it is asked for")]),
        Endpoint::get(
            "/api/v1/runs/{run}/report",
            "reportRun",
            To(Act::View),
            "Tell what came of a run: times, RTO and RPO, approvals, failures, leaks",
            reports::of_run,
        ),
        Endpoint::get(
            "/api/v1/report",
            "reportPeriod",
            Asked(Act::View),
            "Tell what came of all runs of a period, and what somebody has to look at",
            reports::of_period,
        ),
        Endpoint::get("/api/v1/runs/{run}", "getRun", To(Act::View), "Show where a run stands", runs::one),
        Endpoint::get(
            "/api/v1/runs/{run}/records",
            "listRecords",
            To(Act::View),
            "Read the records of a run",
            runs::records,
        ),
        Endpoint::stream(
            "/api/v1/runs/{run}/events",
            "watchRun",
            To(Act::View),
            "Watch a run: its records as server-sent events",
            runs::events,
        )
        .heeding(&[("Last-Event-ID", "the number of the last record that was seen")]),
        Endpoint::get(
            "/api/v1/playbooks",
            "listPlaybooks",
            To(Act::View),
            "List the playbooks that may be started",
            playbooks::list,
        ),
        Endpoint::get(
            "/api/v1/playbooks/{playbook}",
            "getPlaybook",
            To(Act::View),
            "Show a playbook as it is now",
            playbooks::one,
        ),
        Endpoint::get(
            "/api/v1/playbooks/{playbook}/versions",
            "listVersions",
            To(Act::View),
            "List the versions of a playbook that were run here",
            playbooks::versions,
        ),
        Endpoint::get(
            "/api/v1/playbooks/{playbook}/diff",
            "diffVersions",
            To(Act::View),
            "Show what differs between two versions of a playbook",
            playbooks::diff,
        ),
    ];
    all.extend(orders::endpoints());
    all.extend(access::endpoints());
    all.extend(schedules::endpoints());
    all.extend(pages::table::endpoints(&all));
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_has_a_place_and_a_name_of_its_own() {
        let all = endpoints();
        let places: BTreeSet<String> = all.iter().map(|one| format!("{} {}", one.method, one.path)).collect();
        let names: BTreeSet<&str> = all.iter().map(|one| one.name).collect();
        assert_eq!((places.len(), names.len()), (all.len(), all.len()));
    }

    #[test]
    fn whatever_changes_something_is_asked_for_by_post_and_nobody_does_it_unnamed() {
        for endpoint in endpoints() {
            let (get, act) = (endpoint.method == axum::http::Method::GET, endpoint.needs.act());
            assert!(get || endpoint.method == axum::http::Method::POST, "{}", endpoint.path);
            // Who logs in is not known before.
            assert!(act.is_some() || get || endpoint.path == "/login", "{}", endpoint.path);
            // Taking evidence away changes nothing but the audit log; who may make tokens may look at them.
            let looks = [Act::ExportEvidence, Act::ManageTokens];
            let harmless = act.is_none_or(|act| !act.changes() || looks.contains(&act));
            assert!(!get || harmless, "{}", endpoint.path);
        }
    }
}
