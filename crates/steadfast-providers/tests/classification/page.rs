//! The page of the whole table: written from what the providers say of every answer, so that it is true.

use std::{env, fmt::Write as _, fs, path::Path};

use crate::{Answered, Row, TestResult, anthropic, bedrock, compatible, gemini, ollama, openai};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/classification.md");

/// Set to write the page anew instead of comparing it.
const WRITE: &str = "STEADFAST_WRITE_PAGES";

/// The longest part of an answer that is shown, in characters.
const SHOWN: usize = 160;

const INTRODUCTION: &str = "\
# What an answer is taken for

Every answer that the tests know, and what the provider of its wire makes of it: the kind of the error, whether the
same request is worth another try, how long the server asks to wait, and on what evidence this was decided. Written by
`cargo test -p steadfast-providers --test classification` with `STEADFAST_WRITE_PAGES=1`; without it, the same test
compares. Ask of any other answer with `steadfast explain`.

On OpenAI's wires and Anthropic's, codes come before sentences, sentences before general types and the status; Bedrock's
sentences belong to a code and come first; Gemini tells by reason, quota, sentence and status word, Ollama by sentence and
status. An answer in mid-stream has status 200.

`⏎` is the end of a line. A wait of more than ten minutes is not waited for, whatever stands under *again*: that is the
strategy's `max_hint`. Compatible servers are asked for with `--provider openai`, or by their own name.
";

#[tokio::test]
async fn page_says_what_the_code_does() -> TestResult {
    let mut page = INTRODUCTION.to_owned();
    let own = [
        ("OpenAI chat completions", openai::chat_rows()),
        ("OpenAI responses", openai::responses_rows()),
        ("Anthropic messages", anthropic::rows()),
        ("Amazon Bedrock", bedrock::rows()),
        ("Gemini", gemini::rows()),
        ("Ollama", ollama::rows()),
    ];
    for (vendor, rows) in own.into_iter().chain(compatible::rows()) {
        write_table(&mut page, vendor, &rows).await?;
    }

    let path = Path::new(PAGE);
    if env::var_os(WRITE).is_some() {
        fs::write(path, &page)?;
    }
    let written = fs::read_to_string(path)?;
    let mut lines = page.lines().zip(written.lines());
    let other = lines.find(|(now, before)| now != before);
    assert_eq!(other, None, "write the page anew with {WRITE}=1");
    assert_eq!(
        page.len(),
        written.len(),
        "write the page anew with {WRITE}=1"
    );
    Ok(())
}

async fn write_table(page: &mut String, vendor: &str, rows: &[Row]) -> TestResult {
    writeln!(page, "\n## {vendor}\n")?;
    page.push_str(
        "| status | answer | kind | again | wait | evidence |\n|---|---|---|---|---|---|\n",
    );
    for (answered, ..) in rows {
        let error = answered.read().await?.err().ok_or("an answer")?;
        let again = if error.is_transient() { "yes" } else { "no" };
        let wait = error.retry_after();
        let wait = wait.map_or_else(String::new, |wait| format!("{} s", wait.as_secs_f64()));
        // As events and stored runs have it.
        let kind = serde_json::to_value(error.kind())?;
        let kind = kind.as_str().ok_or("a kind is a word")?;
        let evidence = error.why().unwrap_or_else(|| error.message());
        writeln!(
            page,
            "| {} | {} | `{kind}` | {again} | {wait} | {} |",
            answered.status,
            shown(answered),
            evidence.replace('|', "\\|"),
        )?;
    }
    Ok(())
}

/// Shows headers and body, as far as they fit.
fn shown(answered: &Answered) -> String {
    let is_shown = |(name, value): &&(&str, &str)| match *name {
        "content-type" => value.contains("html"),
        "x-amzn-requestid" | "date" => false,
        _ => true,
    };
    let headers = answered.headers.iter().filter(is_shown);
    let headers = headers.map(|(name, value)| format!("{name}: {value}"));
    let body = answered.body.trim_end().replace('\r', "");
    let body = body.replace("\n\n", " ⏎⏎ ").replace('\n', " ⏎ ");
    let body = match body.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", body.get(..end).unwrap_or_default()),
        None => body,
    };
    let parts: Vec<String> = headers
        .chain((!body.is_empty()).then_some(body))
        .map(|part| {
            let part = part.replace('|', "\\|");
            // A code may hold the mark of a code if it is marked by two.
            if part.contains('`') {
                format!("`` {part} ``")
            } else {
                format!("`{part}`")
            }
        })
        .collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}
