//! The journal file: what Redis is yet to be told to forget, kept from the death of the process.
//!
//! The pool's outage journal does the work while the process lives. The file only has the names, each written before
//! its call says `Pending`; a process that starts removes them before its caches first answer. A name too many costs a
//! read of the source, so what is unsure stays in.
//!
//! A file is a line of magic, then for each name four bytes of length and the name. What was torn off at the end was
//! never told to anybody.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cenote_pool_core::redis;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;

use crate::error::Error;
use crate::namespace::Namespace;

const MAGIC: &[u8] = b"cenote cache journal 1\n";
/// A file that has grown beyond this keeps the names of whole namespaces only.
const MOST: u64 = 16 << 20;
/// A longer name is none of ours.
const LONGEST: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct JournalFile {
    path: PathBuf,
    /// How long the file is: 0 when there is nothing in it.
    length: Mutex<u64>,
    replayed: OnceCell<()>,
}

impl JournalFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, length: Mutex::new(0), replayed: OnceCell::new() }
    }

    /// Has Redis forget what an earlier process left behind, once.
    pub(crate) async fn replay(&self, namespace: &Namespace) -> Result<(), Error> {
        self.replayed.get_or_try_init(|| self.replay_now(namespace)).await.copied()
    }

    async fn replay_now(&self, namespace: &Namespace) -> Result<(), Error> {
        let mut length = self.length.lock().await;
        let names = self.on_disk(|path| read(&path)).await?;
        if names.is_empty() {
            return Ok(());
        }
        let count = names.len();
        let mut pending = false;
        for chunk in names.chunks(1024) {
            pending |= namespace.query(redis::cmd("DEL").arg(chunk)).await?.pending;
        }
        namespace.clear();
        tracing::info!(
            target: "cenote",
            keys = count,
            pending,
            "what an earlier process could not tell Redis to forget is removed"
        );
        *length = if pending { 1 } else { self.on_disk(|path| truncate(&path)).await? };
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
        let mut length = self.length.lock().await;
        // Whatever was journalled before this moment is removed in Redis, if the pool's journal is closed now: what
        // comes after it waits for this lock.
        let status = namespace.pool.journal_status();
        if !status.local && *length > 0 {
            *length = self.on_disk(|path| truncate(&path)).await?;
        }
        if pending {
            let mut record = Vec::new();
            let everything = [namespace.names.versions.as_slice()];
            for name in if *length > MOST { &everything[..] } else { names } {
                record.extend((name.len() as u32).to_le_bytes());
                record.extend_from_slice(name);
            }
            *length = self.on_disk(move |path| append(&path, &record)).await?;
        }
        Ok(())
    }

    async fn on_disk<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    {
        let path = self.path.clone();
        let failed = |why: &dyn std::fmt::Display| {
            Error::journal(format!("the journal file {} cannot be used: {why}", self.path.display()))
        };
        spawn_blocking(move || work(path))
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }
}

fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // Nothing, or what a death in the middle of the first line left.
    if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
        return Ok(Vec::new());
    }
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        io::Error::other("it is something else: give a path at which there is nothing, or a journal of ours")
    })?;
    let mut names = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST || length > after.len() {
            break;
        }
        let (name, after) = after.split_at(length);
        names.push(name.to_vec());
        rest = after;
    }
    Ok(names)
}

fn append(path: &Path, record: &[u8]) -> io::Result<u64> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() == 0 {
        file.write_all(MAGIC)?;
    }
    file.write_all(record)?;
    Ok(file.metadata()?.len())
}

fn truncate(path: &Path) -> io::Result<u64> {
    match OpenOptions::new().write(true).truncate(true).open(path) {
        Ok(_) => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_torn_off_is_left_out_and_a_file_of_others_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        assert!(read(&path).unwrap().is_empty());
        let record = [&3u32.to_le_bytes()[..], b"abc", &2u32.to_le_bytes()[..], b"de"].concat();
        append(&path, &record).unwrap();
        assert_eq!(read(&path).unwrap(), [b"abc".to_vec(), b"de".to_vec()]);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let complete = if cut < MAGIC.len() + 7 { 0 } else { 1 };
            assert_eq!(read(&path).unwrap().len(), complete, "{cut}");
        }
        std::fs::write(&path, b"somebody else's file").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("something else"));
    }
}
