use shop::prelude::Client;

fn helper() {
    let _ = Client::open("redis://localhost"); //~ client test either
}

#[tokio::test]
async fn works() {
    let client = shop::aliases::Link::open("redis://localhost").unwrap(); //~ client test async
    let _ = client.get_multiplexed_async_connection().await; //~ connection test async
}
