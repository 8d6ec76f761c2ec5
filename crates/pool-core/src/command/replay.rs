//! What may be sent again although it may have been executed.

use redis::Cmd;

use super::name::name_of;

/// Commands that change nothing, so that running one twice is running it once. A test holds this list against
/// the server's own flags.
pub(crate) fn merely_reads(cmd: &Cmd) -> bool {
    let Some((name, sub)) = name_of(cmd) else { return false };
    match name.as_bytes() {
        b"OBJECT" | b"MEMORY" => {
            matches!(sub.as_bytes(), b"ENCODING" | b"IDLETIME" | b"FREQ" | b"REFCOUNT" | b"USAGE")
        }
        name => READS.binary_search(&name).is_ok(),
    }
}

/// Sorted, for the binary search. Never here: `GETEX` and `GETDEL` (they write), `TOUCH` (it changes what is
/// evicted), `SORT` and the `GEORADIUS` pair (they may store), `PFCOUNT` (it may write its cache).
const READS: &[&[u8]] = &[
    b"BITCOUNT",
    b"BITFIELD_RO",
    b"BITPOS",
    b"DBSIZE",
    b"DUMP",
    b"ECHO",
    b"EVALSHA_RO",
    b"EVAL_RO",
    b"EXISTS",
    b"EXPIRETIME",
    b"FCALL_RO",
    b"GEODIST",
    b"GEOHASH",
    b"GEOPOS",
    b"GEORADIUSBYMEMBER_RO",
    b"GEORADIUS_RO",
    b"GEOSEARCH",
    b"GET",
    b"GETBIT",
    b"GETRANGE",
    b"HEXISTS",
    b"HGET",
    b"HGETALL",
    b"HKEYS",
    b"HLEN",
    b"HMGET",
    b"HRANDFIELD",
    b"HSCAN",
    b"HSTRLEN",
    b"HVALS",
    b"KEYS",
    b"LCS",
    b"LINDEX",
    b"LLEN",
    b"LPOS",
    b"LRANGE",
    b"MGET",
    b"PEXPIRETIME",
    b"PING",
    b"PTTL",
    b"RANDOMKEY",
    b"SCAN",
    b"SCARD",
    b"SDIFF",
    b"SINTER",
    b"SINTERCARD",
    b"SISMEMBER",
    b"SMEMBERS",
    b"SMISMEMBER",
    b"SORT_RO",
    b"SRANDMEMBER",
    b"SSCAN",
    b"STRLEN",
    b"SUBSTR",
    b"SUNION",
    b"TIME",
    b"TTL",
    b"TYPE",
    b"XLEN",
    b"XPENDING",
    b"XRANGE",
    b"XREAD",
    b"XREVRANGE",
    b"ZCARD",
    b"ZCOUNT",
    b"ZDIFF",
    b"ZINTER",
    b"ZINTERCARD",
    b"ZLEXCOUNT",
    b"ZMSCORE",
    b"ZRANDMEMBER",
    b"ZRANGE",
    b"ZRANGEBYLEX",
    b"ZRANGEBYSCORE",
    b"ZRANK",
    b"ZREVRANGE",
    b"ZREVRANGEBYLEX",
    b"ZREVRANGEBYSCORE",
    b"ZREVRANK",
    b"ZSCAN",
    b"ZSCORE",
    b"ZUNION",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_so_that_the_search_finds_all_of_it() {
        assert!(READS.is_sorted());
        for name in READS {
            assert!(merely_reads(redis::Cmd::new().arg(name.to_ascii_lowercase())));
        }
    }

    #[test]
    fn nothing_that_writes_is_replayed() {
        for name in
            ["SET", "INCR", "GETDEL", "GETEX", "EVAL", "PUBLISH", "SPOP", "TOUCH", "XREADGROUP", "SORT"]
        {
            assert!(!merely_reads(&redis::cmd(name)), "{name}");
        }
    }
}
