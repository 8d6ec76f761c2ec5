//! The contract holds on a real server over both protocols. What fails here is wrong with the contract.

use std::sync::LazyLock;

use cenote_testkit::{Proxy, Server};
use redis::aio::MultiplexedConnection;

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let proxy = Proxy::to(&SERVER);
    proxy.one_byte_at_a_time(true);
    proxy
});

async fn connect(url: String) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

cenote_testkit::contract!(resp2, async || connect(SERVER.url()).await);
cenote_testkit::contract!(resp3, async || connect(SERVER.url() + "?protocol=resp3").await);
cenote_testkit::contract!(
    in_single_bytes,
    async || connect(PROXY.url() + "?protocol=resp3").await,
    [strings, counters, hashes, sets, lists, errors, transactions]
);
