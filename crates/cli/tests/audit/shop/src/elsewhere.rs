use super::db::Store;

pub async fn borrow(store: &Store) {
    let Store { pool, client, .. } = store;
    let _ = pool.get().await; //~ checkout module async
    let _ = client.get_async_pubsub().await; //~ connection module async
}
