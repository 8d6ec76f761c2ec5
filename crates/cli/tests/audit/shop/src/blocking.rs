use redis::Client;

fn waits(runtime: &tokio::runtime::Handle, client: &Client) {
    let _ = runtime.block_on(client.get_multiplexed_async_connection()); //~ connection module async block_on
}

fn nested(pool: pools::Pool) {
    futures::executor::block_on(async {
        let _ = pool.get().await; //~ checkout module async block_on
    });
}

fn does_not(pool: &r2d2::Pool<Client>) {
    let _ = pool.get(); //~ checkout module sync
}
