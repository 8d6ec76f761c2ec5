//! A stage for outages: one process behind a proxy and others beside it, four groups of values, and what is to be so
//! before, in and after the outage.
#![allow(dead_code, reason = "each test file takes what it needs")]

use cenote_cache::{Cache, Lookup, Tier, Written};
use cenote_pool_core::{Pool, PoolBuilder, State};
use cenote_testkit::{Proxy, Server, eventually_async, within};

use crate::common::{MINUTE, SOON, builder, pool};

pub(crate) const OVERWRITTEN: u64 = 1;
pub(crate) const REMOVED: u64 = 2;
pub(crate) const UNTOUCHED: u64 = 3;

/// The caches of one process. What stands for a clear in an outage (a tag's removal does) has a namespace of its own.
pub(crate) struct Caches {
    pub(crate) pool: Pool,
    pub(crate) keys: Cache<u64, String>,
    pub(crate) tagged: Cache<u64, String>,
    pub(crate) cleared: Cache<u64, String>,
}

impl Caches {
    pub(crate) fn on(pool: Pool, l1: bool) -> Self {
        let cache = |namespace| {
            let builder = Cache::builder(&pool, namespace).ttl(MINUTE).jitter(0.0);
            if l1 { builder.l1(1000, 1 << 20) } else { builder }.build().unwrap()
        };
        Self { keys: cache("keys"), tagged: cache("tagged"), cleared: cache("cleared"), pool }
    }

    /// A process that starts now.
    pub(crate) fn fresh(server: &Server) -> Self {
        Self::on(pool(server.url()), false)
    }

    pub(crate) async fn seed(&self, value: &str) {
        let value = value.to_owned();
        for key in [OVERWRITTEN, REMOVED, UNTOUCHED] {
            assert_eq!(self.keys.put(&key, &value).await.unwrap(), Written::Applied);
            assert_eq!(self.cleared.put(&key, &value).await.unwrap(), Written::Applied);
            assert_eq!(self.tagged.put_tagged(&key, &value, &["t"]).await.unwrap(), Written::Applied);
        }
    }

    fn all(&self) -> [(&'static str, &Cache<u64, String>); 3] {
        [("keys", &self.keys), ("tagged", &self.tagged), ("cleared", &self.cleared)]
    }

    /// Every value that is overwritten or removed in the outage, and by which name.
    pub(crate) async fn read(&self) -> Vec<(String, Lookup<String>)> {
        let mut found = Vec::new();
        for (name, cache) in self.all() {
            for key in [OVERWRITTEN, REMOVED, UNTOUCHED] {
                if name != "keys" || key != UNTOUCHED {
                    found.push((format!("{name} {key}"), cache.get(&key).await.unwrap()));
                }
            }
        }
        found
    }

    /// Nobody reads any of them.
    pub(crate) async fn reads_nothing(&self, who: &str) {
        for (name, found) in self.read().await {
            assert!(found.value().is_none(), "{who} reads {name}: {found:?}");
        }
    }

    pub(crate) async fn reads_everything(&self, value: &str) -> bool {
        let found = self.read().await;
        found.iter().all(|(_, found)| found.value().is_some_and(|found| found.as_str() == value))
    }
}

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    /// Loses its server.
    pub(crate) ours: Caches,
    /// Reaches the server past the proxy, without and with an L1.
    pub(crate) theirs: Caches,
    pub(crate) listening: Caches,
}

impl Stage {
    pub(crate) async fn on(server: Server) -> Self {
        Self::with(server, |pool| pool).await
    }

    pub(crate) async fn with(server: Server, settings: impl FnOnce(PoolBuilder) -> PoolBuilder) -> Self {
        let proxy = Proxy::to(&server);
        let ours = Caches::on(settings(builder(proxy.url())).build().unwrap(), true);
        let theirs = Caches::fresh(&server);
        let listening = Caches::on(pool(server.url()), true);
        let stage = Self { server, proxy, ours, theirs, listening };
        stage.seed("old").await;
        stage
    }

    /// Stores `value` everywhere; both processes with an L1 have it there.
    pub(crate) async fn seed(&self, value: &str) {
        self.ours.seed(value).await;
        for caches in [&self.ours, &self.listening] {
            eventually_async(SOON, "L1 has everything", || async {
                let in_l1 = |found: &Lookup<String>| found.tier() == Tier::L1;
                caches.reads_everything(value).await
                    && caches.read().await.iter().all(|(_, found)| in_l1(found))
            })
            .await;
        }
        assert!(self.theirs.reads_everything(value).await);
    }

    /// No way through the proxy any more.
    pub(crate) async fn cut_off(&self) {
        self.proxy.refuse_after_accept(true);
        self.proxy.cut();
        self.is_away().await;
    }

    pub(crate) async fn is_away(&self) {
        let mut states = self.ours.pool.state_changes();
        within(SOON, states.wait_for(|state| matches!(state, State::Degraded { .. }))).await.unwrap();
    }

    /// What is put, removed, tag-removed and cleared is pending, and this process acts by it.
    pub(crate) async fn write_in_the_outage(&self) {
        let Caches { keys, tagged, cleared, .. } = &self.ours;
        let pending = |written, what: &str| assert_eq!(written, Written::Pending, "{what}");
        let new = "new".to_owned();
        pending(keys.put(&OVERWRITTEN, &new).await.unwrap(), "put");
        pending(keys.remove(&REMOVED).await.unwrap(), "remove");
        pending(tagged.remove_tag("t").await.unwrap(), "remove_tag");
        pending(cleared.clear().await.unwrap(), "clear");
        reads_from_fallback(keys, OVERWRITTEN, Some("new")).await;
        reads_from_fallback(keys, REMOVED, None).await;
        for key in [OVERWRITTEN, REMOVED, UNTOUCHED] {
            reads_from_fallback(tagged, key, None).await;
            reads_from_fallback(cleared, key, None).await;
        }
        // Its own values of this outage end by its own removals alone.
        for cache in [tagged, cleared] {
            pending(cache.put_tagged(&REMOVED, &new, &["t"]).await.unwrap(), "put_tagged");
            reads_from_fallback(cache, REMOVED, Some("new")).await;
        }
        others_tags_leave_it(tagged).await;
        pending(tagged.remove_tag("t").await.unwrap(), "remove_tag");
        pending(cleared.clear().await.unwrap(), "clear");
        reads_from_fallback(tagged, REMOVED, None).await;
        reads_from_fallback(cleared, REMOVED, None).await;
        pending(cleared.put(&OVERWRITTEN, &new).await.unwrap(), "put");
        reads_from_fallback(cleared, OVERWRITTEN, Some("new")).await;
        assert!(self.ours.pool.journal_status().pending_keys > 0);
    }

    /// The server, which our process does not reach, has all the old values under their names.
    pub(crate) fn old_values_are_in_redis(&self) {
        let observer = self.server.observer();
        for (name, cache) in self.ours.all() {
            for key in [OVERWRITTEN, REMOVED, UNTOUCHED] {
                let bytes: Vec<u8> = observer.get(&["GET", &cache.name(&key)]);
                assert!(bytes.windows(5).any(|part| part == b"\"old\""), "{name} {key}");
            }
        }
    }

    /// They can still be read by a process that starts in the outage.
    pub(crate) async fn others_still_read_the_old_values(&self) {
        assert!(Caches::fresh(&self.server).reads_everything("old").await);
        assert!(self.theirs.reads_everything("old").await);
    }

    /// Once the replay has finished nobody reads anything of what was overwritten or removed, nor ever again.
    pub(crate) async fn nobody_reads_old_values(&self) {
        replayed(&self.ours.pool).await;
        self.ours.reads_nothing("the process of the outage").await;
        self.theirs.reads_nothing("another process").await;
        Caches::fresh(&self.server).reads_nothing("a process that starts afterwards").await;
        eventually_async(SOON, "the removals are told to the other L1", || async {
            self.listening.read().await.iter().all(|(_, found)| found.value().is_none())
        })
        .await;
        for _ in 0..20 {
            self.ours.reads_nothing("the process of the outage, later").await;
            self.listening.reads_nothing("another process with an L1, later").await;
        }
    }

    /// What nobody touched is still there.
    pub(crate) async fn the_untouched_is_read(&self) {
        for caches in [&self.ours, &self.theirs, &self.listening, &Caches::fresh(&self.server)] {
            assert_eq!(value(&caches.keys, UNTOUCHED).await.as_deref(), Some("old"));
        }
    }

    /// After the outage all is as ever.
    pub(crate) async fn values_are_stored_again(&self) {
        self.ours.seed("later").await;
        for caches in [&self.theirs, &self.ours, &Caches::fresh(&self.server)] {
            assert!(caches.reads_everything("later").await);
        }
    }
}

/// One tag in a thousand shares its place with another, which costs a read: of three, two must leave the value alone.
async fn others_tags_leave_it(tagged: &Cache<u64, String>) {
    let mut left = 0;
    for other in ["other", "another", "a third"] {
        assert_eq!(tagged.put_tagged(&REMOVED, &"new".to_owned(), &["t"]).await.unwrap(), Written::Pending);
        assert_eq!(tagged.remove_tag(other).await.unwrap(), Written::Pending);
        left += usize::from(value(tagged, REMOVED).await.is_some());
    }
    assert!(left >= 2, "{left} of 3");
    let _ = tagged.put_tagged(&REMOVED, &"new".to_owned(), &["t"]).await.unwrap();
}

pub(crate) async fn value(cache: &Cache<u64, String>, key: u64) -> Option<String> {
    cache.get(&key).await.unwrap().value().map(ToString::to_string)
}

pub(crate) async fn reads_from_fallback(cache: &Cache<u64, String>, key: u64, expected: Option<&str>) {
    let found = cache.get(&key).await.unwrap();
    assert_eq!(found.value().map(|value| value.as_str()), expected, "{key}: {found:?}");
    assert_eq!(found.tier(), Tier::Fallback, "{key}");
}

/// Nothing is pending, and this process asks Redis again.
pub(crate) async fn replayed(pool: &Pool) {
    let mut states = pool.state_changes();
    within(SOON, states.wait_for(|state| *state == State::Ready)).await.unwrap();
    eventually_async(SOON, "the journal is replayed", || async {
        let status = pool.journal_status();
        !status.local && status.pending_keys == 0
    })
    .await;
}
