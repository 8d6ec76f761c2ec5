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
