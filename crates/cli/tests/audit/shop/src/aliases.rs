use pools::redis as raw;
use redis as r;
use redis::{self, aio, Client as RedisClient, Client};
use bb8_redis::redis::Client as Third;
pub extern crate redis as outer;

pub type Link = redis::Client;
pub type Chain = Link;
pub type Shared<T> = std::sync::Arc<T>;
pub type SharedPool = Shared<pools::Pool>;

fn paths(url: &str) {
    let _ = redis::Client::open(url); //~ client module either
    let _ = ::redis::Client::open(url); //~ client module either
    let _ = r::Client::open(url); //~ client module either
    let _ = raw::Client::open(url); //~ client module either
    let _ = RedisClient::open(url); //~ client module either
    let _ = Client::open(url); //~ client module either
    let _ = Third::open(url); //~ client module either
    let _ = outer::Client::open(url); //~ client module either
    let _ = self::outer::Client::open(url); //~ client module either
    let _ = Link::open(url); //~ client module either
    let _ = Chain::open(url); //~ client module either
    let _ = <redis::Client>::open(url); //~ client module either
    let _ = cenote::redis::Client::open(url); // This crate does not depend on it.
}

async fn inside(url: &str) {
    use redis::aio::ConnectionManager as Cm;
    type Here = redis::Client;
    let client = Here::open(url).unwrap(); //~ client module async
    let _ = Cm::new(client.clone()).await; //~ manager module async
    let _ = aio::ConnectionManager::new_lazy_with_config(client, given()); //~ manager module async
}

async fn shared(pool: SharedPool) {
    let _ = pool.get().await; //~ checkout module async
}
