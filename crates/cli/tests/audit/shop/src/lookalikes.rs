//! redis::Client::open("redis://in.a.comment")
//!
//! ```
//! let client = redis::Client::open(url)?;
//! ```

use deadpool_postgres::{Config, Pool};
use std::collections::HashMap;

pub struct Client {
    pool: HashMap<String, u8>,
}

impl Client {
    /// As `redis::Client::open` does.
    pub fn open(url: &str) -> Self {
        // let client = redis::Client::open(url);
        /* redis::Client::open(url); pool.get() */
        let _ = "redis::Client::open(url)";
        let _ = r#"pool.get().await; Client::open("redis://")"#;
        let _ = format!("redis::Client::open({url})");
        println!("get_multiplexed_async_connection: {}", stringify!(redis::Client::open(url)));
        Client { pool: HashMap::new() }
    }

    fn get_connection(&self) -> Option<&u8> {
        self.pool.get("a")
    }
}

mod redis {
    pub struct Client;
    impl Client {
        pub fn open(_: &str) -> Self {
            Client
        }
    }
}

async fn others(config: Config, pool: Pool, http: reqwest::Client) {
    let _ = redis::Client::open("this is the module above");
    let _ = Client::open("redis://this.is.ours");
    let _ = Client::open("x").get_connection();
    let _ = pool.get().await;
    let _ = config.create_pool(None, NoTls);
    let _ = http.get("http://redis").send().await;
    let _ = sqlx::Pool::builder().build();
    let _ = mongodb::Client::open("x");
    let builder = Pool::builder(given());
    let _ = builder.build().unwrap().get().await;
    let cache: moka::Cache<String, u8> = make();
    let _ = cache.get("x").await;
}

fn shadowed(url: &str) {
    struct Pool;
    impl Pool {
        fn get(&self) {}
    }
    let pool = Pool;
    pool.get();
}

fn connections(it: &dyn Database) {
    it.get_connection();
    it.pool().get();
    quote::quote! { redis::Client::open(url) };
}
