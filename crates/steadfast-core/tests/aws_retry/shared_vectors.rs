//! All vectors of botocore 1.44 and 1.42, where the folder of recordings has them beside it.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::Value;
use steadfast_core::{
    AwsRetryConfig, AwsRetryMode, AwsRetryRules, AwsRetryStrategy, Backoff, Jitter, ModelErrorKind,
    Wait, millis, secs, testing::Reply,
};

use crate::{
    Checked, bits, delay,
    quota::trace,
    run, seconds,
    wire::{error, error_of, exception, reply},
};

const SETS: [(&str, AwsRetryRules); 2] = [
    ("botocore_vectors.json", AwsRetryRules::V2026),
    ("botocore_vectors_pre2026.json", AwsRetryRules::Pre2026),
];

/// The vectors of one group, with their rules; none where the files are not there.
fn vectors(group: &str) -> Checked<Vec<(AwsRetryRules, Value)>> {
    let Some(recordings) = std::env::var_os("STEADFAST_RECORDINGS").map(PathBuf::from) else {
        return Ok(Vec::new());
    };
    let mut vectors = Vec::new();
    for (file, rules) in SETS {
        let path = recordings.join("..").join(file);
        if !path.exists() {
            continue;
        }
        let content: Value = serde_json::from_slice(&fs::read(path)?)?;
        let all = content.get("vectors").and_then(Value::as_array);
        let all = all.into_iter().flatten();
        let of_group = all.filter(|vector| vector["group"] == group);
        let before = vectors.len();
        vectors.extend(of_group.map(|vector| (rules, vector.clone())));
        assert!(vectors.len() > before, "{file} has none of {group}");
    }
    Ok(vectors)
}

/// The others, those of the limiter, are checked in `steadfast-resilience`.
#[test]
fn no_group_is_left_out() {
    let mut groups = vec!["adaptive_limiter", "cubic", "rate_clocker", "token_bucket"];
    groups.extend([
        "config",
        "e2e_converse",
        "e2e_converse_stream",
        "legacy_delay",
    ]);
    groups.extend(["quota_exhaust", "quota_trace"]);
    groups.extend(["standard_backoff", "standard_classify"]);
    let mut number = 0;
    for group in groups {
        number += vectors(group).unwrap().len();
    }

    assert!([0, 2 * 127].contains(&number), "{number}");
}

/// Botocore leaves a stream to its caller once the answer has begun, and makes one call whatever
/// happens in it. Here what is transient is taken back and called again.
#[tokio::test(start_paused = true)]
async fn streams_that_break_off_are_called_again_where_botocore_leaves_them() {
    for (rules, vector) in vectors("e2e_converse_stream").unwrap() {
        let output = &vector["output"];
        assert_eq!(output["http_attempts"], 1);
        let begun = Reply::text("Ye");
        let (reply, calls) = match vector["input"]["case"].as_str().unwrap() {
            "throttlingException first" => (Reply::fail(ModelErrorKind::Throttled), 2),
            "throttlingException after text" => (begun.then_fail(ModelErrorKind::Throttled), 2),
            "modelStreamErrorException"
            | "internalServerException"
            | ":message-type=error (unmodelled)" => (begun.then_fail(ModelErrorKind::Server), 2),
            "serviceUnavailableException" => (begun.then_fail(ModelErrorKind::Overloaded), 2),
            "validationException" => (begun.then_fail(ModelErrorKind::InvalidRequest), 1),
            "truncated inside a frame" | "closed before messageStop" => (begun.then_cut(), 2),
            "empty body" => (Reply::deltas([]), 2),
            "complete" => (begun, 1),
            case => panic!("`{case}` is unknown"),
        };
        let retries = AwsRetryStrategy::standard().rules(rules);

        let made = run(&retries, [reply, Reply::text("Yes.")]).await.unwrap();

        assert_eq!(made.calls, calls, "{vector}");
    }
}

/// A strategy with attempts to spare.
fn standard(rules: AwsRetryRules) -> AwsRetryStrategy {
    AwsRetryStrategy::standard()
        .rules(rules)
        .total_max_attempts(1_000)
}

/// A number of seconds; too many to be right if it is none.
fn seconds_of(value: &Value) -> Duration {
    value.as_f64().map_or(Duration::MAX, seconds)
}

/// The number of an attempt; none has 0.
fn attempt_of(value: &Value) -> u32 {
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.unwrap_or_default()
}

#[test]
fn legacy_delays_match() {
    for (_, vector) in vectors("legacy_delay").unwrap() {
        let input = &vector["input"];
        let attempt = attempt_of(&input["attempts"]);
        let actual = match input["rand"].as_f64() {
            Some(share) => {
                let strategy = AwsRetryStrategy::legacy().total_max_attempts(1_000);
                delay(&strategy, &error(None, 500), attempt, share)
            }
            // DynamoDB's, which no model has: the same arithmetic without jitter.
            None => Some(Backoff::exponential(millis(50)).delay(&Wait::after(attempt - 1))),
        };

        assert_eq!(actual, Some(seconds_of(&vector["output"])), "{vector}");
    }
}

#[test]
fn standard_delays_match() {
    for (rules, vector) in vectors("standard_backoff").unwrap() {
        let input = &vector["input"];
        let attempt = attempt_of(&input["attempt"]);
        let share = input["rand"].as_f64().unwrap();
        let mut error = error_of(input);
        if rules == AwsRetryRules::Pre2026 && error.status() == Some(429) && attempt == 1 {
            // Botocore's backoff answers also for what its checker then does not retry.
            error = error.with_code("ThrottlingException");
        }
        let actual = match (rules, input["service"].as_str()) {
            // DynamoDB's, which no model has: the same arithmetic from a base of its own.
            (AwsRetryRules::V2026, Some("dynamodb")) => {
                let backoff = Backoff::exponential(millis(25)).max_delay(secs(20));
                let wait = Wait::after(attempt - 1).random(bits(share));
                Some(backoff.jitter(Jitter::Full).delay(&wait))
            }
            _ => delay(&standard(rules), &error, attempt, share),
        };

        assert_eq!(actual, Some(seconds_of(&vector["output"])), "{vector}");
    }
}

#[test]
fn classifications_match() {
    for (rules, vector) in vectors("standard_classify").unwrap() {
        let input = &vector["input"];
        let attempt = attempt_of(&input["attempt"]);
        let strategy = AwsRetryStrategy::adaptive().rules(rules);
        let error = error_of(input);
        // The one difference on purpose: an answer that broke off is taken back and made again.
        let is_cut = input["exception"] == "IncompleteReadError";
        let expected = vector["output"]["retry"].as_bool().unwrap() || is_cut;

        let decided = delay(&strategy, &error, attempt, 0.5);

        assert_eq!(decided.is_some(), expected, "{vector}");
        if decided.is_some() {
            // What is a throttle costs 5; with the rules of 2026 nothing else does.
            let throttling = vector["output"]["throttling"] == true;
            let drawn = 500 - strategy.quota().left();
            if rules == AwsRetryRules::V2026 {
                assert_eq!(drawn == 5, throttling, "{vector}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn throttles_that_turn_the_limiter_on_match() {
    for (rules, vector) in vectors("standard_classify").unwrap() {
        let strategy = AwsRetryStrategy::adaptive()
            .rules(rules)
            .total_max_attempts(1);
        let refused = Reply::error(error_of(&vector["input"]));

        run(&strategy, [refused]).await.unwrap();

        let throttling = vector["output"]["throttling"].as_bool().unwrap();
        assert_eq!(strategy.limiter().is_on(), throttling, "{vector}");
    }
}

#[test]
fn exhausted_quotas_match() {
    for (rules, vector) in vectors("quota_exhaust").unwrap() {
        let failure = match vector["input"]["kind"].as_str().unwrap() {
            "throttling" => error(Some("ThrottlingException"), 429),
            "transient_503" => error(None, 503),
            "read_timeout" => exception("ReadTimeoutError"),
            kind => panic!("`{kind}` is unknown"),
        };
        let strategy = standard(rules);
        let granted = (0..1_000)
            .take_while(|_| delay(&strategy, &failure, 1, 0.5).is_some())
            .count();

        let output = &vector["output"];
        assert_eq!(output["retries_granted"], granted, "{vector}");
        assert_eq!(output["left"], strategy.quota().left(), "{vector}");
    }
}

#[tokio::test(start_paused = true)]
async fn quota_traces_match() {
    for (rules, vector) in vectors("quota_trace").unwrap() {
        let left = trace(rules).await.unwrap();

        assert_eq!(vector["output"], serde_json::json!(left), "{rules:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn runs_over_a_scripted_endpoint_match() {
    for (rules, vector) in vectors("e2e_converse").unwrap() {
        let input = &vector["input"];
        let mut config = AwsRetryConfig::new().rules(rules);
        config.mode = Some(input["mode"].as_str().unwrap().parse().unwrap());
        config.total_max_attempts = input["total_max_attempts"]
            .as_u64()
            .map(|total| total.try_into().unwrap());
        let words = input["wire"].as_array().unwrap().iter();

        let made = run(
            &config.build(|_| None).unwrap(),
            words.map(|word| reply(word.as_str().unwrap())),
        )
        .await
        .unwrap();

        let output = &vector["output"];
        assert_eq!(output["attempts"], made.calls, "{vector}");
        let sleeps = output["sleeps"].as_array().unwrap().iter();
        assert_eq!(
            made.delays(),
            sleeps.map(seconds_of).collect::<Vec<_>>(),
            "{vector}"
        );
        let result = match made.error.as_ref().and_then(|error| error.model_error()) {
            None => "ok".to_owned(),
            Some(error) => error
                .code()
                .map_or_else(|| error.status().unwrap().to_string(), str::to_owned),
        };
        assert_eq!(output["result"], result, "{vector}");
    }
}

#[tokio::test(start_paused = true)]
async fn configurations_match() {
    for (rules, vector) in vectors("config").unwrap() {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let input = &vector["input"];
        let given = &input["Config.retries"];
        let number = |name: &str| given[name].as_i64().map(u32::try_from);
        let environment = |name: &str| text(&input["env"][name]);
        let profile = |name: &str| text(&input["config_file"][name]);

        // What the types refuse is refused where the value is made: a negative number, a wrong mode.
        let built = (|| {
            let mut config = AwsRetryConfig::new().rules(rules).profile(
                profile("max_attempts").as_deref(),
                profile("retry_mode").as_deref(),
            );
            config.total_max_attempts = number("total_max_attempts").transpose().ok()?;
            config.max_attempts = number("max_attempts").transpose().ok()?;
            let mode = given["mode"].as_str().map(str::parse::<AwsRetryMode>);
            config.mode = mode.transpose().ok()?;
            config.build(environment).ok()
        })();

        let output = &vector["output"];
        let Some(strategy) = built else {
            assert!(output["error"].is_string(), "{vector}");
            continue;
        };
        assert_eq!(output["mode"], strategy.settings().mode.name(), "{vector}");
        if let Some(total) = output["total_max_attempts"].as_u64() {
            assert_eq!(u64::from(strategy.settings().total_max_attempts), total);
        }
        let made = run(&strategy, vec![reply("503"); 20]).await.unwrap();
        assert_eq!(
            output["http_attempts_on_endless_503"], made.calls,
            "{vector}"
        );
    }
}
