use redis::Client as Only;

include!("included.rs");
include!("nowhere.rs");
include!(concat!(env!("OUT_DIR"), "/made.rs"));

mod within {
    use super::Only;

    include!("included.inc");
}

fn an_includers_own(url: &str) -> Only {
    an_includeds_own(url)
}

fn uses(url: &str) {
    let _ = an_includeds_own(url).get_connection(); //~ connection module sync
}
