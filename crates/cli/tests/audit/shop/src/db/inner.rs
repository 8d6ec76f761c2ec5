use super::{Driver, Wrapped};

pub fn make(url: &str) -> Driver {
    Driver::open(url).expect("a URL") //~ client module either
}

async fn wrapped(it: &Wrapped) {
    let _ = it.get().await; //~ checkout module async
    let _ = it.0.get_owned().await; //~ checkout module async
}

pub fn the_one() -> Wrapped {
    Default::default()
}
