use steadfast::{Message, ModelResponse};

use tokio::time::Instant;

use super::*;

async fn call(line: &Line) -> Result<ModelResponse, ModelError> {
    let request = ModelRequest::new([Message::user("Hi")]);
    line.stream(request).await?.response().await
}

async fn refusal(line: &Line) -> ModelError {
    let request = ModelRequest::new([Message::user("Hi")]);
    line.stream(request).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn accepted_calls_begin_after_50_ms_and_end_after_their_service() {
    let world = World::burst(2, 20.0, 20);
    let line = Provider::open(&world, 1, Ledger::open()).line(1);
    let began = Instant::now();

    let stream = line
        .stream(ModelRequest::new([Message::user("Hi")]))
        .await
        .unwrap();
    let head = began.elapsed();
    let answer = stream.response().await.unwrap();

    assert_eq!(head, millis(50));
    assert!(!answer.is_blank());
    let late = began.elapsed().checked_sub(world.service(1, 1, 0)).unwrap();
    assert!(late < millis(3), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn refusals_come_after_50_ms_with_the_hint_of_the_world() {
    let cases = [
        (HintStyle::None, None),
        (HintStyle::Integer, Some(secs(3))),
        (HintStyle::Exact, Some(millis(2_500))),
    ];
    for (hint, expected) in cases {
        let world = World {
            hint,
            ..World::burst(2, 0.4, 1)
        };
        let provider = Provider::open(&world, 1, Ledger::open());
        let first = provider.line(0);
        let began = Instant::now();

        let second = async { (refusal(&first).await, began.elapsed()) };
        let (answered, (refused, after)) = tokio::join!(biased; call(&first), second);

        assert!(answered.is_ok());
        assert_eq!(after, millis(50));
        assert_eq!(refused.kind(), ModelErrorKind::Throttled);
        assert_eq!(refused.status(), Some(429));
        assert_eq!(refused.retry_after(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn outage_answers_503_and_takes_nothing() {
    let world = World {
        outage: Some(Duration::ZERO..secs(1)),
        ..World::burst(1, 0.1, 1)
    };
    let provider = Provider::open(&world, 1, Ledger::open());

    let refused = refusal(&provider.line(0)).await;
    sleep(secs(1)).await;
    let answered = call(&provider.line(0)).await;

    assert_eq!(
        (refused.kind(), refused.status()),
        (ModelErrorKind::Overloaded, Some(503))
    );
    assert!(answered.is_ok());
    let tally = provider.ledger.close();
    assert_eq!((tally.accepted, tally.refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn headers_come_with_answers_and_refusals_where_the_world_has_them() {
    let world = World {
        headers: crate::storm_command::world::Headers::OfBucket,
        ..World::burst(1, 20.0, 1)
    };
    let with = Provider::open(&world, 1, Ledger::open()).line(0);
    let without = Provider::open(&World::burst(1, 20.0, 1), 1, Ledger::open()).line(0);
    let ask = || ModelRequest::new([Message::user("Hi")]);

    let (answer, refused) = tokio::join!(biased; with.stream(ask()), with.stream(ask()));

    let left = |limits: Option<&RateLimits>| limits.unwrap().requests.unwrap().remaining;
    assert_eq!(left(answer.unwrap().rate_limits()), 0);
    assert_eq!(left(refused.unwrap_err().rate_limits()), 0);
    assert!(without.stream(ask()).await.unwrap().rate_limits().is_none());
}

#[tokio::test(start_paused = true)]
async fn network_delays_both_ways_and_depends_on_the_attempt() {
    let world = World {
        network: Some(crate::storm_command::world::Network {
            median: 0.06,
            sigma: 0.6,
        }),
        ..World::burst(1, 20.0, 20)
    };
    let began = Instant::now();

    call(&Provider::open(&world, 1, Ledger::open()).line(0))
        .await
        .unwrap();

    let Journey { there, back } = world.journey(1, 0, 0, 1);
    let expected = there + back + world.service(1, 0, 0);
    assert!(began.elapsed().abs_diff(expected) < millis(4));
    assert_ne!(there, world.journey(1, 0, 0, 2).there);
}
