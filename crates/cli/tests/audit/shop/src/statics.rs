use once_cell::sync::{Lazy, OnceCell};
use redis::Client;
use std::cell::RefCell;
use std::sync::{LazyLock, OnceLock};

static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::open("redis://localhost").unwrap()); //~ client static either

static POOL: Lazy<pools::Pool> = Lazy::new(|| {
    let settings = pools::Config::from_url("redis://localhost");
    settings.create_pool(None).unwrap() //~ pool static async
});

static CELL: OnceLock<Client> = OnceLock::new();
static POOLS: OnceCell<pools::Pool> = OnceCell::new();

lazy_static::lazy_static! {
    static ref OLD: redis::Client = redis::Client::open("redis://localhost").unwrap(); //~ client static either
    pub static ref NUMBER: std::collections::HashMap<u8, u8> = Default::default();
    static ref NAMED: std::collections::HashMap<u8, Client> = [(1, Client::open("redis://a").unwrap())].into(); //~ client static either
}

thread_local! {
    static MINE: RefCell<Client> = RefCell::new(Client::open("redis://localhost").unwrap()); //~ client static either
}

fn cell() -> &'static Client {
    CELL.get_or_init(|| Client::open("redis://localhost").unwrap()) //~ client static either
}

async fn uses() {
    let _ = CLIENT.get_multiplexed_async_connection().await; //~ connection module async
    let _ = POOL.get().await; //~ checkout module async
    let _ = OLD.get_connection(); //~ connection module sync
    let _ = cell().get_connection(); //~ connection module sync
    let _ = POOLS.get();
    let _ = POOLS.get().unwrap().get().await; //~ checkout module async
    MINE.with(|it| it.borrow().get_connection()); //~ connection module sync
    let _ = NUMBER.get(&5);
    let _ = NAMED.get(&5).unwrap().get_connection(); //~ connection module sync
}

fn within() {
    static INNER: OnceLock<Client> = OnceLock::new();
    INNER.get_or_init(|| Client::open("redis://localhost").unwrap()).get_connection(); //~ client static sync; connection module sync
}
