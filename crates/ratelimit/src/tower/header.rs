//! A header's value as the key.

use std::future::{Future, ready};

use http::HeaderName;
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::key::{KeyError, KeyExtractor};

/// By the value of a header, such as an API key.
///
/// Only where the header was checked before, or is set by a proxy: who may put anything there has a quota for each value.
/// A request that has it not just once, or empty, is answered with 400.
#[derive(Debug, Clone)]
pub struct Header {
    name: HeaderName,
    hashed: bool,
}

impl Header {
    /// The header of this name.
    ///
    /// ```
    /// use cenote_ratelimit::tower::Header;
    /// use http::{HeaderName, header};
    ///
    /// let by_user = Header::new(HeaderName::from_static("x-user"));
    /// let by_token = Header::new(header::AUTHORIZATION).hashed();
    /// ```
    pub fn new(name: HeaderName) -> Self {
        Self { name, hashed: false }
    }

    /// The key is a hash of the value: for secrets, as keys are seen in Redis.
    #[must_use]
    pub fn hashed(mut self) -> Self {
        self.hashed = true;
        self
    }

    fn find(&self, request: &Parts) -> Result<String, KeyError> {
        let mut values = request.headers.get_all(&self.name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(KeyError::missing(format!("The header {} is needed, once.", self.name)));
        };
        if value.is_empty() {
            return Err(KeyError::missing(format!("The header {} is empty.", self.name)));
        }
        if self.hashed {
            let hash = Sha256::digest(value);
            return Ok(hash[..16].iter().map(|byte| format!("{byte:02x}")).collect());
        }
        match value.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(KeyError::missing(format!("The header {} must be plain ASCII.", self.name))),
        }
    }
}

impl KeyExtractor for Header {
    fn key(&self, request: &Parts) -> impl Future<Output = Result<String, KeyError>> + Send {
        ready(self.find(request))
    }
}
