//! Sentinels that are given to the builder one by one, and not as a URL.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Problem;
use super::sentinel::host;
use super::target::HIDDEN;

const SETTING: &str = ".sentinel(master, hosts)";
/// Stands in for hosts that cannot be used, so that the other settings are judged all the same.
const PLACEHOLDER: &str = "redis+sentinel://unusable/unusable";

/// The URL that says the same, and what is wrong with the arguments.
pub(crate) fn sentinel_url(master: &str, hosts: &[String]) -> (String, Option<Problem>) {
    match fault(master, hosts) {
        Some(problem) => (PLACEHOLDER.to_owned(), Some(problem)),
        None => {
            let master = utf8_percent_encode(master, NON_ALPHANUMERIC);
            (format!("redis+sentinel://{}/{master}", hosts.join(",")), None)
        }
    }
}

fn fault(master: &str, hosts: &[String]) -> Option<Problem> {
    let wrong = |value: String, expected: String| Some(Problem::new(SETTING, value, expected));
    if master.is_empty() {
        let expected = "given the master's name, as the sentinels know it: SENTINEL MASTERS tells the names";
        return wrong("given the name \"\"".to_owned(), expected.to_owned());
    }
    if hosts.is_empty() {
        return wrong("given no host".to_owned(), right("at least one"));
    }
    let bad = hosts.iter().find(|text| text.contains(['/', '?', '#', '@', ',']) || host(text).is_err())?;
    // One that was cut from a URL at its commas may be a part of a password.
    let is_secret = bad.contains(['?', '#']) || hosts.iter().any(|text| text.contains('@'));
    let value = if is_secret { HIDDEN.to_owned() } else { format!("given the host {bad:?}") };
    let more = if bad.contains("://") {
        "without a scheme; for TLS, a login or a database of the master give .url(\"redis+sentinel://...\")"
            .to_owned()
    } else if is_secret && !bad.contains(['?', '#', '/']) {
        "without user and password: those of the sentinels are for .sentinel_login(..), those of the master for .url(\"redis+sentinel://...\")".to_owned()
    } else if bad.contains(['/', '?', '#']) {
        "with nothing behind it: the master's name is the first argument".to_owned()
    } else if bad.contains(',') {
        "each of them by itself".to_owned()
    } else if bad.matches(':').count() > 1 && !bad.starts_with('[') {
        format!("with an IPv6 address in brackets: [{bad}]")
    } else {
        "with a port from 1 to 65535".to_owned()
    };
    wrong(value, right(&more))
}

fn right(more: &str) -> String {
    format!("given each sentinel as `host` or `host:port`, {more}")
}
