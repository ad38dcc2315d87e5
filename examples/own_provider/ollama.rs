//! Ollama's chat wire, without tools: a JSON request, then one JSON line for each piece.

use futures_util::stream::{TryStreamExt as _, iter, try_unfold};
use reqwest::{Client, Response};
use serde_json::{Value, from_slice, json};
use steadfast::{
    Model, ModelDelta, ModelError, ModelErrorKind as Kind, ModelRequest, ModelStream, StopReason,
    Usage, async_trait, secs,
};

pub struct Ollama {
    pub url: String,
    pub model: String,
    pub http: Client,
}

#[async_trait]
impl Model for Ollama {
    fn name(&self) -> &str {
        &self.model
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        if !request.tools().is_empty() {
            return Err(ModelError::new(Kind::Unsupported, "no tools here"));
        }
        let mut messages = Vec::new();
        let (system, history) = (request.system(), request.history().iter());
        messages.extend(system.map(|s| json!({"role": "system", "content": s})));
        messages.extend(history.map(|m| json!({"role": m.role, "content": m.text()})));
        let body = json!({"model": self.model, "messages": messages}).to_string();

        let call = self.http.post(format!("{}/api/chat", self.url)).body(body);
        let response = call.send().await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let answer = try_unfold((response, Vec::new()), |(mut response, mut rest)| async {
            let Some(chunk) = response.chunk().await.map_err(broken)? else {
                return Ok(None);
            };
            // A chunk ends anywhere: what follows the last line end waits for the next one.
            rest.extend(chunk);
            let end = rest.iter().rposition(|b| *b == b'\n');
            let lines: Vec<u8> = rest.drain(..end.map_or(0, |end| end + 1)).collect();
            let lines = lines.split_inclusive(|b| *b == b'\n').map(deltas);
            let deltas = lines.collect::<Result<Vec<_>, _>>()?.into_iter().flatten();
            Ok(Some((iter(deltas.map(Ok)), (response, rest))))
        });
        Ok(ModelStream::new(answer.try_flatten()))
    }
}

fn deltas(line: &[u8]) -> Result<Vec<ModelDelta>, ModelError> {
    let unreadable = |_| ModelError::new(Kind::Protocol, "a line is not JSON");
    let line: Value = from_slice(line).map_err(unreadable)?;
    if let Some(problem) = line["error"].as_str() {
        return Err(ModelError::new(Kind::Server, problem));
    }
    let text = line["message"]["content"].as_str().unwrap_or_default();
    let mut deltas = vec![ModelDelta::Text(text.to_owned())];
    if line["done"] == true {
        let tokens = |field: &str| line[field].as_u64().unwrap_or_default();
        let usage = Usage::new(tokens("prompt_eval_count"), tokens("eval_count"));
        let stop = match line["done_reason"].as_str() {
            Some("length") => StopReason::MaxTokens,
            _ => StopReason::EndTurn,
        };
        deltas.extend([ModelDelta::Usage(usage), ModelDelta::Stop(stop)]);
    }
    Ok(deltas)
}

async fn refused(response: Response) -> ModelError {
    let status = response.status().as_u16();
    let hint = response.headers().get("retry-after").cloned();
    let hint = hint.and_then(|value| value.to_str().ok()?.parse().ok());
    let kind = match status {
        401 | 403 => Kind::Auth,
        404 => Kind::NotFound,
        429 => Kind::Throttled,
        500.. => Kind::Server,
        _ => Kind::InvalidRequest,
    };
    let error = ModelError::new(kind, response.text().await.unwrap_or_default());
    error.with_status(status).with_retry_after(hint.map(secs))
}

fn broken(error: reqwest::Error) -> ModelError {
    let error = error.without_url();
    ModelError::new(Kind::Network, error.to_string()).with_source(error)
}
