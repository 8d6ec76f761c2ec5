#[cfg(feature = "fake")]
use crate::lookalikes::Client;
#[cfg(not(feature = "fake"))]
use redis::Client;

#[cfg(feature = "never")]
fn never(url: &str) {
    let _ = redis::Client::open(url); //~ client module either
}

fn either(url: &str) {
    let _ = Client::open(url); //~ client module either
    if cfg!(feature = "x") {
        #[cfg(unix)]
        let _ = redis::Client::open(url); //~ client module either
    }
}

#[cfg(any(unix, windows))]
mod deep {
    pub(super) mod deeper {
        use super::super::Client as Up;
        pub fn open(url: &str) {
            let _ = Up::open(url); //~ client module either
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test() {
        let _ = Client::open("redis://localhost").unwrap().get_connection(); //~ client test sync; connection test sync
    }
}
