//! Another server under the same address, and the first one again.

mod common;

use cenote_testkit::{Proxy, Server, eventually_async};
use common::{SOON, patient, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_after_another_has_nothing_valid_from_before_it() {
    let (first, second) = (Server::start(), Server::start());
    let proxy = Proxy::to(&first);
    let pool = patient(proxy.url());
    let cache = texts(&pool, "t").build().unwrap();
    let _ = cache.put(&1, &"one".to_owned()).await.unwrap();
    let turn_to = |server: &Server| {
        proxy.set_upstream(server.addr());
        proxy.cut_clients();
    };
    turn_to(&second);
    eventually_async(SOON, "it is removed there", || async { cache.remove(&1).await.is_ok() }).await;
    eventually_async(SOON, "Redis answers", || async {
        cache.get(&1).await.unwrap().tier() == cenote_cache::Tier::L2
    })
    .await;
    assert!(second.observer().calls("mget") > 0);
    turn_to(&first);
    eventually_async(SOON, "Redis answers", || async {
        let found = cache.get(&1).await.unwrap();
        assert!(found.value().is_none(), "it was removed since");
        found.tier() == cenote_cache::Tier::L2 && first.observer().calls("mget") > 0
    })
    .await;
}
