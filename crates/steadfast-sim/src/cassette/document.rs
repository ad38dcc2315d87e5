//! The YAML documents of a cassette, and their check.

use std::path::Path;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::RecordedExchange;
use crate::Error;

/// Headers that belong to the connection on which an answer was recorded, not to the answer, or
/// that are no longer true of a body that was stored decoded.
const OF_THE_CONNECTION: [&str; 5] = [
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "transfer-encoding",
];

#[derive(Deserialize)]
struct Document {
    when: When,
    then: Then,
}

#[derive(Deserialize)]
struct When {
    method: String,
    path: String,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct Then {
    status: u16,
    #[serde(default)]
    header: Vec<Header>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_encoding: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// Reads all exchanges of one file.
pub(super) fn exchanges(path: &Path, text: &[u8]) -> Result<Vec<RecordedExchange>, Error> {
    let mut text = text;
    serde_saphyr::read::<_, Document>(&mut text)
        .enumerate()
        .map(|(index, document)| {
            let refuse = |problem, source| Error::CassetteDocument {
                path: path.to_owned(),
                document: index + 1,
                problem,
                source,
            };
            let document = document.map_err(|error| {
                refuse("not a recorded exchange".to_owned(), Some(error.into()))
            })?;
            exchange(document).map_err(|problem| refuse(problem, None))
        })
        .collect()
}

fn exchange(document: Document) -> Result<RecordedExchange, String> {
    let Document { when, then } = document;
    let method = Method::from_bytes(when.method.as_bytes())
        .map_err(|_| format!("`when.method` is `{}`, which is no method", when.method))?;
    let status = StatusCode::from_u16(then.status)
        .ok()
        .filter(|status| *status >= StatusCode::OK)
        .ok_or_else(|| format!("`then.status` is {}, not 200 to 999", then.status))?;
    let body = then.body.unwrap_or_default();
    let body = match then.body_encoding.as_deref() {
        None => body.into_bytes(),
        Some("base64") => decode_base64(&body).ok_or("`then.body` is not base64")?,
        Some(encoding) => return Err(format!("`then.body_encoding` `{encoding}` is unknown")),
    };
    Ok(RecordedExchange {
        method,
        path: when.path,
        request_body: when.body.unwrap_or_default(),
        status,
        headers: headers(then.header)?,
        body: body.into(),
    })
}

fn headers(recorded: Vec<Header>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for Header { name, value } in recorded {
        let wrong = |what| format!("the {what} of the header `{name}` is not valid");
        let value = HeaderValue::from_str(&value).map_err(|_| wrong("value"))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("name"))?;
        if !OF_THE_CONNECTION.contains(&name.as_str()) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// Recorders break long lines, which base64 itself does not allow.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, expected: &str) {
        let error = exchanges(Path::new("a.yaml"), yaml.as_bytes()).unwrap_err();

        assert_eq!(
            error.to_string(),
            format!("cassette `a.yaml`, document {expected}")
        );
    }

    #[test]
    fn mistakes_name_file_document_and_field() {
        let good = "when: {method: GET, path: /}\nthen: {status: 200}\n---\n";
        let when = "when: {method: GET, path: /}\n";

        check("hello", "1: not a recorded exchange");
        check(
            &format!("{good}{good}then: 1"),
            "3: not a recorded exchange",
        );
        check(
            &format!("{good}{when}then: {{status: 42}}"),
            "2: `then.status` is 42, not 200 to 999",
        );
        check(
            &format!("{when}then: {{status: 200, body: '!', body_encoding: base64}}"),
            "1: `then.body` is not base64",
        );
        check(
            &format!("{when}then: {{status: 200, body_encoding: gzip}}"),
            "1: `then.body_encoding` `gzip` is unknown",
        );
        check(
            &format!("{when}then: {{status: 200, header: [{{name: 'a b', value: c}}]}}"),
            "1: the name of the header `a b` is not valid",
        );
        check(
            "when: {method: 'G T', path: /}\nthen: {status: 200}",
            "1: `when.method` is `G T`, which is no method",
        );
    }

    #[test]
    fn headers_of_the_connection_are_dropped() {
        let yaml = "when: {method: GET, path: /}\nthen:\n  status: 200\n  header:\n  \
                    - {name: Content-Length, value: '7'}\n  - {name: X-Kept, value: 'yes'}\n";

        let exchanges = exchanges(Path::new("a.yaml"), yaml.as_bytes()).unwrap();

        let names: Vec<_> = exchanges[0]
            .headers
            .keys()
            .map(HeaderName::as_str)
            .collect();
        assert_eq!(names, ["x-kept"]);
    }
}
