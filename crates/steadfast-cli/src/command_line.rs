//! The command line: its commands and flags, and what is said when they cannot be read.

use std::{error::Error as _, ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use http::StatusCode;
use steadfast_sim::{FaultScript, HintStyle, RateLimit};

use crate::{
    argument_value as value,
    ending::{
        EXIT_STATUSES, EXIT_STATUSES_OF_EXPLAIN, EXIT_STATUSES_OF_SIM, EXIT_STATUSES_OF_STORM,
    },
    provider::{environment, listed},
    refusal::Refusal,
};

/// Runs an agent and shows what it does: every retry, every wait, every answer taken back.
#[derive(Debug, Parser)]
#[command(
    name = "steadfast",
    version,
    max_term_width = 100,
    after_help = format!("\
Examples:
  steadfast run \"What should I wear in Oslo today?\"     no key needed: try it
  steadfast run --model openai:gpt-5 --deadline 5m -    prompt on standard input
  steadfast sim --fault '429*2, cut@text'               a provider that fails
  steadfast explain --provider anthropic --status 529   what an answer means
  steadfast storm --agents 1000                         who survives a storm

{EXIT_STATUSES}")
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What the program is asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prompts a model, retries what fails, and shows all of it
    Run(Box<RunOptions>),
    /// Serves a simulated model provider that throttles and fails on demand
    Sim(SimOptions),
    /// Says how a provider's answer is classified, and whether it is retried
    Explain(ExplainOptions),
    /// Compares retry strategies: many agents against one throttled provider
    Storm(StormOptions),
}

/// Prompts a model, retries what fails, and shows all of it.
#[derive(Debug, Args)]
#[command(after_help = format!("\
The answer goes to standard output, everything else to standard error.

Examples:
  steadfast run \"What should I wear in Oslo today?\"
  steadfast run --model openai:qwen3 --base-url http://127.0.0.1:8080/v1 \"Hi\"
  git diff | steadfast run --model anthropic:claude-sonnet-4-5 -

{}

{EXIT_STATUSES}", environment()))]
pub(crate) struct RunOptions {
    /// What to ask; `-` reads it from standard input
    pub(crate) prompt: String,

    // Whose models they are, the table of providers says.
    #[arg(
        long,
        value_name = "PROVIDER:MODEL",
        help_heading = "Model",
        help = format!("The model: one of {}, or `sim`, the built-in simulator, which is the default", listed(":MODEL"))
    )]
    pub(crate) model: Option<String>,

    /// Where a compatible server is, such as `http://127.0.0.1:8080/v1`; for the wires of
    /// Anthropic, Gemini and Ollama without `/v1`
    #[arg(long, value_name = "URL", help_heading = "Model")]
    pub(crate) base_url: Option<String>,

    /// The system prompt
    #[arg(long, value_name = "TEXT", help_heading = "Model")]
    pub(crate) system: Option<String>,

    /// The most tokens of one answer
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) max_tokens: Option<u32>,

    /// The retry strategy: `default`, `none`, `fleet` (learns the provider's limit), or AWS's:
    /// `aws-legacy`, `aws-standard`, `aws-adaptive`
    #[arg(
        long,
        value_name = "STRATEGY",
        default_value = "default",
        hide_default_value = true,
        help_heading = "Retries"
    )]
    pub(crate) retry: String,

    /// The most calls for one answer, the first included [default: 6; with AWS's strategies
    /// AWS_MAX_ATTEMPTS, or else 3, or 5 with `aws-legacy`]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Retries")]
    pub(crate) max_attempts: Option<u32>,

    /// The first wait, which doubles from there, cut to --max-delay [default: 4s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::time, help_heading = "Retries")]
    pub(crate) initial_delay: Option<Duration>,

    /// The longest wait of its own [default: 240s]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::time, help_heading = "Retries")]
    pub(crate) max_delay: Option<Duration>,

    /// The longest wait that a server may ask for [default: 10m]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::time, help_heading = "Retries")]
    pub(crate) max_hint: Option<Duration>,

    /// How long the run may take, waits included
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::positive_time, help_heading = "Limits of the run")]
    pub(crate) deadline: Option<Duration>,

    /// The most turns: model calls with the tools that they ask for [default: 50]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Limits of the run")]
    pub(crate) max_turns: Option<u32>,

    /// The most tokens, all attempts counted
    #[arg(long, value_name = "N", value_parser = value::count::<u64>, allow_negative_numbers = true, help_heading = "Limits of the run")]
    pub(crate) max_total_tokens: Option<u64>,

    /// How events are shown: `text` for people, `jsonl` for programs, one JSON object a line
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub(crate) events: EventFormat,
}

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventFormat {
    Text,
    Jsonl,
}

/// Serves a simulated model provider that throttles and fails on demand.
#[derive(Debug, Args)]
#[command(after_help = format!("\
It speaks the wires of OpenAI (chat completions and responses), Anthropic,
Gemini, Amazon Bedrock and Ollama on one port. All but Ollama's want a key, and
any will do. The first line on standard output is its address: OpenAI's clients
take it with `/v1` behind it, all others as it is. Every request is a line on
standard error. Limit, faults and recorded traffic are shared by all wires.

Faults, one per request; `503*3` three times, `503*` for ever:
  ok  429  503:retry-after=2  429:quota  reset  hang  cut@text  no-end  empty
  html  malformed  garbage-utf8  huge-line  error-200  keepalive
  error@text  error@text:overloaded  error@text:rate_limit
Moments of reset, hang, cut, error and no-end:
  @start  @text  @tool (after complete tool calls)  @end  @N (after N bytes)
An answer without text or tool calls meets @text or @tool after its first piece.

Examples:
  steadfast sim --limit 20/s --burst 20 --hint exact
  steadfast sim --listen 127.0.0.1:8080 --fault '429:retry-after=1, cut@text'

{EXIT_STATUSES_OF_SIM}"))]
pub(crate) struct SimOptions {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = value::address)]
    pub(crate) listen: SocketAddr,

    /// Refuses requests beyond a rate, such as `20/s` or `60/m`
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = value::rate)]
    pub(crate) limit: Option<RateLimit>,

    /// How many requests are admitted at once after a pause [default: one second's worth]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true)]
    pub(crate) burst: Option<u32>,

    /// How refused requests are told when to come back: `none`, `int` (seconds) or `exact`
    #[arg(long, value_name = "HOW", default_value = "int", value_parser = value::hint_style)]
    pub(crate) hint: HintStyle,

    /// What goes wrong, request by request: see below. May be repeated
    #[arg(long, value_name = "SCRIPT", value_parser = value::faults)]
    pub(crate) fault: Vec<FaultScript>,

    /// Replays recorded traffic instead of answering: a YAML file, or a folder of them
    #[arg(long, value_name = "PATH")]
    pub(crate) cassette: Option<PathBuf>,

    /// The seed of the places at which recorded answers are cut into pieces
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value::seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,

    /// A pause between the pieces of an answer
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, default_value = "0s", value_parser = value::time)]
    pub(crate) chunk_delay: Duration,
}

/// Says how a provider's answer is classified, and whether it is retried.
#[derive(Debug, Args)]
#[command(after_help = format!("\
One JSON object on standard output, always with these fields:
  kind            the kind of error; null for a complete answer
  retried         whether it is tried again by default, as a first attempt
  delay_ms        how long that would wait; null if it is not retried
  decided_by      who set the delay: `hint` (the server) or `backoff`
  terminal        whether no later attempt would help
  why             on what evidence, for people
  retry_after_ms  how long the server asks to wait
  status, code, message, request_id, stop_reason   as far as they are known

Examples:
  steadfast explain --provider anthropic --status 529 --header 'retry-after: 7'
  steadfast explain --provider openai --status 429 --body answer.json
  steadfast explain --provider openai --stream --body - < answer.txt

{EXIT_STATUSES_OF_EXPLAIN}"))]
pub(crate) struct ExplainOptions {
    #[arg(
        long,
        value_name = "PROVIDER",
        help = format!("Whose wire the answer is in: one of {}", listed(""))
    )]
    pub(crate) provider: String,

    /// The status of the answer, from 100 to 599 [default: 200 with --stream]
    #[arg(long, value_name = "STATUS", value_parser = value::status, allow_negative_numbers = true, required_unless_present = "stream")]
    pub(crate) status: Option<StatusCode>,

    /// A header of the answer, such as 'retry-after: 7'. May be repeated
    #[arg(
        long = "header",
        value_name = "NAME: VALUE",
        allow_hyphen_values = true
    )]
    pub(crate) headers: Vec<String>,

    /// The body of the answer: a file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,

    /// Reads the body as a stream of events, whatever its content type
    #[arg(long)]
    pub(crate) stream: bool,
}

/// Compares retry strategies: many agents against one throttled provider.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Every agent is a real one, with the strategy of its row; the provider is
computed, and so is time: an hour passes in a moment. The same seed gives the
same table.

Rates and times are typical values: a provider with a token bucket, an answer
after about one second, a refusal after 50 ms, and no hint when to come back.

Examples:
  steadfast storm
  steadfast storm --agents 1000 --limit 20/s --burst 20 --svg storm.svg
  steadfast storm --scenario outage --strategy all --seeds 5
  steadfast storm --scenario list
  steadfast storm --real
  steadfast storm --bars

{EXIT_STATUSES_OF_STORM}"))]
pub(crate) struct StormOptions {
    /// What happens: the name of a scenario, or `list` to see them [default: burst]
    #[arg(long, value_name = "NAME", help_heading = "Storm")]
    pub(crate) scenario: Option<String>,

    /// How many agents there are [default: 200, or as the scenario has it]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Storm")]
    pub(crate) agents: Option<u32>,

    /// How many calls each agent makes, one after the other [default: 1, or as the scenario has it]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Storm")]
    pub(crate) calls: Option<u32>,

    /// In how many processes they are, which share nothing [default: 1]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Storm")]
    pub(crate) processes: Option<u32>,

    /// What the provider admits, such as `20/s` or `60/m` [default: 20/s, or as the scenario has it]
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = value::per_second, help_heading = "Storm")]
    pub(crate) limit: Option<f64>,

    /// How many requests are admitted at once after a pause [default: one second's worth]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Storm")]
    pub(crate) burst: Option<u32>,

    /// How refused requests are told when to come back: `none`, `int` (seconds) or `exact`
    /// [default: none]
    #[arg(long, value_name = "HOW", value_parser = value::hint_style, help_heading = "Storm")]
    pub(crate) hint: Option<HintStyle>,

    /// Which strategies: names with commas between them, `all`, or `list` to see them and which of
    /// them are compared by default
    #[arg(long, value_name = "NAMES", help_heading = "Comparison")]
    pub(crate) strategy: Option<String>,

    /// The first seed
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = value::seed,
        allow_negative_numbers = true,
        help_heading = "Comparison"
    )]
    pub(crate) seed: u64,

    /// How many seeds, one after the other; each figure is then their median [default: 1, or 5 with
    /// --bars]
    #[arg(long, value_name = "N", value_parser = value::count::<u32>, allow_negative_numbers = true, help_heading = "Comparison")]
    pub(crate) seeds: Option<u32>,

    /// The same agents over real HTTP and in real time, against the simulator, beside the computed
    /// ones [default: 60 agents and fewer strategies]
    #[arg(long, help_heading = "Comparison")]
    pub(crate) real: bool,

    /// Holds strategies (`fleet`, if none are named) against the bars that the fleet strategy has to
    /// reach, storm by storm
    #[arg(
        long,
        help_heading = "Comparison",
        conflicts_with_all = ["scenario", "agents", "calls", "processes", "limit", "burst", "hint", "real", "svg"]
    )]
    pub(crate) bars: bool,

    /// Draws the comparison into this file too: requests over time, strategy by strategy
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Prints an array of objects instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

/// What came of reading the command line.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Something is to be done.
    Command(Command),
    /// There is only something to say: help, the version, or how the program is used.
    Told(clap::Error),
}

/// Reads the command line.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Refusal> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let has_prompt = arguments.get(1).is_some_and(|command| command == "run");
    match CommandLine::try_parse_from(arguments) {
        Ok(line) => Ok(Parsed::Command(line.command)),
        Err(error) => {
            refused_value(&error, has_prompt).map_or_else(|| Ok(Parsed::Told(error)), Err)
        }
    }
}

/// Says a wrong value as the rest of the program says what is wrong; none if it is something else.
fn refused_value(error: &clap::Error, has_prompt: bool) -> Option<Refusal> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    };
    // Clap names an option together with its placeholder: `--max-delay <TIME>`.
    let flag = context(ContextKind::InvalidArg)?.split(' ').next()?;
    match error.kind() {
        ErrorKind::ValueValidation => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let refusal = error.source()?.downcast_ref::<Refusal>();
            let (problem, hint) = refusal.map_or_else(
                || ("it is not a number", "write it in digits, such as `7`"),
                |refusal| (refusal.problem(), refusal.hint()),
            );
            let problem = format!("`{flag}` cannot be `{value}`: {problem}");
            Some(Refusal::new(problem, hint))
        }
        ErrorKind::InvalidValue => {
            let value = context(ContextKind::InvalidValue)?;
            let Some(ContextValue::Strings(allowed)) = error.get(ContextKind::ValidValue) else {
                return None;
            };
            Some(Refusal::new(
                format!("`{flag}` cannot be `{value}`"),
                format!("one of: {}", allowed.join(", ")),
            ))
        }
        ErrorKind::UnknownArgument if has_prompt && !flag.starts_with('-') => Some(Refusal::new(
            format!("there is one prompt, and `{flag}` is a word too many"),
            "put quotes around the prompt: steadfast run \"What should I wear in Oslo today?\"",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_of_the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }
}
