use redis::aio::{ConnectionManager, MultiplexedConnection};
use redis::Client;

async fn all(client: Client, sentinel: &mut redis::sentinel::SentinelClient) {
    let _ = client.get_multiplexed_async_connection().await; //~ connection module async
    let _ = client.get_multiplexed_async_connection_with_config(&config()).await; //~ connection module async
    let _ = client
        .get_connection_manager_with_config(config()) //~ manager module async
        .await;
    let _ = Client::get_multiplexed_async_connection(&client).await; //~ connection module async
    let _ = ConnectionManager::new_with_config(client.clone(), config()).await; //~ manager module async
    let _ = MultiplexedConnection::new_with_config(&info(), stream(), config()).await; //~ connection module async
    let _ = sentinel.get_async_connection().await; //~ connection module async
    let mut connection = client.get_connection().unwrap(); //~ connection module sync
    let _: () = redis::cmd("GET").query(&mut connection).unwrap();
    let _ = connection.get::<_, String>("key");
    let _ = client.clone();
}
