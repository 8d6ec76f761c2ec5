use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

use super::*;

const SECRET: &str = "hunter2";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    tags: Vec<String>,
    score: Option<f64>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Guest,
    Member { since: i32 },
}

fn user() -> User {
    User {
        id: 42,
        name: SECRET.to_owned(),
        tags: vec![SECRET.to_owned()],
        score: Some(0.5),
        kind: Kind::Member { since: -1 },
    }
}

/// Reads back what it wrote after what was there, and refuses what is cut, longer, or another type, silently.
fn keeps_its_promises(codec: &impl Codec<User>) {
    let mut out = b"kept".to_vec();
    codec.encode(&user(), &mut out).unwrap();
    let bytes = out.strip_prefix(b"kept").unwrap();
    assert_eq!(codec.decode(bytes), Ok(user()));
    let silent = |bytes: &[u8]| {
        let error = codec.decode(bytes).expect_err("these are no value");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    };
    (0..bytes.len()).for_each(|length| silent(&bytes[..length]));
    silent(&[bytes, bytes].concat());
    silent(&[bytes, b"\0"].concat());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            let _ = codec.decode(&flipped).map_err(|error| assert!(!error.to_string().contains(SECRET)));
        }
    }
}

/// Its own error tells all.
struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(SECRET))
    }
}

impl<'de> Deserialize<'de> for Refusing {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Err(serde::de::Error::custom(text))
    }
}

fn does_not_tell(codec: &(impl Codec<Refusing> + Codec<String>)) {
    let error = codec.encode(&Refusing, &mut Vec::new()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    let mut out = Vec::new();
    codec.encode(&SECRET.to_owned(), &mut out).unwrap();
    let error = <_ as Codec<Refusing>>::decode(codec, &out).err().unwrap();
    assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
}

#[test]
fn json_reads_what_it_wrote_and_tells_nothing_of_what_it_cannot_read() {
    keeps_its_promises(&Json);
    does_not_tell(&Json);
    let why = |text: &str| <Json as Codec<User>>::decode(&Json, text.as_bytes()).unwrap_err().to_string();
    assert_eq!(why(r#"{"id":"hunter2"}"#), "JSON of another type, at line 1 column 15");
    assert_eq!(why("{\n\"id\""), "JSON that ends early, at line 2 column 4");
    assert_eq!(why("hunter2"), "no JSON, at line 1 column 1");
    assert!(why(&"[".repeat(100_000)).contains("JSON"));
}

#[test]
fn json_says_which_maps_it_cannot_write() {
    let map = BTreeMap::from([((1, 2), 3)]);
    let error = Json.encode(&map, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the value cannot be written as JSON: a key of a map is no text");
}

#[cfg(feature = "postcard")]
#[test]
fn postcard_reads_what_it_wrote_and_tells_nothing_of_what_it_cannot_read() {
    keeps_its_promises(&Postcard);
    does_not_tell(&Postcard);
}

#[cfg(feature = "msgpack")]
#[test]
fn msgpack_reads_what_it_wrote_and_tells_nothing_of_what_it_cannot_read() {
    keeps_its_promises(&MsgPack);
    does_not_tell(&MsgPack);
    // Nested arrays without end, as values that contain themselves are.
    #[derive(Debug, Serialize, Deserialize)]
    struct Nested(Vec<Nested>);
    let error = <_ as Codec<Nested>>::decode(&MsgPack, &[0x91; 100_000]).unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");
}

#[cfg(feature = "msgpack")]
#[test]
fn msgpack_names_its_fields_so_that_a_new_optional_one_does_no_harm() {
    #[derive(Serialize, Deserialize)]
    struct Old {
        id: u64,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        #[serde(default)]
        name: String,
        id: u64,
    }
    let mut out = Vec::new();
    MsgPack.encode(&Old { id: 7 }, &mut out).unwrap();
    assert_eq!(MsgPack.decode(&out), Ok(New { name: String::new(), id: 7 }));
}

#[test]
fn raw_text_must_be_utf_8_and_raw_bytes_need_not() {
    assert_eq!(Raw.decode(b"ab\xFF"), Ok(b"ab\xFF".to_vec()));
    let error = <Raw as Codec<String>>::decode(&Raw, b"ab\xFF").unwrap_err();
    assert_eq!(error.to_string(), "no UTF-8 from byte 2 on");
    let mut out = b"a".to_vec();
    Raw.encode(&"b".to_owned(), &mut out).unwrap();
    Raw.encode(&b"c".to_vec(), &mut out).unwrap();
    assert_eq!(Raw.decode(&out), Ok("abc".to_owned()));
}

proptest! {
    #[test]
    fn no_bytes_make_a_codec_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = <Json as Codec<User>>::decode(&Json, &bytes);
        let _ = <Json as Codec<BTreeMap<String, Vec<u8>>>>::decode(&Json, &bytes);
        #[cfg(feature = "postcard")]
        let _ = <Postcard as Codec<User>>::decode(&Postcard, &bytes);
        #[cfg(feature = "postcard")]
        let _ = <Postcard as Codec<BTreeMap<String, Vec<u8>>>>::decode(&Postcard, &bytes);
        #[cfg(feature = "msgpack")]
        let _ = <MsgPack as Codec<User>>::decode(&MsgPack, &bytes);
        #[cfg(feature = "msgpack")]
        let _ = <MsgPack as Codec<BTreeMap<String, Vec<u8>>>>::decode(&MsgPack, &bytes);
    }
}
