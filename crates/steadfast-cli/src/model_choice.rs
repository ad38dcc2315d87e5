//! Which model is meant by `--model` and `--base-url`. Talking to it is the providers' business.

use steadfast::{ConfigError, OpenAiChat};

use crate::refusal::Refusal;

/// What works now, for hints.
const WORKS_NOW: &str = "these work now: `openai:MODEL`, with `--base-url` for any compatible \
                         server, and `sim`, the built-in simulator";

/// Providers that are known and not built yet, with the base URL under which they speak the wire of
/// `openai` themselves, where they do.
const NOT_BUILT_YET: [(&str, Option<&str>); 14] = [
    ("anthropic", None),
    ("openai-responses", None),
    ("bedrock", None),
    ("gemini", None),
    ("azure", None),
    ("ollama", Some("http://127.0.0.1:11434/v1")),
    ("openrouter", Some("https://openrouter.ai/api/v1")),
    ("groq", Some("https://api.groq.com/openai/v1")),
    ("mistral", Some("https://api.mistral.ai/v1")),
    ("deepseek", Some("https://api.deepseek.com/v1")),
    ("xai", Some("https://api.x.ai/v1")),
    ("llamacpp", Some("http://127.0.0.1:8080/v1")),
    ("vllm", Some("http://127.0.0.1:8000/v1")),
    ("lmstudio", Some("http://127.0.0.1:1234/v1")),
];

/// The model that a run talks to.
#[derive(Debug)]
pub(crate) enum ModelChoice {
    /// A provider out there.
    OpenAi(Box<OpenAiChat>),
    /// The built-in simulator.
    Demonstration(Demonstrated),
}

/// How the built-in simulator came to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demonstrated {
    ByName,
    ByDefault,
}

impl ModelChoice {
    /// Reads `--model` and `--base-url`.
    pub(crate) fn new(model: Option<&str>, base_url: Option<&str>) -> Result<Self, Refusal> {
        let Some(model) = model else {
            return demonstration(Demonstrated::ByDefault, base_url);
        };
        let (provider, name) = match model.split_once(':') {
            Some((provider, name)) => (provider, Some(name)),
            None => (model, None),
        };
        match (provider, name) {
            ("sim", None) => demonstration(Demonstrated::ByName, base_url),
            ("sim", Some(_)) => Err(Refusal::new(
                "the built-in simulator has no models to choose from",
                "write `--model sim`, or leave `--model` out",
            )),
            ("openai", Some(name)) if !name.trim().is_empty() => openai(name, base_url),
            ("openai", _) => Err(Refusal::new(
                format!("`--model {model}` names a provider and no model"),
                "such as `--model openai:gpt-5`",
            )),
            _ => Err(unavailable(provider, name)),
        }
    }
}

fn demonstration(how: Demonstrated, base_url: Option<&str>) -> Result<ModelChoice, Refusal> {
    match base_url {
        None => Ok(ModelChoice::Demonstration(how)),
        Some(_) => Err(Refusal::new(
            "`--base-url` has no meaning for the built-in simulator",
            "name the model that the server there has: `--model openai:MODEL`",
        )),
    }
}

fn openai(name: &str, base_url: Option<&str>) -> Result<ModelChoice, Refusal> {
    let mut builder = OpenAiChat::builder(name);
    if let Some(base_url) = base_url {
        builder = builder.base_url(base_url);
    }
    builder
        .build()
        .map(|model| ModelChoice::OpenAi(Box::new(model)))
        .map_err(|error| refused_provider(error, base_url))
}

/// Says what a provider refuses by the name under which the user gave it.
fn refused_provider(error: ConfigError, base_url: Option<&str>) -> Refusal {
    let by_name = |name: &str| {
        let field = format!("`{}`", error.field());
        error.to_string().replacen(&field, &format!("`{name}`"), 1)
    };
    match (error.field(), base_url) {
        ("api_key", _) => Refusal::new(
            by_name("OPENAI_API_KEY"),
            "set this environment variable to the key, give `--base-url` for a server that needs \
             none, or leave out `--model` to see the built-in demonstration",
        ),
        ("base_url", given) => {
            let name = given.map_or("OPENAI_BASE_URL", |_| "--base-url");
            let hint = error.hint().unwrap_or_default();
            Refusal::new(without_query(by_name(name)), hint)
        }
        _ => error.into(),
    }
}

/// Leaves out of a shown address what may hold a key: what is no URL cannot be taken apart.
fn without_query(problem: String) -> String {
    match problem.find(['?', '#']).and_then(|end| problem.get(..end)) {
        Some(start) => format!("{start}…`"),
        None => problem,
    }
}

fn unavailable(provider: &str, name: Option<&str>) -> Refusal {
    let known = NOT_BUILT_YET.iter().find(|(known, _)| *known == provider);
    let model = name.unwrap_or("MODEL");
    match known {
        Some((_, Some(base_url))) => Refusal::new(
            format!("the provider `{provider}` is not built yet"),
            format!(
                "its server speaks the wire of `openai`: `--model openai:{model} --base-url {base_url}`"
            ),
        ),
        Some(("openai-responses", _)) => Refusal::new(
            format!("the provider `{provider}` is not built yet"),
            format!("the same models answer at `--model openai:{model}`"),
        ),
        Some(_) => Refusal::new(
            format!("the provider `{provider}` is not built yet"),
            WORKS_NOW,
        ),
        None if name.is_none() && looks_like_a_model(provider) => Refusal::new(
            format!("`--model {provider}` does not say whose model it is"),
            format!("did you mean `--model openai:{provider}`?"),
        ),
        None => Refusal::new(format!("unknown provider `{provider}`"), WORKS_NOW),
    }
}

/// Says whether a word is more likely the name of a model than of a provider: `gpt-5`, `o3`.
fn looks_like_a_model(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
}
