use bb8_redis::RedisConnectionManager;
use pools::{Config, Manager, Pool, Runtime};
use redis::Client;

async fn deadpools(url: &str) {
    let settings = Config { url: Some(url.into()), ..Config::default() };
    let _ = settings.create_pool(Some(Runtime::Tokio1)); //~ pool module async
    let _ = Config::from_url(url)
        .builder() //~ pool module async
        .unwrap()
        .max_size(8)
        .build();
    let manager = Manager::new(url).unwrap(); //~ client module async
    let pool = Pool::builder(manager).max_size(8).build().unwrap(); //~ pool module async
    let _ = pool.timeout_get(&Default::default()).await; //~ checkout module async
    let _ = pool.status();
}

async fn bb8s(url: &str) {
    let manager = RedisConnectionManager::new(url).unwrap(); //~ client module async
    let pool = bb8::Pool::builder()
        .max_size(8)
        .build(manager) //~ pool module async
        .await
        .unwrap();
    let connection = pool.get().await; //~ checkout module async
    let _ = pool.dedicated_connection().await; //~ checkout module async
    let typed: bb8::Pool<RedisConnectionManager> = other();
    let _ = typed.get().await; //~ checkout module async
    let _ = bb8::Pool::<RedisConnectionManager>::builder().build_unchecked(given()); //~ pool module async
}

fn r2d2s(url: &str) {
    let client = Client::open(url).unwrap(); //~ client module either
    let pool = r2d2::Pool::new(client.clone()).unwrap(); //~ pool module sync
    let _ = pool.get(); //~ checkout module sync
    let _ = pool.get_timeout(std::time::Duration::from_secs(1)); //~ checkout module sync
    let second = r2d2::Pool::builder().max_size(4).build(client); //~ pool module sync
    if let Ok(pool) = second {
        let _ = pool.try_get(); //~ checkout module sync
    }
}

async fn of_another_database(manager: bb8_postgres::PostgresConnectionManager<NoTls>) {
    let pool = bb8::Pool::builder().build(manager).await.unwrap();
    let _ = pool.get().await;
    let other: bb8::Pool<bb8_postgres::PostgresConnectionManager<NoTls>> = make();
    let _ = other.get().await;
    let third = deadpool_postgres::Pool::builder(given()).build().unwrap();
    let _ = third.get().await;
    let _ = deadpool_postgres::Config::new().create_pool(None, NoTls);
}
