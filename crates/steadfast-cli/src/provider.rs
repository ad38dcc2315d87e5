//! The providers that the program knows. Which of them is meant, and what is said of one that is not
//! there, others decide.

use std::fmt::Write as _;

use steadfast::{
    Anthropic, CompatibleServer, ConfigError, Gemini, Model, Ollama, OpenAiChat, OpenAiResponses,
    Wire,
};

/// A provider.
#[derive(Debug)]
pub(crate) struct Provider {
    /// The part of a model's name before the colon.
    pub(crate) name: &'static str,
    /// The form of its answers.
    pub(crate) wire: Wire,
    /// The environment variable that its key comes from.
    pub(crate) key_variable: &'static str,
    /// Another one, where the vendor's own client reads two.
    pub(crate) other_key_variable: Option<&'static str>,
    /// The environment variable that its address comes from, unless `--base-url` gives it.
    pub(crate) base_url_variable: &'static str,
    /// Other environment variables that it reads, a line each.
    pub(crate) more_variables: &'static [&'static str],
    /// Whether keys may come from other places than the environment.
    pub(crate) has_keys_elsewhere: bool,
    /// A model of its own, for hints.
    pub(crate) example_model: &'static str,
    /// Builds a model by its name and `--base-url`.
    pub(crate) build: Build,
}

/// Builds a model by its name and a base URL.
type Build = fn(&str, Option<&str>) -> Result<Box<dyn Model>, ConfigError>;

/// Describes a provider: its name, its type, its wire, what its variables begin with or else what they
/// are, a model.
macro_rules! provider {
    ($name:literal, $provider:ident, $wire:ident, $variables:literal, $example_model:literal) => {
        provider!(
            $name,
            $provider,
            $wire,
            (
                concat!($variables, "_API_KEY"),
                None,
                concat!($variables, "_BASE_URL")
            ),
            $example_model
        )
    };
    (
        $name:literal,
        $provider:ident,
        $wire:ident,
        ($key:expr, $other_key:expr, $base_url:expr),
        $example_model:literal
    ) => {
        Provider {
            name: $name,
            wire: Wire::$wire,
            key_variable: $key,
            other_key_variable: $other_key,
            base_url_variable: $base_url,
            more_variables: &[],
            has_keys_elsewhere: false,
            example_model: $example_model,
            build: |model, base_url| {
                let mut builder = $provider::builder(model);
                if let Some(base_url) = base_url {
                    builder = builder.base_url(base_url);
                }
                Ok(Box::new(builder.build()?))
            },
        }
    };
}

/// Describes a server that is compatible with OpenAI's.
macro_rules! compatible {
    ($server:ident) => {
        Provider {
            name: CompatibleServer::$server.name(),
            wire: Wire::OpenAiChat,
            key_variable: CompatibleServer::$server.key_variable(),
            other_key_variable: None,
            base_url_variable: CompatibleServer::$server.base_url_variable(),
            more_variables: &[],
            has_keys_elsewhere: false,
            example_model: CompatibleServer::$server.example_model(),
            build: |model, base_url| {
                let mut builder = OpenAiChat::builder(model).server(CompatibleServer::$server);
                if let Some(base_url) = base_url {
                    builder = builder.base_url(base_url);
                }
                Ok(Box::new(builder.build()?))
            },
        }
    };
}

/// All of them.
pub(crate) static PROVIDERS: &[Provider] = &[
    provider!("openai", OpenAiChat, OpenAiChat, "OPENAI", "gpt-5"),
    provider!(
        "anthropic",
        Anthropic,
        Anthropic,
        "ANTHROPIC",
        "claude-sonnet-4-5"
    ),
    #[cfg(feature = "bedrock")]
    Provider {
        name: "bedrock",
        wire: Wire::Bedrock,
        key_variable: "AWS_ACCESS_KEY_ID",
        other_key_variable: None,
        base_url_variable: "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        more_variables: &[
            "AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
            "AWS_REGION, AWS_PROFILE",
            "AWS_BEARER_TOKEN_BEDROCK",
        ],
        has_keys_elsewhere: true,
        example_model: "amazon.nova-lite-v1:0",
        build: |model, base_url| {
            let mut builder = steadfast::Bedrock::builder(model);
            if let Some(base_url) = base_url {
                builder = builder.endpoint_url(base_url);
            }
            Ok(Box::new(builder.build()?))
        },
    },
    provider!(
        "openai-responses",
        OpenAiResponses,
        OpenAiResponses,
        "OPENAI",
        "gpt-5"
    ),
    provider!(
        "gemini",
        Gemini,
        Gemini,
        (
            "GEMINI_API_KEY",
            Some("GOOGLE_API_KEY"),
            "GOOGLE_GEMINI_BASE_URL"
        ),
        "gemini-2.5-flash"
    ),
    provider!(
        "ollama",
        Ollama,
        Ollama,
        ("OLLAMA_API_KEY", None, "OLLAMA_HOST"),
        "qwen3:4b"
    ),
    compatible!(Azure),
    compatible!(DeepSeek),
    compatible!(Groq),
    compatible!(LlamaCpp),
    compatible!(LmStudio),
    compatible!(Mistral),
    compatible!(OpenRouter),
    compatible!(Vllm),
    compatible!(Xai),
];

/// Providers that this program was built without.
#[cfg(not(feature = "bedrock"))]
const LEFT_OUT: &[&str] = &["bedrock"];
#[cfg(feature = "bedrock")]
const LEFT_OUT: &[&str] = &[];

/// What is known of a name.
#[derive(Debug)]
pub(crate) enum Known {
    /// It is here.
    Built(&'static Provider),
    /// This program was built without it.
    LeftOut,
    /// Nothing.
    Unknown,
}

impl Known {
    /// Looks a name up.
    pub(crate) fn of(name: &str) -> Self {
        match PROVIDERS.iter().find(|provider| provider.name == name) {
            Some(provider) => Self::Built(provider),
            None if LEFT_OUT.contains(&name) => Self::LeftOut,
            None => Self::Unknown,
        }
    }
}

impl Provider {
    /// Returns whether the environment, where keys come from, has none for it.
    pub(crate) fn has_no_key(&self) -> bool {
        let has_none = is_unset(self.key_variable) && self.other_key_variable.is_none_or(is_unset);
        has_none && !self.has_keys_elsewhere
    }
}

/// Returns whether an environment variable says nothing.
pub(crate) fn is_unset(name: &str) -> bool {
    std::env::var(name).map_or(true, |value| value.trim().is_empty())
}

/// Lists the providers in the middle of a sentence, each with something behind it.
pub(crate) fn listed(behind: &str) -> String {
    let names = PROVIDERS.iter().enumerate().map(|(index, provider)| {
        let before = match index {
            0 => "",
            index if index + 1 == PROVIDERS.len() => " and ",
            _ => ", ",
        };
        format!("{before}`{}{behind}`", provider.name)
    });
    names.collect()
}

/// Lists the environment variables, for the end of a help page.
pub(crate) fn environment() -> String {
    let mut list = "Environment:".to_owned();
    for provider in PROVIDERS {
        let keys = [Some(provider.key_variable), provider.other_key_variable];
        let keys: Vec<&str> = keys.into_iter().flatten().collect();
        let variables = format!("{}, {}", keys.join(", "), provider.base_url_variable);
        write_line(&mut list, &format!("{}:MODEL", provider.name), &variables);
        for variables in provider.more_variables {
            write_line(&mut list, "", variables);
        }
    }
    write_line(&mut list, "--retry aws-…", "AWS_MAX_ATTEMPTS");
    list
}

fn write_line(list: &mut String, whose: &str, variables: &str) {
    // Writing to a string does not fail.
    let _ = write!(list, "\n  {whose:23} {variables}");
}
