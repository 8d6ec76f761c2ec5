//! Who we are to Redis: fixed by the URL, or told by a provider and changed while the pool is in use.

mod keyring;
mod renewal;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

pub(crate) use keyring::{Keyring, Login};
pub(crate) use renewal::Renewal;

/// A password, with or without a user's name. Printing one shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: Option<String>,
    password: String,
}

impl Credentials {
    /// Of the user `default`.
    pub fn password(password: impl Into<String>) -> Self {
        Self { username: None, password: password.into() }
    }

    /// Of an ACL user.
    pub fn user(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: Some(name.into()), password: password.into() }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.username.as_deref()
    }

    pub(crate) fn secret(&self) -> &str {
        &self.password
    }

    fn auth(&self) -> redis::Cmd {
        let mut cmd = redis::cmd("AUTH");
        cmd.arg(self.username.as_deref()).arg(&self.password);
        cmd
    }

    /// Removes them from a text that may have quoted them.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let secrets = [Some(&self.password), self.username.as_ref()].into_iter().flatten();
        let secrets = secrets.filter(|secret| secret.len() > 1);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Why a provider has no credentials to give. Its text is logged and is part of the error of who needs a connection:
/// it must not hold a secret. The credentials given before are removed from it.
pub type CredentialsError = Box<dyn std::error::Error + Send + Sync>;

/// Gives a pool its credentials, in place of those of the URL: for passwords and tokens that change.
///
/// It is asked before each dial, and again if Redis refuses what it gave (`WRONGPASS`). When
/// [`changes`](Self::changes) tells of new credentials, each open connection asks too, and logs in with them where it is:
/// no command is lost or held up. [`RotatingCredentials`] is one that is told from outside.
///
/// It should answer from memory. A dial waits at most half of its limit for it, and goes on with the credentials given
/// last if there are any; without any it fails. What comes later than that is kept for the next dial, unless what was asked
/// for after it has come already.
///
/// ```
/// use cenote_pool_core::{Credentials, CredentialsError, CredentialsProvider, Pool, async_trait};
///
/// struct FromFile;
///
/// #[async_trait]
/// impl CredentialsProvider for FromFile {
///     async fn credentials(&self) -> Result<Credentials, CredentialsError> {
///         let token = std::fs::read_to_string("/run/secrets/redis")?;
///         Ok(Credentials::user("app", token.trim()))
///     }
/// }
///
/// let pool = Pool::builder().url("redis://cache.internal").credentials(FromFile).build()?;
/// # Ok::<(), cenote_pool_core::Error>(())
/// ```
#[async_trait]
pub trait CredentialsProvider: Send + Sync + 'static {
    /// What to log in with at this moment.
    ///
    /// Called in a task of its own, several at a time, in whichever runtime needs a connection. It must not call the pool
    /// that it serves. It is dropped where it waits if it takes longer than the pool's `connect_timeout`, or if that
    /// runtime ends, and not when the caller gives up for whom it was asked.
    ///
    /// # Errors
    ///
    /// There are none to be had. A panic counts as that, too.
    async fn credentials(&self) -> Result<Credentials, CredentialsError>;

    /// Tells that [`credentials`](Self::credentials) gives others than before: by any send, when they can be had and
    /// Redis takes them. `None`, which is the default: open connections stay logged in as they are, as Redis lets them
    /// until it deletes the user.
    ///
    /// Called at each dial, and should only hand out a receiver. When its sender is gone there are no more changes.
    fn changes(&self) -> Option<watch::Receiver<()>> {
        None
    }
}

/// A provider that is told from outside what the credentials are. Clones are the same one.
///
/// ```
/// use cenote_pool_core::{Credentials, Pool, RotatingCredentials};
///
/// let credentials = RotatingCredentials::new(Credentials::user("app", "first"));
/// let pool = Pool::builder().url("redis://cache.internal").credentials(credentials.clone()).build()?;
///
/// // Once Redis takes the new password: open connections log in with it, and new ones too.
/// credentials.set(Credentials::user("app", "second"));
/// # Ok::<(), cenote_pool_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RotatingCredentials(Arc<Rotating>);

struct Rotating {
    current: Mutex<Credentials>,
    changes: watch::Sender<()>,
}

impl RotatingCredentials {
    /// With these to begin with.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(Rotating { current: Mutex::new(credentials), changes: watch::Sender::new(()) }))
    }

    /// Replaces them. Redis must take the new ones by now, and should take the old ones for a little while longer: this
    /// returns at once, and connections log in one by one in the moments that follow. `CLIENT LIST` tells as whom each
    /// is; one that Redis refuses is told in the log.
    pub fn set(&self, credentials: Credentials) {
        *self.0.current.lock() = credentials;
        self.0.changes.send_replace(());
    }
}

#[async_trait]
impl CredentialsProvider for RotatingCredentials {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Ok(self.0.current.lock().clone())
    }

    fn changes(&self) -> Option<watch::Receiver<()>> {
        Some(self.0.changes.subscribe())
    }
}

impl fmt::Debug for RotatingCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RotatingCredentials(***)")
    }
}
