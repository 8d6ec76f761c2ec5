//! What the fallback keeps for a cache: all that its process put and nothing that it removed, whoever asks.

mod common;

use cenote_cache::{Lookup, Tier};
use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Pool;
use common::texts;

fn roomy() -> Pool {
    Pool::embedded(FallbackLru::builder().capacity(100_000).build().unwrap())
}

#[tokio::test]
async fn what_was_put_is_read_however_many_other_keys_were_put_or_removed_since() {
    let cache = texts(&roomy(), "t").build().unwrap();
    let _ = cache.put_tagged(&0, &"0".to_owned(), &["t"]).await.unwrap();
    for key in 1..10_000 {
        let _ = cache.put(&key, &key.to_string()).await.unwrap();
        let _ = cache.remove(&(key + 100_000)).await.unwrap();
    }
    let mut missed = 0;
    for key in 1..10_000 {
        match cache.get(&key).await.unwrap() {
            Lookup::Hit(found) => assert_eq!((*found.value).as_str(), key.to_string()),
            _ => missed += 1,
        }
    }
    assert_eq!(missed, 0, "of 10,000 that were put");
    // What is removed is gone all the same.
    let _ = cache.remove(&1).await.unwrap();
    let _ = cache.put_tagged(&2, &"2".to_owned(), &["t"]).await.unwrap();
    let _ = cache.remove_tag("t").await.unwrap();
    for key in [0, 1, 2] {
        assert_eq!(cache.get(&key).await.unwrap(), Lookup::Miss { tier: Tier::Fallback }, "{key}");
    }
    let _ = cache.clear().await.unwrap();
    assert_eq!(cache.get(&3).await.unwrap(), Lookup::Miss { tier: Tier::Fallback });
}

#[tokio::test]
async fn what_was_removed_stays_so_for_a_cache_that_is_made_anew() {
    let pool = roomy();
    let made = || texts(&pool, "t").build().unwrap();
    let _ = made().put_tagged(&1, &"one".to_owned(), &["t"]).await.unwrap();
    let _ = made().put(&2, &"two".to_owned()).await.unwrap();
    assert!(made().get(&1).await.unwrap().value().is_some(), "it is kept from one to the next");
    let _ = made().remove_tag("t").await.unwrap();
    assert!(made().get(&1).await.unwrap().value().is_none(), "its tag was removed");
    let _ = made().put(&2, &"two".to_owned()).await.unwrap();
    assert!(made().get(&2).await.unwrap().value().is_some());
    let _ = made().clear().await.unwrap();
    assert!(made().get(&2).await.unwrap().value().is_none(), "everything was");
    let _ = made().put(&2, &"two".to_owned()).await.unwrap();
    assert!(made().get(&2).await.unwrap().value().is_some());
}
