//! A closure as a tool, its schema made from the type of its input.

use std::{fmt, future::Future};

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{Tool, ToolContext, ToolError, ToolOutput, ToolSpec};

type Call = dyn Fn(Value) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Send + Sync;

/// A tool made of a closure.
///
/// The JSON Schema that the model sees comes from the input's type, its doc comments included; the
/// same type checks what the model sends. The answer is anything that serialises: a text goes to
/// the model as it is, everything else as JSON. An error goes to the model as a failed result.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use steadfast_core::{FunctionTool, Tool, ToolError};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Place {
///     /// The city, in English.
///     city: String,
/// }
///
/// let get_weather = FunctionTool::new(
///     "get_weather",
///     "Tells the weather of a city.",
///     |place: Place| async move { Ok::<_, ToolError>(format!("{}: 6 °C, light rain", place.city)) },
/// );
/// assert_eq!(get_weather.spec().input_schema["properties"]["city"]["type"], "string");
/// ```
pub struct FunctionTool {
    spec: ToolSpec,
    call: Box<Call>,
}

impl FunctionTool {
    /// Makes a tool of a closure.
    pub fn new<I, O, E, F, Fut>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema,
        O: Serialize,
        E: Into<ToolError>,
        F: Fn(I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        let mut schema = schemars::schema_for!(I).to_value();
        if let Some(schema) = schema.as_object_mut() {
            // The dialect and the Rust type's name say nothing to a model and cost tokens.
            schema.remove("$schema");
            schema.remove("title");
            // Arguments are always an object, also for a closure that takes `()` or any value.
            if schema.get("type").is_none_or(|kind| kind == "null") {
                schema.insert("type".to_owned(), "object".into());
            }
            // Providers want the key even where there is nothing to say.
            schema
                .entry("properties")
                .or_insert_with(|| Value::Object(Map::new()));
        }
        Self {
            spec: ToolSpec::new(name, description, schema),
            call: Box::new(move |input| match parse(input) {
                Ok(input) => {
                    let future = function(input);
                    Box::pin(async move { ToolOutput::json(&future.await.map_err(Into::into)?) })
                }
                Err(error) => Box::pin(async move { Err(error) }),
            }),
        }
    }
}

/// Reads the input.
///
/// Models write "no arguments" in several ways, and so do programs: an empty struct, `()`, an
/// `Option`.
fn parse<I: DeserializeOwned>(input: Value) -> Result<I, ToolError> {
    let parsed = match input {
        Value::Null => parse_nothing(),
        Value::Object(map) if map.is_empty() => parse_nothing(),
        other => serde_json::from_value(other),
    };
    parsed.map_err(|error| ToolError::new(format!("the arguments do not fit: {error}")))
}

fn parse_nothing<I: DeserializeOwned>() -> Result<I, serde_json::Error> {
    serde_json::from_value(Value::Object(Map::new()))
        .or_else(|error| serde_json::from_value(Value::Null).map_err(|_| error))
}

#[async_trait]
impl Tool for FunctionTool {
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    async fn call(&self, input: Value, _context: &ToolContext) -> Result<ToolOutput, ToolError> {
        (self.call)(input).await
    }
}

impl fmt::Debug for FunctionTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionTool")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
