//! Base URLs: checked when a provider is built, and joined with the path of a call.

use reqwest::Url;
use steadfast_core::ConfigError;

/// An address that calls are made under, such as `https://api.openai.com/v1`.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl(Url);

impl BaseUrl {
    /// Checks an address; `example` is one that works, for the hint.
    pub(crate) fn parse(address: &str, example: &str) -> Result<Self, ConfigError> {
        let refuse = |problem: &str, hint: &str| {
            // Before an `@` stands a user, and perhaps a password; behind a `?` perhaps a key.
            let shown = match address.split_once('?') {
                _ if address.contains('@') => "***".to_owned(),
                Some((address, _)) => format!("{address}?***"),
                None => address.to_owned(),
            };
            ConfigError::new("base_url", format!("{problem}: `{shown}`")).with_hint(hint)
        };
        let whole = format!("write it in full, such as `{example}`");
        let url = Url::parse(address).map_err(|_| refuse("is not a URL", &whole))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(refuse("is not an HTTP address", &whole));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // The address itself is not repeated here: it holds a secret.
            return Err(
                ConfigError::new("base_url", "must not contain a user or password")
                    .with_hint("give the key to the provider, or a header of its own"),
            );
        }
        Ok(Self(url))
    }

    /// Returns the address of a call: a query of the base stays behind the path, and behind it that
    /// of the call.
    pub(crate) fn join(&self, call: &str) -> Url {
        let (path, query) = call.split_once('?').unwrap_or((call, ""));
        let mut url = self.0.clone();
        let joined = format!("{}/{}", url.path().trim_end_matches('/'), path);
        url.set_path(&joined);
        let queries = [url.query().unwrap_or_default(), query];
        let queries: Vec<&str> = queries
            .into_iter()
            .filter(|query| !query.is_empty())
            .collect();
        let query = (!queries.is_empty()).then(|| queries.join("&"));
        url.set_query(query.as_deref());
        url
    }

    /// Returns the values of the query: some servers take their key there.
    pub(crate) fn query_values(&self) -> Vec<String> {
        let pairs = self.0.query_pairs();
        let decoded = pairs.map(|(_, value)| value.into_owned());
        // As it was written too: that is how the address is repeated.
        let written = self.0.query().unwrap_or_default().split('&');
        let written = written.filter_map(|pair| pair.split_once('='));
        decoded
            .chain(written.map(|(_, value)| value.to_owned()))
            .collect()
    }

    /// Returns whether calls are encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the host.
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_with_or_without_a_slash_and_keep_the_query() {
        for (base, expected) in [
            ("http://h/v1", "http://h/v1/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            ("http://h:8080", "http://h:8080/chat/completions"),
            (
                "http://h/a?api-version=1",
                "http://h/a/chat/completions?api-version=1",
            ),
        ] {
            assert_eq!(
                BaseUrl::parse(base, "")
                    .unwrap()
                    .join("chat/completions")
                    .as_str(),
                expected
            );
        }
    }

    #[test]
    fn query_of_a_call_comes_behind_that_of_the_base() {
        for (base, expected) in [
            ("http://h", "http://h/models/m:stream?alt=sse"),
            (
                "http://h/a?key=1",
                "http://h/a/models/m:stream?key=1&alt=sse",
            ),
        ] {
            let url = BaseUrl::parse(base, "").unwrap();
            assert_eq!(url.join("models/m:stream?alt=sse").as_str(), expected);
        }
    }

    #[test]
    fn values_of_the_query_are_told_as_written_and_decoded() {
        let url = BaseUrl::parse("http://h/v1?version=1&key=top%2Fsecret", "").unwrap();
        assert_eq!(url.query_values(), ["1", "top/secret", "1", "top%2Fsecret"]);
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_by_name() {
        for address in [
            "",
            "api.openai.com/v1",
            "ftp://h/v1",
            "http://",
            "https://user:secret@h/v1",
            "https//user:secret@h",
            "secret@",
            "ftp://h?key=secret",
            "h?secret",
        ] {
            let error = BaseUrl::parse(address, "http://example").unwrap_err();
            assert_eq!(error.field(), "base_url", "{address}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
