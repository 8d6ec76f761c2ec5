//! Nothing here has to do with Redis.

pub struct Client;

impl Client {
    pub fn open(_: &str) -> Self {
        Client
    }
    pub fn get_connection(&self) {}
    pub fn get_multiplexed_async_connection(&self) {}
}

pub fn own() {
    let client = Client::open("redis://localhost");
    client.get_connection();
    client.get_multiplexed_async_connection();
}

pub fn others(url: &str) {
    let pool = r2d2::Pool::builder().build(url);
    let _ = pool.unwrap().get();
    reqwest::Client::builder().build();
}
