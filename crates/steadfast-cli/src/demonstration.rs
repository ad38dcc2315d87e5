//! The built-in demonstration: a provider that throttles twice and loses an answer, and a tool.
//!
//! It talks to the simulator over real HTTP through the same provider as any other run: nothing of
//! what it shows is staged on this side of the wire.

mod city;
mod weather;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use steadfast::{ConfigError, FunctionTool, OpenAiChat, ToolError, millis};
use steadfast_sim::{Answer, ChatRequest, Simulator};

use self::weather::Weather;

/// What goes wrong: two refusals, the second with a hint, and a stream that ends in mid-sentence.
const FAULTS: &str = "429, 429:retry-after-ms=1500, cut@2200";

/// The pause between two pieces of an answer, so that a person sees it come.
const CHUNK_DELAY: Duration = millis(80);

/// How long the tool pretends to work.
const TOOL_TIME: Duration = millis(400);

/// The simulator of the demonstration.
#[derive(Debug)]
pub(crate) struct Demonstration {
    simulator: Simulator,
}

/// What the tool is asked.
#[derive(Debug, Deserialize, JsonSchema)]
struct Place {
    /// The city, in English.
    city: String,
}

impl Demonstration {
    /// The first wait: nobody watches a demonstration for the waits of real life.
    pub(crate) const INITIAL_DELAY: Duration = millis(500);

    /// Starts the simulator on a free port of this machine.
    pub(crate) async fn start() -> Result<Self, steadfast_sim::Error> {
        let simulator = Simulator::builder()
            .faults(FAULTS.parse()?)
            .chunk_delay(CHUNK_DELAY)
            .answer(answer)
            .start()
            .await?;
        Ok(Self { simulator })
    }

    /// Connects to it. A key that the user may have set for somebody else is not sent.
    pub(crate) fn model(&self) -> Result<OpenAiChat, ConfigError> {
        OpenAiChat::builder("simulator")
            .base_url(self.simulator.base_url())
            .api_key("demonstration")
            // The environment may name a proxy, which cannot reach this port.
            .no_proxy()
            .build()
    }

    /// The tool that the simulated model calls.
    pub(crate) fn tool() -> FunctionTool {
        FunctionTool::new(
            "get_weather",
            "Tells the weather of a city.",
            |place: Place| async move {
                tokio::time::sleep(TOOL_TIME).await;
                let weather = Weather::of(&place.city);
                Ok::<_, ToolError>(json!({
                    "city": place.city,
                    "temperature_c": weather.temperature,
                    "sky": weather.sky,
                }))
            },
        )
    }
}

/// Answers for the simulated model: first it asks for the weather, then it says what to wear.
fn answer(request: &ChatRequest) -> Answer {
    let Some(result) = request.tool_results().pop() else {
        let (preface, city) = match city::named_in(&request.prompt()) {
            Some(city) => (format!("Let me look up the weather in {city}"), city),
            None => (
                "You named no city. Let me look up the weather in Oslo".to_owned(),
                "Oslo".to_owned(),
            ),
        };
        let arguments = json!({ "city": city });
        return Answer::text(format!("{preface}, so that I do not have to guess."))
            .then_tool_call("get_weather", arguments);
    };
    let report: Value = serde_json::from_str(&result.content).unwrap_or_default();
    let text = |field| report.get(field).and_then(Value::as_str);
    let temperature = report.get("temperature_c").and_then(Value::as_i64);
    match (text("city"), text("sky"), temperature) {
        (Some(city), Some(sky), Some(temperature)) => Answer::text(format!(
            "In {city} it is {temperature} °C with {sky}. {}",
            weather::advice(temperature, sky)
        )),
        _ => Answer::text("I could not find out about the weather: dress in layers."),
    }
}
