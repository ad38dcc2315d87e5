//! Servers that speak OpenAI's chat wire: where each is reached, and how it is written to. What a call
//! says is the request wire's.

use reqwest::Url;

use super::{OPENAI, dialect::Dialect};
use crate::endpoint::{Address, Vendor};

/// A server that is compatible with OpenAI's chat completions.
///
/// | server | name | key | base URL | without it |
/// |---|---|---|---|---|
/// | Azure OpenAI | `azure` | `AZURE_OPENAI_API_KEY` | `AZURE_OPENAI_ENDPOINT` | required |
/// | DeepSeek | `deepseek` | `DEEPSEEK_API_KEY` | `DEEPSEEK_BASE_URL` | `https://api.deepseek.com` |
/// | Groq | `groq` | `GROQ_API_KEY` | `GROQ_BASE_URL` | `https://api.groq.com/openai/v1` |
/// | llama.cpp | `llamacpp` | `LLAMA_API_KEY` | `LLAMACPP_BASE_URL` | `http://127.0.0.1:8080/v1` |
/// | LM Studio | `lmstudio` | `LM_API_TOKEN` | `LMSTUDIO_BASE_URL` | `http://127.0.0.1:1234/v1` |
/// | Mistral | `mistral` | `MISTRAL_API_KEY` | `MISTRAL_BASE_URL` | `https://api.mistral.ai/v1` |
/// | OpenRouter | `openrouter` | `OPENROUTER_API_KEY` | `OPENROUTER_BASE_URL` | `https://openrouter.ai/api/v1` |
/// | vLLM | `vllm` | `VLLM_API_KEY` | `VLLM_BASE_URL` | `http://127.0.0.1:8000/v1` |
/// | xAI | `xai` | `XAI_API_KEY` | `XAI_BASE_URL` | `https://api.x.ai/v1` |
///
/// A base URL without a path gets the one above, so that the address that the vendor's own client
/// takes works too. A server on this machine needs no key.
///
/// ```
/// use steadfast_core::Model as _;
/// use steadfast_providers::{CompatibleServer, OpenAiChat};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = OpenAiChat::builder("llama-3.3-70b-versatile")
///     .server(CompatibleServer::Groq)
///     .api_key("gsk_…")
/// #   .no_proxy()
///     .build()?;
/// assert_eq!(model.name(), "groq:llama-3.3-70b-versatile");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompatibleServer {
    /// Azure OpenAI, on its v1 API. The model is the name of a deployment, and the base URL that of
    /// the resource.
    ///
    /// The key goes out in `api-key`. A token of Microsoft Entra goes into a header `authorization`, with
    /// no key set. The output limit is `max_completion_tokens`, which all of OpenAI's models
    /// take there. An older API is reached by its whole path:
    /// `https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21`; where it
    /// does not know that name yet, give `max_tokens` in
    /// [`extra`](steadfast_core::ModelSettings::extra) instead of a limit.
    Azure,
    /// DeepSeek. Reasoning goes back with the answers that it stood in, which its thinking models want
    /// where they called tools.
    DeepSeek,
    /// Groq.
    Groq,
    /// llama.cpp's `llama-server`. Its model is what it was started with, whatever its name here.
    LlamaCpp,
    /// LM Studio's local server.
    LmStudio,
    /// Mistral. It refuses what it does not know, so: usage is not asked for, and told all the same;
    /// calls of other providers get identities of nine letters or digits; a refusal goes back as
    /// text, a document as `document_url`; and between a tool's result and a user's message stands an
    /// empty answer.
    Mistral,
    /// OpenRouter. Reasoning goes back in the details in which it came. Which application calls is
    /// told by headers, such as `HTTP-Referer` and `X-Title`, and which providers may answer in
    /// [`extra`](steadfast_core::ModelSettings::extra) under `provider`.
    OpenRouter,
    /// vLLM's server. Tools need `--enable-auto-tool-choice` and a parser there.
    Vllm,
    /// xAI.
    Xai,
}

impl CompatibleServer {
    /// All of them, by name.
    pub const ALL: &'static [Self] = &[
        Self::Azure,
        Self::DeepSeek,
        Self::Groq,
        Self::LlamaCpp,
        Self::LmStudio,
        Self::Mistral,
        Self::OpenRouter,
        Self::Vllm,
        Self::Xai,
    ];

    /// Returns what stands before the colon in the name of its models, such as `groq`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.vendor().name
    }

    /// Returns the environment variable that the key comes from.
    #[must_use]
    pub const fn key_variable(self) -> &'static str {
        self.vendor().key_variable
    }

    /// Returns the environment variable that the base URL comes from.
    #[must_use]
    pub const fn base_url_variable(self) -> &'static str {
        self.vendor().base_url_variable
    }

    /// Returns the name of a model that it had in 2026, for hints.
    #[must_use]
    pub const fn example_model(self) -> &'static str {
        self.vendor().example_model
    }

    /// Returns a base URL with the server's path, if it has none of its own. What is no address stays
    /// as it is, and is refused as such.
    pub(super) fn complete(self, base_url: String) -> String {
        let (Address::Own(own) | Address::OfCustomer(own)) = self.vendor().address;
        match (Url::parse(&base_url), Url::parse(own)) {
            (Ok(mut url), Ok(own)) if matches!(url.path(), "" | "/") && !url.cannot_be_a_base() => {
                url.set_path(own.path());
                url.into()
            }
            _ => base_url,
        }
    }

    pub(super) const fn dialect(self) -> Dialect {
        match self {
            Self::Azure => Dialect::Azure,
            Self::Mistral => Dialect::Mistral,
            _ => Dialect::OpenAi,
        }
    }

    pub(super) const fn vendor(self) -> &'static Vendor {
        match self {
            Self::Azure => &AZURE,
            Self::DeepSeek => &DEEPSEEK,
            Self::Groq => &GROQ,
            Self::LlamaCpp => &LLAMA_CPP,
            Self::LmStudio => &LM_STUDIO,
            Self::Mistral => &MISTRAL,
            Self::OpenRouter => &OPENROUTER,
            Self::Vllm => &VLLM,
            Self::Xai => &XAI,
        }
    }
}

static AZURE: Vendor = Vendor {
    name: "azure",
    example_model: "gpt-5",
    address: Address::OfCustomer("https://NAME.openai.azure.com/openai/v1"),
    base_url_variable: "AZURE_OPENAI_ENDPOINT",
    key_variable: "AZURE_OPENAI_API_KEY",
    key_header: "api-key",
    key_prefix: "",
    ..OPENAI
};

static DEEPSEEK: Vendor = Vendor {
    name: "deepseek",
    example_model: "deepseek-chat",
    address: Address::Own("https://api.deepseek.com"),
    base_url_variable: "DEEPSEEK_BASE_URL",
    key_variable: "DEEPSEEK_API_KEY",
    ..OPENAI
};

static GROQ: Vendor = Vendor {
    name: "groq",
    example_model: "llama-3.3-70b-versatile",
    address: Address::Own("https://api.groq.com/openai/v1"),
    base_url_variable: "GROQ_BASE_URL",
    key_variable: "GROQ_API_KEY",
    ..OPENAI
};

static LLAMA_CPP: Vendor = Vendor {
    name: "llamacpp",
    example_model: "default",
    address: Address::Own("http://127.0.0.1:8080/v1"),
    base_url_variable: "LLAMACPP_BASE_URL",
    key_variable: "LLAMA_API_KEY",
    ..OPENAI
};

static LM_STUDIO: Vendor = Vendor {
    name: "lmstudio",
    example_model: "qwen/qwen3-4b",
    address: Address::Own("http://127.0.0.1:1234/v1"),
    base_url_variable: "LMSTUDIO_BASE_URL",
    key_variable: "LM_API_TOKEN",
    ..OPENAI
};

static MISTRAL: Vendor = Vendor {
    name: "mistral",
    example_model: "mistral-medium-latest",
    address: Address::Own("https://api.mistral.ai/v1"),
    base_url_variable: "MISTRAL_BASE_URL",
    key_variable: "MISTRAL_API_KEY",
    ..OPENAI
};

static OPENROUTER: Vendor = Vendor {
    name: "openrouter",
    example_model: "openai/gpt-5",
    address: Address::Own("https://openrouter.ai/api/v1"),
    base_url_variable: "OPENROUTER_BASE_URL",
    key_variable: "OPENROUTER_API_KEY",
    ..OPENAI
};

static VLLM: Vendor = Vendor {
    name: "vllm",
    example_model: "Qwen/Qwen3-8B",
    address: Address::Own("http://127.0.0.1:8000/v1"),
    base_url_variable: "VLLM_BASE_URL",
    key_variable: "VLLM_API_KEY",
    ..OPENAI
};

static XAI: Vendor = Vendor {
    name: "xai",
    example_model: "grok-4",
    address: Address::Own("https://api.x.ai/v1"),
    base_url_variable: "XAI_BASE_URL",
    key_variable: "XAI_API_KEY",
    ..OPENAI
};

#[cfg(test)]
mod tests {
    use steadfast_core::ConfigError;

    use super::*;
    use crate::{OpenAiChat, OpenAiChatBuilder};

    fn builder(server: CompatibleServer) -> OpenAiChatBuilder {
        OpenAiChat::builder("m").server(server)
    }

    fn refusal(builder: OpenAiChatBuilder) -> Option<ConfigError> {
        builder.build().err()
    }

    #[test]
    fn addresses_without_a_path_get_the_servers_own() {
        for (server, given, expected) in [
            (
                CompatibleServer::Azure,
                "https://a.openai.azure.com/",
                "https://a.openai.azure.com/openai/v1",
            ),
            (
                CompatibleServer::Azure,
                "https://a.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
                "https://a.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
            ),
            (
                CompatibleServer::Groq,
                "http://proxy:8080",
                "http://proxy:8080/openai/v1",
            ),
            (
                CompatibleServer::Vllm,
                "http://gpu:8000/v1",
                "http://gpu:8000/v1",
            ),
            (CompatibleServer::DeepSeek, "http://h", "http://h/"),
            (CompatibleServer::Xai, "nonsense", "nonsense"),
        ] {
            assert_eq!(server.complete(given.to_owned()), expected);
        }
    }

    #[test]
    fn servers_elsewhere_want_a_key_and_those_on_this_machine_none() {
        let is_here = |server| {
            use CompatibleServer::{LlamaCpp, LmStudio, Vllm};
            matches!(server, LlamaCpp | LmStudio | Vllm)
        };
        for server in CompatibleServer::ALL.iter().copied() {
            let builder = match server {
                CompatibleServer::Azure => builder(server).base_url("https://a.openai.azure.com"),
                _ => builder(server),
            };
            let refused = refusal(builder);
            let field = refused.as_ref().map(ConfigError::field);
            assert_eq!(field, (!is_here(server)).then_some("api_key"), "{server:?}");
            if let Some(hint) = refused.as_ref().and_then(ConfigError::hint) {
                assert!(hint.contains(server.key_variable()), "{hint}");
            }
        }
    }

    #[test]
    fn azure_wants_the_address_of_a_resource() {
        let refused = refusal(builder(CompatibleServer::Azure).api_key("0123456789"));

        let refused = refused.expect("there is no address");
        assert_eq!(refused.field(), "base_url");
        let hint = refused.hint().unwrap_or_default();
        assert!(hint.contains("AZURE_OPENAI_ENDPOINT"), "{hint}");
        assert!(hint.contains("https://NAME.openai.azure.com"), "{hint}");
    }

    #[test]
    fn names_are_different_and_in_order() {
        let names: Vec<&str> = CompatibleServer::ALL
            .iter()
            .map(|server| server.name())
            .collect();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
