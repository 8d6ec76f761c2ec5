use crate::db::Store;
use redis::{Client, RedisResult};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

fn made(url: &str) -> RedisResult<Client> {
    Client::open(url) //~ client module sync
        .and_then(|client| client.get_connection().map(|_| client)) //~ connection module sync
}

async fn by_return(url: &str) -> anyhow::Result<()> {
    let client = made(url).map_err(anyhow::Error::from)?;
    let _ = client.get_connection_with_timeout(given()); //~ connection module sync
    let (first, second) = (client.clone(), 5);
    let _ = first.get_tokio_connection_manager().await; //~ manager module async
    second.get_connection();
    let boxed = Arc::new(Mutex::new(client));
    let _ = boxed.lock().unwrap().get_connection(); //~ connection module sync
    Ok(())
}

async fn by_map(pools: &HashMap<String, pools::Pool>, name: &str) {
    if let Some(pool) = pools.get(name) {
        let _ = pool.get().await; //~ checkout module async
    }
    match pools.get("b") {
        Some(one) => drop(one.get().await), //~ checkout module async
        None => {}
    }
    let Some(other) = pools.get("c") else { return };
    let _ = other.get().await; //~ checkout module async
}

async fn by_closure(store: Arc<Store>) {
    let names: HashMap<&str, u8> = HashMap::new();
    let _ = names.get("a");
    let task = move |store: Arc<Store>| async move { store.pool.get().await }; //~ checkout module async
    let _ = task(store).await;
}

async fn unknown_receiver(it: impl HasRedis) {
    let _ = it.client().get_multiplexed_tokio_connection().await; //~ connection module async
    let _ = it.client().get_connection();
    let _ = pools::Pool::get(it.pool()).await; //~ checkout module async
}

fn tern(flag: bool, url: &str) {
    let client = if flag { Client::open(url) } else { Client::open("redis://b") }; //~ client module sync; client module sync
    let _ = client.unwrap().get_connection(); //~ connection module sync
}

enum Backend {
    Redis(pools::Pool),
    Own { client: Client },
    Other(deadpool_postgres::Pool),
}

impl Backend {
    async fn each(&self) {
        match self {
            Backend::Redis(pool) => drop(pool.get().await), //~ checkout module async
            Self::Own { client } => drop(client.get_connection()), //~ connection module sync
            Backend::Other(pool) => drop(pool.get().await),
        }
        if let Some(Backend::Redis(pool)) = Some(self) {
            let _ = pool.get().await; //~ checkout module async
        }
    }
}

trait HasPool {
    fn the_pool(&self) -> &pools::Pool;
}

async fn by_trait(one: &dyn HasPool, other: impl HasPool) {
    let _ = one.the_pool().get().await; //~ checkout module async
    let _ = other.the_pool().get().await; //~ checkout module async
}

fn later(url: &str, flag: bool) {
    let (client, other);
    if flag {
        client = Client::open(url).unwrap(); //~ client module sync
    } else {
        client = made(url).unwrap();
    }
    let _ = client.get_connection(); //~ connection module sync
    other = 5;
    other.get_connection();
    let long = made(url)
        .map_err(drop)
        .unwrap()
        .clone()
        .get_connection(); //~ connection module sync
}
