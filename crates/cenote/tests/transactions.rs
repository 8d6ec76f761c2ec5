//! The guide's transaction compiles where a service needs it: in a task that may move between threads.

use cenote::Pool;
use cenote::redis::{AsyncCommands, RedisResult};
use cenote_testkit::Server;

/// As `docs/connections.md` has it: the key is known at run time only, and the closure owns its copy.
async fn sell(pool: Pool, item: String) -> RedisResult<i64> {
    let key = format!("stock:{item}");
    let watched = [key.clone()];
    let (left,): (i64,) = pool
        .transaction(&watched, async move |conn, pipe| {
            let stock: i64 = conn.get(&key).await?;
            pipe.set(&key, stock - 1).ignore().get(&key);
            Ok(())
        })
        .await?;
    Ok(left)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_over_owned_keys_runs_in_spawned_tasks_and_loses_no_sale() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let () = pool.conn().set("stock:tea", 20).await.unwrap();
    let sales: Vec<_> = (0..10).map(|_| tokio::spawn(sell(pool.clone(), "tea".to_owned()))).collect();
    let mut left = Vec::new();
    for sale in sales {
        left.push(sale.await.unwrap().unwrap());
    }
    left.sort_unstable();
    assert_eq!(left, (10..20).collect::<Vec<i64>>());
}
