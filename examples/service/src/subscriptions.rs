//! Subscriptions, which the billing system knows: cached, and changed by writing there first and telling the cache
//! afterwards.
//!
//! A load that is under way when a subscription changes does not bring the old one back, in whichever process. While
//! Redis is away a change is `pending`: this process acts by it, and has Redis forget the old one before it is read
//! again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cenote::{Cache, Cx, Pool, Written, cache};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::billing::{Billing, Plan, Subscription};
use crate::loads::Loads;
use crate::origin::{Origin, Source};
use crate::problem::Problem;

/// Short, so that the page has something to show; what is past it is served on while it is loaded anew.
const FRESH: Duration = Duration::from_secs(20);
const STALE: Duration = Duration::from_secs(600);
/// Whoever asks for what is not there is told so without asking the billing system.
const NOT_THERE: Duration = Duration::from_secs(5);

/// The subscriptions and their cache.
#[derive(Debug, Clone)]
pub(crate) struct Subscriptions {
    pub(crate) cache: Cache<u32, Subscription>,
    billing: Arc<Billing>,
}

impl Subscriptions {
    pub(crate) fn new(pool: &Pool) -> Result<Self, cache::Error> {
        let cache = Cache::builder(pool, "subscriptions")
            .ttl(FRESH)
            .stale(STALE)
            .negative_ttl(NOT_THERE)
            .l1(10_000, 8 << 20)
            .build()?;
        Ok(Self { cache, billing: Arc::default() })
    }

    async fn find(&self, number: u32, loads: &Loads) -> (Option<Subscription>, Origin) {
        let (billing, loads) = (self.billing.clone(), loads.clone());
        let load = move |cx: Cx<Subscription>| async move {
            loads.tell("subscriptions", &number.to_string());
            let found = billing.find(number).await;
            if let Some(found) = &found {
                cx.tag(format!("customer:{}", found.customer));
            }
            Ok::<_, Infallible>(found)
        };
        match self.cache.lookup_or_load(&number, load).await {
            Ok(found) => (found.value().map(|found| (**found).clone()), Origin::of(&found, Source::Billing)),
            Err(error) => {
                tracing::debug!(target: "service", %error, "a subscription is looked up without a cache");
                (self.billing.find(number).await, Origin::new(Source::Billing))
            }
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    #[serde(flatten)]
    subscription: Subscription,
    #[serde(flatten)]
    origin: Origin,
}

/// Never a 5xx: what no cache answers the billing system does.
pub(crate) async fn find(State(app): State<App>, id: Id) -> Result<Json<Answer>, Problem> {
    let id = named(id)?;
    let number = number(&id, "sub_").ok_or_else(|| no_such(&id))?;
    let (found, origin) = app.subscriptions.find(number, &app.loads).await;
    let subscription = found.ok_or_else(|| no_such(&id))?;
    Ok(Json(Answer { subscription, origin }))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    plan: Plan,
}

/// Changes the plan.
pub(crate) async fn change(
    State(app): State<App>,
    id: Id,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(Wanted { plan }) = wanted.map_err(|rejection| {
        let detail =
            format!("The body must be JSON such as {{\"plan\": \"team\"}}: {}.", rejection.body_text());
        Problem::bad_request(detail)
    })?;
    let id = named(id)?;
    let number = number(&id, "sub_").ok_or_else(|| no_such(&id))?;
    let Subscriptions { cache, billing } = &app.subscriptions;
    let changed = billing.change_plan(number, plan).await.ok_or_else(|| no_such(&id))?;
    let removed = told(cache.remove(&number).await);
    Ok(Json(json!({ "subscription": changed, "cache": removed })))
}

/// Ends every subscription of a customer. Which of them are cached, and where, nobody needs to know: they have its tag.
pub(crate) async fn end_all(State(app): State<App>, id: Id) -> Result<Json<Value>, Problem> {
    let customer = named(id)?;
    let Subscriptions { cache, billing } = &app.subscriptions;
    let ended = match number(&customer, "cus_") {
        Some(number) => billing.end_all(number).await,
        None => 0,
    };
    if ended == 0 {
        return Err(Problem::new(StatusCode::NOT_FOUND, "Not found", "Customers are cus_1 to cus_2500."));
    }
    let removed = told(cache.remove_tag(&format!("customer:{customer}")).await);
    Ok(Json(json!({ "customer": customer, "ended": ended, "cache": removed })))
}

/// What was changed is changed, whatever became of the cache.
fn told(removed: Result<Written, cache::Error>) -> &'static str {
    match removed {
        Ok(Written::Applied) => "applied",
        Ok(_) => "pending",
        Err(error) => {
            tracing::warn!(target: "service", %error, "the cache could not be told: it may serve the old value until its ttl");
            "not told"
        }
    }
}

type Id = Result<Path<String>, PathRejection>;

fn named(id: Id) -> Result<String, Problem> {
    let Path(id) = id.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(id)
}

/// One spelling for each: no sign, no zero in front.
fn number(text: &str, prefix: &str) -> Option<u32> {
    let digits = text.strip_prefix(prefix)?;
    digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
}

fn no_such(id: &str) -> Problem {
    let detail = format!("There is no subscription {id:?}: they are sub_1 to sub_10000.");
    Problem::new(StatusCode::NOT_FOUND, "Not found", detail)
}
