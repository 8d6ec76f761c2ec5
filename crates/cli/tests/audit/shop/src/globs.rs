use crate::db::*;
use crate::prelude::*;

async fn by_glob(url: &str) {
    let client = Client::open(url).unwrap(); //~ client module async
    let _ = Keeper::new(client).await; //~ manager module async
    let pool = Settings::from_url(url).create_pool(Some(Runtime::Tokio1)).unwrap(); //~ pool module async
    let _ = pool.get().await; //~ checkout module async
}

fn locally(url: &str) {
    use redis::cluster::*;
    let _ = ClusterClient::new(vec![url]); //~ client module either
    let _ = ClusterClientBuilder::new(vec![url]).build(); //~ client module either
}
