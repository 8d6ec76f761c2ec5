//! A plain client that looks at a server from outside any pool.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Client, Connection, FromRedisValue, IntoConnectionInfo, RedisResult, Value};

/// The name by which observers leave themselves and each other out of what they count.
const NAME: &str = "cenote-observer";
const LIMIT: Duration = Duration::from_secs(10);

/// A blocking client on one connection of its own. It connects at its first command, and again after the server
/// was restarted; it never repeats a command.
pub struct Observer {
    client: Client,
    generation: Arc<AtomicU64>,
    connection: Mutex<Option<(u64, Connection)>>,
}

impl Observer {
    pub(super) fn new(url: &str, generation: Arc<AtomicU64>) -> Self {
        let info = url.into_connection_info().expect("the server's own URL");
        // Old servers answer the library's name with an error, which would show in their statistics.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(settings)).expect("the server's own URL");
        Self { client, generation, connection: Mutex::new(None) }
    }

    /// Runs one command.
    ///
    /// # Errors
    ///
    /// What the server answered, or that it cannot be reached or has not answered for ten seconds.
    pub fn command(&self, words: &[impl AsRef<[u8]>]) -> RedisResult<Value> {
        let mut slot = self.connection.lock();
        let generation = self.generation.load(Ordering::SeqCst);
        if slot.as_ref().is_some_and(|(connected_in, _)| *connected_in != generation) {
            *slot = None;
        }
        let connection = match &mut *slot {
            Some((_, connection)) => connection,
            empty => &mut empty.insert((generation, self.connect()?)).1,
        };
        let mut cmd = redis::Cmd::new();
        for word in words {
            cmd.arg(word.as_ref());
        }
        let result = cmd.query(connection);
        if result.as_ref().is_err_and(redis::RedisError::is_io_error) {
            *slot = None;
        }
        result
    }

    /// Runs one command and converts its reply. Panics when either fails.
    #[track_caller]
    pub fn get<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.command(words)
            .and_then(|value| Ok(redis::from_redis_value(value)?))
            .unwrap_or_else(|error| panic!("{}: {error}", words.join(" ")))
    }

    /// One line of `INFO`, for example `info("tcp_port")`, or an empty string.
    #[track_caller]
    pub fn info(&self, field: &str) -> String {
        let text: String = self.get(&["INFO", "everything"]);
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    }

    /// The fields of `CLIENT LIST` for every client but observers.
    #[track_caller]
    pub fn clients(&self) -> Vec<BTreeMap<String, String>> {
        let list: String = self.get(&["CLIENT", "LIST"]);
        list.lines()
            .map(|line| {
                let pairs = line.split(' ').filter_map(|field| field.split_once('='));
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
            })
            .filter(|client| client.get("name").is_none_or(|name| name != NAME))
            .collect()
    }

    /// The ids of all clients but observers.
    #[track_caller]
    pub fn client_ids(&self) -> Vec<u64> {
        self.clients().iter().filter_map(|client| client.get("id")?.parse().ok()).collect()
    }

    /// How many clients are connected, observers left out.
    #[track_caller]
    pub fn client_count(&self) -> usize {
        self.clients().len()
    }

    /// How often a command ran since the server started or [`reset_stats`](Self::reset_stats): `calls("get")`,
    /// `calls("client|kill")`.
    #[track_caller]
    pub fn calls(&self, command: &str) -> u64 {
        self.command_calls().get(&command.to_ascii_lowercase()).copied().unwrap_or_default()
    }

    /// How often any command ran, without those by which an observer looks: `INFO` and `CLIENT`, `CONFIG` and
    /// `AUTH`.
    #[track_caller]
    pub fn total_calls(&self) -> u64 {
        let looks = ["info", "client", "config", "auth"];
        let calls = self.command_calls();
        let others =
            calls.iter().filter(|(name, _)| !looks.contains(&name.split('|').next().unwrap_or_default()));
        others.map(|(_, count)| count).sum()
    }

    /// The calls of every command that ran, by its name in lower case.
    #[track_caller]
    pub fn command_calls(&self) -> BTreeMap<String, u64> {
        let text: String = self.get(&["INFO", "commandstats"]);
        text.lines()
            .filter_map(|line| {
                let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
                Some((name.to_owned(), stats.split(',').next()?.parse().ok()?))
            })
            .collect()
    }

    /// Sets all counters of `INFO` to zero.
    #[track_caller]
    pub fn reset_stats(&self) {
        self.get::<()>(&["CONFIG", "RESETSTAT"]);
    }

    fn connect(&self) -> RedisResult<Connection> {
        let mut connection = self.client.get_connection_with_timeout(LIMIT)?;
        connection.set_read_timeout(Some(LIMIT))?;
        connection.set_write_timeout(Some(LIMIT))?;
        redis::cmd("CLIENT").arg("SETNAME").arg(NAME).exec(&mut connection)?;
        Ok(connection)
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}
