//! Where a provider's calls go, and how the user sets it: the part that all providers share. What a
//! call says is the wire's.

use std::{env, fmt};

use http::HeaderName;
use reqwest::Url;
use steadfast_core::{ConfigError, ModelError, ModelStream};

use crate::{
    answer::{AnswerDecoder, read_answer},
    base_url::BaseUrl,
    http_client::{Credential, HttpClient, HttpConfig},
};

/// What differs between vendors in how they are reached.
pub(crate) struct Vendor {
    /// The part of a model's name before the colon.
    pub(crate) name: &'static str,
    pub(crate) example_model: &'static str,
    pub(crate) address: Address,
    pub(crate) base_url_variable: &'static str,
    pub(crate) key_variable: &'static str,
    pub(crate) key_header: &'static str,
    /// What stands before the key in its header.
    pub(crate) key_prefix: &'static str,
    /// Headers of every call, besides the usual ones.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// The path of a call, which is added to the base URL. It may have a query, and `{model}` where
    /// the model's name stands.
    pub(crate) call: &'static str,
    /// Paths that show that a base URL already holds a part of the call.
    pub(crate) refused_endings: &'static [&'static str],
}

/// Whose address the calls go to, unless another one is given.
#[derive(Clone, Copy)]
pub(crate) enum Address {
    /// The vendor's own.
    Own(&'static str),
    /// One for each customer; this is the form of it.
    #[cfg(feature = "openai")]
    OfCustomer(&'static str),
}

/// Where the calls of a provider go.
#[derive(Clone)]
pub(crate) struct Endpoint {
    name: String,
    model: String,
    url: Url,
    http: HttpClient,
}

impl Endpoint {
    /// Starts to build an endpoint.
    pub(crate) fn builder(model: impl Into<String>) -> EndpointBuilder {
        EndpointBuilder {
            model: model.into(),
            api_key: None,
            base_url: None,
            http: HttpConfig::default(),
        }
    }

    /// Returns the name that events and errors use.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the model's name on the wire.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// Returns the host that is called.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Makes one call, whose answer is in this wire's form.
    pub(crate) async fn call<D: AnswerDecoder>(
        &self,
        body: Vec<u8>,
        decoder: D,
    ) -> Result<ModelStream, ModelError> {
        let response = self.http.post_json(self.url.clone(), body).await?;
        let head = self.http.head(&response);
        read_answer(head, response, decoder).await
    }
}

/// Says where calls go, and no key.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("model", &self.model)
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

/// What a user has set so far.
pub(crate) struct EndpointBuilder {
    pub(crate) model: String,
    pub(crate) api_key: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) http: HttpConfig,
}

impl EndpointBuilder {
    /// Checks what was set, and takes the rest from the environment.
    pub(crate) fn build(self, vendor: &Vendor) -> Result<Endpoint, ConfigError> {
        if self.model.trim().is_empty() {
            let hint = format!("such as `{}`", vendor.example_model);
            return Err(ConfigError::new("model", "is empty").with_hint(hint));
        }
        let address = self.base_url.or_else(|| from_env(vendor.base_url_variable));
        let (own, example) = match vendor.address {
            Address::Own(own) => (Some(own), own),
            #[cfg(feature = "openai")]
            Address::OfCustomer(example) => (None, example),
        };
        let Some(address) = address.as_deref().or(own) else {
            return Err(ConfigError::new("base_url", "is missing").with_hint(format!(
                "set the environment variable `{}`, or call `.base_url(..)`, such as with `{example}`",
                vendor.base_url_variable
            )));
        };
        let base_url = BaseUrl::parse(address, example)?;
        let path = base_url.path().trim_end_matches('/');
        let is_refused = |ending: &&&str| path.ends_with(**ending);
        if let Some(ending) = vendor.refused_endings.iter().find(is_refused) {
            let hint = format!("leave out `{ending}`: it is added to every call");
            return Err(ConfigError::new("base_url", "ends in the path of a call").with_hint(hint));
        }
        let is_blank = |key: &String| key.trim().is_empty();
        if self.api_key.as_ref().is_some_and(is_blank) {
            return Err(ConfigError::new("api_key", "is empty")
                .with_hint("leave out `.api_key(..)` for a server that wants no key"));
        }
        let api_key = self.api_key.or_else(|| from_env(vendor.key_variable));
        // A vendor whose own address is this machine wants no key there.
        let wants_key = match own.map(|own| BaseUrl::parse(own, own)).transpose()? {
            Some(own) => own.is_https() && own.host() == base_url.host(),
            None => base_url.is_https(),
        };
        let names_key = |(name, _): &(String, String)| {
            [vendor.key_header, "authorization"]
                .iter()
                .any(|key| name.eq_ignore_ascii_case(key))
        };
        let has_key = api_key.is_some() || self.http.headers.iter().any(names_key);
        if wants_key && !has_key {
            return Err(ConfigError::new("api_key", "is missing").with_hint(format!(
                "set the environment variable `{}`, or call `.api_key(..)`",
                vendor.key_variable
            )));
        }
        let credential = api_key.map(|key| Credential {
            header: HeaderName::from_static(vendor.key_header),
            value: format!("{}{}", vendor.key_prefix, key.trim()),
        });
        let http = HttpClient::build(self.http, &base_url, vendor.headers, credential)?;
        Ok(Endpoint {
            name: format!("{}:{}", vendor.name, self.model),
            url: base_url.join(&vendor.call.replace("{model}", &self.model)),
            model: self.model,
            http,
        })
    }
}

/// Returns what an environment variable says, if it says anything.
pub(crate) fn from_env(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Says what is set and no key.
impl fmt::Debug for EndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBuilder")
            .field("model", &self.model)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

/// Writes the setters that every provider's builder has, for a builder around an
/// [`EndpointBuilder`]. They are methods of the builder itself, so that a user finds them on its
/// page and needs no trait.
macro_rules! endpoint_setters {
    (key: $key:literal, base_url: $base_url:literal, $form:literal) => {
        #[doc = concat!("Sets the key instead of taking it from `", $key, "`.")]
        pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
            self.0.api_key = Some(api_key.into());
            self
        }

        #[doc = concat!("Sets the address instead of taking it from `", $base_url, "`.")]
        ///
        #[doc = concat!("It is what the vendor's own client takes, ", $form, ".")]
        pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
            self.0.base_url = Some(base_url.into());
            self
        }

        /// Adds a header to every call; it replaces one that is sent anyway.
        pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.0.http.headers.push((name.into(), value.into()));
            self
        }

        /// Sends every call through this proxy, whatever the environment says.
        ///
        /// The address is written in full, with `http` or `https`.
        pub fn proxy(mut self, address: impl Into<String>) -> Self {
            self.0.http.proxy = $crate::http_client::ProxyChoice::Address(address.into());
            self
        }

        /// Sends no call through a proxy, whatever the environment says.
        pub fn no_proxy(mut self) -> Self {
            self.0.http.proxy = $crate::http_client::ProxyChoice::None;
            self
        }

        /// Sets how long the connection may take to be made; 10 seconds without this.
        pub const fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.0.http.connect_timeout = timeout;
            self
        }
    };
}

pub(crate) use endpoint_setters;

#[cfg(all(test, feature = "anthropic"))]
mod tests {
    use crate::Anthropic;

    #[test]
    fn header_with_a_key_stands_for_the_key() {
        let builder = || Anthropic::builder("m").base_url("https://api.anthropic.com");
        for name in ["Authorization", "x-api-key"] {
            assert!(builder().header(name, "Bearer 0123456789").build().is_ok());
        }
    }
}
