//! Images and documents, and the names that Bedrock demands of documents.

use std::{borrow::Cow, collections::HashSet};

use serde::Serialize;
use steadfast_core::{ContentBlock, MediaSource, ModelError};

use super::unsupported;

/// The longest name of a document, in characters.
const LONGEST_NAME: usize = 200;

/// An image, or a document.
#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: Source<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Source<'a> {
    /// In base64.
    Bytes(Cow<'a, str>),
    S3Location {
        uri: &'a str,
    },
}

/// Writes an image.
pub(super) fn image(source: &MediaSource) -> Result<Media<'_>, ModelError> {
    let format = |kind: &str| match kind {
        "png" => Some("png"),
        "jpeg" | "jpg" => Some("jpeg"),
        "gif" => Some("gif"),
        "webp" => Some("webp"),
        _ => None,
    };
    media(source, "image", "png", format)
}

/// Writes a document, under a name that was given to it.
pub(super) fn document(source: &MediaSource, name: String) -> Result<Media<'_>, ModelError> {
    let format = |kind: &str| match kind {
        "pdf" => Some("pdf"),
        "csv" => Some("csv"),
        "doc" | "msword" => Some("doc"),
        "docx" | "vnd.openxmlformats-officedocument.wordprocessingml.document" => Some("docx"),
        "xls" | "vnd.ms-excel" => Some("xls"),
        "xlsx" | "vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Some("xlsx"),
        "html" => Some("html"),
        "txt" | "plain" => Some("txt"),
        "md" | "markdown" | "x-markdown" => Some("md"),
        _ => None,
    };
    let document = media(source, "document", "pdf", format)?;
    Ok(Media {
        name: Some(name),
        ..document
    })
}

fn media<'a>(
    source: &'a MediaSource,
    what: &str,
    usual: &'static str,
    format: fn(&str) -> Option<&'static str>,
) -> Result<Media<'a>, ModelError> {
    match source {
        MediaSource::Url { url } if is_fetched(url) => {
            let ending = url.rsplit_once('.').map(|(_, ending)| ending);
            let ending = ending.unwrap_or_default().to_ascii_lowercase();
            Ok(Media {
                format: format(&ending).unwrap_or(usual),
                name: None,
                source: Source::S3Location { uri: url },
            })
        }
        MediaSource::Base64 { media_type, data } => {
            let essence = media_type.split(';').next().unwrap_or_default().trim();
            let (_, kind) = essence.split_once('/').unwrap_or_default();
            let format = format(&kind.to_ascii_lowercase());
            let format = format
                .ok_or_else(|| unsupported(&format!("{what}s of the media type `{media_type}`")))?;
            Ok(Media {
                format,
                name: None,
                source: Source::Bytes(without_breaks(data)),
            })
        }
        MediaSource::Url { .. } => Err(unsupported(&format!(
            "{what}s by an address other than `s3://…`"
        ))),
        _ => Err(unsupported(&format!("this kind of {what} source"))),
    }
}

/// Returns the address of something that the vendor does not fetch.
pub(super) fn address_of(block: &ContentBlock) -> Option<&str> {
    match block {
        ContentBlock::Image {
            source: MediaSource::Url { url },
        }
        | ContentBlock::Document {
            source: MediaSource::Url { url },
            ..
        } => Some(url.as_str()).filter(|url| !is_fetched(url) && !url.trim().is_empty()),
        _ => None,
    }
}

fn is_fetched(url: &str) -> bool {
    url.starts_with("s3://")
}

/// Base64 may come in lines, which the vendor does not take.
fn without_breaks(data: &str) -> Cow<'_, str> {
    if data.contains(|c: char| c.is_ascii_whitespace()) {
        let kept = data.chars().filter(|c| !c.is_ascii_whitespace());
        return Cow::Owned(kept.collect());
    }
    Cow::Borrowed(data)
}

/// Gives every document a name of its own: letters and digits, single spaces, hyphens, parentheses
/// and square brackets; another with the same name is refused.
#[derive(Default)]
pub(super) struct DocumentNames(HashSet<String>);

impl DocumentNames {
    pub(super) fn give(&mut self, name: Option<&str>) -> String {
        let taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
        let spaced: String = name
            .unwrap_or_default()
            .chars()
            .map(|c| if taken(c) { c } else { ' ' })
            .collect();
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let shaped = match words.join(" ") {
            empty if empty.is_empty() => "document".to_owned(),
            shaped => shaped,
        };
        let mut given: String = shaped.chars().take(LONGEST_NAME).collect();
        let mut number = 2_u32;
        while self.0.contains(&given) {
            let end = format!(" {number}");
            let room = LONGEST_NAME - end.len();
            given = shaped.chars().take(room).collect::<String>() + &end;
            number += 1;
        }
        self.0.insert(given.clone());
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_get_names_that_the_vendor_takes() {
        let mut names = DocumentNames::default();
        for (name, expected) in [
            (Some("Report (2026) [final]-2"), "Report (2026) [final]-2"),
            (Some("report_v1.2.pdf"), "report v1 2 pdf"),
            (Some("a  b\n c"), "a b c"),
            (Some("größe"), "gr e"),
            (Some("..."), "document"),
            (None, "document 2"),
            (Some("a b c"), "a b c 2"),
        ] {
            // Letters beyond ASCII are replaced one by one, and spaces joined.
            let given = names.give(name);
            assert_eq!(given, expected, "{name:?}");
        }
        let long = "x".repeat(300);
        assert_eq!(names.give(Some(&long)).len(), LONGEST_NAME);
        let second = names.give(Some(&long));
        assert_eq!(
            (second.len(), second.ends_with("x 2")),
            (LONGEST_NAME, true)
        );
    }
}
