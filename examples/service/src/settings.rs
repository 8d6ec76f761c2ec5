//! What the environment says beside Redis.

use std::env;
use std::ffi::OsString;

use crate::demo::Demo;

const DEFAULT_PORT: u16 = 3000;

/// The port to listen on: `PORT`, or 3000. With 0 the system chooses.
///
/// # Errors
///
/// A sentence for whoever set it.
pub(crate) fn port() -> Result<u16, String> {
    parse(env::var_os("PORT"))
}

fn parse(value: Option<OsString>) -> Result<u16, String> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(DEFAULT_PORT) };
    value.to_str().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        format!(
            "PORT is {value:?}, but must be a whole number from 1 to 65535, or 0 to let the system choose"
        )
    })
}

/// With `CENOTE_DEMO=1` whoever started the service reads its standard output, and owns its Redis.
pub(crate) fn demo() -> Option<Demo> {
    (env::var_os("CENOTE_DEMO")? == "1").then(Demo::on_stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_none_is_named_with_what_would_be_right() {
        assert_eq!(parse(None), Ok(3000));
        assert_eq!(parse(Some("8080".into())), Ok(8080));
        for bad in ["http", "70000", "-1", "80 80"] {
            let sentence = parse(Some(bad.into())).unwrap_err();
            assert!(sentence.contains(bad) && sentence.contains("1 to 65535"), "{sentence}");
        }
    }
}
