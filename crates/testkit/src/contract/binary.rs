//! Values are bytes, all of them.

use redis::Value;
use redis::aio::ConnectionLike;

use super::Keys;

/// Each of the 256 bytes, in keys, values and fields.
pub async fn any_byte_survives<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut key = keys.key("k").into_bytes();
    key.extend_from_slice(&bytes);
    let () = ask!(conn, "SET", &key, &bytes);
    let got: Value = ask!(conn, "GET", &key);
    assert_eq!(got, Value::BulkString(bytes.clone()));

    let hash = keys.key("h");
    let _: i64 = ask!(conn, "HSET", &hash, &bytes, &bytes);
    let got: Value = ask!(conn, "HGET", &hash, &bytes);
    assert_eq!(got, Value::BulkString(bytes));
}

/// An empty value is there, unlike a missing one.
pub async fn empty_values_are_values<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let () = ask!(conn, "SET", &a, "");
    let _: i64 = ask!(conn, "HSET", &b, "", "");
    let _: i64 = ask!(conn, "RPUSH", &c, "");
    let empty = Value::BulkString(Vec::new());
    let got: [Value; 3] = [ask!(conn, "GET", &a), ask!(conn, "HGET", &b, ""), ask!(conn, "LPOP", &c)];
    assert_eq!(got, [empty.clone(), empty.clone(), empty]);
}

/// What ends a line of the protocol is nothing special inside a value.
pub async fn line_ends_are_data<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    for text in ["\r\n", "a\r\nb", "-ERR no error\r\n", "$-1\r\n", "*1\r\n$4\r\nPING\r\n"] {
        let () = ask!(conn, "SET", &key, text);
        let got: String = ask!(conn, "GET", &key);
        assert_eq!(got, text);
    }
}

/// A value of a megabyte.
pub async fn a_large_value_survives<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let large: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
    let () = ask!(conn, "SET", &key, &large);
    let got: Vec<u8> = ask!(conn, "GET", &key);
    assert!(got == large, "{} bytes came back", got.len());
}
