use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn name(key: &(impl CacheKey + ?Sized)) -> String {
    let mut name = b"kept ".to_vec();
    write_name("user:3:", key, &mut name);
    let name = String::from_utf8(name).unwrap();
    let name = name.strip_prefix("kept user:3:{").expect("what was there and the prefix stay");
    name.strip_suffix('}').unwrap().to_owned()
}

struct Parts(Vec<Vec<u8>>);

impl CacheKey for Parts {
    fn write_key(&self, out: &mut KeyText) {
        self.0.iter().for_each(|part| out.part(part));
    }
}

/// Undoes the escaping: what can be undone has lost nothing.
fn parts(text: &str) -> Vec<Vec<u8>> {
    if text == "%unit" {
        return Vec::new();
    }
    let part = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let is_escaped = byte == b'%' && text != "%";
            let hex = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
            match byte {
                b'%' if is_escaped => bytes.push(hex(&after[..2])),
                b'%' => {}
                _ => bytes.push(byte),
            }
            rest = if is_escaped { &after[2..] } else { after };
        }
        bytes
    };
    text.split(',').map(part).collect()
}

#[test]
fn every_kind_of_key_writes_what_a_person_can_read() {
    let texts = [
        (name("a:b"), "a%3Ab"),
        (name(&String::from("ann@example.org")), "ann@example.org"),
        (name(&Box::<str>::from("x")), "x"),
        (name(&Arc::<str>::from("x")), "x"),
        (name(&Cow::Borrowed("x")), "x"),
        (name(&&&"x"), "x"),
        (name(&b"\xFF\0"[..]), "%FF%00"),
        (name(&vec![b'a', b' ']), "a%20"),
        (name(b"abc"), "abc"),
        (name(&(true, false)), "true,false"),
        (name(&('a', 'é', ',')), "a,%C3%A9,%2C"),
        (name(&""), "%"),
        (name(&("", "")), "%,%"),
        (name(&(1, "a", true, 'b', 2u8, b"c")), "1,a,true,b,2,c"),
        (name(&((1, 2), (3,))), "1,2,3"),
        (name(&None::<u8>), "%none"),
        (name(&Some(7)), "7"),
        (name(&Some("none")), "none"),
        (name(&Some("%none")), "%25none"),
        (name(&Some(None::<u8>)), "%some,%none"),
        (name(&(1, Some(None::<u8>), 2)), "1,%some,%none,2"),
        (name(&Some(Some(Some(None::<u8>)))), "%some,%some,%some,%none"),
        (name(&Parts(vec![])), "%unit"),
        (name(&(1, Some(Parts(vec![])))), "1,%some"),
    ];
    for (written, expected) in texts {
        assert_eq!(written, expected);
    }
}

#[test]
fn integers_are_written_as_their_digits() {
    macro_rules! check {
        ($($type:ty)*) => {$(
            for number in [<$type>::MIN, <$type>::MIN + 1, 0, 9, 10, 99, 100, <$type>::MAX - 1, <$type>::MAX] {
                assert_eq!(name(&number), number.to_string());
                assert_eq!(name(&(number, number)), format!("{number},{number}"));
            }
        )*};
    }
    check!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
}

#[test]
fn what_is_missing_is_told_from_what_is_there_wherever_it_stands() {
    type Inner = Option<(Option<u8>, u8)>;
    let inner: [Inner; 5] = [None, Some((None, 0)), Some((None, 1)), Some((Some(0), 0)), Some((Some(1), 0))];
    let nested: [Option<Option<Option<u8>>>; 5] =
        [None, Some(None), Some(Some(None)), Some(Some(Some(0))), Some(Some(Some(1)))];
    let mut seen = HashMap::new();
    let mut check = |text: String, key: String| {
        if let Some(other) = seen.insert(text.clone(), key.clone()) {
            panic!("{key} and {other} are both {text}");
        }
    };
    for a in &inner {
        for b in &nested {
            for c in &inner {
                check(name(&(a, b, c)), format!("{a:?} {b:?} {c:?}"));
            }
        }
    }
    seen.clear();
    let units = || [None, Some(Parts(vec![]))];
    let mut texts: Vec<_> = units().iter().flat_map(|a| units().map(|b| name(&(a, &b)))).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 4);
}

#[test]
fn the_hash_of_a_long_key_is_the_same_for_ever() {
    let text = name(&"x".repeat(257));
    // Of `printf 'x%.0s' $(seq 257) | sha256sum`.
    assert_eq!(text, format!("{}~~{}", "x".repeat(64), "15eb95a462ee20bd91a415ae2d4aed34"));
    assert_eq!(name(&"x".repeat(256)), "x".repeat(256));
}

#[test]
fn a_long_key_is_cut_between_escapes() {
    for before in 56..=66 {
        for part in [":", "", ":::"] {
            let text = name(&("y".repeat(before), part, None::<u8>, Some(None::<u8>), "z".repeat(300)));
            let (head, hash) = text.split_once("~~").unwrap();
            assert_eq!(hash.len(), 32);
            assert!(head.len() <= 64 && head.len() >= 60, "{head}");
            for (at, _) in head.match_indices('%') {
                let rest = &head[at..];
                let is_whole = rest == "%"
                    || rest.starts_with("%,")
                    || ["%3A", "%none", "%some"].iter().any(|whole| rest.starts_with(whole));
                assert!(is_whole, "{head}");
            }
        }
    }
}

fn any_part() -> impl Strategy<Value = Vec<u8>> {
    let awkward = prop::sample::select(b"%,:{}~*0A_ \n\0\xFF".to_vec());
    prop_oneof![
        prop::collection::vec(awkward, 0..12),
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 150..200),
    ]
}

fn any_parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(any_part(), 0..5)
}

proptest! {
    #[test]
    fn no_name_has_a_byte_with_a_meaning_nor_is_without_bound(parts in any_parts()) {
        let text = name(&Parts(parts));
        prop_assert!(!text.is_empty() && text.len() <= MAX_TEXT);
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-@/+=%,~".contains(&byte)));
        prop_assert!(!text.contains('~') || text[..66].contains("~~"));
    }

    #[test]
    fn different_keys_have_different_names(list in any_parts(), other in any_parts()) {
        let text = name(&Parts(list.clone()));
        if !text.contains('~') {
            prop_assert_eq!(parts(&text), list.clone());
        }
        prop_assert_eq!(text == name(&Parts(other.clone())), list == other);
    }

    #[test]
    fn long_keys_that_differ_anywhere_have_different_names(
        mut part in prop::collection::vec(any::<u8>(), 257..600),
        at in any::<prop::sample::Index>(),
    ) {
        let before = name(part.as_slice());
        let at = at.index(part.len());
        part[at] ^= 1;
        prop_assert_ne!(before, name(part.as_slice()));
    }
}
