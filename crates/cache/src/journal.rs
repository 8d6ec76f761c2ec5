//! The journal file: what Redis is yet to be told to forget, kept from the death of the process.
//!
//! The pool's outage journal does the work while the process lives. The file only has the names, each written before
//! its call says `Pending`; a process that starts removes them before its caches first answer. A name too many costs a
//! read of the source, so what is unsure stays in.
//!
//! A file is a line of magic, then for each name four bytes of length and the name. What was torn off at the end was
//! never told to anybody.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use crate::error::{Error, outside_runtime};
use crate::namespace::Namespace;

const MAGIC: &[u8] = b"cenote cache journal 1\n";
/// A file that has grown beyond this keeps the names of whole namespaces only.
const MOST: u64 = 16 << 20;

#[derive(Debug)]
pub(crate) struct JournalFile {
    path: PathBuf,
    /// How long the file is: 0 when there is nothing in it. Whoever works on the file has the lock until that is done,
    /// also when its caller is dropped meanwhile.
    length: Arc<Mutex<u64>>,
    replayed: OnceCell<()>,
}

type Length = OwnedMutexGuard<u64>;

impl JournalFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, length: Arc::default(), replayed: OnceCell::new() }
    }

    /// Has Redis forget what an earlier process left behind, once.
    pub(crate) async fn replay(&self, namespace: &Namespace) -> Result<(), Error> {
        self.replayed.get_or_try_init(|| self.replay_now(namespace)).await.copied()
    }

    async fn replay_now(&self, namespace: &Namespace) -> Result<(), Error> {
        let length = self.length.clone().lock_owned().await;
        let (names, length) = self.on_disk(length, open).await?;
        if names.is_empty() {
            return Ok(());
        }
        let mut pending = false;
        for chunk in names.chunks(1024) {
            pending |= namespace.forget(chunk).await?;
        }
        namespace.clear();
        tracing::info!(
            target: "cenote",
            keys = names.len(),
            pending,
            "what an earlier process could not tell Redis to forget is removed"
        );
        if !pending {
            self.on_disk(length, truncate).await?;
        }
        Ok(())
    }

    /// Keeps `names` if they are `pending`; otherwise forgets the file once nothing in it is.
    pub(crate) async fn record(
        &self,
        namespace: &Namespace,
        pending: bool,
        names: &[&[u8]],
    ) -> Result<(), Error> {
        if !pending && self.length.try_lock().is_ok_and(|length| *length == 0) {
            return Ok(());
        }
        let mut length = self.length.clone().lock_owned().await;
        // Whatever was journalled before this moment is removed in Redis, if the pool's journal is closed now: what
        // comes after it waits for this lock.
        if !namespace.pool.journal_status().local && *length > 0 {
            ((), length) = self.on_disk(length, truncate).await?;
        }
        if pending {
            let mut record = Vec::new();
            let everything = namespace.stand_in().filter(|_| *length > MOST).map(|name| [name]);
            for name in everything.as_ref().map_or(names, |name| &name[..]) {
                record.extend((name.len() as u32).to_le_bytes());
                record.extend_from_slice(name);
            }
            let appended = self.on_disk(length, move |path, length| append(path, length, &record)).await;
            appended.map_err(|error| {
                Error::journal(format!(
                    "{error}; it was done in this process, and will be in Redis if this process lives until then"
                ))
            })?;
        }
        Ok(())
    }

    async fn on_disk<T, F>(&self, mut length: Length, work: F) -> Result<(T, Length), Error>
    where
        T: Send + 'static,
        F: FnOnce(&Path, &mut u64) -> io::Result<T> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|_| outside_runtime())?;
        let failed = |why: &dyn std::fmt::Display| {
            Error::journal(format!("the journal file {} cannot be used: {why}", self.path.display()))
        };
        let path = self.path.clone();
        let done = runtime.spawn_blocking(move || work(&path, &mut length).map(|done| (done, length)));
        done.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

/// The names in it. What was torn off at its end goes: what is appended must not be taken for the rest of that.
fn open(path: &Path, length: &mut u64) -> io::Result<Vec<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (names, whole) = parse(&bytes)?;
    if whole < bytes.len() {
        OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
    }
    *length = whole as u64;
    Ok(names)
}

/// The names, and where the last of them ends.
fn parse(bytes: &[u8]) -> io::Result<(Vec<Vec<u8>>, usize)> {
    // Nothing, or what a death in the middle of the first line left.
    if bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes) {
        return Ok((Vec::new(), 0));
    }
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        io::Error::other("it is something else: give a path at which there is nothing, or a journal of ours")
    })?;
    let mut names = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((name, after)) = after.split_at_checked(length) else { break };
        names.push(name.to_vec());
        rest = after;
    }
    Ok((names, bytes.len() - rest.len()))
}

fn append(path: &Path, length: &mut u64, record: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    // Keys may name people.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let before = file.metadata()?.len();
    let magic = if before == 0 { MAGIC } else { b"" };
    if let Err(error) = file.write_all(&[magic, record].concat()) {
        // Half a record would take the next one for its rest.
        let _ = file.set_len(before);
        return Err(error);
    }
    *length = before + (magic.len() + record.len()) as u64;
    Ok(())
}

fn truncate(path: &Path, length: &mut u64) -> io::Result<()> {
    match OpenOptions::new().write(true).truncate(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    *length = 0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_torn_off_is_left_out_and_does_not_spoil_what_comes_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut length = 0;
        assert!(open(&path, &mut length).unwrap().is_empty());
        let record = |name: &str| [&(name.len() as u32).to_le_bytes()[..], name.as_bytes()].concat();
        append(&path, &mut length, &[record("abc"), record("de")].concat()).unwrap();
        assert_eq!(open(&path, &mut length).unwrap(), [b"abc".to_vec(), b"de".to_vec()]);
        let whole = fs::read(&path).unwrap();
        assert_eq!(length, whole.len() as u64);
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let complete = if cut < MAGIC.len() + 7 { 0 } else { 1 };
            assert_eq!(open(&path, &mut length).unwrap().len(), complete, "{cut}");
            append(&path, &mut length, &record("later")).unwrap();
            let names = open(&path, &mut length).unwrap();
            assert_eq!(
                (names.len(), names.last().unwrap().as_slice()),
                (complete + 1, &b"later"[..]),
                "{cut}"
            );
            assert_eq!(length, fs::metadata(&path).unwrap().len());
        }
    }

    #[test]
    fn a_file_of_others_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        for theirs in [&b"somebody else's file"[..], b"cenote cache journal 2\nabcdefgh"] {
            fs::write(&path, theirs).unwrap();
            assert!(open(&path, &mut 0).unwrap_err().to_string().contains("something else"));
            assert_eq!(fs::read(&path).unwrap(), theirs);
        }
    }
}
