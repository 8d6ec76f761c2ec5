//! From a batch of commands to its replies: check it whole, lock what it needs, run it.

use cenote_pool_core::NotDegradable;
use redis::{Arg, Cmd, Value};

use crate::command::{Cx, Keys, Spec};
use crate::refusal::check;
use crate::reply::Refused;
use crate::store::{Hashed, Locked, Store};

/// Runs one command after the other; other batches may run in between.
pub(crate) fn pipeline(store: &Store, batch: &[&Cmd]) -> Result<Vec<Value>, NotDegradable> {
    if let [cmd] = batch {
        return Ok(vec![single(store, check(cmd)?, cmd)]);
    }
    let specs = batch.iter().map(|cmd| check(cmd)).collect::<Result<Vec<_>, _>>()?;
    Ok(specs.into_iter().zip(batch).map(|(spec, cmd)| single(store, spec, cmd)).collect())
}

/// Runs all commands while holding the locks that any of them needs.
pub(crate) fn transaction(store: &Store, batch: &[&Cmd]) -> Result<Vec<Value>, NotDegradable> {
    let specs = batch.iter().map(|cmd| check(cmd)).collect::<Result<Vec<_>, _>>()?;
    let words: Vec<Vec<&[u8]>> = batch.iter().map(|cmd| words(cmd).collect()).collect();
    if specs.iter().zip(&words).any(|(spec, words)| !spec.accepts(words.len())) {
        return Ok(vec![Refused::EXEC_ABORT.into_value(); batch.len()]);
    }
    let calls: Vec<_> = specs.into_iter().zip(&words).collect();
    let keys: Vec<Hashed<'_>> =
        calls.iter().flat_map(|(spec, words)| spec.keys(words)).map(|key| store.hash(key)).collect();
    let whole = calls.iter().any(|(spec, _)| spec.keys == Keys::Whole);
    let mut locked = if whole { store.lock_all() } else { store.lock(&keys) };
    let now = store.now();
    let mut rest = &*keys;
    let replies = calls
        .into_iter()
        .map(|(spec, words)| {
            let (keys, behind) = rest.split_at(spec.keys(words).count());
            rest = behind;
            Cx { spec, args: words, keys, locked: &mut locked, now: &now }.run()
        })
        .collect();
    locked.release();
    Ok(replies)
}

fn single(store: &Store, spec: &'static Spec, cmd: &Cmd) -> Value {
    // Nearly every command fits; a vector per command would cost as much as the look-up.
    let mut few = [&[][..]; 8];
    let many: Vec<&[u8]>;
    let count = words(cmd).len();
    let args = match few.get_mut(..count) {
        Some(few) => {
            few.iter_mut().zip(words(cmd)).for_each(|(place, word)| *place = word);
            &*few
        }
        None => {
            many = words(cmd).collect();
            &many
        }
    };
    if !spec.accepts(count) {
        return Refused::arity(spec.name).into_value();
    }
    match (spec.keys, args) {
        (Keys::First, [_, key, ..]) => {
            let keys = [store.hash(key)];
            call(store, store.lock(&keys), spec, args, &keys)
        }
        (Keys::Whole, _) => call(store, store.lock_all(), spec, args, &[]),
        _ => {
            let keys: Vec<_> = spec.keys(args).map(|key| store.hash(key)).collect();
            call(store, store.lock(&keys), spec, args, &keys)
        }
    }
}

fn call<'s>(
    store: &'s Store,
    mut locked: Locked<'s>,
    spec: &'static Spec,
    args: &[&[u8]],
    keys: &[Hashed<'_>],
) -> Value {
    let now = store.now();
    let reply = Cx { spec, args, keys, locked: &mut locked, now: &now }.run();
    locked.release();
    reply
}

/// A cursor, the only other kind of argument, marks a scan, and those were refused.
fn words(cmd: &Cmd) -> impl ExactSizeIterator<Item = &[u8]> {
    cmd.args_iter().map(|arg| match arg {
        Arg::Simple(word) => word,
        _ => &b"0"[..],
    })
}
