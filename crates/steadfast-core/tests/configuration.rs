//! What is refused when it is built, and what is never shown.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use steadfast_core::{
    Agent, AgentBuilder, ConfigError, FunctionTool, HookProvider, HookRegistry, Message,
    ModelErrorKind, ModelRequest, ModelRetryStrategy, ModelSettings, NoopRetryStrategy, Tool,
    ToolChoice, ToolContext, ToolError, ToolOutput, ToolSpec, async_trait, secs,
    testing::{Reply, ScriptedModel},
};

fn builder() -> AgentBuilder {
    Agent::builder().model(ScriptedModel::new([]))
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    #[expect(dead_code, reason = "only its schema is looked at")]
    city: String,
}

fn tool(name: &str) -> FunctionTool {
    FunctionTool::new(name, "", |_: Place| async { Ok::<_, ToolError>("") })
}

/// A tool whose schema is not an object.
struct Schemaless;

#[async_trait]
impl Tool for Schemaless {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new("schemaless", "", json!("anything"))
    }

    async fn call(
        &self,
        _input: serde_json::Value,
        _context: &ToolContext,
    ) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::text(""))
    }
}

/// A provider of hooks that refuses itself.
struct Unready;

impl HookProvider for Unready {
    fn register_hooks(&self, _hooks: &mut HookRegistry) {}

    fn validate(&self) -> Result<(), ConfigError> {
        Err(ConfigError::new("store", "is not open"))
    }
}

/// Strands 16, 71.
#[test]
fn every_wrong_value_is_refused_by_the_name_of_its_field() {
    let settings = ModelSettings::new;
    let cases = [
        (Agent::builder(), "model"),
        (builder().max_turns(0), "max_turns"),
        (builder().max_total_tokens(0), "max_total_tokens"),
        (builder().max_attempts_per_turn(0), "max_attempts_per_turn"),
        (builder().max_tool_tries(0), "max_tool_tries"),
        (builder().deadline(secs(0)), "deadline"),
        (builder().first_byte_timeout(secs(0)), "first_byte_timeout"),
        (builder().idle_timeout(secs(0)), "idle_timeout"),
        (
            builder().retry_strategy(ModelRetryStrategy::new().max_attempts(0)),
            "max_attempts",
        ),
        (builder().retry_strategy(Unready), "store"),
        (builder().hooks(Unready), "store"),
        (builder().tool(tool("")), "tool"),
        (builder().tool(tool("get weather")), "tool"),
        (builder().tool(tool(&"x".repeat(65))), "tool"),
        (builder().tool(tool("twice")).tool(tool("twice")), "tool"),
        (builder().tool(Schemaless), "tool"),
        (
            builder().settings(settings().temperature(-0.1)),
            "temperature",
        ),
        (
            builder().settings(settings().temperature(f64::NAN)),
            "temperature",
        ),
        (
            builder().settings(settings().temperature(f64::INFINITY)),
            "temperature",
        ),
        (builder().settings(settings().top_p(0.0)), "top_p"),
        (builder().settings(settings().top_p(1.1)), "top_p"),
        (builder().settings(settings().top_p(f64::NAN)), "top_p"),
        (builder().settings(settings().max_tokens(0)), "max_tokens"),
        (
            builder().settings(settings().stop_sequences([""])),
            "stop_sequences",
        ),
        (
            builder()
                .tool(tool("a"))
                .settings(settings().tool_choice(ToolChoice::Tool("b".into()))),
            "tool_choice",
        ),
    ];
    for (builder, field) in cases {
        let error = builder.build().unwrap_err();

        assert_eq!(error.field(), field, "{error}");
        assert!(
            error.to_string().starts_with(&format!("`{field}` ")),
            "{error}"
        );
    }
}

#[test]
fn values_at_the_edge_are_accepted() {
    let settings = ModelSettings::new()
        .temperature(0.0)
        .top_p(1.0)
        .max_tokens(1);
    let agent = builder()
        .tool(tool(&"x".repeat(64)))
        .settings(settings.tool_choice(ToolChoice::Tool("x".repeat(64))))
        .max_turns(1)
        .max_total_tokens(1)
        .max_attempts_per_turn(1)
        .max_tool_tries(1)
        .retry_strategy(ModelRetryStrategy::new().max_attempts(1))
        .build();

    assert!(agent.is_ok());
}

#[test]
fn provider_is_checked_however_it_is_held() {
    let wrong = || ModelRetryStrategy::new().max_attempts(0);
    let boxed: Box<dyn HookProvider> = Box::new(wrong());
    let shared: Arc<dyn HookProvider> = Arc::new(wrong());

    let built = [
        builder().hooks(wrong()).build(),
        builder().hooks(boxed).build(),
        builder().hooks(shared).build(),
    ];

    for agent in built {
        assert_eq!(agent.unwrap_err().field(), "max_attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn prompts_and_secrets_are_not_in_debug_forms() {
    const SECRET: &str = "sk-verysecret1234567890";
    let error = steadfast_core::ModelError::new(ModelErrorKind::Auth, format!("bad key {SECRET}"));
    let model = ScriptedModel::new([
        Reply::tool_call("a", json!({"note": "PRIVATE input"})),
        Reply::error(error),
    ]);
    let agent = Agent::builder()
        .model(model.clone())
        .tool(tool("a"))
        .system("PRIVATE system")
        .settings(ModelSettings::new().extra("user", json!("PRIVATE user")))
        .retry_strategy(NoopRetryStrategy)
        .build()
        .unwrap();
    let mut conversation = agent
        .conversation()
        .with_messages([Message::user("PRIVATE earlier")]);

    let error = conversation.prompt("PRIVATE prompt").await.unwrap_err();

    let request = ModelRequest::new([Message::user("PRIVATE")]).with_system("PRIVATE");
    for shown in [
        format!("{error:?} {error} {:?}", error.hint()),
        format!("{:?}", error.failure()),
        format!("{:?} {:?}", error.run(), error.run().step()),
        format!("{:?}", error.run().history()),
        format!("{:?}", model.requests()),
        format!("{request:?}"),
        format!("{agent:?} {conversation:?} {model:?}"),
        format!("{:?}", agent.prompt("PRIVATE")),
        format!("{:?}", agent.prompt("PRIVATE").stream()),
    ] {
        assert!(!shown.contains("PRIVATE"), "{shown}");
        assert!(!shown.contains("verysecret"), "{shown}");
    }
}
