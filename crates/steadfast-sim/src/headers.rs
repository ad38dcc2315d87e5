//! How headers are written, whatever the vendor calls them.
//!
//! It names none of them and sends nothing: the names are in the wires' own files.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::dialect::ResetTime;
use crate::rate_limit::Bucket;

/// Sets a header; a value that no header can have is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// What a vendor calls the headers that say how much of a rate limit is left.
#[derive(Debug)]
pub(crate) struct LimitHeaders {
    pub(crate) limit: &'static str,
    pub(crate) remaining: &'static str,
    pub(crate) reset: &'static str,
    /// Writes when the limit is back to full, from how long that takes.
    pub(crate) reset_in: fn(Duration) -> String,
}

impl LimitHeaders {
    pub(crate) fn of(&self, bucket: &Bucket, reset: ResetTime) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // Of the same bucket as what is left of it: a client works out the rate from the three.
        let limit = bucket.limit().at_once().to_string();
        insert(&mut headers, self.limit, &limit);
        insert(
            &mut headers,
            self.remaining,
            &bucket.remaining().to_string(),
        );
        if reset == ResetTime::Told {
            let reset = (self.reset_in)(bucket.until_full());
            insert(&mut headers, self.reset, &reset);
        }
        headers
    }
}
