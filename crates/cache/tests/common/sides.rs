//! Real processes: this one, and others that are the test binary again, told what to do by lines on their input.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cenote_cache::{Cache, Lookup};
use cenote_pool_core::Pool;
use parking_lot::Mutex;
use redis::AsyncCommands;
use tokio::sync::oneshot;

use crate::common::patient;

const CHILD: &str = "CENOTE_TEST_CHILD";
/// What a reply begins with: a test prints other things, too.
const REPLY: &str = "=> ";

/// One process with its caches of one server; the truth is on another one.
#[derive(Clone)]
pub(crate) struct Actor {
    cache: Cache<u64, u64>,
    truth: Pool,
}

impl Actor {
    /// `ttl` in ms. With a stale window of a minute.
    pub(crate) fn new(server: &str, truth: &str, ttl: u64) -> Self {
        let cache = Cache::builder(&patient(server), "n").jitter(0.0).ttl(Duration::from_millis(ttl));
        let cache = cache.stale(Duration::from_secs(60)).build().unwrap();
        Self { cache, truth: patient(truth) }
    }

    pub(crate) async fn act(&self, text: &str) -> String {
        let words: Vec<&str> = text.split(' ').collect();
        let key = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let tags = [format!("key {key}"), "all".to_owned()];
        let written = match words[0] {
            "get" => return shown(&self.cache.get(&key).await.unwrap()),
            "load" => return self.load(key, tags, words[2].parse().unwrap()).await,
            "date" => return SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string(),
            "put" => self.cache.put_tagged(&key, &words[2].parse().unwrap(), &tags).await,
            "remove" => self.cache.remove(&key).await,
            "remove_tag" => self.cache.remove_tag(&tags[0]).await,
            "clear" => self.cache.clear().await,
            _ => panic!("{text}"),
        };
        written.map_or_else(|error| format!("failed: {error}"), |written| format!("{written:?}"))
    }

    async fn load(&self, key: u64, tags: [String; 2], seed: u64) -> String {
        let truth = self.truth.clone();
        let loaded = self.cache.get_or_load(&key, move |cx| async move {
            let mut rng = fastrand::Rng::with_seed(seed);
            let early = rng.bool();
            let say = || tags.into_iter().for_each(|tag| cx.tag(tag));
            if early {
                say();
                let number: u64 = truth.conn().get(key).await.unwrap();
                pause(&truth, rng.u32(..4)).await;
                return Ok::<_, Infallible>(Some(number));
            }
            pause(&truth, rng.u32(..2)).await;
            let number: u64 = truth.conn().get(key).await.unwrap();
            pause(&truth, rng.u32(..4)).await;
            say();
            Ok(Some(number))
        });
        loaded.await.unwrap().expect("the truth is known").to_string()
    }
}

async fn pause(pool: &Pool, questions: u32) {
    for _ in 0..questions {
        let _: () = pool.conn().ping().await.unwrap();
    }
}

/// The value, whether it is fresh, and its age in ms.
fn shown(lookup: &Lookup<u64>) -> String {
    match lookup {
        Lookup::Hit(found) => format!("{} fresh {}", found.value, found.age.as_millis()),
        Lookup::Stale(found) => format!("{} stale {}", found.value, found.age.as_millis()),
        _ => "-".to_owned(),
    }
}

pub(crate) enum Side {
    Here(Actor),
    There(Child),
}

impl Side {
    pub(crate) async fn ask(&self, text: &str) -> String {
        match self {
            Self::Here(actor) => actor.act(text).await,
            Self::There(child) => child.ask(text).await,
        }
    }
}

/// Another process, which ends with the end of its input.
pub(crate) struct Child {
    process: std::process::Child,
    input: Option<Mutex<ChildStdin>>,
    asked: Arc<Mutex<HashMap<u64, oneshot::Sender<String>>>>,
    last: AtomicU64,
}

impl Child {
    /// Runs the test `main` of this binary, which calls [`serve`].
    pub(crate) fn start(main: &str, settings: &str, environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", main, "--nocapture", "--test-threads=1"])
            .env(CHILD, settings)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = Some(Mutex::new(process.stdin.take().unwrap()));
        let output = BufReader::new(process.stdout.take().unwrap());
        let asked = Arc::<Mutex<HashMap<u64, oneshot::Sender<String>>>>::default();
        let waiting = asked.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Some((id, reply)) = line.split_once(REPLY).and_then(|(_, reply)| reply.split_once(' '))
                else {
                    continue;
                };
                if let Some(asked) = waiting.lock().remove(&id.parse().unwrap()) {
                    let _ = asked.send(reply.to_owned());
                }
            }
            // Whoever still waits is told that there is nobody any more.
            waiting.lock().clear();
        });
        Self { process, input, asked, last: AtomicU64::new(0) }
    }

    pub(crate) async fn ask(&self, text: &str) -> String {
        let id = self.last.fetch_add(1, Ordering::SeqCst);
        let (asked, reply) = oneshot::channel();
        self.asked.lock().insert(id, asked);
        writeln!(self.input.as_ref().unwrap().lock(), "{id} {text}").unwrap();
        reply.await.unwrap_or_else(|_| panic!("the other process ended before it answered {text:?}"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// The life of another process; nothing, in a run of all tests. `settings` are the words of [`Actor::new`].
pub(crate) fn serve() {
    let Ok(settings) = std::env::var(CHILD) else { return };
    let words: Vec<&str> = settings.split(' ').collect();
    let actor = Actor::new(words[0], words[1], words[2].parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let actor = actor.clone();
        runtime.spawn(async move {
            let (id, text) = line.split_once(' ').unwrap();
            let reply = actor.act(text).await;
            println!("{REPLY}{id} {reply}");
        });
    }
}
