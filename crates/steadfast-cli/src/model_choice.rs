//! Which model is meant by `--model` and `--base-url`. Talking to it is the providers' business.

use std::fmt;

use steadfast::{ConfigError, Model};

use crate::{
    provider::{Known, Provider, is_unset, listed},
    refusal::Refusal,
};

/// The model that a run talks to.
#[derive(Debug)]
pub(crate) enum ModelChoice {
    /// A model of a provider out there.
    Provided(Provided),
    /// The built-in simulator.
    Demonstration(Demonstrated),
}

/// A model and whose it is.
pub(crate) struct Provided {
    pub(crate) model: Box<dyn Model>,
    pub(crate) provider: &'static Provider,
}

impl fmt::Debug for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Provided").field(&self.model.name()).finish()
    }
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
        match (Known::of(provider), name) {
            _ if provider == "sim" && name.is_none() => {
                demonstration(Demonstrated::ByName, base_url)
            }
            _ if provider == "sim" => Err(Refusal::new(
                "the built-in simulator has no models to choose from",
                "write `--model sim`, or leave `--model` out",
            )),
            (Known::Built(provider), Some(name)) if !name.trim().is_empty() => {
                provided(provider, name, base_url)
            }
            (Known::Built(provider), _) => Err(Refusal::new(
                format!("`--model {model}` names a provider and no model"),
                format!(
                    "such as `--model {}:{}`",
                    provider.name, provider.example_model
                ),
            )),
            (Known::LeftOut, _) => Err(left_out(provider)),
            (Known::Unknown, None) if looks_like_a_model(provider) => Err(Refusal::new(
                format!("`--model {model}` does not say whose model it is"),
                format!("did you mean `--model {}:{model}`?", likely_maker(model)),
            )),
            (Known::Unknown, _) => Err(Refusal::new(
                format!("unknown provider `{provider}`"),
                known(),
            )),
        }
    }
}

/// Says what may be written, for hints.
fn known() -> String {
    format!(
        "these are known: {}, with `--base-url` for any compatible server, and `sim`, the built-in \
         simulator",
        listed(":MODEL")
    )
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

fn provided(
    provider: &'static Provider,
    name: &str,
    base_url: Option<&str>,
) -> Result<ModelChoice, Refusal> {
    match (provider.build)(name, base_url) {
        Ok(model) => Ok(ModelChoice::Provided(Provided { model, provider })),
        Err(error) => Err(refused(provider, error, base_url)),
    }
}

/// Says what a provider refuses by the name under which the user gave it.
fn refused(provider: &Provider, error: ConfigError, base_url: Option<&str>) -> Refusal {
    let by_name = |name: &str| {
        let field = format!("`{}`", error.field());
        error.to_string().replacen(&field, &format!("`{name}`"), 1)
    };
    match (error.field(), base_url) {
        ("api_key", Some(_)) => Refusal::new(
            by_name(provider.key_variable),
            "set this environment variable to the key: that server wants one",
        ),
        ("api_key", None) => Refusal::new(
            by_name(provider.key_variable),
            "set this environment variable to the key, give `--base-url` for a server that needs \
             none, or leave out `--model` to see the built-in demonstration",
        ),
        ("base_url", None) if is_unset(provider.base_url_variable) => Refusal::new(
            by_name(provider.base_url_variable),
            "set this environment variable to the server's address, or give `--base-url`",
        ),
        ("region", _) => Refusal::new(
            by_name("AWS_REGION"),
            "set this environment variable, or `AWS_PROFILE` to a profile that has a region",
        ),
        ("base_url" | "endpoint_url", given) => {
            let name = given.map_or(provider.base_url_variable, |_| "--base-url");
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

/// Says that this program lacks a provider that others have.
pub(crate) fn left_out(provider: &str) -> Refusal {
    Refusal::new(
        format!("this program was built without the provider `{provider}`"),
        format!("build it with the feature `{provider}`, which is on unless it is turned off"),
    )
}

/// Says whether a word is more likely the name of a model than of a provider: `gpt-5`, `o3`.
fn looks_like_a_model(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
}

/// Guesses whose model it is: everybody's but these can be reached as `openai`.
fn likely_maker(model: &str) -> &'static str {
    if model.starts_with("claude") {
        "anthropic"
    } else if model.starts_with("gemini") {
        "gemini"
    } else {
        "openai"
    }
}
