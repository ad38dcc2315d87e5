//! AG2's configuration: what counts, where it comes from, and what is refused.

use steadfast_core::{
    Agent, AwsRetryConfig, AwsRetryMode, AwsRetryRules, AwsRetryStrategy, ConfigError, SetBy,
    testing::ScriptedModel,
};

use crate::{run, wire::reply};

/// An environment of these variables.
fn variables<const N: usize>(
    variables: [(&'static str, &'static str); N],
) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let found = variables.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    }
}

/// What counts where nothing is in the environment; none if it is refused.
fn effective(config: &AwsRetryConfig) -> Option<(u32, AwsRetryMode)> {
    let settings = *config.build(|_| None).ok()?.settings();
    Some((settings.total_max_attempts, settings.mode))
}

/// AG2-1.
#[test]
fn unset_is_five_and_standard_as_in_ag2() {
    let config = AwsRetryConfig::ag2();

    let retries = config.build(|_| None).unwrap();

    assert_eq!(effective(&config), Some((5, AwsRetryMode::Standard)));
    assert_eq!(retries.settings().total_max_attempts_set_by, SetBy::Default);
    assert_eq!(retries.settings().mode_set_by, SetBy::Default);
    assert_eq!(retries.settings().rules, AwsRetryRules::V2026);
    for mode in [AwsRetryMode::Legacy, AwsRetryMode::Adaptive] {
        assert_eq!(effective(&config.clone().mode(mode)), Some((5, mode)));
    }
}

/// AG2-10: 3 only where the mode is set by AWS's plain rules.
#[test]
fn plain_rules_of_aws_have_defaults_of_their_own() {
    let config = AwsRetryConfig::new();

    assert_eq!(effective(&config), Some((3, AwsRetryMode::Standard)));
    let legacy = config.clone().mode(AwsRetryMode::Legacy);
    assert_eq!(effective(&legacy), Some((5, AwsRetryMode::Legacy)));
    let older = config.rules(AwsRetryRules::Pre2026);
    assert_eq!(effective(&older), Some((5, AwsRetryMode::Legacy)));
}

/// AG2-2, AG2-3, AG2-4: as requests that are made.
#[tokio::test(start_paused = true)]
async fn retries_count_one_less_than_attempts_and_the_total_wins() {
    let ag2 = AwsRetryConfig::ag2;
    for (config, requests) in [
        (ag2().total_max_attempts(2), 2),
        (ag2().max_attempts(4), 5),
        (ag2().max_attempts(0), 1),
        (ag2().total_max_attempts(7).max_attempts(3), 7),
        (ag2(), 5),
    ] {
        let made = run(&config.build(|_| None).unwrap(), vec![reply("503"); 9])
            .await
            .unwrap();

        assert_eq!(made.calls, requests, "{config:?}");
    }
}

/// AG2-5.
#[test]
fn what_was_given_stays_readable_and_what_counts_is_shown() {
    let config = AwsRetryConfig::ag2()
        .total_max_attempts(7)
        .max_attempts(3)
        .mode(AwsRetryMode::Adaptive);
    let before = config.clone();

    let retries = config.build(|_| None).unwrap();

    assert_eq!(config, before);
    assert_eq!(
        (config.total_max_attempts, config.max_attempts),
        (Some(7), Some(3))
    );
    let shown = serde_json::to_value(retries.settings()).unwrap();
    assert_eq!(
        (&shown["total_max_attempts"], &shown["mode"]),
        (&7.into(), &"adaptive".into())
    );
}

/// AG2-6, AG2-7.
#[test]
fn program_counts_before_environment_before_profile_before_default() {
    let environment = variables([("AWS_MAX_ATTEMPTS", "10"), ("AWS_RETRY_MODE", "legacy")]);
    let settings = |config: &AwsRetryConfig| *config.build(&environment).unwrap().settings();

    let of_environment = settings(&AwsRetryConfig::ag2().profile(Some("4"), Some("standard")));
    assert_eq!(
        (of_environment.total_max_attempts, of_environment.mode),
        (10, AwsRetryMode::Legacy)
    );
    assert_eq!(of_environment.mode_set_by, SetBy::Environment);

    let of_both = settings(&AwsRetryConfig::ag2().mode(AwsRetryMode::Adaptive));
    assert_eq!(
        (of_both.total_max_attempts, of_both.mode),
        (10, AwsRetryMode::Adaptive)
    );
    assert_eq!(of_both.mode_set_by, SetBy::Program);

    let of_program = settings(&AwsRetryConfig::ag2().max_attempts(2));
    assert_eq!(of_program.total_max_attempts, 3);
    assert_eq!(of_program.total_max_attempts_set_by, SetBy::Program);
}

#[tokio::test(start_paused = true)]
async fn error_that_stands_names_the_variable_that_limits_it() {
    let retries = AwsRetryConfig::ag2()
        .build(variables([("AWS_MAX_ATTEMPTS", "2")]))
        .unwrap();

    let made = run(&retries, vec![reply("503"); 3]).await.unwrap();

    let expected = "gave up after 2 attempts, all that `AWS_MAX_ATTEMPTS` allows";
    assert_eq!(made.gave_up(), Some(expected));
}

#[test]
fn empty_variables_count_as_unset() {
    let empty = variables([("AWS_MAX_ATTEMPTS", " "), ("AWS_RETRY_MODE", "")]);

    let settings = *AwsRetryConfig::ag2().build(empty).unwrap().settings();

    assert_eq!(
        (settings.total_max_attempts, settings.mode),
        (5, AwsRetryMode::Standard)
    );
}

/// The field that is refused; none if nothing is.
fn refused(built: Result<AwsRetryStrategy, ConfigError>) -> Option<String> {
    Some(built.err()?.field().to_owned())
}

/// AG2-8.
#[test]
fn wrong_values_are_refused_by_the_name_they_have() {
    let none = AwsRetryConfig::ag2().total_max_attempts(0);
    assert_eq!(
        refused(none.build(|_| None)).as_deref(),
        Some("total_max_attempts")
    );
    assert_eq!("nope".parse::<AwsRetryMode>().unwrap_err().field(), "mode");
    for value in ["0", "-1", "1.5", "x", "99999999999"] {
        let environment = move |name: &str| (name == "AWS_MAX_ATTEMPTS").then(|| value.to_owned());
        assert_eq!(
            refused(AwsRetryConfig::ag2().build(environment)).as_deref(),
            Some("AWS_MAX_ATTEMPTS")
        );
        let profile = AwsRetryConfig::ag2().profile(Some(value), None);
        assert_eq!(
            refused(profile.build(|_| None)).as_deref(),
            Some("max_attempts")
        );
    }
    let environment = variables([("AWS_RETRY_MODE", "Standard")]);
    assert_eq!(
        refused(AwsRetryConfig::ag2().build(environment)).as_deref(),
        Some("AWS_RETRY_MODE")
    );
    let profile = AwsRetryConfig::ag2().profile(None, Some("nope"));
    assert_eq!(
        refused(profile.build(|_| None)).as_deref(),
        Some("retry_mode")
    );

    let agent = Agent::builder()
        .model(ScriptedModel::new([]))
        .retry_strategy(AwsRetryStrategy::standard().total_max_attempts(0))
        .build();
    assert_eq!(agent.unwrap_err().field(), "total_max_attempts");
}

/// AG2-21.
#[test]
fn presets_are_those_of_the_table() {
    for (config, expected) in [
        (AwsRetryConfig::ag2(), (5, AwsRetryMode::Standard)),
        (
            AwsRetryConfig::high_reliability(),
            (10, AwsRetryMode::Adaptive),
        ),
        (AwsRetryConfig::fast_fail(), (2, AwsRetryMode::Standard)),
        (
            AwsRetryConfig::rate_limit_optimized(),
            (8, AwsRetryMode::Adaptive),
        ),
        (AwsRetryConfig::legacy(), (5, AwsRetryMode::Legacy)),
    ] {
        assert_eq!(effective(&config), Some(expected));
    }
}
