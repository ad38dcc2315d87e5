//! Writes the seeds of all targets to `corpus`, and the words in them to `words.dict`.
//!
//! ```text
//! cargo run --bin seeds
//! ```

use std::{collections::BTreeSet, fs, io, path::Path};

use steadfast_fuzz::seeds;
use steadfast_providers::Wire;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut words = BTreeSet::new();
    for (target, seeds) in [
        ("anthropic", seeds::answers(Wire::Anthropic)),
        ("bedrock", seeds::answers(Wire::Bedrock)),
        ("gemini", seeds::answers(Wire::Gemini)),
        ("ollama", seeds::answers(Wire::Ollama)),
        ("openai_chat", seeds::answers(Wire::OpenAiChat)),
        ("openai_responses", seeds::answers(Wire::OpenAiResponses)),
        ("refusal", seeds::refusals()),
        ("stored_run", seeds::stored_runs()),
    ] {
        let folder = root.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
            let text = String::from_utf8_lossy(seed);
            let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let found = text.split(|c| !is_word(c)).filter(|word| word.len() > 1);
            words.extend(found.map(|word| format!("\"{word}\"\n")));
        }
    }
    fs::write(
        root.join("words.dict"),
        words.into_iter().collect::<String>(),
    )
}
