//! The journal file: what a process was yet to have removed when it died is removed at its next start.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use cenote_cache::{Cache, Lookup, Tier, Written};
use cenote_pool_core::{Pool, State};
use cenote_testkit::{Proxy, Server, dead_port, eventually_async, within};
use common::{SOON, pool, texts};

const URL: &str = "CENOTE_TEST_JOURNAL_URL";
const PATH: &str = "CENOTE_TEST_JOURNAL_PATH";
const READY: &str = "everything is pending";

struct Caches {
    keys: Cache<u64, String>,
    tagged: Cache<u64, String>,
    cleared: Cache<u64, String>,
    raw: Cache<u64, String>,
}

/// All of a process's caches, with one journal file or none.
fn caches(pool: &Pool, journal: Option<&Path>) -> Caches {
    let builder = |namespace| match journal {
        Some(path) => texts(pool, namespace).journal_file(path),
        None => texts(pool, namespace),
    };
    Caches {
        keys: builder("keys").build().unwrap(),
        tagged: builder("tagged").build().unwrap(),
        cleared: builder("cleared").build().unwrap(),
        raw: builder("raw").raw_keys(|key| format!("theirs:{key}")).build().unwrap(),
    }
}

async fn is_away(pool: &Pool) {
    let mut states = pool.state_changes();
    within(SOON, states.wait_for(|state| matches!(state, State::Degraded { .. }))).await.unwrap();
}

async fn replayed(pool: &Pool) {
    eventually_async(SOON, "the journal is replayed", || async { !pool.journal_status().local }).await;
}

impl Caches {
    async fn seed(&self) {
        let old = "old".to_owned();
        for key in [1, 2] {
            assert_eq!(self.keys.put(&key, &old).await.unwrap(), Written::Applied);
            assert_eq!(self.raw.put(&key, &old).await.unwrap(), Written::Applied);
        }
        assert_eq!(self.tagged.put_tagged(&1, &old, &["t"]).await.unwrap(), Written::Applied);
        assert_eq!(self.cleared.put(&1, &old).await.unwrap(), Written::Applied);
    }

    async fn write_in_the_outage(&self) {
        let new = "new".to_owned();
        assert_eq!(self.keys.remove(&1).await.unwrap(), Written::Pending);
        assert_eq!(self.keys.put(&2, &new).await.unwrap(), Written::Pending);
        assert_eq!(self.raw.remove(&1).await.unwrap(), Written::Pending);
        assert_eq!(self.raw.put(&2, &new).await.unwrap(), Written::Pending);
        assert_eq!(self.tagged.remove_tag("t").await.unwrap(), Written::Pending);
        assert_eq!(self.cleared.clear().await.unwrap(), Written::Pending);
    }

    async fn values(&self) -> Vec<Option<String>> {
        let mut values = Vec::new();
        for (cache, key) in [
            (&self.keys, 1),
            (&self.keys, 2),
            (&self.raw, 1),
            (&self.raw, 2),
            (&self.tagged, 1),
            (&self.cleared, 1),
        ] {
            values.push(cache.get(&key).await.unwrap().value().map(ToString::to_string));
        }
        values
    }
}

/// What the child process runs, in this same test program; otherwise it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(url), Some(path)) = (env::var(URL), env::var_os(PATH)) else { return };
    let pool = pool(url);
    let caches = caches(&pool, Some(path.as_ref()));
    // Its server goes away once this was asked.
    let _ = caches.keys.get(&100).await.unwrap();
    println!("started");
    is_away(&pool).await;
    caches.write_in_the_outage().await;
    println!("{READY}");
    std::future::pending::<()>().await;
}

struct Process(Child);

impl Process {
    fn start(url: &str, path: &Path) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(URL, url)
            .env(PATH, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn wait_for(lines: &mut impl Iterator<Item = std::io::Result<String>>, what: &str) {
        lines.find(|line| line.as_ref().unwrap().contains(what)).expect("the child process says it").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that wrote and removed in an outage and was killed before its end; Redis has the old values.
async fn killed_in_an_outage(server: &Server, path: &Path) {
    let proxy = Proxy::to(server);
    let pool = pool(server.url());
    caches(&pool, None).seed().await;
    let mut process = Process::start(&proxy.url(), path);
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    Process::wait_for(&mut lines, "started");
    proxy.refuse_after_accept(true);
    proxy.cut();
    Process::wait_for(&mut lines, READY);
    // SIGKILL.
    drop(process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_in_an_outage_has_it_removed_at_its_next_start_before_its_first_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let server = Server::start();
    killed_in_an_outage(&server, &path).await;
    let old = || vec![Some("old".to_owned()); 6];
    let control = pool(server.url());
    assert_eq!(caches(&control, None).values().await, old(), "without the file nothing is removed");

    let pool = pool(server.url());
    let next = caches(&pool, Some(&path));
    // Whichever cache is asked first, and for whatever.
    assert_eq!(next.cleared.get(&100).await.unwrap(), Lookup::Miss { tier: Tier::L2 });
    for name in [next.keys.name(&1), next.keys.name(&2), next.raw.name(&1), next.raw.name(&2)] {
        assert!(!server.observer().get::<bool>(&["EXISTS", &name]), "{name}");
    }
    assert_eq!(next.values().await, vec![None; 6]);
    assert_eq!(caches(&control, None).values().await, vec![None; 6], "and nobody else reads it");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "nothing is left to be done");
    next.seed().await;
    assert_eq!(next.values().await, old());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn started_in_the_same_outage_it_keeps_the_file_adds_to_it_and_dies_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let server = Server::start();
    killed_in_an_outage(&server, &path).await;
    // What the death tore off.
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([200, 0, 0, 0, b'x']);
    fs::write(&path, bytes).unwrap();
    {
        let second = pool(format!("redis://{}", dead_port()));
        let caches = caches(&second, Some(&path));
        assert_eq!(caches.keys.remove(&3).await.unwrap(), Written::Pending);
        assert_eq!(caches.values().await, vec![None; 6]);
        // The process ends here, and what its pool knows with it.
    }
    let third = pool(server.url());
    let _ = caches(&third, None).keys.put(&3, &"old".to_owned()).await.unwrap();
    assert_eq!(caches(&third, None).values().await, vec![Some("old".to_owned()); 6]);
    let fourth = pool(server.url());
    let next = caches(&fourth, Some(&path));
    assert_eq!(next.values().await, vec![None; 6]);
    assert!(next.keys.get(&3).await.unwrap().value().is_none(), "what was added after the torn end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_outage_the_next_write_empties_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(proxy.url());
    let caches = caches(&pool, Some(&path));
    caches.seed().await;
    assert!(!path.exists(), "there was nothing to keep");
    proxy.refuse_after_accept(true);
    proxy.cut();
    is_away(&pool).await;
    caches.write_in_the_outage().await;
    assert!(fs::metadata(&path).unwrap().len() > 100);
    proxy.pass();
    replayed(&pool).await;
    assert_eq!(caches.values().await, vec![None; 6]);
    assert_eq!(caches.raw.put(&7, &"later".to_owned()).await.unwrap(), Written::Applied);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    // And it is used again in the next one.
    proxy.refuse_after_accept(true);
    proxy.cut();
    is_away(&pool).await;
    caches.write_in_the_outage().await;
    assert!(fs::metadata(&path).unwrap().len() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_somebody_else_is_an_error_that_says_so_and_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    fs::write(&path, "[service]\nname = x\n").unwrap();
    let server = Server::start();
    let pool = pool(server.url());
    let caches = caches(&pool, Some(&path));
    let errors = [
        caches.keys.get(&1).await.unwrap_err(),
        caches.keys.put(&1, &"x".to_owned()).await.unwrap_err(),
        caches.raw.remove(&1).await.unwrap_err(),
        caches.tagged.remove_tag("t").await.unwrap_err(),
        caches.cleared.clear().await.unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("something else"), "{text}");
        assert!(error.pool().is_none() && error.server_error().is_none());
    }
    let loaded = caches.keys.get_or_load(&1, |_| async { Ok::<_, std::io::Error>(Some("x".to_owned())) });
    assert!(loaded.await.unwrap_err().to_string().contains("something else"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "[service]\nname = x\n");
    assert_eq!(server.observer().calls("set") + server.observer().calls("del"), 0, "nothing was done");
    // Once it is out of the way, all is well.
    fs::remove_file(&path).unwrap();
    assert_eq!(caches.keys.put(&1, &"x".to_owned()).await.unwrap(), Written::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_cannot_be_written_fails_the_call_that_needs_it_and_says_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no such folder").join("journal");
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(proxy.url());
    let caches = caches(&pool, Some(&path));
    caches.seed().await;
    proxy.refuse_after_accept(true);
    proxy.cut();
    is_away(&pool).await;
    let error = caches.keys.remove(&1).await.unwrap_err().to_string();
    assert!(
        error.contains(path.to_str().unwrap()) && error.contains("it was done in this process"),
        "{error}"
    );
    assert_eq!(caches.keys.get(&1).await.unwrap(), Lookup::Miss { tier: Tier::Fallback });
    assert!(caches.keys.put(&2, &"new".to_owned()).await.is_err());
    assert_eq!(caches.keys.get(&2).await.unwrap().value().unwrap().as_str(), "new");
    proxy.pass();
    replayed(&pool).await;
    assert!(caches.keys.get(&1).await.unwrap().value().is_none(), "this process lived until then");
    assert!(caches.keys.get(&2).await.unwrap().value().is_none());
    assert_eq!(caches.keys.put(&2, &"later".to_owned()).await.unwrap(), Written::Applied);
}
