//! What Redis knows jobs by: `progress:1:<namespace>:{<job>}:state`, and so on. The number is that of the format, and all
//! of a job is in one slot of a cluster.

use crate::error::Error;

/// The longest name of a job, in bytes.
const MOST: usize = 512;

#[derive(Debug)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { prefix: format!("progress:1:{namespace}:") }
    }

    pub(crate) fn state(&self, job: &str) -> String {
        format!("{}{{{}}}:state", self.prefix, escaped(job))
    }

    pub(crate) fn log(&self, job: &str) -> String {
        format!("{}{{{}}}:log", self.prefix, escaped(job))
    }

    /// Where a job is told of.
    pub(crate) fn channel(&self, job: &str) -> String {
        format!("{}{{{}}}", self.prefix, escaped(job))
    }

    /// Where all workers listen.
    pub(crate) fn control(&self) -> String {
        format!("{}control", self.prefix)
    }

    /// The jobs that there are, by the time of their last sign of life.
    pub(crate) fn index(&self) -> String {
        format!("{}jobs", self.prefix)
    }

    /// There for as long as Redis was not emptied since this process wrote it.
    pub(crate) fn sentinel(&self, owner: &str) -> String {
        format!("{}sentinel:{owner}", self.prefix)
    }
}

pub(crate) fn check_job(job: &str) -> Result<(), Error> {
    if job.is_empty() {
        return Err(Error::Job("the name of a job is empty: it needs 1 to 512 bytes".to_owned()));
    }
    if job.len() > MOST {
        let shown: String = job.chars().take(32).collect();
        let why =
            format!("the name of a job, {shown:?}..., has {} bytes: at most 512 are allowed", job.len());
        return Err(Error::Job(why));
    }
    Ok(())
}

pub(crate) fn check_namespace(name: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(Error::Config(format!("{shown:?} is no name for a namespace: take 1 to 64 of `A-Z a-z 0-9 _ . -`")))
}

/// What could end a hash tag, or is not to be seen in a terminal, is written as `%XX`.
fn escaped(job: &str) -> String {
    let mut out = String::with_capacity(job.len());
    for byte in job.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}' | b'%') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_the_hash_tag_and_cannot_end_it_and_no_two_share_a_name() {
        let names = Names::new("jobs");
        assert_eq!(names.state("import-42"), "progress:1:jobs:{import-42}:state");
        assert_eq!(names.state("a}b{ c/é%"), "progress:1:jobs:{a%7Db%7B%20c/%C3%A9%25}:state");
        assert_ne!(names.channel("control"), names.control());
        assert_ne!(names.state("a b"), names.state("a%20b"));
    }

    #[test]
    fn a_name_that_cannot_be_says_what_would_be_right() {
        assert!(check_job(&"x".repeat(512)).is_ok());
        for wrong in ["".to_owned(), "é".repeat(300)] {
            let error = check_job(&wrong).unwrap_err().to_string();
            assert!(error.contains("512"), "{error}");
        }
        assert!(check_namespace("a:b").unwrap_err().to_string().contains("a:b"));
    }
}
