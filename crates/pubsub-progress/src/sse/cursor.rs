//! Up to where a client has seen each job of its stream, as the `id:` of its events.
//!
//! For one job that is its position, `run:v:l`. For several it is the base64url of a vector: a version, four bytes by
//! which the jobs and their order are known again, which of them were lost, and the three numbers of each.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::position::Position;

const VERSION: u8 = 1;
/// How many jobs a stream may have: as many as bits say which were lost.
pub(super) const MOST: usize = 32;
const LOST: &str = ":lost";

/// How far one job was seen. That it was lost is no position: its record is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) at: Position,
    pub(super) lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    mark: [u8; 4],
    pub(super) seen: Vec<Seen>,
}

impl Cursor {
    /// Nothing was seen of these.
    pub(super) fn start(jobs: &[Arc<str>]) -> Self {
        Self { mark: mark(jobs), seen: vec![Seen::default(); jobs.len()] }
    }

    /// `None` if it is no `id:` of a stream of these jobs.
    pub(super) fn parse(text: &str, jobs: &[Arc<str>]) -> Option<Self> {
        let mark = mark(jobs);
        let seen = if jobs.len() == 1 { vec![one(text)?] } else { vector(text, mark, jobs.len())? };
        Some(Self { mark, seen })
    }

    pub(super) fn id(&self) -> String {
        match *self.seen.as_slice() {
            [seen] => id_of_one(seen),
            _ => URL_SAFE_NO_PAD.encode(self.bytes()),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let lost = self
            .seen
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (index, seen)| bits | u32::from(seen.lost) << index);
        let mut bytes = vec![VERSION];
        bytes.extend(self.mark);
        bytes.extend(lost.to_be_bytes());
        for Seen { at, .. } in &self.seen {
            [at.run, at.v, at.l].into_iter().for_each(|number| write(number, &mut bytes));
        }
        bytes
    }
}

pub(super) fn id_of_one(seen: Seen) -> String {
    format!("{}{}", seen.at, if seen.lost { LOST } else { "" })
}

fn one(text: &str) -> Option<Seen> {
    let (at, lost) = text.strip_suffix(LOST).map_or((text, false), |at| (at, true));
    Some(Seen { at: at.parse().ok()?, lost })
}

fn vector(text: &str, mark: [u8; 4], jobs: usize) -> Option<Vec<Seen>> {
    // Longer than any of ours: not worth decoding.
    if text.len() > 2048 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (&[version, a, b, c, d, e, f, g, h], mut rest) = bytes.split_first_chunk::<9>()?;
    if (version, [a, b, c, d]) != (VERSION, mark) {
        return None;
    }
    let lost = u32::from_be_bytes([e, f, g, h]);
    let seen: Option<Vec<_>> = (0..jobs)
        .map(|index| {
            let at = Position::new(read(&mut rest)?, read(&mut rest)?, read(&mut rest)?);
            Some(Seen { at, lost: lost >> index & 1 == 1 })
        })
        .collect();
    seen.filter(|_| rest.is_empty())
}

/// By which a vector is known to be of these jobs, in this order.
fn mark(jobs: &[Arc<str>]) -> [u8; 4] {
    let mut hash = sha1_smol::Sha1::new();
    for job in jobs {
        hash.update(&(job.len() as u64).to_be_bytes());
        hash.update(job.as_bytes());
    }
    let [a, b, c, d, ..] = hash.digest().bytes();
    [a, b, c, d]
}

/// Seven bits a byte, the lowest first; all but the last have the eighth set.
fn write(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        number |= part << shift;
        if byte < 0x80 {
            return (part << shift >> shift == part).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn random(rng: &mut fastrand::Rng, jobs: &[Arc<str>]) -> Cursor {
        let mut cursor = Cursor::start(jobs);
        for seen in &mut cursor.seen {
            let mut number = || rng.u64(..) >> rng.u32(..64);
            let at = Position::new(number(), number(), number());
            *seen = Seen { at, lost: rng.bool() };
        }
        cursor
    }

    #[test]
    fn an_id_reads_back_as_it_is_written_for_one_job_and_for_as_many_as_there_can_be() {
        let mut rng = fastrand::Rng::with_seed(cenote_testkit::seed());
        for count in (1..=MOST).cycle().take(2_000) {
            let jobs: Vec<Arc<str>> = (0..count).map(|number| format!("job {number}").into()).collect();
            let cursor = random(&mut rng, &jobs);
            let id = cursor.id();
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte)), "{id}");
            assert_eq!(Cursor::parse(&id, &jobs), Some(cursor), "{id}");
        }
        let one = jobs(&["import"]);
        assert_eq!(Cursor::start(&one).id(), "0:0:0");
        assert_eq!(
            Cursor::parse("7:2:9:lost", &one).unwrap().seen,
            [Seen { at: Position::new(7, 2, 9), lost: true }]
        );
    }

    #[test]
    fn an_id_of_other_jobs_or_of_another_order_is_none() {
        let cursor = random(&mut fastrand::Rng::with_seed(1), &jobs(&["a", "b"]));
        assert!(Cursor::parse(&cursor.id(), &jobs(&["a", "b"])).is_some());
        for others in [&["b", "a"][..], &["a"], &["a", "b", "c"], &["ab", ""]] {
            assert_eq!(Cursor::parse(&cursor.id(), &jobs(others)), None, "{others:?}");
        }
    }

    #[test]
    fn nothing_that_is_made_up_harms_and_what_is_cut_or_longer_is_none() {
        let mut rng = fastrand::Rng::with_seed(cenote_testkit::seed());
        let jobs = jobs(&["a", "b", "c"]);
        for _ in 0..20_000 {
            let made_up: String = (0..rng.usize(..60)).map(|_| rng.char(..)).collect();
            let _ = (Cursor::parse(&made_up, &jobs), Cursor::parse(&made_up, &jobs[..1]));
            let mut bytes = random(&mut rng, &jobs).bytes();
            let index = rng.usize(..bytes.len());
            bytes[index] = rng.u8(..);
            if let Some(read) = Cursor::parse(&URL_SAFE_NO_PAD.encode(&bytes), &jobs) {
                assert_eq!(Cursor::parse(&read.id(), &jobs).unwrap(), read);
            }
            let whole = random(&mut rng, &jobs).bytes();
            let cut = rng.usize(..whole.len());
            assert_eq!(Cursor::parse(&URL_SAFE_NO_PAD.encode(&whole[..cut]), &jobs), None);
            assert_eq!(Cursor::parse(&URL_SAFE_NO_PAD.encode([&whole[..], &[0]].concat()), &jobs), None);
        }
        assert_eq!(Cursor::parse(&"A".repeat(1 << 20), &jobs), None);
    }
}
