//! Which bytes of a key stand as they are, and what becomes of the others.

/// Appends `bytes` with everything percent-encoded but ASCII letters, digits and `_ . - @ / + =`; `%` if there are none.
///
/// What comes out never has `:`, `{`, `}`, `,`, `*`, `~`, whitespace or control bytes, and `%` only where it escapes.
pub(crate) fn escape_into(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        out.push(b'%');
        return;
    }
    let mut rest = bytes;
    loop {
        let plain = rest.iter().position(|&byte| !is_plain(byte)).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        let Some((&byte, after)) = rest[plain..].split_first() else { return };
        let [high, low] = hex(byte, b"0123456789ABCDEF");
        out.extend_from_slice(&[b'%', high, low]);
        rest = after;
    }
}

/// A namespace has 1 to 64 bytes that need no escaping, and single `:` between others.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub(crate) fn check_namespace(namespace: &str) -> Result<(), String> {
    const RIGHT: &str = "a namespace is 1 to 64 of `A-Z a-z 0-9 _ . - @ / + =`, with single `:` inside";
    let wrong = if namespace.is_empty() {
        "it is empty".to_owned()
    } else if namespace.len() > 64 {
        format!("it has {} bytes", namespace.len())
    } else if let Some(other) = namespace.chars().find(|&c| c != ':' && !u8::try_from(c).is_ok_and(is_plain))
    {
        format!("it has {other:?}")
    } else if namespace.starts_with(':') || namespace.ends_with(':') {
        "it begins or ends with `:`".to_owned()
    } else if namespace.contains("::") {
        "it has `::`".to_owned()
    } else {
        return Ok(());
    };
    // Too long to be shown whole, perhaps.
    let shown: String = namespace.chars().take(64).collect();
    let more = if shown.len() < namespace.len() { ".." } else { "" };
    Err(format!("{shown:?}{more} is no namespace, as {wrong}: {RIGHT}"))
}

pub(super) fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// `~` is not: two of them say that a text was cut.
fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'_' | b'.' | b'-' | b'@' | b'/' | b'+' | b'=');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: impl AsRef<[u8]>) -> String {
        let mut out = Vec::new();
        escape_into(bytes.as_ref(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_has_a_meaning_in_a_name_is_escaped_and_the_rest_is_not() {
        assert_eq!(escaped("Az09_.-@/+="), "Az09_.-@/+=");
        assert_eq!(escaped("a:b{c}%,*?[~ \r\n\0"), "a%3Ab%7Bc%7D%25%2C%2A%3F%5B%7E%20%0D%0A%00");
        assert_eq!(escaped("Ł"), "%C5%81");
        assert_eq!(escaped([0xFF, b'a', 0x80]), "%FFa%80");
        assert_eq!(escaped(""), "%");
    }

    #[test]
    fn a_namespace_that_is_right_is_taken() {
        for namespace in ["user", "a", "shop:eu-1:user", "a@b/c+d=e_f.g", &"x".repeat(64)] {
            assert_eq!(check_namespace(namespace), Ok(()), "{namespace}");
        }
    }

    #[test]
    fn a_namespace_that_is_wrong_is_told_why_and_what_would_be_right() {
        let long = "x".repeat(65);
        for (namespace, why) in [
            ("", "it is empty"),
            (":user", "begins or ends with `:`"),
            ("user:", "begins or ends with `:`"),
            (":", "begins or ends with `:`"),
            ("a::b", "it has `::`"),
            ("a b", "it has ' '"),
            ("a{b}", "it has '{'"),
            ("a~", "it has '~'"),
            ("a\n", r"it has '\n'"),
            ("naïve", "it has 'ï'"),
            ("日本", "it has '日'"),
            (&long, "it has 65 bytes"),
        ] {
            let error = check_namespace(namespace).unwrap_err();
            assert!(error.contains(why) && error.contains("1 to 64 of"), "{error}");
        }
    }
}
