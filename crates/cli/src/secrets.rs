//! Passwords among the arguments. A URL may stand where none belongs, and whoever refuses it quotes it.

use std::env;

const HIDDEN: &str = "***";
/// What is replaced wherever it stands: shorter ones are part of words.
const SHORT: usize = 5;

/// A text that may quote our arguments, without what is secret in them.
pub(crate) fn scrub(text: &str) -> String {
    let arguments = env::args_os().skip(1);
    arguments.fold(text.to_owned(), |text, argument| hide(&text, &argument.to_string_lossy()))
}

fn hide(text: &str, argument: &str) -> String {
    let Some((before, rest)) = argument.split_once("://") else { return text.to_owned() };
    let is_of_scheme = |char: char| char.is_ascii_alphanumeric() || "+-.".contains(char);
    let scheme = &before[before.trim_end_matches(is_of_scheme).len()..];
    let (shown, secrets) = taken_apart(rest);
    let text = text.replace(&format!("{scheme}://{rest}"), &format!("{scheme}://{shown}"));
    let secrets = secrets.into_iter().filter(|secret| secret.len() > SHORT);
    secrets.fold(text, |text, secret| text.replace(secret, HIDDEN))
}

/// What may be shown of what stands behind `://`, and what may not. Where it is no good URL, too much is hidden.
fn taken_apart(rest: &str) -> (String, Vec<&str>) {
    let mut secrets = Vec::new();
    let (name, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => {
            // A password that should be percent-encoded may have an @ of its own, and so may what follows the host.
            for part in [Some(credentials), credentials.split('@').next()].into_iter().flatten() {
                secrets.push(part.split_once(':').map_or(part, |(_, password)| password));
            }
            (format!("{HIDDEN}@"), place)
        }
        None => (String::new(), rest),
    };
    let end = place.find(['?', '#']).unwrap_or(place.len());
    let (place, parameters) = place.split_at(end);
    for parameter in parameters.split(['?', '#', '&']) {
        match parameter.split_once('=') {
            Some(("protocol" | "db", _)) => {}
            Some((_, value)) => secrets.push(value),
            None => secrets.push(parameter),
        }
    }
    let parameters = match parameters.get(..1) {
        Some(mark) => format!("{mark}{HIDDEN}"),
        None => String::new(),
    };
    // user:password without a host.
    let (hosts, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let place = match hosts.rsplit_once(':') {
        Some((host, port))
            if name.is_empty() && !port.ends_with(']') && !port.chars().all(|char| char.is_ascii_digit()) =>
        {
            secrets.push(port);
            format!("{host}:{HIDDEN}{path}")
        }
        _ => format!("{hosts}{path}"),
    };
    (format!("{name}{place}{parameters}"), secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_be_a_password_is_hidden_and_the_rest_is_shown() {
        for (argument, shown) in [
            ("redis://:s3cr3t@localhost:1", "redis://***@localhost:1"),
            ("redis://s3cr3t@localhost/0", "redis://***@localhost/0"),
            ("--url=rediss://ada:s3cr3t@[::1]:7/0", "--url=rediss://***@[::1]:7/0"),
            ("redis://:s3%20cr3t@localhost", "redis://***@localhost"),
            ("redis://:s3cr3t#?/@@localhost", "redis://***@localhost"),
            ("redis://localhost?password=s3cr3t", "redis://localhost?***"),
            ("unix:///run/redis.sock?db=1&pass=s3cr3t", "unix:///run/redis.sock?***"),
            ("redis://localhost#s3cr3t", "redis://localhost#***"),
            ("redis://ada:s3cr3t", "redis://ada:***"),
            ("redis://a:1,b:2/main", "redis://a:1,b:2/main"),
            ("redis://[::1]/0", "redis://[::1]/0"),
            ("import-42", "import-42"),
        ] {
            assert_eq!(hide(&format!("no '{argument}' here"), argument), format!("no '{shown}' here"));
        }
        let part = hide("PATH: s3cr3t@localhost, s3cr3t", "redis://:s3cr3t@localhost");
        assert_eq!(part, "PATH: ***@localhost, ***");
    }
}
