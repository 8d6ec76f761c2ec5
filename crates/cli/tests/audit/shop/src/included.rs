// No module of its own: the names are those of the file that includes it.
fn in_an_included_file(url: &str) {
    let _ = Only::open(url); //~ client module sync
    let _ = an_includers_own(url).get_connection(); //~ connection module sync
}

fn an_includeds_own(url: &str) -> Only {
    Only::open(url).unwrap() //~ client module either
}
