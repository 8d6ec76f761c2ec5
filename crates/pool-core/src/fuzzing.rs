//! What must hold for any bytes at all: one function per fuzz target, which panics where a promise is broken.
//!
//! `fuzz/` runs them on bytes that a fuzzer makes up; the test below runs them on those it has kept.

use std::ffi::OsString;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, Value};

use crate::codec::{Decoder, Limits, ProtocolError};
use crate::config::{Address, PoolConfig, Problem, Target};

/// Nothing that a URL or a printout would have by chance, in any case.
const SECRET: &str = "sWORDFISHhUNTER2";

const VARIABLES: [&str; 8] = [
    "REDIS_URL",
    "REDIS_ENABLED",
    "REDIS_REQUIRED",
    "REDIS_CONNECT_TIMEOUT",
    "REDIS_SOCKET_TIMEOUT",
    "REDIS_MAX_RETRIES",
    "REDIS_MAX_CONNECTIONS",
    "REDIS_HEALTH_CHECK_INTERVAL",
];

/// Replies decode alike however they are cut, stay within the limits, and are what redis takes them for.
pub fn codec(input: &[u8]) {
    let narrow = Limits { bulk: 24, depth: 3, elements: 6, line: 24 };
    for limits in [narrow, Limits::default()] {
        let whole = decode(limits, &[input]);
        whole.0.iter().for_each(|value| within(limits, 0, value));
        for at in (1..16).map(|part| input.len() * part / 16) {
            let (head, tail) = input.split_at(at);
            alike(&whole, &decode(limits, &[head, tail]));
        }
        alike(&whole, &decode(limits, &input.chunks(1).collect::<Vec<_>>()));
        alike(&whole, &decode(limits, &pieces(input)));
    }
    as_redis_decodes_it(input);
}

/// A URL is a target or a problem, and whatever stands where its password belongs is printed by neither.
pub fn url(input: &[u8]) {
    let text = plain(input);
    if tells(&text) {
        return; // The fuzzer looks for it where it may be.
    }
    judge(&text);
    for (planted, is_password) in planted(&text) {
        let Some(target) = judge(&planted) else { continue };
        if is_password && !matches!(target.address, Address::Unix(_)) {
            let password = target.password().unwrap_or_default();
            assert!(password.contains(SECRET), "{planted:?} was read as {target}");
            silent(&planted, &target.scrub(&format!("WRONGPASS {password} is not it")));
        }
    }
}

/// Lines of `NAME=value` are settings or problems; each problem names a variable that is there, and none the secret.
pub fn environment(input: &[u8]) {
    if tells(&plain(input)) {
        return;
    }
    let mut variables: Vec<(&str, OsString)> = Vec::new();
    for line in input.split(|&byte| byte == b'\n') {
        let at = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
        let (name, value) = (&line[..at], line.get(at + 1..).unwrap_or_default());
        // Any other name stands for one of them, as a fuzzer would take long to spell them.
        let sum: usize = name.iter().map(|&byte| usize::from(byte)).sum();
        let known = VARIABLES.into_iter().find(|known| known.as_bytes() == name);
        variables.push((known.unwrap_or(VARIABLES[sum % VARIABLES.len()]), os_string(value)));
    }
    settle(&variables);
    let Some(at) = variables.iter().position(|(name, _)| *name == "REDIS_URL") else { return };
    for (url, _) in planted(&plain(variables[at].1.as_encoded_bytes())) {
        variables[at].1 = url.into();
        settle(&variables);
    }
}

/// Whatever a server pushes, nobody is told what it did not ask for, and an honest server is brought in line.
pub fn push(input: &[u8]) {
    crate::push::fuzzing::run(input);
}

type Decoded = (Vec<Value>, Option<ProtocolError>);

fn decode(limits: Limits, pieces: &[&[u8]]) -> Decoded {
    let (mut decoder, mut values) = (Decoder::new(limits), Vec::new());
    let error = pieces.iter().find_map(|piece| decoder.feed(piece, &mut values).err());
    (values, error)
}

/// Cut so that the byte at the start of each piece says how long it is.
fn pieces(mut input: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some(&first) = input.first() {
        let (piece, rest) = input.split_at(input.len().min(1 + usize::from(first) % 37));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

fn alike(whole: &Decoded, cut: &Decoded) {
    assert!(whole.0.len() == cut.0.len(), "{whole:?} became {cut:?}");
    whole.0.iter().zip(&cut.0).for_each(|(whole, cut)| same(whole, cut));
    // How much of an endless line had arrived depends on the pieces.
    let error = |decoded: &Decoded| match decoded.1.clone() {
        Some(ProtocolError::TooLarge { what: what @ "bytes in a line", limit, .. }) => {
            Some(ProtocolError::TooLarge { what, limit, claimed: 0 })
        }
        other => other,
    };
    assert_eq!(error(whole), error(cut), "{whole:?} became {cut:?}");
}

/// Equal, if NaN equals itself and the line ends that we take out of errors do not count.
fn same(ours: &Value, theirs: &Value) {
    let text = |value: &Value| format!("{value:?}").replace(['\r', '\n'], "");
    assert!(ours == theirs || text(ours) == text(theirs), "{ours:?} is not {theirs:?}");
}

fn within(limits: Limits, depth: usize, value: &Value) {
    // A replacement character stands for at least one byte.
    let chars = |text: &str| text.chars().count();
    let count = |items: usize| assert!(items <= limits.elements && depth < limits.depth, "{value:?}");
    let all = |items: &[Value]| items.iter().for_each(|item| within(limits, depth + 1, item));
    let pairs = |items: &[(Value, Value)]| {
        count(items.len());
        items.iter().for_each(|(key, item)| {
            within(limits, depth + 1, key);
            within(limits, depth + 1, item);
        });
    };
    match value {
        Value::BulkString(data) => assert!(data.len() <= limits.bulk, "{value:?}"),
        Value::VerbatimString { text, .. } => assert!(chars(text) < limits.bulk, "{value:?}"),
        Value::SimpleString(text) => assert!(chars(text) + "+\r".len() <= limits.line, "{value:?}"),
        Value::ServerError(error) => {
            let length = chars(error.code()) + error.details().map_or(0, chars);
            assert!(length <= limits.line.max(limits.bulk), "{value:?}");
        }
        Value::Array(items) | Value::Set(items) => {
            count(items.len());
            all(items);
        }
        Value::Push { data, .. } => {
            count(data.len() + 1);
            all(data);
        }
        Value::Map(items) => pairs(items),
        Value::Attribute { data, attributes } => {
            pairs(attributes);
            within(limits, depth + 1, data);
        }
        _ => {}
    }
}

/// Value by value, as our decoder finds their ends; and what redis makes of the first.
fn as_redis_decodes_it(input: &[u8]) {
    let (mut decoder, mut values, mut start) = (Decoder::new(Limits::default()), Vec::new(), 0);
    let mut error = None;
    for (at, byte) in input.iter().enumerate() {
        let before = values.len();
        error = decoder.feed(std::slice::from_ref(byte), &mut values).err();
        if error.is_some() {
            break;
        }
        if values.len() > before {
            let bytes = &input[start..=at];
            match redis::parse_redis_value(bytes) {
                Ok(theirs) => same(&values[before], &theirs),
                Err(error) => assert!(is_lenient(bytes), "redis refuses {bytes:?}: {error}"),
            }
            start = at + 1;
        }
    }
    if values.is_empty() && redis::parse_redis_value(input).is_ok() {
        // These it reads more loosely than any server writes.
        let stricter =
            matches!(error, Some(ProtocolError::Malformed("line end" | "integer" | "length" | "push")));
        assert!(stricter, "redis takes what ends here with {error:?}");
    }
}

/// We take text that is not UTF-8, RESP2's null for these too, and a leaf below the deepest aggregate.
fn is_lenient(bytes: &[u8]) -> bool {
    let has_null = bytes.windows(2).any(|pair| matches!(pair, [b'%' | b'=' | b'!', b'-']));
    let aggregates = bytes.iter().filter(|byte| b"*~%|>".contains(byte)).count();
    std::str::from_utf8(bytes).is_err() || has_null || aggregates >= Limits::default().depth
}

/// The URL with the secret where a password stands or might be put by mistake; and whether that is between a `:` and
/// an `@`, where a URL for TCP has its password and nothing else.
fn planted(url: &str) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    let mut plant = |url, is_password| all.push((url, is_password));
    let query = if url.contains('?') { '&' } else { '?' };
    plant(format!("{url}{query}pass={SECRET}"), false);
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| !scheme.contains(':')) else {
        return all;
    };
    if scheme.to_ascii_lowercase().ends_with("unix") && rest.starts_with('/') {
        return all; // All that follows is a path, and a path is no secret.
    }
    match rest.split_once(':').and_then(|(user, rest)| Some((user, rest.split_once('@')?))) {
        Some((user, (password, rest))) => {
            plant(format!("{scheme}://{user}:{SECRET}{password}@{rest}"), true);
            plant(format!("{scheme}://{user}:{password}{SECRET}@{rest}"), true);
        }
        None => plant(format!("{scheme}://:{SECRET}@{rest}"), true),
    }
    if !rest.contains('@') {
        plant(format!("{scheme}://{SECRET}@{rest}"), false);
    }
    all
}

fn judge(url: &str) -> Option<Target> {
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(problem) => {
            assert_eq!(problem.setting(), "REDIS_URL");
            silent(url, &format!("{problem} {problem:?}"));
            return None;
        }
    };
    silent(url, &format!("{target} {target:?}"));
    assert!(target.db >= 0);
    match &target.address {
        Address::Tcp { host, port } => assert!(!host.is_empty() && *port > 0, "{target}"),
        Address::Unix(path) => assert!(path.is_absolute(), "{target}"),
        Address::Sentinel(sentinels) => {
            assert!(!sentinels.master.is_empty(), "{target}");
            assert!(sentinels.hosts.iter().all(|(host, port)| !host.is_empty() && *port > 0), "{target}");
        }
    }
    as_redis_reads_it(url, &target);
    let _ = Target::parse(&target.to_string());
    Some(target)
}

/// A URL that redis takes too means the same to it.
fn as_redis_reads_it(url: &str, ours: &Target) {
    let Ok(theirs) = url.into_connection_info() else { return };
    let address = match theirs.addr() {
        // redis asks the resolver for what is still escaped.
        ConnectionAddr::Tcp(host, port) => {
            Address::Tcp { host: percent_decode_str(host).decode_utf8_lossy().into_owned(), port: *port }
        }
        ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
        _ => return,
    };
    assert!(address == ours.address, "{url:?} is {ours}, and to redis {theirs:?}");
    let (info, theirs) = (ours.connection_info(), theirs.redis_settings());
    let who =
        |info: &RedisConnectionInfo| format!("{} {:?} {:?}", info.db(), info.username(), info.password());
    assert_eq!(who(&info), who(theirs), "{url:?} is {ours}");
}

fn silent(source: &str, printed: &str) {
    assert!(!tells(printed), "{source:?} is told by {printed:?}");
}

fn tells(printed: &str) -> bool {
    let decoded = percent_decode_str(printed).decode_utf8_lossy().to_ascii_lowercase();
    decoded.contains(&SECRET.to_ascii_lowercase())
}

/// As text, without what a URL's parser skips wherever it is.
fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(['\t', '\r', '\n'], "")
}

fn settle(variables: &[(&str, OsString)]) {
    let lookup =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    match PoolConfig::from_vars(lookup) {
        Ok(config) => {
            silent("the environment", &format!("{config:?}"));
            assert!(config.validate().is_ok() && config.target().is_ok(), "{config:?}");
            let times = [config.connect_timeout, config.socket_timeout, config.health_check_interval];
            assert!(times.iter().all(|time| (0.001..=86_400.0).contains(&time.as_secs_f64())), "{config:?}");
            assert!(
                config.max_retries <= 100 && (1..=65_535).contains(&config.max_connections),
                "{config:?}"
            );
            assert!(config.enabled || !config.required, "{config:?}");
        }
        Err(error) => {
            silent("the environment", &format!("{error} {error:?}"));
            let mut named: Vec<&str> = error.problems().iter().map(Problem::setting).collect();
            assert!(named.iter().all(|name| lookup(name).is_some_and(|value| !value.is_empty())), "{error}");
            assert!(error.problems().iter().all(|problem| !problem.expected().is_empty()), "{error}");
            let problems = named.len();
            named.sort_unstable();
            named.dedup();
            assert_eq!(named.len(), problems, "a variable is named twice: {error}");
        }
    }
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every file of a target's corpus, by which a failure is told.
    fn replay(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let files =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| check(&bytes));
            assert!(outcome.is_ok(), "the panic above came of {}", path.display());
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }

    #[test]
    fn every_reply_the_fuzzer_kept_keeps_the_codecs_promises() {
        replay("codec", super::codec);
    }

    #[test]
    fn every_url_the_fuzzer_kept_is_judged_without_telling_its_password() {
        replay("url", super::url);
    }

    #[test]
    fn whatever_the_fuzzer_kept_is_pushed_nobody_is_told_what_it_did_not_ask_for() {
        replay("push", super::push);
    }

    #[test]
    fn every_environment_the_fuzzer_kept_is_judged_without_telling_the_password() {
        replay("environment", super::environment);
    }
}
