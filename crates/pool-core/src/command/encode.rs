//! One command's bytes, as redis-rs writes them, with fewer steps for the commands that nearly all are.

use redis::{Arg, Cmd};

/// Appends `cmd` to `out`.
pub(super) fn append(cmd: &Cmd, out: &mut Vec<u8>) {
    let (mut count, mut bytes) = (0, 0);
    for arg in cmd.args_iter() {
        match arg {
            Arg::Simple(word) => {
                count += 1;
                bytes += word.len();
            }
            // The cursor of a scan, and whatever redis adds later.
            _ => return cmd.write_packed_command(out),
        }
    }
    out.reserve(bytes + LINE * (count + 1));
    line(b'*', count, out);
    for arg in cmd.args_iter() {
        if let Arg::Simple(word) = arg {
            line(b'$', word.len(), out);
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The most bytes that belong to a word beside its own: a marker, a number and two line ends.
const LINE: usize = 1 + 20 + 4;

fn line(marker: u8, number: usize, out: &mut Vec<u8>) {
    match number {
        0..10 => out.extend_from_slice(&[marker, digit(number), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[marker, digit(number / 10), digit(number % 10), b'\r', b'\n']),
        _ => {
            out.push(marker);
            let mut digits = [0; 20];
            let (mut rest, mut first) = (number, digits.len());
            while rest > 0 {
                first -= 1;
                digits[first] = digit(rest % 10);
                rest /= 10;
            }
            out.extend_from_slice(&digits[first..]);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn digit(number: usize) -> u8 {
    b'0' + number as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cmd: &Cmd) {
        let mut ours = b"before".to_vec();
        append(cmd, &mut ours);
        let mut theirs = b"before".to_vec();
        cmd.write_packed_command(&mut theirs);
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs));
    }

    #[test]
    fn a_command_is_encoded_as_redis_encodes_it() {
        for length in [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 65_536, 1_234_567] {
            check(redis::cmd("SET").arg("key").arg(vec![b'x'; length]));
        }
        for count in [1, 8, 9, 10, 98, 99, 100, 1000] {
            check(redis::cmd("DEL").arg((0..count).collect::<Vec<_>>()));
        }
        check(redis::cmd("SCAN").cursor_arg(7).arg("COUNT").arg(10));
        check(&Cmd::new());
    }
}
