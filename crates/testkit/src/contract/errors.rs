//! What the server refuses.

use redis::aio::ConnectionLike;

use super::Keys;

/// `WRONGTYPE`, from every family of commands.
pub async fn a_wrong_type_is_an_error_with_its_code<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, _] = keys.three();
    let () = ask!(conn, "SET", &a, "text");
    let _: i64 = ask!(conn, "RPUSH", &b, "element");
    let errors = [
        refused!(conn, "LPUSH", &a, "x"),
        refused!(conn, "HGET", &a, "x"),
        refused!(conn, "SMEMBERS", &a),
        refused!(conn, "GET", &b),
        refused!(conn, "INCR", &b),
    ];
    for error in errors {
        assert_eq!(error.code(), Some("WRONGTYPE"), "{error}");
        assert!(!error.is_io_error() && !error.is_timeout(), "{error}");
    }
}

/// A counter in a value that is no number.
pub async fn not_a_number<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "text");
    let error = refused!(conn, "INCR", &key);
    assert_eq!(error.code(), Some("ERR"));
    assert!(error.to_string().contains("not an integer"), "{error}");
}

/// Too few and too many arguments.
pub async fn wrong_number_of_arguments<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    for error in [refused!(conn, "GET"), refused!(conn, "GET", keys.key("a"), keys.key("b"))] {
        assert_eq!(error.code(), Some("ERR"));
        assert!(error.to_string().contains("wrong number of arguments"), "{error}");
    }
}

/// A command with an option that does not exist has no effect.
pub async fn a_syntax_error_changes_nothing<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "before");
    assert_eq!(refused!(conn, "SET", &key, "after", "SIDEWAYS").code(), Some("ERR"));
    assert_eq!(refused!(conn, "SET", &key, "after", "EX", 0).code(), Some("ERR"));
    let got: String = ask!(conn, "GET", &key);
    assert_eq!(got, "before");
}

/// An error is the answer of one command only.
pub async fn the_connection_goes_on_after_an_error<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    for n in 0..20 {
        let () = ask!(conn, "SET", &key, n);
        refused!(conn, "HGET", &key, "f");
        let got: i64 = ask!(conn, "GET", &key);
        assert_eq!(got, n);
    }
}
