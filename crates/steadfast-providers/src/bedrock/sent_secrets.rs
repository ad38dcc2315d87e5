//! What a call was signed with: session tokens and bearer tokens come from anywhere, and no error may
//! repeat them. It looks at the signed request, and masks nothing by itself.

use std::sync::{Arc, OnceLock};

use aws_sdk_bedrockruntime::config::{
    ConfigBag, Intercept, RuntimeComponents, http::HttpRequest,
    interceptors::BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::box_error::BoxError;

use crate::secrets::Secrets;

/// The header of a session token.
const SESSION_TOKEN: &str = "x-amz-security-token";

/// Where a bearer token stands; a signature stands there too, which is of use to nobody else.
const AUTHORIZATION: &str = "authorization";

/// Returns the secrets that a signed request carries.
pub(super) fn of_request(request: &HttpRequest) -> impl Iterator<Item = &str> {
    let session = request.headers().get(SESSION_TOKEN);
    let bearer = request.headers().get(AUTHORIZATION);
    let bearer = bearer.filter(|value| {
        let scheme = value.split(' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("bearer")
    });
    session.into_iter().chain(bearer)
}

/// The secrets of one call, known once it is signed: those that the user gave, and those that were
/// found.
#[derive(Debug, Clone)]
pub(super) struct SentSecrets {
    given: Secrets,
    sent: Arc<OnceLock<Secrets>>,
}

impl SentSecrets {
    pub(super) fn beside(given: &Secrets) -> Self {
        Self {
            given: given.clone(),
            sent: Arc::default(),
        }
    }

    /// Returns what is known by now.
    pub(super) fn known(&self) -> &Secrets {
        self.sent.get().unwrap_or(&self.given)
    }
}

impl Intercept for SentSecrets {
    fn name(&self) -> &'static str {
        "SentSecrets"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let secrets = self.given.and(of_request(context.request()));
        self.sent.set(secrets).ok();
        Ok(())
    }
}
