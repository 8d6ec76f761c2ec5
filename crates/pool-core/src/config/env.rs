//! The configuration as the environment gives it.

use std::ffi::OsString;
use std::time::Duration;

use super::{ConfigError, PoolConfig, Problem};

const SECONDS: &str = "a number of seconds above 0, such as 5 or 0.5";

impl PoolConfig {
    /// Reads `REDIS_URL`, `REDIS_ENABLED`, `REDIS_REQUIRED`, `REDIS_CONNECT_TIMEOUT`, `REDIS_SOCKET_TIMEOUT`,
    /// `REDIS_MAX_RETRIES`, `REDIS_MAX_CONNECTIONS`, `REDIS_HEALTH_CHECK_INTERVAL`,
    /// `REDIS_CONNECTION_MAX_AGE`, `REDIS_CLIENT_NAME`, for Sentinel `REDIS_SENTINEL_USERNAME` and `REDIS_SENTINEL_PASSWORD`, and for TLS `REDIS_TLS_CA_FILE`,
    /// `REDIS_TLS_CERT_FILE`, `REDIS_TLS_KEY_FILE` and `REDIS_TLS_SERVER_NAME`. A variable that is not set, or empty,
    /// leaves the default.
    ///
    /// # Errors
    ///
    /// Every variable that cannot be used, at once.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(|name| std::env::var_os(name))
    }

    /// [`from_env`](Self::from_env) over any source of variables.
    ///
    /// # Errors
    ///
    /// Every variable that cannot be used, at once.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let mut config = Self::default();
        reader.text("REDIS_URL", |text| {
            config.url = text.to_owned();
            Ok(())
        });
        for (name, login) in [
            ("REDIS_SENTINEL_USERNAME", &mut config.sentinel_username),
            ("REDIS_SENTINEL_PASSWORD", &mut config.sentinel_password),
        ] {
            reader.text(name, |text| set(login, Ok(Some(text.to_owned()))));
        }
        for (name, file) in [
            ("REDIS_TLS_CA_FILE", &mut config.tls_ca_file),
            ("REDIS_TLS_CERT_FILE", &mut config.tls_cert_file),
            ("REDIS_TLS_KEY_FILE", &mut config.tls_key_file),
        ] {
            reader.text(name, |text| set(file, Ok(Some(text.into()))));
        }
        reader.text("REDIS_TLS_SERVER_NAME", |text| {
            set(&mut config.tls_server_name, Ok(Some(text.to_owned())))
        });
        reader.text("REDIS_ENABLED", |text| set(&mut config.enabled, switch(text)));
        reader.text("REDIS_REQUIRED", |text| set(&mut config.required, switch(text)));
        reader.text("REDIS_CONNECT_TIMEOUT", |text| set(&mut config.connect_timeout, seconds(text)));
        reader.text("REDIS_SOCKET_TIMEOUT", |text| set(&mut config.socket_timeout, seconds(text)));
        reader.text("REDIS_MAX_RETRIES", |text| {
            set(&mut config.max_retries, text.parse().map_err(|_| "a whole number from 0 to 100"))
        });
        reader.text("REDIS_MAX_CONNECTIONS", |text| {
            set(&mut config.max_connections, text.parse().map_err(|_| "a whole number from 1 to 65535"))
        });
        reader.text("REDIS_HEALTH_CHECK_INTERVAL", |text| {
            set(&mut config.health_check_interval, seconds(text))
        });
        reader.text("REDIS_CLIENT_NAME", |text| set(&mut config.client_name, Ok(Some(text.to_owned()))));
        reader.text("REDIS_CONNECTION_MAX_AGE", |text| {
            set(&mut config.connection_max_age, seconds(text).map(Some))
        });
        let mut problems = reader.problems;
        let seen: Vec<String> = problems.iter().map(|problem| problem.setting().to_owned()).collect();
        problems.extend(config.problems().into_iter().filter(|p| !seen.iter().any(|s| s == p.setting())));
        ConfigError::check(problems)?;
        Ok(config)
    }
}

struct Reader<F> {
    lookup: F,
    problems: Vec<Problem>,
}

impl<F: Fn(&str) -> Option<OsString>> Reader<F> {
    fn text(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<(), &'static str>) {
        let Some(raw) = (self.lookup)(name).filter(|raw| !raw.is_empty()) else { return };
        match raw.to_str().map(str::trim) {
            None => self.problems.push(Problem::new(name, "not valid Unicode", "text")),
            Some(text) => {
                if let Err(expected) = read(text) {
                    // No variable read here by `read` holds a secret; REDIS_URL is judged elsewhere.
                    self.problems.push(Problem::new(name, format!("{text:?}"), expected));
                }
            }
        }
    }
}

fn set<T>(field: &mut T, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *field = value?;
    Ok(())
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false"),
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let number: f64 = text.parse().map_err(|_| SECONDS)?;
    Duration::try_from_secs_f64(number).map_err(|_| SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<PoolConfig, ConfigError> {
        PoolConfig::from_vars(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn every_variable_is_read_and_fractions_of_a_second_count() {
        let config = read(&[
            ("REDIS_URL", "redis://cache:7000/2"),
            ("REDIS_ENABLED", "no"),
            ("REDIS_REQUIRED", "OFF"),
            ("REDIS_CONNECT_TIMEOUT", "0.25"),
            ("REDIS_SOCKET_TIMEOUT", "2"),
            ("REDIS_MAX_RETRIES", "0"),
            ("REDIS_MAX_CONNECTIONS", "7"),
            ("REDIS_HEALTH_CHECK_INTERVAL", ""),
            ("REDIS_CONNECTION_MAX_AGE", "3600"),
            ("REDIS_CLIENT_NAME", "shop-1"),
        ])
        .unwrap();
        assert_eq!(config.url, "redis://cache:7000/2");
        assert!(!config.enabled && !config.required);
        assert_eq!(config.connect_timeout, Duration::from_millis(250));
        assert_eq!(config.socket_timeout, Duration::from_secs(2));
        assert_eq!((config.max_retries, config.max_connections), (0, 7));
        assert_eq!(config.health_check_interval, Duration::from_secs(30));
        assert_eq!(config.client_name.as_deref(), Some("shop-1"));
        assert_eq!(config.connection_max_age, Some(Duration::from_secs(3_600)));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_with_its_variable_value_and_remedy() {
        let error = read(&[
            ("REDIS_URL", "redis://:hunter2@host:70000"),
            ("REDIS_ENABLED", "perhaps"),
            ("REDIS_CONNECT_TIMEOUT", "-1"),
            ("REDIS_SOCKET_TIMEOUT", "NaN"),
            ("REDIS_HEALTH_CHECK_INTERVAL", "soon"),
            ("REDIS_CONNECTION_MAX_AGE", "0"),
            ("REDIS_CLIENT_NAME", "two words"),
            ("REDIS_MAX_CONNECTIONS", "0"),
            ("REDIS_MAX_RETRIES", "-3"),
        ])
        .unwrap_err();
        let text = error.to_string();
        assert_eq!(error.problems().len(), 9, "{text}");
        for part in [
            "REDIS_URL",
            "REDIS_ENABLED is \"perhaps\", but must be true or false",
            "REDIS_CONNECT_TIMEOUT is \"-1\"",
            "REDIS_SOCKET_TIMEOUT is \"NaN\"",
            "REDIS_HEALTH_CHECK_INTERVAL is \"soon\", but must be a number of seconds above 0",
            "REDIS_CLIENT_NAME is \"two words\", but must be printable ASCII",
            "REDIS_CONNECTION_MAX_AGE is 0 s, but must be a number of seconds above 0",
            "REDIS_MAX_CONNECTIONS is 0, but must be a whole number from 1 to 65535",
            "REDIS_MAX_RETRIES is \"-3\"",
        ] {
            assert!(text.contains(part), "{part} is missing from: {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }
}
