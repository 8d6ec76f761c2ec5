use redis::Client;

fn pointers(urls: &[&str]) {
    let _: Vec<_> = urls.iter().copied().map(Client::open).collect(); //~ client module sync
    let make = redis::Client::open; //~ client module sync
    let _ = make(urls[0]);
    let table: [fn(&str) -> redis::RedisResult<Client>; 1] = [Client::open]; //~ client module sync
    let all: Vec<Client> = urls.iter().map(|url| Client::open(*url).unwrap()).collect(); //~ client module sync
    for client in &all {
        let _ = client.get_connection(); //~ connection module sync
    }
    let _ = all.iter().map(Client::get_connection).count(); //~ connection module sync
    urls.first().map(|url| r2d2::Pool::new(Client::open(*url).unwrap())); //~ client module sync; pool module sync
}
