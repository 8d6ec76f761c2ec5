use rds::aio::ConnectionManager;
use shop::prelude::Client;

fn main() {
    let _ = rds::Client::open("redis://localhost"); //~ client module sync
    let client = Client::open("redis://localhost").unwrap(); //~ client module sync
    let _ = shop::db::make("redis://localhost").get_connection(); //~ connection module sync
    let _ = redis::Client::open("no such crate here");
}

async fn keeper(store: shop::Store, client: Client) {
    let _ = ConnectionManager::new(client).await; //~ manager module async
    let _ = store.pool().get().await; //~ checkout module async
}

async fn only_pools_of_redis_here(context: impl Context) {
    let _ = context.keeper_pool().get().await; //~ checkout module async
}

struct Holder {
    pool: shop::aliases::SharedPool,
}

impl Holder {
    fn keeper_pool(&self) -> &shop::aliases::SharedPool {
        &self.pool
    }
}
