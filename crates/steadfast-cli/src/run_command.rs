//! `steadfast run`: puts an agent together from the command line, runs it once and shows it.

use std::{
    error::Error as _,
    io::{self, Read as _},
    time::Duration,
};

use steadfast::{
    Agent, AgentBuilder, ModelError, ModelErrorKind, ModelSettings, RunError, RunErrorKind,
    StopReason,
};
use tokio::time::timeout;

use crate::{
    command_line::{EventFormat, RunOptions},
    demonstration::Demonstration,
    ending::Ending,
    json_lines,
    model_choice::{Demonstrated, ModelChoice, Provided},
    output::Output,
    provider::Provider,
    refusal::{Refusal, with_flags},
    retry_choice::RetryChoice,
    stop_signal::StopSignal,
    styled_line::StyledLine,
    text_view::{TextView, duration},
};

/// How often a countdown is shown again.
const TICK: Duration = Duration::from_millis(100);

/// Runs the command.
pub(crate) async fn run(options: RunOptions, output: &mut Output) -> Result<Ending, Refusal> {
    let model = ModelChoice::new(options.model.as_deref(), options.base_url.as_deref())?;
    let shorter_wait = match model {
        ModelChoice::Demonstration(_) => Some(Demonstration::INITIAL_DELAY),
        ModelChoice::Provided(_) => None,
    };
    let retry = RetryChoice::new(&options, shorter_wait)?;
    let builder = builder(&options, retry);
    let prompt = prompt(&options.prompt)?;
    // Until here, Ctrl-C ends the program as it ends every other one.
    let signal = StopSignal::listen()?;
    // The simulator lives as long as the run.
    let (builder, provider, _demonstration) = match model {
        ModelChoice::Provided(Provided { model, provider }) => {
            (builder.model(model), Some(provider), None)
        }
        ModelChoice::Demonstration(how) => {
            let demonstration = Demonstration::start().await?;
            output.status.line(&note(how, &options));
            let model = demonstration.model()?;
            let builder = builder.model(model).tool(Demonstration::tool());
            (builder, None, Some(demonstration))
        }
    };
    let agent = builder.build()?;
    let shown = show(&agent, prompt, &signal, options.events, output).await;
    Ok(match shown {
        Ok(Ok(StopReason::Cancelled)) => Ending::Cancelled,
        Ok(Ok(_)) => Ending::Done,
        Ok(Err(error)) => {
            let hint = hint(&error, &options, provider);
            output.error(&problem(&error), hint.as_deref());
            Ending::ForceStop
        }
        Err(error) => output.unwritten(&error),
    })
}

/// Puts together what does not depend on the model.
fn builder(options: &RunOptions, retry: RetryChoice) -> AgentBuilder {
    let mut settings = ModelSettings::new();
    if let Some(tokens) = options.max_tokens {
        settings = settings.max_tokens(tokens);
    }
    let mut builder = Agent::builder().settings(settings);
    let max_attempts = retry.max_attempts(options);
    builder = match retry {
        RetryChoice::Default(strategy) => builder.retry_strategy(strategy),
        RetryChoice::None(strategy) => builder.retry_strategy(strategy),
        RetryChoice::Aws(strategy) => builder.retry_strategy(strategy),
        RetryChoice::Fleet(strategy) => builder.retry_strategy(strategy),
    };
    if let Some(system) = &options.system {
        builder = builder.system(system);
    }
    if let Some(deadline) = options.deadline {
        builder = builder.deadline(deadline);
    }
    if let Some(turns) = options.max_turns {
        builder = builder.max_turns(turns);
    }
    if let Some(tokens) = options.max_total_tokens {
        builder = builder.max_total_tokens(tokens);
    }
    if let Some(attempts) = max_attempts {
        // Whoever asks for more attempts than the hard cap allows means it.
        builder = builder.max_attempts_per_turn(attempts.max(100));
    }
    builder
}

/// Reads the prompt: the argument, or standard input for `-`.
fn prompt(argument: &str) -> Result<String, Refusal> {
    let prompt = if argument == "-" {
        let mut read = String::new();
        io::stdin()
            .lock()
            .read_to_string(&mut read)
            .map_err(|error| {
                Refusal::new(
                    format!("cannot read the prompt from standard input: {error}"),
                    "a prompt is text in UTF-8",
                )
            })?;
        read.truncate(read.trim_end().len());
        read
    } else {
        argument.to_owned()
    };
    if prompt.trim().is_empty() {
        return Err(Refusal::new(
            "the prompt is empty",
            "write it in quotes as the last argument, or `-` to read it from standard input",
        ));
    }
    Ok(prompt)
}

/// Says that this is the demonstration, and what is different in it.
fn note(how: Demonstrated, options: &RunOptions) -> StyledLine {
    let mut note = match how {
        Demonstrated::ByDefault => "no --model given, so this talks to the built-in simulator",
        Demonstrated::ByName => "this talks to the built-in simulator",
    }
    .to_owned();
    note.push_str(", which throttles twice and breaks off once");
    if options.retry == "default" && options.initial_delay.is_none() {
        let delay = humantime::format_duration(Demonstration::INITIAL_DELAY);
        note.push_str(&format!("; waits start at {delay} instead of 4s"));
    }
    StyledLine::new()
        .strong("demonstration:")
        .plain(" ")
        .plain(&note)
}

/// Drives the run and shows its events until there are no more. Returns how the run ended; that
/// its events cannot be written is another matter.
async fn show(
    agent: &Agent,
    prompt: String,
    signal: &StopSignal,
    format: EventFormat,
    output: &mut Output,
) -> io::Result<Result<StopReason, RunError>> {
    let mut events = agent
        .prompt(prompt)
        .cancel_on(signal.token().clone())
        .stream();
    let mut view = TextView::default();
    loop {
        let next = if view.is_ticking() {
            timeout(TICK, events.next()).await
        } else {
            Ok(events.next().await)
        };
        match next {
            Ok(Some(event)) => match format {
                EventFormat::Text => view.show(&event, output)?,
                EventFormat::Jsonl => json_lines::write(&event, &mut output.data)?,
            },
            Ok(None) => break,
            Err(_) => view.tick(output)?,
        }
    }
    let result = events.result().await;
    Ok(result.map(|result| result.stop_reason()))
}

/// Says what went wrong. What the model said last is part of it where something else ended the run.
fn problem(error: &RunError) -> String {
    match (error.kind(), error.source()) {
        (RunErrorKind::Model(_), _) | (_, None) => error.to_string(),
        (_, Some(source)) => format!("{error}: {source}"),
    }
}

/// Says what to do about it, in words of the command line where there are some.
fn hint(error: &RunError, options: &RunOptions, provider: Option<&Provider>) -> Option<String> {
    let gave_up = error.failure().gave_up().map(with_flags);
    let advice = advice(error, options, provider);
    match (gave_up, advice) {
        (Some(gave_up), Some(advice)) => Some(format!("{gave_up}; {advice}")),
        (gave_up, advice) => gave_up.or(advice),
    }
}

fn advice(error: &RunError, options: &RunOptions, provider: Option<&Provider>) -> Option<String> {
    let come_back = error
        .retry_after()
        .map(|delay| format!("come back in {}", duration(delay)));
    let keyless = provider.filter(|provider| provider.has_no_key());
    let of_kind = error.model_error().and_then(ModelError::hint);
    match (error.kind(), keyless) {
        (RunErrorKind::Deadline, _) => {
            let more_time = "give the run more time with `--deadline`";
            Some(come_back.map_or_else(
                || more_time.to_owned(),
                |come_back| format!("{more_time}, or {come_back}"),
            ))
        }
        _ if come_back.is_some() => come_back,
        // Nothing was sent: the SDK says at length where it looked.
        (RunErrorKind::Model(ModelErrorKind::Auth), _)
            if provider.is_some_and(|provider| provider.has_keys_elsewhere)
                && error
                    .model_error()
                    .is_some_and(|error| error.status().is_none()) =>
        {
            Some(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_BEARER_TOKEN_BEDROCK, or \
                 AWS_PROFILE to a profile that has keys"
                    .to_owned(),
            )
        }
        (RunErrorKind::Model(ModelErrorKind::Auth), Some(provider)) => Some(format!(
            "no key was sent: set the environment variable {}",
            provider.key_variable
        )),
        (RunErrorKind::Model(_), _) if of_kind.is_some() => of_kind.map(str::to_owned),
        (RunErrorKind::Model(kind), _) if kind.is_transient() => Some(
            match options.retry.as_str() {
                "none" => "leave out `--retry none`, and it is tried again",
                _ => "come back later, or have it tried more often",
            }
            .to_owned(),
        ),
        // What the kind does not say, nobody does; why the strategy gave up stands before it.
        (RunErrorKind::Model(_), _) => None,
        _ => error.hint(),
    }
}
