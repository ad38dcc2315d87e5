//! Where answers come from: over HTTP, or one that is there already. What an answer says is not asked
//! here.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use reqwest::{Client, Request, Response};
use steadfast_core::{ConfigError, ModelError, ModelErrorKind};
use tokio::time::timeout;

use crate::http_client::{HttpConfig, build_client, connection_error};

/// Where answers come from.
#[derive(Clone)]
pub(in super::super) enum Transport {
    Http(Clients),
    /// An answer that is there already.
    Told(Arc<Mutex<Option<Response>>>),
}

impl Transport {
    /// An answer that is given to the first call.
    pub(in super::super) fn told(answer: Response) -> Self {
        Self::Told(Arc::new(Mutex::new(Some(answer))))
    }

    /// Sends a request, within limits if it has some.
    pub(super) async fn send(
        &self,
        request: Request,
        limits: Option<&HttpConnectorSettings>,
    ) -> Result<Response, ModelError> {
        match self {
            Self::Http(clients) => clients.send(request, limits).await,
            Self::Told(answer) => {
                let answer = answer.lock().ok().and_then(|mut answer| answer.take());
                answer.ok_or_else(|| ModelError::new(ModelErrorKind::Network, "no answer is left"))
            }
        }
    }
}

/// The client of the model's calls, and beside it those of the calls that look for credentials: each
/// place where they may be has a time of its own, or looking takes too long where there is none.
#[derive(Clone)]
pub(in super::super) struct Clients {
    config: HttpConfig,
    is_https: bool,
    own: Client,
    others: Arc<Mutex<Vec<(Duration, Client)>>>,
}

impl Clients {
    pub(in super::super) fn build(config: HttpConfig, is_https: bool) -> Result<Self, ConfigError> {
        Ok(Self {
            own: build_client(&config, is_https)?,
            config,
            is_https,
            others: Arc::default(),
        })
    }

    async fn send(
        &self,
        request: Request,
        limits: Option<&HttpConnectorSettings>,
    ) -> Result<Response, ModelError> {
        let to_connect = limits.and_then(HttpConnectorSettings::connect_timeout);
        let to_answer = limits.and_then(HttpConnectorSettings::read_timeout);
        let sent = self.connecting_within(to_connect).execute(request);
        let sent = match to_answer {
            None => sent.await,
            // The client does not say when it is connected.
            Some(limit) => match timeout(limit + to_connect.unwrap_or_default(), sent).await {
                Ok(sent) => sent,
                Err(_) => {
                    let message = "no answer came in time";
                    return Err(ModelError::new(ModelErrorKind::Timeout, message));
                }
            },
        };
        sent.map_err(connection_error)
    }

    /// Returns the client that has so much time to connect.
    fn connecting_within(&self, limit: Option<Duration>) -> Client {
        let Some(limit) = limit.filter(|limit| *limit < self.config.connect_timeout) else {
            return self.own.clone();
        };
        let Ok(mut others) = self.others.lock() else {
            return self.own.clone();
        };
        if let Some((_, client)) = others.iter().find(|(known, _)| *known == limit) {
            return client.clone();
        }
        let mut config = self.config.clone();
        config.connect_timeout = limit;
        match build_client(&config, self.is_https) {
            Ok(client) => {
                others.push((limit, client.clone()));
                client
            }
            Err(_) => self.own.clone(),
        }
    }
}
