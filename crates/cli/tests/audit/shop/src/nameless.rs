async fn no_name_here() {
    let one = crate::db::inner::the_one();
    let _ = one.0.get().await; //~ checkout module async
    let _ = one.get().await; //~ checkout module async
}
