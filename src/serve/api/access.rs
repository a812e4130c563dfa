//! Tokens, reviews and the audit log under `/api/v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::audit::Verified;
use crate::access::{Act, Entry, NewToken, Review, Token};
use crate::serve::call::{Call, limit};
use crate::serve::endpoint::{Endpoint, Json, Needs, Nothing};
use crate::serve::problem::Problem;

/// Entries on a page at most.
const PAGE: usize = 500;

/// The tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tokens {
    /// Newest first, without what could be used.
    pub tokens: Vec<Token>,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Minted {
    /// What its bearer shows. It is not to be had again.
    pub token: String,
    /// What is stored of it.
    pub about: Token,
}

/// The reviews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reviews {
    /// Newest first.
    pub reviews: Vec<Review>,
}

/// The end of a review.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// What was found.
    #[schemars(length(min = 1))]
    pub word: String,
}

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only those before this number.
    pub before: Option<u64>,
    /// At most so many, up to 500.
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<usize>,
}

/// A page of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Log {
    /// Newest first.
    pub entries: Vec<Entry>,
}

/// The endpoints.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Needs::{Asked, To};
    vec![
        Endpoint::get(
            "/api/v1/audit",
            "listAudit",
            To(Act::ViewAudit),
            "Read the audit log, newest first",
            |call, which: Which| {
                let limit = limit(which.limit, 100, PAGE)?;
                Ok(Json(Log { entries: call.server.desk.audit(&call.who, which.before, limit)? }))
            },
        ),
        Endpoint::get(
            "/api/v1/audit/verify",
            "verifyAudit",
            To(Act::ViewAudit),
            "Check that the audit log is what was written",
            |call, _: Nothing| Ok(Json::<Verified>(crate::access::audit::verify(call.store().as_ref(), |_| {})?)),
        ),
        Endpoint::get(
            "/api/v1/reviews",
            "listReviews",
            To(Act::ViewAudit),
            "List what was done against the rules, newest first",
            |call, _: Nothing| Ok(Json(Reviews { reviews: call.server.desk.reviews(&call.who)? })),
        ),
        Endpoint::post(
            "/api/v1/reviews/{review}/close",
            "closeReview",
            Asked(Act::CloseReview),
            "Close the review of what somebody else did",
            |call, body: Close| {
                call.asked();
                Ok(Json(call.server.desk.close_review(&call.who, call.named("review"), &body.word, call.now())?))
            },
        ),
        Endpoint::get(
            "/api/v1/tokens",
            "listTokens",
            Asked(Act::ManageTokens),
            "List the tokens, without what could be used",
            |call, _: Nothing| {
                call.asked();
                Ok(Json(Tokens { tokens: call.server.desk.tokens(&call.who)? }))
            },
        ),
        Endpoint::post(
            "/api/v1/tokens",
            "createToken",
            Asked(Act::ManageTokens),
            "Make a token, which is told once",
            mint,
        ),
        Endpoint::post(
            "/api/v1/tokens/{token}/revoke",
            "revokeToken",
            Asked(Act::ManageTokens),
            "Make a token count no more, with the sessions that it began",
            |call, _: Nothing| {
                call.asked();
                Ok(Json(call.server.desk.revoke_token(&call.who, call.named("token"), call.now())?))
            },
        ),
    ]
}

fn mint(call: &Call, new: NewToken) -> Result<Json<Minted>, Problem> {
    call.asked();
    let (about, token) = call.server.desk.create_token(&call.who, new, call.now())?;
    Ok(Json(Minted { token, about }))
}
