//! From what a user sets to a client of the SDK: region, credentials, endpoint. What is missing is
//! looked for where all AWS tools look. No call of the model is made here.

use std::{env, fmt};

use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, profile::ProfileFileRegionProvider,
};
use aws_sdk_bedrockruntime::{
    Client,
    config::{
        self, Credentials, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use reqwest::{Response, Url};
use steadfast_core::ConfigError;
use tokio::sync::OnceCell;

use super::connector::{Clients, Transport, sdk_client};
use crate::{http_client::HttpConfig, secrets::Secrets};

/// The scheme by which keys sign.
const KEYS_SIGN: AuthSchemeId = AuthSchemeId::new("sigv4");

/// What a user has set so far.
#[derive(Default)]
pub(super) struct Given {
    pub(super) region: Option<String>,
    pub(super) keys: Option<Keys>,
    pub(super) profile: Option<String>,
    pub(super) endpoint_url: Option<String>,
    pub(super) sdk_config: Option<SdkConfig>,
    pub(super) http: HttpConfig,
}

/// Keys that a user gave. They have no `Debug` form.
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret: String,
    pub(super) session_token: Option<String>,
}

impl Given {
    /// Checks what was set. The environment is asked for what must not be missing.
    pub(super) fn build(self) -> Result<Setup, ConfigError> {
        let refuse = |field: &str, problem: &str, hint: &str| {
            Err(ConfigError::new(field, problem).with_hint(hint))
        };
        let is_blank = |text: &String| text.trim().is_empty();
        if self.region.as_ref().is_some_and(is_blank) {
            return refuse("region", "is empty", "such as `us-east-1`");
        }
        if self.profile.as_ref().is_some_and(is_blank) {
            return refuse(
                "profile",
                "is empty",
                "leave out `.profile(..)` for the usual one",
            );
        }
        let has_blank_key = |keys: &Keys| is_blank(&keys.access_key) || is_blank(&keys.secret);
        if self.keys.as_ref().is_some_and(has_blank_key) {
            let hint = "leave out `.credentials(..)` to have them looked up";
            return refuse("credentials", "hold an empty key", hint);
        }
        let endpoint_url = self
            .endpoint_url
            .as_deref()
            .map(check_endpoint)
            .transpose()?;
        let given = self.sdk_config.as_ref().and_then(SdkConfig::region);
        let region = match (self.region, given) {
            (Some(region), _) => Some(region.trim().to_owned()),
            (None, Some(region)) => Some(region.to_string()),
            (None, None) => ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .into_iter()
                .find_map(variable)
                .or_else(|| region_of_profile(self.profile.clone())),
        };
        let Some(region) = region else {
            return refuse(
                "region",
                "is missing",
                "set the environment variable `AWS_REGION`, or call `.region(..)`",
            );
        };
        let own_keys = self.keys.iter().flat_map(|keys| {
            [
                Some(&keys.access_key),
                Some(&keys.secret),
                keys.session_token.as_ref(),
            ]
        });
        let secrets = Secrets::new(own_keys.flatten().map(String::as_str));
        let has_client = self
            .sdk_config
            .as_ref()
            .is_some_and(|config| config.http_client().is_some());
        let http_client = if has_client {
            None
        } else {
            // Looking for credentials may need encryption where the model's own address does not.
            let are_keys_there = self.keys.is_some()
                || self.sdk_config.is_some()
                || (variable("AWS_ACCESS_KEY_ID").is_some()
                    && variable("AWS_SECRET_ACCESS_KEY").is_some());
            let is_plain = endpoint_url
                .as_ref()
                .is_some_and(|url| url.scheme() == "http");
            let clients = Clients::build(self.http, !(is_plain && are_keys_there))?;
            Some(sdk_client(Transport::Http(clients), secrets.clone()))
        };
        Ok(Setup {
            region: Region::new(region),
            keys: self.keys.map(Keys::into_credentials),
            profile: self.profile,
            endpoint_url,
            sdk_config: self.sdk_config,
            http_client,
            secrets,
            client: OnceCell::new(),
        })
    }
}

/// Says what is set and no key.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("region", &self.region)
            .field("credentials", &self.keys.as_ref().map(|_| "***"))
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn into_credentials(self) -> Credentials {
        let builder = Credentials::builder()
            .access_key_id(self.access_key.trim())
            .secret_access_key(self.secret.trim())
            .provider_name("steadfast");
        match self.session_token {
            Some(token) if !token.trim().is_empty() => builder.session_token(token.trim()).build(),
            _ => builder.build(),
        }
    }
}

/// What a client is made of, and the client once the first call has needed it.
pub(super) struct Setup {
    region: Region,
    keys: Option<Credentials>,
    profile: Option<String>,
    endpoint_url: Option<Url>,
    sdk_config: Option<SdkConfig>,
    http_client: Option<SharedHttpClient>,
    secrets: Secrets,
    client: OnceCell<Client>,
}

impl Setup {
    /// Returns what no error may repeat.
    pub(super) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Returns the client. The first call makes it: files are read then, and no service is asked.
    pub(super) async fn client(&self) -> &Client {
        self.client
            .get_or_init(|| Box::pin(self.make_client()))
            .await
    }

    async fn make_client(&self) -> Client {
        let mut builder = match &self.sdk_config {
            Some(config) => {
                let mut builder = config::Builder::from(config);
                let its_own = config.behavior_version();
                builder.set_behavior_version(Some(its_own.unwrap_or_else(behavior)));
                builder
            }
            None => {
                let config = self.loader().load().await;
                config::Builder::from(&config)
                    // The agent limits how long an attempt may be silent.
                    .timeout_config(TimeoutConfig::disabled())
            }
        };
        if let Some(keys) = &self.keys {
            // A token in the environment would come before keys that were given.
            builder = builder
                .credentials_provider(keys.clone())
                .auth_scheme_preference([KEYS_SIGN]);
        }
        if let Some(url) = &self.endpoint_url {
            builder.set_endpoint_url(Some(url.as_str().trim_end_matches('/').to_owned()));
        }
        if let Some(client) = &self.http_client {
            builder.set_http_client(Some(client.clone()));
        }
        let config = builder
            .region(self.region.clone())
            .retry_config(RetryConfig::disabled())
            // A model that thinks is not a stalled download.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Client::from_conf(config)
    }

    fn loader(&self) -> ConfigLoader {
        let mut loader = aws_config::defaults(behavior()).region(self.region.clone());
        if let Some(client) = &self.http_client {
            loader = loader.http_client(client.clone());
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(keys) = &self.keys {
            loader = loader.credentials_provider(keys.clone());
        }
        loader
    }
}

/// Returns a client whose first call is answered at once.
pub(super) fn client_that_is_told(answer: Response) -> Client {
    let keys = Keys {
        access_key: "none".to_owned(),
        secret: "none".to_owned(),
        session_token: None,
    };
    let config = config::Builder::new()
        .behavior_version(behavior())
        .region(Region::new("us-east-1"))
        .credentials_provider(keys.into_credentials())
        .auth_scheme_preference([KEYS_SIGN])
        .http_client(sdk_client(Transport::told(answer), Secrets::default()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// The SDK's defaults as they were on this day; those that matter here are set all the same.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Checks the address of an endpoint. It is not repeated: it may hold a password.
fn check_endpoint(address: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(address).ok();
    let url = url.filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
    });
    url.ok_or_else(|| {
        ConfigError::new("endpoint_url", "is not the address of an HTTP endpoint").with_hint(
            "write it in full, such as `https://bedrock-runtime.us-east-1.amazonaws.com`",
        )
    })
}

/// Returns the region that a profile names. The SDK reads profiles in an async function, and a
/// provider is built in any place: so it is read on a thread of its own.
fn region_of_profile(profile: Option<String>) -> Option<String> {
    let reading = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
        let mut builder = ProfileFileRegionProvider::builder();
        if let Some(profile) = profile {
            builder = builder.profile_name(profile);
        }
        runtime.block_on(async {
            use aws_config::meta::region::ProvideRegion as _;
            builder.build().region().await
        })
    });
    let region = reading.join().ok().flatten()?;
    Some(region.to_string()).filter(|region| !region.trim().is_empty())
}
