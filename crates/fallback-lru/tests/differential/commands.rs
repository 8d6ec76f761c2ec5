//! Random commands from small alphabets, so that they meet.

use crate::common::Random;

pub(crate) type Words = Vec<Vec<u8>>;

/// What each command takes: `k` a key, `v` a value, `i` an integer, `n` a number, `t` a relative and `d` an
/// absolute time, `p` a pattern, `w` where, `s` options of SET, `g` of GETEX, `e` of EXPIRE, `f` of FLUSHALL;
/// a capital letter stands for one to three times the group behind it, `?` for the next one or nothing.
const SHAPES: &[(&str, &str)] = &[
    ("APPEND", "kv"),
    ("DBSIZE", ""),
    ("DECR", "k"),
    ("DECRBY", "ki"),
    ("DEL", "K"),
    ("ECHO", "v"),
    ("EXISTS", "K"),
    ("EXPIRE", "kte"),
    ("EXPIREAT", "kde"),
    ("EXPIRETIME", "k"),
    ("FLUSHALL", "f"),
    ("FLUSHDB", "f"),
    ("GET", "k"),
    ("GETDEL", "k"),
    ("GETEX", "kg"),
    ("GETRANGE", "kii"),
    ("GETSET", "kv"),
    ("HDEL", "kV"),
    ("HEXISTS", "kv"),
    ("HGET", "kv"),
    ("HGETALL", "k"),
    ("HINCRBY", "kvi"),
    ("HINCRBYFLOAT", "kvn"),
    ("HKEYS", "k"),
    ("HLEN", "k"),
    ("HMGET", "kV"),
    ("HMSET", "kP"),
    ("HSET", "kP"),
    ("HSETNX", "kvv"),
    ("HSTRLEN", "kv"),
    ("HVALS", "k"),
    ("INCR", "k"),
    ("INCRBY", "ki"),
    ("INCRBYFLOAT", "kn"),
    ("KEYS", "p"),
    ("LINDEX", "ki"),
    ("LINSERT", "kwvv"),
    ("LLEN", "k"),
    ("LPOP", "k?i"),
    ("LPUSH", "kV"),
    ("LPUSHX", "kV"),
    ("LRANGE", "kii"),
    ("LREM", "kiv"),
    ("LSET", "kiv"),
    ("LTRIM", "kii"),
    ("MGET", "K"),
    ("MSET", "Q"),
    ("MSETNX", "Q"),
    ("PERSIST", "k"),
    ("PEXPIRE", "kTe"),
    ("PEXPIREAT", "kDe"),
    ("PEXPIRETIME", "k"),
    ("PING", "?v"),
    ("PSETEX", "kTv"),
    ("PTTL", "k"),
    ("RENAME", "kk"),
    ("RENAMENX", "kk"),
    ("RPOP", "k?i"),
    ("RPUSH", "kV"),
    ("RPUSHX", "kV"),
    ("SADD", "kV"),
    ("SCARD", "k"),
    ("SDIFF", "K"),
    ("SDIFFSTORE", "kK"),
    ("SET", "kvs"),
    ("SETEX", "ktv"),
    ("SETNX", "kv"),
    ("SETRANGE", "kov"),
    ("SINTER", "K"),
    ("SINTERSTORE", "kK"),
    ("SISMEMBER", "kv"),
    ("SMEMBERS", "k"),
    ("SMISMEMBER", "kV"),
    ("SREM", "kV"),
    ("STRLEN", "k"),
    ("SUBSTR", "kii"),
    ("SUNION", "K"),
    ("SUNIONSTORE", "kK"),
    ("TIME", ""),
    ("TOUCH", "K"),
    ("TTL", "k"),
    ("TYPE", "k"),
    ("UNLINK", "K"),
];

const KEYS: &[&[u8]] = &[b"a", b"b", b"c", b"d", b"e", b"f", b"key:1", b"key:2"];
const VALUES: &[&[u8]] = &[
    b"",
    b"a",
    b"b",
    b"c",
    b"1",
    b"0",
    b"-1",
    b"10",
    b"1.5",
    b"abc",
    b"\x00\xff\r\n",
    b" 1",
    b"+1",
    b"01",
    b"-0",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"3.0e3",
    b"inf",
    b"nan",
    b"a somewhat longer value, so that the server keeps it in another way than short ones",
];
const INTEGERS: &[&[u8]] = &[
    b"0",
    b"1",
    b"-1",
    b"2",
    b"-2",
    b"3",
    b"5",
    b"-5",
    b"100",
    b"-100",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"-9223372036854775807",
    b"9223372036854775806",
    b"1",
    b"2",
    b"-1",
];
const NOT_INTEGERS: &[&[u8]] =
    &[b"", b"x", b"1.0", b"+1", b" 1", b"1 ", b"01", b"-0", b"--1", b"9223372036854775808", b"1\x00"];
const FLOATS: &[&[u8]] = &[
    b"0.1",
    b"0.2",
    b"-0.3",
    b"1e3",
    b"1.5",
    b"-1.5e-3",
    b"3.0e3",
    b"1000000.1",
    b"123456789.987654321",
    b"1e17",
    b"1e-17",
    b"4e-18",
    b"5e-18",
    b"1e300",
    b"-1e300",
    b"1e4932",
    b"-1e4932",
    b"1e4933",
    b"1e-4951",
    b"1e-5000",
    b"inf",
    b"-inf",
    b"Infinity",
    b"nan",
    b"0x1p3",
    b"0x.8",
    b"0X1.8P-2",
    b"0x",
    b".5",
    b"5.",
    b".",
    b"1e",
    b"1e+",
    b"+1",
    b" 1",
    b"1 ",
    b"-0",
    b"-0.0",
    b"1e99999999999999999999",
    b"1.7976931348623157e308",
    b"0x1p16384",
    b"18446744073709551615",
    b"18446744073709551617",
    b"0.00000000000000000500000000000000001",
];
const PATTERNS: &[&[u8]] = &[
    b"*",
    b"a",
    b"?",
    b"key:*",
    b"*:?",
    b"[a-c]",
    b"[^a]",
    b"[c-a]",
    b"[abc",
    b"[",
    b"[]",
    b"\\a",
    b"\\",
    b"k*:*1",
    b"**",
    b"",
    b"[\\a]",
    b"[a-",
    b"*[1]",
    b"k?y:[0-9]",
    b"[^",
    b"a*",
    b"*a*",
];

pub(crate) struct Generator {
    pub(crate) random: Random,
}

impl Generator {
    pub(crate) fn command(&mut self) -> Words {
        // An emptied store has nothing to collide with, and short lists hide what happens at their ends.
        let (name, shape) = loop {
            let (name, shape) = *self.random.pick(SHAPES);
            let chance = match name {
                "FLUSHALL" | "FLUSHDB" => 3,
                "DEL" | "UNLINK" | "RENAME" | "RENAMENX" | "LTRIM" | "EXPIRE" | "EXPIREAT" | "PEXPIRE"
                | "PEXPIREAT" => 25,
                _ => 100,
            };
            if self.random.percent(chance) {
                break (name, shape);
            }
        };
        let mut words = vec![self.cased(name)];
        let mut shape = shape.chars();
        while let Some(letter) = shape.next() {
            if letter == '?' {
                let next = shape.next().expect("a letter behind the question mark");
                if self.random.percent(50) {
                    self.fill(next, &mut words);
                }
            } else {
                self.fill(letter, &mut words);
            }
        }
        if self.random.percent(3) {
            self.spoil(&mut words);
        }
        words
    }

    /// Names every key there can be, so that the server forgets those that expired before it counts.
    pub(crate) fn touch_everything() -> Words {
        let all = KEYS.iter().chain(VALUES).chain(INTEGERS).chain(NOT_INTEGERS).chain(FLOATS).chain(PATTERNS);
        std::iter::once(&&b"EXISTS"[..]).chain(all).map(|word| word.to_vec()).collect()
    }

    fn fill(&mut self, letter: char, words: &mut Words) {
        let random = &mut self.random;
        match letter {
            'k' => {
                let from = if random.percent(85) { home(&words[0]) } else { KEYS };
                words.push(random.pick(from).to_vec());
            }
            'v' => {
                let few = if random.percent(50) { 5 } else { VALUES.len() };
                words.push(random.pick(&VALUES[..few]).to_vec());
            }
            'K' => self.repeat("k", words),
            'V' => self.repeat("v", words),
            'P' => self.repeat("vv", words),
            'Q' => self.repeat("kv", words),
            'i' => {
                let from = if random.percent(92) { INTEGERS } else { NOT_INTEGERS };
                words.push(random.pick(from).to_vec());
            }
            // Zeros as far as a gigabyte would only show how much memory there is.
            'o' => {
                words.push(random.pick(&[&b"0"[..], b"1", b"5", b"90", b"-1", b"x", b"536870912"]).to_vec());
            }
            'n' => words.push(self.float()),
            't' => self.relative(1, words),
            'T' => self.relative(1000, words),
            'd' => self.absolute(1, words),
            'D' => self.absolute(1000, words),
            'p' => words.push(random.pick(PATTERNS).to_vec()),
            'w' => words.push(random.pick(&[&b"BEFORE"[..], b"after", b"AFTER", b"before", b"at"]).to_vec()),
            's' => self.options(&["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT"], words),
            'g' => self.options(&["PERSIST", "EX", "PX", "EXAT", "PXAT", "PERSIST"], words),
            'e' => {
                while self.random.percent(30) {
                    words.push(self.random.pick(&[&b"NX"[..], b"xx", b"GT", b"lt", b"GT", b"no"]).to_vec());
                }
            }
            'f' => {
                while self.random.percent(20) {
                    words.push(self.random.pick(&[&b"SYNC"[..], b"async", b"now"]).to_vec());
                }
            }
            other => panic!("no such letter: {other}"),
        }
    }

    /// A number in any notation, or what looks like one.
    pub(crate) fn float(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let whole = random.next() >> random.below(64);
        let decimals = random.next() >> random.below(64);
        let sign = *random.pick(&["", "-", "+"]);
        let text = match random.below(8) {
            0 => return random.pick(FLOATS).to_vec(),
            1 => format!("{sign}{whole}"),
            2 => format!("{sign}{whole}.{decimals}e{}", random.below(60) as i64 - 30),
            3 => format!("{sign}{}.{decimals}e{}", whole % 10, random.below(10_000) as i64 - 5_000),
            4 => format!("{sign}0x{whole:x}.{decimals:X}p{}", random.below(200) as i64 - 100),
            5 => format!("{sign}0.{decimals:030}"),
            _ => format!("{sign}{}.{:02}", whole % 100_000, decimals % 100),
        };
        text.into_bytes()
    }

    fn repeat(&mut self, group: &str, words: &mut Words) {
        for _ in 0..=self.random.below(3) {
            group.chars().for_each(|letter| self.fill(letter, words));
        }
    }

    fn options(&mut self, from: &[&str], words: &mut Words) {
        while self.random.percent(35) {
            let option = *self.random.pick(from);
            words.push(self.cased(option));
            match option {
                "EX" => self.relative(1, words),
                "PX" => self.relative(1000, words),
                "EXAT" => self.absolute(1, words),
                "PXAT" => self.absolute(1000, words),
                _ => {}
            }
        }
    }

    /// Never the same twice, so that GT and LT do not hang on the millisecond in which a command ran.
    fn relative(&mut self, unit: u64, words: &mut Words) {
        let seconds = 100_000 + 100 * (self.random.next() % 1_000_000);
        self.time(seconds * unit, words);
    }

    fn absolute(&mut self, unit: u64, words: &mut Words) {
        let seconds = 4_000_000_000 + self.random.next() % 1_000_000_000;
        self.time(seconds * unit, words);
    }

    fn time(&mut self, time: u64, words: &mut Words) {
        let random = &mut self.random;
        words.push(match random.below(20) {
            // Nothing that would expire while the test runs.
            0 => random
                .pick(&[&b"0"[..], b"-1", b"-100", b"9223372036854775807", b"-9223372036854775808"])
                .to_vec(),
            1 => random.pick(NOT_INTEGERS).to_vec(),
            2 => random.pick(&[&b"9223372036854775"[..], b"9223372036854776", b"-9223372036854776"]).to_vec(),
            _ => time.to_string().into_bytes(),
        });
    }

    /// A word too many, too few, or of the wrong sort.
    fn spoil(&mut self, words: &mut Words) {
        match self.random.below(3) {
            0 => words.push(self.random.pick(VALUES).to_vec()),
            1 if words.len() > 1 => drop(words.pop()),
            _ if words.len() > 1 => {
                let at = 1 + self.random.below(words.len() - 1);
                // Nothing that, in the place of a time, would expire while the test runs.
                words[at] =
                    self.random.pick(&[&b""[..], b"x", b"0", b"-1", b"1.5", b"9223372036854775807"]).to_vec();
            }
            _ => {}
        }
    }

    fn cased(&mut self, word: &str) -> Vec<u8> {
        if self.random.percent(80) { word.as_bytes().to_vec() } else { word.to_lowercase().into_bytes() }
    }
}

/// The keys where a command mostly finds its own type; else collections would never grow.
fn home(name: &[u8]) -> &'static [&'static [u8]] {
    let name = name.to_ascii_uppercase();
    match &*name {
        b"SADD" | b"SREM" | b"SCARD" | b"SDIFF" | b"SINTER" | b"SUNION" | b"SMEMBERS" => &KEYS[2..4],
        name if name.ends_with(b"STORE") || name.ends_with(b"ISMEMBER") => &KEYS[2..4],
        name if name.starts_with(b"H") => &KEYS[..2],
        name if name.starts_with(b"L") || name.starts_with(b"RP") => &KEYS[4..6],
        name if name.starts_with(b"S") || name.starts_with(b"G") || name.contains(&b'C') => &KEYS[6..],
        b"MSET" | b"MSETNX" | b"PSETEX" | b"APPEND" => &KEYS[6..],
        _ => KEYS,
    }
}

/// Every command of the table is generated.
pub(crate) fn names() -> Vec<&'static str> {
    SHAPES.iter().map(|(name, _)| *name).collect()
}
