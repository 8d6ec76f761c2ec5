//! Responses to requests that do not go on.

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::headers;
use super::key::KeyError;
use crate::decision::{Decision, Source};
use crate::error::Error;

/// RFC 9457, with what draft-ietf-httpapi-ratelimit-headers adds.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violated_policies: Option<Vec<&'a str>>,
}

pub(super) fn refused(decision: Decision) -> Response<String> {
    let (status, r#type, title) = if decision.source == Source::Closed {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            "Request cannot be satisfied due to temporary server capacity constraints",
        )
    } else {
        (
            StatusCode::TOO_MANY_REQUESTS,
            "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "Request cannot be satisfied as assigned quota has been exceeded",
        )
    };
    let mut violated: Vec<&str> = Vec::new();
    for policy in decision.violated() {
        if !violated.contains(&&**policy) {
            violated.push(policy);
        }
    }
    let problem =
        Problem { r#type, title, status: status.as_u16(), detail: None, violated_policies: Some(violated) };
    let mut response = problem.response();
    headers::tell(&decision, response.headers_mut());
    response.headers_mut().insert(header::RETRY_AFTER, headers::retry_after(&decision).into());
    response.extensions_mut().insert(decision);
    response
}

pub(super) fn no_key(limiter: &str, error: &KeyError) -> Response<String> {
    if error.status.is_server_error() {
        tracing::error!(target: "cenote", limiter, %error, "a request has no key to be limited by");
        return plain(error.status, None);
    }
    plain(error.status, Some(&error.detail))
}

/// The limiter was asked for what cannot be.
pub(super) fn failed(limiter: &str, error: &Error) -> Response<String> {
    tracing::error!(target: "cenote", limiter, %error, "a request cannot be limited");
    plain(StatusCode::INTERNAL_SERVER_ERROR, None)
}

fn plain(status: StatusCode, detail: Option<&str>) -> Response<String> {
    let title = status.canonical_reason().unwrap_or("Refused");
    let r#type = "about:blank";
    Problem { r#type, title, status: status.as_u16(), detail, violated_policies: None }.response()
}

impl Problem<'_> {
    fn response(&self) -> Response<String> {
        // Text and numbers only: there is nothing in it that JSON could refuse.
        let body = serde_json::to_string(self).unwrap_or_default();
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}
