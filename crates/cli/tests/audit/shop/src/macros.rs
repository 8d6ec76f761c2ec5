use redis::Client;

macro_rules! connect {
    ($url:expr) => {
        redis::Client::open($url).unwrap() //~ client module either
    };
    (now $url:expr) => {
        redis::Client::open($url).unwrap().get_connection() //~ client module either; connection module sync
    };
    (all $($url:expr),*) => {
        vec![$(Client::open($url)),*] //~ client module either
    };
}

async fn in_macros(url: &str, pool: pools::Pool) {
    let all = vec![Client::open(url), Client::open("redis://b")]; //~ client module async; client module async
    assert!(Client::open(url).is_ok(), "{}", "redis::Client::open"); //~ client module async
    println!("{:?}", redis::Client::open(url)); //~ client module async
    tokio::select! {
        connection = pool.get() => drop(connection), //~ checkout module async
        _ = tokio::time::sleep(LIMIT) => {
            let _ = pool.get().await; //~ checkout module async
        }
        Ok(client) = async { Client::open(url) } => { //~ client module async
            let _ = client;
        }
    }
    let _ = tokio::join!(pool.get(), pool.get()); //~ checkout module async; checkout module async
    let _ = custom!(open => Client::open(url); close => drop); //~ client module async
    let _ = json!({ "redis": Client::open(url).is_ok(), "pool": pool.status().size }); //~ client module async
    let _ = connect!(url);
}
