//! What all caches of one namespace on one pool share: its names in Redis, its version, and what was touched.

mod conns;
mod epochs;
mod names;
mod tracker;
mod version;
pub(crate) mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cenote_pool_core::redis::aio::ConnectionLike;
use cenote_pool_core::redis::{self, Cmd, Pipeline, Value};
use cenote_pool_core::{Answer, Answers, Conn, DegradableConn, Pool, Source};
use parking_lot::Mutex;

use crate::clock::{ServerClock, now_ms};
use crate::error::Error;
use crate::journal::JournalFile;
use crate::lines::Lines;
use crate::lookup::Tier;
use crate::stats::Counters;

use conns::Conns;
pub(crate) use epochs::{Epochs, PUT, Place};
pub(crate) use names::Names;
use tracker::Tracker;
pub(crate) use version::Version;
pub(crate) use versions::Removals;
use versions::Versions;

/// A server that is another one at each attempt gets no value.
const ATTEMPTS: usize = 3;
/// What a Redis that was just waited for in vain is given to show that it is back.
const BRIEF: Duration = Duration::from_millis(25);

/// When everything or a tag of a namespace was last removed, by its prefix: what the fallback has outlives a namespace
/// that everybody let go of, and is no truer for one that is made anew.
static REMOVED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) pool: Pool,
    pub(crate) names: Names,
    /// Of what Redis has: our own changes, and those it tells of.
    pub(crate) epochs: Epochs,
    /// Of what the fallback has: our own changes alone. What happens in Redis while it answers is none of its business.
    local: Epochs,
    /// And of its tags, apart: no key's change is one of a tag.
    local_tags: Epochs,
    /// Invariant: a change is noted under this lock, and what a load brought is kept under it, after a look at the notes. So
    /// it is kept before the change is made, which then removes it, or not at all.
    keeping: Mutex<()>,
    pub(crate) versions: Versions,
    pub(crate) tracker: Tracker,
    pub(crate) clock: ServerClock,
    pub(crate) counters: Counters,
    pub(crate) lines: Lines,
    journal: Option<Arc<JournalFile>>,
    conns: Conns,
    /// Values lie as they are, and no version says whether they are valid.
    is_raw: bool,
}

impl Namespace {
    pub(crate) fn new(pool: Pool, names: Names, is_raw: bool, journal: Option<Arc<JournalFile>>) -> Self {
        let epochs = Epochs::new(1 << 15);
        let local = epochs.alike(1 << 14);
        local.touch_all_at(REMOVED.lock().get(&names.prefix).copied().unwrap_or_default());
        Self {
            local,
            local_tags: epochs.alike(1 << 10),
            keeping: Mutex::new(()),
            versions: Versions::new(epochs.place(&names.versions)),
            tracker: Tracker::new(&pool),
            clock: ServerClock::default(),
            counters: Counters::new(&names.title),
            lines: Lines::default(),
            conns: Conns::default(),
            pool,
            names,
            epochs,
            journal,
            is_raw,
        }
    }

    pub(crate) fn has_journal(&self, journal: &Arc<JournalFile>) -> bool {
        self.journal.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, journal))
    }

    fn conn(&self) -> Result<DegradableConn, Error> {
        match self.conns.take() {
            Some(conn) => Ok(conn),
            None => {
                let conn = self.pool.degradable()?;
                Ok(match self.stand_in() {
                    Some(name) => conn.with_stand_in(name),
                    None => conn,
                })
            }
        }
    }

    /// The key whose removal makes everything invalid, if there is one.
    pub(crate) fn stand_in(&self) -> Option<&[u8]> {
        (!self.is_raw).then_some(&self.names.versions)
    }

    /// Removes what an earlier process left behind, of whichever namespace; true if Redis is yet to hear of it.
    pub(crate) async fn forget(&self, names: &[Vec<u8>]) -> Result<bool, Error> {
        // The stand-in stands for nobody else's.
        let is_ours = |name: &&Vec<u8>| {
            let text = name.strip_prefix(self.names.prefix.as_bytes());
            !self.is_raw && text.is_some_and(|text| text.starts_with(b"{"))
        };
        let (ours, others): (Vec<_>, Vec<_>) = names.iter().partition(is_ours);
        let mut pending = false;
        if !ours.is_empty() {
            pending |= self.query(redis::cmd("DEL").arg(ours)).await?.pending;
        }
        if !others.is_empty() {
            pending |= self.pool.degradable()?.query(redis::cmd("DEL").arg(others)).await?.pending;
        }
        Ok(pending)
    }

    /// Redis is asked, or the fallback while it is away.
    pub(crate) async fn query(&self, cmd: &Cmd) -> Result<Answer, Error> {
        let mut conn = self.conn()?;
        let answer = conn.query(cmd).await;
        self.conns.rest(conn);
        Ok(answer?)
    }

    pub(crate) async fn query_pipeline(&self, pipeline: &Pipeline) -> Result<Answers, Error> {
        let mut conn = self.conn()?;
        let answers = conn.query_pipeline(pipeline).await;
        self.conns.rest(conn);
        Ok(answers?)
    }

    /// Keeps in the fallback what a load that began at `since` brought for `place`, unless it was changed since. False if
    /// it was, or if Redis answers; with `away` it was asked in vain just now.
    pub(crate) fn keep_locally(
        &self,
        pipeline: &Pipeline,
        (place, since): (Place, u64),
        away: bool,
    ) -> Result<bool, Error> {
        let mut conn = self.conn()?;
        let keeping = self.keeping.lock();
        let kept = self.holds_locally(place, since) && conn.run_locally(pipeline, away)?.is_some();
        drop(keeping);
        self.conns.rest(conn);
        Ok(kept)
    }

    /// The fallback answers, whether or not Redis would.
    pub(crate) fn is_local(&self) -> Result<bool, Error> {
        let conn = self.conn()?;
        let local = conn.is_local();
        self.conns.rest(conn);
        Ok(local)
    }

    /// A connection that asks Redis or fails, in the time that a degradable one gives it.
    pub(crate) fn strict(&self) -> Result<Conn, Error> {
        let conn = self.conn()?;
        let limit = conn.limit();
        self.conns.rest(conn);
        Ok(self.pool.conn().with_timeout(limit))
    }

    /// Where the fallback has just answered, Redis was waited for once: it may be back, but gets little time to show it.
    pub(crate) fn after(&self, tier: Tier, conn: Conn) -> Conn {
        if tier == Tier::Fallback { conn.with_timeout(BRIEF) } else { conn }
    }

    /// The version at this moment; none if Redis does not say.
    pub(crate) async fn version(&self) -> Version {
        let known = self.known_version();
        if known.is_known() {
            return known;
        }
        // Which server it is may turn out with the first reply.
        for _ in 0..ATTEMPTS {
            let since = self.epochs.now();
            // While the fallback answers, Redis may yet have a version that we removed: good enough to load under, but
            // L1 must not go by it.
            let may_learn = !self.is_local().unwrap_or(true);
            let run_id = self.pool.server_id();
            let make = versions::make(&self.names, run_id.as_deref(), &self.versions.left());
            let Ok(mut conn) = self.strict() else { break };
            let Ok(reply) = conn.req_packed_command(&make).await else { break };
            let version = self.accept_version(&reply);
            if version.is_known() {
                if may_learn {
                    self.versions.learn(&self.epochs, version, since);
                }
                return version;
            }
        }
        Version::NONE
    }

    fn accept_version(&self, reply: &Value) -> Version {
        // First it is noted which server this is: a generation must not be taken for the former one's.
        self.check_server();
        self.versions.accept(versions::parse(reply, self.pool.server_id().as_deref()))
    }

    /// When these tags were removed; without an answer nothing is vouched for.
    pub(crate) async fn removals(&self, tags: &[&str]) -> Removals {
        let Ok(mut conn) = self.strict() else { return Removals::default() };
        let reply = conn.req_packed_command(&Removals::ask(&self.names, tags)).await;
        reply.map(|reply| Removals::read(&reply, tags)).unwrap_or_default()
    }

    /// What Redis said of the version to whoever asked at `since`.
    pub(crate) fn note_version(&self, reply: &Value, since: u64) -> Version {
        let version = self.accept_version(reply);
        if version.is_known() {
            self.versions.learn(&self.epochs, version, since);
        }
        version
    }

    /// What is known without asking.
    pub(crate) fn known_version(&self) -> Version {
        if self.tracker.is_live(now_ms()) { self.versions.known() } else { Version::NONE }
    }

    /// Asks the server for its time now and then; without an answer ages are told by what is known.
    pub(crate) async fn learn_time(&self) {
        if !self.clock.is_due() {
            return;
        }
        let asked = now_ms();
        if let Ok(mut conn) = self.strict()
            && let Ok(reply) = conn.req_packed_command(&redis::cmd("TIME")).await
        {
            self.clock.learn(&reply, asked);
        }
    }

    /// Redis came back as another process or with another history: nothing that was read from the one before holds.
    pub(crate) fn check_server(&self) {
        let changes = self.pool.server_changes();
        if self.versions.is_of_another_server(changes) {
            // Noted last: whoever finds it noted finds everything forgotten.
            self.touch_all();
            self.versions.note_server(changes);
        }
    }

    pub(crate) fn touch_all(&self) {
        self.versions.forget(|| self.epochs.touch_all());
    }

    /// We change this.
    pub(crate) fn touch(&self, place: Place) {
        let _keeping = self.keeping.lock();
        self.epochs.touch(place);
        self.local.touch(place);
    }

    /// We change everything.
    pub(crate) fn clear(&self) {
        let _keeping = self.keeping.lock();
        self.local.touch_all();
        self.touch_all();
        self.note_removal();
    }

    fn note_removal(&self) {
        REMOVED.lock().insert(self.names.prefix.clone(), self.epochs.now());
    }

    /// What the fallback has of this key, of this number and with these tags, is as we left it.
    pub(crate) fn is_true_locally<'a>(
        &self,
        place: Place,
        serial: u64,
        mut tags: impl Iterator<Item = &'a str>,
    ) -> bool {
        let since = serial & !PUT;
        let own = if serial == since { self.local.holds(place, since) } else { self.local.all_hold(since) };
        own && tags.all(|tag| self.local_tags.is_untouched(self.tag_place(tag), since))
    }

    /// Nobody here has changed this key since.
    pub(crate) fn holds_locally(&self, place: Place, since: u64) -> bool {
        self.local.holds(place, since)
    }

    /// A load that began at `since` is good enough for whoever asks now: nothing was written or removed meanwhile, as far
    /// as this process knows. That it missed something of everything is no reason to load everything twice.
    pub(crate) fn may_join(&self, place: Place, since: u64) -> bool {
        self.epochs.is_untouched(place, since)
            && self.local.holds(place, since)
            && self.local_tags.all_hold(since)
    }

    /// A key changed, as Redis tells.
    fn touch_name(&self, name: &[u8]) {
        if name == self.names.versions {
            self.versions.forget(|| self.epochs.touch(self.versions.place()));
        } else if !Names::is_fence(name) {
            // A fence tells nothing of its value.
            self.epochs.touch(self.epochs.place(name));
        }
    }

    /// Where removals of `tag` are noted for what only this process knows of.
    pub(crate) fn tag_place(&self, tag: &str) -> Place {
        self.epochs.place(&[self.names.tags.as_slice(), tag.as_bytes()].concat())
    }

    pub(crate) fn touch_tag(&self, tag: Place) {
        self.versions.forget(|| self.epochs.touch(self.versions.place()));
        self.local_tags.touch(tag);
        // Of everything at once `may_join` alone asks: a value with other tags stays true.
        self.local_tags.touch_all();
        self.note_removal();
    }

    /// Sees to it that Redis tells of changes, for L1.
    pub(crate) fn ensure_tracking(self: &Arc<Self>) {
        self.tracker.ensure(self);
    }

    /// Nothing may be read before what an earlier process left behind was removed.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        match &self.journal {
            Some(journal) => journal.replay(self).await,
            None => Ok(()),
        }
    }

    /// These keys are to be removed in Redis, and are not yet; or they were, and so was all that came before.
    pub(crate) async fn record(&self, pending: bool, names: &[&[u8]]) -> Result<(), Error> {
        match &self.journal {
            Some(journal) => journal.record(self, pending, names).await,
            None => Ok(()),
        }
    }
}

/// Redis answered, and not the fallback.
pub(crate) fn is_redis(source: Source) -> bool {
    source == Source::Redis
}

#[cfg(test)]
mod tests {
    use cenote_fallback_lru::FallbackLru;
    use cenote_testkit::Server;

    use super::*;

    #[tokio::test]
    async fn while_the_fallback_answers_no_version_is_learned_that_was_perhaps_removed() {
        let server = Server::start();
        let pool = Pool::builder().url(server.url()).fallback(FallbackLru::default()).build().unwrap();
        let namespace = Namespace::new(pool.clone(), Names::new("t", 1), false, None);
        // The first reply tells which server this is, and is not learned from.
        let _ = namespace.version().await;
        let version = namespace.version().await;
        assert!(version.is_known() && namespace.versions.known() == version);
        // Redis answers all the while, and will not remove what it is told to.
        server.observer().get::<()>(&["ACL", "SETUSER", "default", "-del", "-unlink"]);
        let removal = redis::pipe().cmd("DEL").arg(&namespace.names.versions).clone();
        assert!(pool.degradable().unwrap().run_locally(&removal, true).unwrap().unwrap().pending);
        namespace.touch_all();
        let begun = namespace.version().await;
        assert!(namespace.is_local().unwrap());
        assert_eq!(begun, version, "good enough to load under");
        assert!(!namespace.versions.known().is_known(), "and not to answer by");
    }
}
