//! Which Redis, and where that was said.

use std::env;

use cenote_pool_core::{Pool, PoolConfig, State};
use clap::Args;

use crate::exit::{Exit, Failure};

const VARIABLE: &str = "REDIS_URL";
const FLAG: &str = "--url";
const ARGUMENT: &str = "the argument URL";

const DEFAULT: &str = "the default, as neither --url nor REDIS_URL gives one";

const WHERE: &str = "Where Redis is, in place of REDIS_URL: redis://[user:password@]host[:port][/db], rediss:// for TLS, redis+sentinel://host:port,host:port/master, or unix:///path";
const DEFAULTS: &str = "Without either it is redis://localhost:6379/0. The other settings come from the environment in any \
    case: REDIS_CONNECT_TIMEOUT, REDIS_SOCKET_TIMEOUT and their like. A password is better given by REDIS_URL: arguments are \
    seen by everybody on the machine.";

/// Which Redis.
#[derive(Debug, Args)]
pub(crate) struct Redis {
    #[arg(long, value_name = "URL", help = WHERE, long_help = format!("{WHERE}\n\n{DEFAULTS}"))]
    url: Option<String>,

    /// It stood by itself.
    #[arg(skip)]
    is_bare: bool,
}

impl Redis {
    /// With a URL that stood by itself, if there is one.
    pub(crate) fn or_bare(self, url: Option<String>) -> Self {
        match url {
            Some(url) => Self { url: Some(url), is_bare: true },
            None => self,
        }
    }

    /// A pool that has connected.
    pub(crate) async fn connect(&self) -> Result<Pool, Failure> {
        let pool = Pool::builder().config(self.config()?).build();
        let pool = pool.map_err(|error| Failure::new(Exit::Usage, self.name(&error.to_string())))?;
        let state = pool.start().await;
        match state {
            Ok(State::Degraded { cause, .. }) => Err(self.unreachable(&pool, &cause)),
            Ok(_) => Ok(pool),
            Err(error) => Err(self.unreachable(&pool, &error.to_string())),
        }
    }

    pub(crate) fn config(&self) -> Result<PoolConfig, Failure> {
        // An empty variable is one that is not set. An argument is there because somebody meant something by it.
        if self.url.as_ref().is_some_and(|url| url.trim().is_empty()) {
            let message = format!("{} is empty: give a URL, or leave it out", self.given_by());
            return Err(Failure::new(Exit::Usage, message));
        }
        let config = PoolConfig::from_vars(|name| match (&self.url, name) {
            (Some(url), VARIABLE) => Some(url.into()),
            _ => env::var_os(name),
        });
        let config = config.map_err(|error| Failure::new(Exit::Usage, self.name(&error.to_string())))?;
        if !config.enabled {
            let message = "REDIS_ENABLED is false, and without Redis there is nothing to look at: unset it, or set it to true";
            return Err(Failure::new(Exit::Usage, message));
        }
        Ok(config)
    }

    fn unreachable(&self, pool: &Pool, cause: &str) -> Failure {
        let from = match self.source().as_str() {
            DEFAULT => format!("neither {FLAG} nor {VARIABLE} says where it is, so this is the default"),
            given => format!("the address is {given}"),
        };
        let message = format!("Redis cannot be reached at {}: {cause} ({from})", pool.status().url);
        Failure::new(Exit::Unreachable, message)
    }

    /// Who said where Redis is.
    pub(crate) fn source(&self) -> String {
        match (&self.url, env::var_os(VARIABLE).is_some_and(|url| !url.is_empty())) {
            (Some(_), _) => format!("that of {}", self.given_by()),
            (None, true) => format!("that of {VARIABLE}"),
            (None, false) => DEFAULT.to_owned(),
        }
    }

    /// The address by the name by which it was given.
    pub(crate) fn name(&self, message: &str) -> String {
        if self.url.is_some() { message.replace(VARIABLE, self.given_by()) } else { message.to_owned() }
    }

    fn given_by(&self) -> &'static str {
        if self.is_bare { ARGUMENT } else { FLAG }
    }
}
