//! Settings without an end, and servers that are full or give few rights.

mod common;

use std::time::Duration;

use cenote_cache::{Event, Lookup, Tier, Written};
use cenote_testkit::{Log, Server, eventually_async};
use common::{SOON, Source, patient, text, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_without_an_end_are_limits_like_others() {
    let server = Server::start();
    let pool = patient(server.url());
    let limits = || texts(&pool, "t").hard_timeout(Duration::MAX).soft_timeout(Duration::MAX);
    // Just less than what is for ever.
    let nearly = Duration::from_secs(u64::MAX / 1000);
    let endless = || limits().ttl(Duration::MAX).l1_ttl(nearly).wait_for_others(Duration::MAX);
    let cache = endless().l1(usize::MAX, usize::MAX).build().unwrap();
    let source = Source::default();
    assert_eq!(text(cache.get_or_load(&1, source.load("one")).await), "one");
    assert_eq!(text(cache.get_or_load(&1, source.load("two")).await), "one");
    let load = |keys: Vec<u64>| async move {
        Ok::<_, std::io::Error>(keys.into_iter().map(|key| (key, key.to_string())).collect())
    };
    assert_eq!(cache.get_or_load_many(&[1, 2], load).await.unwrap().len(), 2);
    assert_eq!(text(cache.get_or_load(&2, source.load("two")).await), "2");
    assert_eq!((source.asked(), cache.stats().not_stored), (1, 0));
    eventually_async(SOON, "L1 answers", || async { cache.get(&1).await.unwrap().tier() == Tier::L1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_full_still_removes() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t").build().unwrap();
    for key in [1, 2, 3] {
        let _ = cache.put_tagged(&key, &"old".to_owned(), &[format!("{key}")]).await.unwrap();
    }
    server.observer().get::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(cache.put(&1, &"new".to_owned()).await.is_err(), "it is full");
    assert_eq!(cache.remove(&1).await.unwrap(), Written::Applied);
    assert!(cache.get(&1).await.unwrap().value().is_none());
    assert_eq!(cache.remove_tag("2").await.unwrap(), Written::Applied);
    assert!(cache.get(&2).await.unwrap().value().is_none());
    assert_eq!(cache.clear().await.unwrap(), Written::Applied);
    assert!(cache.get(&3).await.unwrap().value().is_none());
}

/// Those that the page on the cache names.
fn rights() -> Vec<String> {
    let page = include_str!("../../../docs/cache.md");
    let text = page.split("An ACL needs").nth(1).unwrap();
    let words: Vec<String> = text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rights = words.iter().filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == ' '));
    rights.map(|command| format!("+{}", command.to_lowercase().replace(' ', "|"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_rights_that_the_page_names_can_do_it_all() {
    let server = Server::start();
    let observer = server.observer();
    let mut user: Vec<String> =
        ["ACL", "SETUSER", "app", "on", ">pw", "~t:*", "&*", "-@all"].map(str::to_owned).into();
    user.extend(rights());
    let words: Vec<&str> = user.iter().map(String::as_str).collect();
    observer.get::<()>(&words);
    let url = server.url().replace("redis://", "redis://app:pw@");
    let cache = texts(&patient(url), "t").l1(100, 1 << 20).build().unwrap();
    let source = Source::default();
    assert_eq!(text(cache.get_or_load(&1, source.load("one")).await), "one");
    eventually_async(SOON, "L1 answers", || async { cache.get(&1).await.unwrap().tier() == Tier::L1 }).await;
    let _ = cache.put_tagged(&1, &"one".to_owned(), &["a"]).await.unwrap();
    let _ = cache.put_tagged(&2, &"two".to_owned(), &["b"]).await.unwrap();
    let _ = cache.remove_tag("a").await.unwrap();
    assert!(cache.get(&1).await.unwrap().value().is_none());
    assert!(cache.get(&2).await.unwrap().value().is_some());
    let _ = cache.remove(&2).await.unwrap();
    let failing = |_| async { Err::<Option<String>, _>(std::io::Error::other("no source")) };
    assert!(cache.get_or_load(&3, failing).await.is_err());
    let _ = cache.clear().await.unwrap();
    let denied = format!("{:?}", observer.command(&["ACL", "LOG"]).unwrap());
    assert!(!denied.contains("lua") && !denied.contains("info\\\""), "{denied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_not_be_told_of_changes_has_no_l1_and_a_warning_says_so() {
    let server = Server::start();
    let log = Log::capture();
    server.observer().get::<()>(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">pw",
        "~*",
        "&*",
        "+@all",
        "-client|tracking",
    ]);
    let url = server.url().replace("redis://", "redis://app:pw@");
    let cache = texts(&patient(url), "may-not-track").l1(100, 1 << 20).build().unwrap();
    let _ = cache.put(&1, &"one".to_owned()).await.unwrap();
    eventually_async(SOON, "the warning", || async {
        assert_eq!(cache.get(&1).await.unwrap().tier(), Tier::L2);
        log.text().contains("may-not-track")
    })
    .await;
    // As soon as it may, it has one.
    server.observer().get::<()>(&["ACL", "SETUSER", "app", "+client|tracking"]);
    eventually_async(SOON, "L1 answers", || async { cache.get(&1).await.unwrap().tier() == Tier::L1 }).await;
    assert_eq!(log.text().lines().filter(|line| line.contains("may-not-track")).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_is_called_is_told_to_the_listener_and_not_to_the_log() {
    let server = Server::start();
    let log = Log::capture();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = told.clone();
    let cache: cenote_cache::Cache<String, String> =
        cenote_cache::Cache::builder(&patient(server.url()), "people")
            .stale(common::MINUTE)
            .jitter(0.0)
            .on_event(move |event| {
                let (Event::Corrupt { name, .. }
                | Event::NotStored { name, .. }
                | Event::RefreshFailed { name, .. }) = event
                else {
                    return;
                };
                listener.lock().unwrap().push(name.clone());
            })
            .build()
            .unwrap();
    let key = "ada@example.org".to_owned();
    let name = cache.name(&key);
    server.observer().get::<()>(&["SET", &name, "torn"]);
    assert!(cache.get(&key).await.unwrap().value().is_none());
    let briefly = |cx: cenote_cache::Cx<String>| async move {
        cx.ttl(Duration::from_millis(1));
        Ok::<_, std::io::Error>(Some("ada".to_owned()))
    };
    let _ = cache.get_or_load(&key, briefly).await.unwrap();
    let failing = |_| async { Err::<Option<String>, _>(std::io::Error::other("no source")) };
    eventually_async(SOON, "a refresh fails", || async {
        let _ = cache.get_or_load(&key, failing).await;
        log.text().contains("could not be loaded anew")
    })
    .await;
    let told = told.lock().unwrap();
    assert!(told.len() >= 2 && told.iter().all(|told| *told == name), "{told:?}");
    let text = log.text();
    assert!(text.contains("a value could not be read"));
    assert!(!text.contains("ada@example.org"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_tagged_keys_are_asked_for_at_once_their_tags_are_not_asked_for_one_by_one() {
    let server = Server::start();
    let observer = server.observer();
    let cache = texts(&patient(server.url()), "t").build().unwrap();
    for key in 0..100 {
        let tags = [format!("odd-{}", key % 2), format!("own-{key}")];
        let _ = cache.put_tagged(&key, &key.to_string(), &tags).await.unwrap();
    }
    for tag in ["odd-1", "own-4"] {
        let _ = cache.remove_tag(tag).await.unwrap();
    }
    let keys: Vec<u64> = (0..100).collect();
    observer.reset_stats();
    let load = |missing: Vec<u64>| async move {
        assert_eq!(missing.len(), 51);
        Ok::<_, std::io::Error>(std::collections::HashMap::new())
    };
    let found = cache.get_or_load_many(&keys, load).await.unwrap();
    assert!(found.len() == 49 && found.keys().all(|key| key % 2 == 0 && *key != 4));
    // Once to look, and once behind the fences, where another may have been quicker.
    assert_eq!((observer.calls("mget"), observer.calls("hmget")), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_tells_an_age_that_is_older_than_this_machine_and_takes_limits_without_an_end() {
    let server = Server::start();
    let builder = texts(&patient(server.url()), "t").ttl(Duration::MAX).l1_ttl(Duration::MAX / 2);
    let cache = builder.l1(100, 1 << 20).build().unwrap();
    let _ = cache.put(&1, &"old".to_owned()).await.unwrap();
    let mut entry: Vec<u8> = server.observer().get(&["GET", &cache.name(&1)]);
    let years = Duration::from_secs(100 * 365 * 86_400);
    // When it was born, and the checksum over that.
    let born = u64::from_le_bytes(entry[4..12].try_into().unwrap()).saturating_sub(years.as_millis() as u64);
    entry[4..12].copy_from_slice(&born.to_le_bytes());
    let end = entry.len() - 4;
    let checksum = crc32fast::hash(&entry[..end]).to_le_bytes();
    entry[end..].copy_from_slice(&checksum);
    server.observer().command(&[b"SET", cache.name(&1).as_bytes(), &entry]).unwrap();
    let ages = || async {
        match cache.get(&1).await.unwrap() {
            Lookup::Hit(found) => (found.tier, found.age),
            other => panic!("{other:?}"),
        }
    };
    let told = ages().await.1;
    eventually_async(SOON, "L1 answers", || async { ages().await.0 == Tier::L1 }).await;
    let (_, by_l1) = ages().await;
    assert!(by_l1 >= told && by_l1 - told < SOON, "{told:?}, then {by_l1:?}");
}

#[cfg(feature = "lz4")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_weighs_values_as_they_are_and_not_as_they_were_compressed() {
    let server = Server::start();
    let builder =
        texts(&patient(server.url()), "t").compression(cenote_cache::Compression::Lz4 { above: 100 });
    let cache = builder.l1(1000, 1 << 20).build().unwrap();
    let large = "a".repeat(100_000);
    for key in 0..30 {
        let _ = cache.put(&key, &large).await.unwrap();
    }
    let is_told = || async {
        let _ = cache.get(&0).await.unwrap();
        cache.stats().l1_entries > 0
    };
    eventually_async(SOON, "L1 has something", is_told).await;
    for key in 0..30 {
        assert!(cache.get(&key).await.unwrap().value().is_some());
    }
    let stats = cache.stats();
    assert!((1..=10).contains(&stats.l1_entries) && stats.l1_bytes <= 1 << 20, "{stats:?}");
}
