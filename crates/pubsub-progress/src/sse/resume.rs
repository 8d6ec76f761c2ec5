//! Where a client wants to go on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;

use super::cursor::Cursor;

/// Where a client wants to go on: what its request says in the header `Last-Event-ID`, or else in `?from=`. An
/// extractor that never refuses.
///
/// A browser sends the header by itself when it connects again, and cannot be told to leave it out. So one that is not an
/// `id:` of these jobs is as good as none, and the stream begins with a snapshot. `?from=` was written by somebody, to whom
/// [`respond`](super::respond) says what would be right.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    header: Option<String>,
    query: Option<String>,
}

#[derive(Deserialize)]
struct From {
    from: Option<String>,
}

impl Resume {
    /// From the beginning: with a snapshot.
    pub fn none() -> Self {
        Self::default()
    }

    /// What a request says.
    pub fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        // What cannot be read is no `id:`, but it was given.
        let header = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?").to_owned());
        let query =
            Query::<From>::try_from_uri(uri).map_or_else(|_| Some("?".to_owned()), |Query(query)| query.from);
        Self { header, query }
    }

    /// `Err` if `?from=` counts and is not an `id:` of these jobs.
    pub(super) fn cursor(self, jobs: &[Arc<str>]) -> Result<Option<Cursor>, Malformed> {
        match (self.header, self.query) {
            // A browser that has seen no `id:` yet may send an empty one.
            (Some(header), _) if !header.is_empty() => Ok(Cursor::parse(&header, jobs)),
            (_, Some(query)) => Cursor::parse(&query, jobs).map(Some).ok_or(Malformed),
            (_, None) => Ok(None),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<S: Send + Sync> FromRequestParts<S> for Resume {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, &parts.uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(header: Option<&[u8]>, uri: &'static str) -> Result<Option<String>, Malformed> {
        let headers = header.map(|id| ("last-event-id".parse().unwrap(), id.try_into().unwrap()));
        let resume = Resume::of(&headers.into_iter().collect(), &Uri::from_static(uri));
        Ok(resume.cursor(&["job".into()])?.map(|cursor| cursor.id()))
    }

    #[test]
    fn the_header_counts_before_the_query_and_a_bad_one_is_as_none_while_a_bad_query_is_told() {
        let at = |id: &str| Ok(Some(id.to_owned()));
        assert_eq!(cursor(None, "/"), Ok(None));
        assert_eq!(cursor(Some(b"1:2:3"), "/?from=4:5:6"), at("1:2:3"));
        assert_eq!(cursor(None, "/?job=a&job=b&from=4%3A5%3A6"), at("4:5:6"));
        assert_eq!(cursor(Some(b""), "/?from=4:5:6"), at("4:5:6"));
        assert_eq!(cursor(Some(b"\xff"), "/?from=4:5:6"), Ok(None));
        assert_eq!(cursor(Some(b"what"), "/?from=what"), Ok(None));
        assert_eq!(cursor(None, "/?from=what"), Err(Malformed));
        assert_eq!(cursor(None, "/?from="), Err(Malformed));
        assert_eq!(cursor(None, "/?from=1:2:3&from=1:2:3"), Err(Malformed));
    }
}
