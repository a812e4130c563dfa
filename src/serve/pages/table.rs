//! The pages and forms in the table of endpoints.

use super::{audit, face, form, history, login, overview, playbooks, report, run, schedules, start, tokens};
use crate::access::Act;
use crate::serve::call::Call;
use crate::serve::endpoint::{Endpoint, Needs};

/// A form that ends at an endpoint of the API: that one, its own name, and where to afterwards.
type Form = (&'static str, &'static str, fn(&Call) -> String);

/// The forms that end at an endpoint of the API.
const FORMS: &[Form] = &[
    ("retryStep", "retryForm", to_run),
    ("skipStep", "skipForm", to_run),
    ("doneByHand", "doneForm", to_run),
    ("answerQuestion", "answerForm", to_run),
    ("approveStep", "approveForm", to_run),
    ("breakGlass", "breakGlassForm", to_run),
    ("rejectStep", "rejectForm", to_run),
    ("settleCall", "settleForm", to_run),
    ("acceptSecret", "acceptForm", to_run),
    ("skipUndo", "skipUndoForm", to_run),
    ("rollBack", "rollBackForm", to_run),
    ("cancelRun", "cancelForm", to_run),
    ("killRun", "killForm", to_run),
    ("resumeRun", "resumeForm", to_run),
    ("writeNote", "noteForm", to_run),
    ("closeReview", "closeReviewForm", |_| "/audit".to_owned()),
    ("revokeToken", "revokeTokenForm", |_| "/tokens".to_owned()),
    ("pauseSchedule", "pauseScheduleForm", |_| "/schedules".to_owned()),
    ("resumeSchedule", "resumeScheduleForm", |_| "/schedules".to_owned()),
    ("triggerSchedule", "triggerScheduleForm", |_| "/schedules".to_owned()),
];

fn to_run(call: &Call) -> String {
    format!("/runs/{}", call.named("run"))
}

/// The pages and forms; those of the latter that end at one of these endpoints of the API.
#[must_use]
pub fn endpoints(api: &[Endpoint]) -> Vec<Endpoint> {
    use Needs::{Asked, Nobody, To};
    let mut all = vec![
        Endpoint::page("/", "overviewPage", To(Act::View), "Readiness: would each playbook work today", overview::show),
        Endpoint::page("/runs", "runsPage", To(Act::View), "The runs there were", history::show),
        Endpoint::page("/runs/{run}", "runPage", To(Act::View), "A run, live", run::show),
        Endpoint::page("/schedules", "schedulesPage", To(Act::View), "What runs by itself", schedules::show),
        Endpoint::page("/playbooks", "playbooksPage", To(Act::View), "The playbooks", playbooks::list),
        Endpoint::page(
            "/playbooks/{playbook}",
            "playbookPage",
            To(Act::View),
            "A playbook with its versions",
            playbooks::one,
        ),
        Endpoint::page(
            "/playbooks/{playbook}/diff",
            "diffPage",
            To(Act::View),
            "What differs between two versions",
            playbooks::diff,
        ),
        Endpoint::page("/audit", "auditPage", To(Act::ViewAudit), "The audit log and the reviews", audit::show),
        Endpoint::page("/tokens", "tokensPage", Asked(Act::ManageTokens), "Who may use the server", tokens::list),
        Endpoint::form(
            "/tokens",
            "createTokenForm",
            Asked(Act::ManageTokens),
            "Make a token, shown once",
            tokens::create,
        ),
        Endpoint::form("/runs", "startForm", Asked(Act::Start), "Start a run of a playbook", start::start),
        Endpoint::form("/drills", "drillForm", Asked(Act::Drill), "Drill a playbook", start::drill),
        Endpoint::page("/runs/{run}/report", "runReportPage", To(Act::View), "What came of a run", report::of_run),
        Endpoint::page("/report", "reportPage", Asked(Act::View), "What came of a period", report::of_period),
        Endpoint::page("/login", "loginPage", Nobody, "Log in", login::show),
        Endpoint::form("/login", "loginForm", Nobody, "Begin a session", login::enter),
        Endpoint::form("/logout", "logoutForm", To(Act::View), "End the session", login::leave),
        Endpoint::page("/assets/style.css", "style", Nobody, "How the pages look", face::style),
        Endpoint::page("/assets/script.js", "script", Nobody, "What keeps the pages fresh", face::script),
        Endpoint::page("/assets/icon.svg", "icon", Nobody, "The mark", face::icon),
    ];
    for (of, name, after) in FORMS {
        all.extend(api.iter().find(|endpoint| endpoint.name == *of).map(|endpoint| form::of(endpoint, name, *after)));
    }
    all
}
