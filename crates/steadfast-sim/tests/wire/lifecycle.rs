//! Starting, remembering and stopping.

use std::time::{Duration, Instant};

use serde_json::json;
use steadfast_sim::{Answer, Error, RateLimit, Simulator, Wire};
use tokio::net::TcpStream;

use crate::client::{IMPATIENCE, TestResult, ask, ask_for, client, prompt, streamed};

#[tokio::test]
async fn stop_closes_the_port() -> TestResult {
    let sim = Simulator::start().await?;
    let address = sim.address();
    ask(&sim, &prompt("Hi")).await;

    sim.stop().await;

    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

#[tokio::test]
async fn drop_closes_the_port() -> TestResult {
    let sim = Simulator::start().await?;
    let address = sim.address();
    ask(&sim, &prompt("Hi")).await;

    drop(sim);

    // The runtime has to get to the aborted task first.
    let mut is_open = true;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        is_open = TcpStream::connect(address).await.is_ok();
        if !is_open {
            break;
        }
    }
    assert!(!is_open);
    Ok(())
}

#[tokio::test]
async fn stop_does_not_wait_for_answers_that_never_end() -> TestResult {
    for fault in ["hang*", "hang@text*", "keepalive*"] {
        let sim = Simulator::builder().faults(fault.parse()?).start().await?;
        let url = format!("{}/chat/completions", sim.base_url());
        let request = client()?.post(url).bearer_auth("key");
        let request = request.json(&streamed(prompt("Hi"))).send();
        let pending = tokio::spawn(async move { request.await?.bytes().await });
        while sim.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        let begin = Instant::now();

        sim.stop().await;

        assert!(begin.elapsed() < Duration::from_millis(900), "{fault}");
        assert!(pending.await?.is_err(), "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn stop_leaves_no_task_behind() -> TestResult {
    let runtime = tokio::runtime::Handle::current();
    let before = runtime.metrics().num_alive_tasks();
    let sim = Simulator::builder()
        .faults("hang, cut@text, reset".parse()?)
        .start()
        .await?;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(TcpStream::connect(sim.address()).await?);
    }
    for _ in 0..4 {
        let body = streamed(prompt("Hi"));
        ask_for([IMPATIENCE; 2], Wire::OpenAiChat, &sim, &body).await;
    }

    sim.stop().await;

    // The tasks of the test's own HTTP client end when they notice that the server is gone.
    for _ in 0..1000 {
        if runtime.metrics().num_alive_tasks() == before {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(runtime.metrics().num_alive_tasks(), before);
    Ok(())
}

#[tokio::test]
async fn stop_lets_answers_finish() -> TestResult {
    let sim = Simulator::builder()
        .chunk_delay(Duration::from_millis(5))
        .answer(|_| Answer::text("one two three four five six"))
        .start()
        .await?;
    let url = format!("{}/chat/completions", sim.base_url());
    let request = client()?.post(url).bearer_auth("key");
    let mut response = request.json(&streamed(prompt("Hi"))).send().await?;

    let reading = tokio::spawn(async move {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok::<_, reqwest::Error>(String::from_utf8_lossy(&body).into_owned())
    });
    sim.stop().await;

    assert!(reading.await??.ends_with("data: [DONE]\n\n"));
    Ok(())
}

#[tokio::test]
async fn chunks_wait_for_each_other() -> TestResult {
    let sim = Simulator::builder()
        .chunk_delay(Duration::from_millis(3))
        .answer(|_| Answer::text("one two three four"))
        .start()
        .await?;
    let begin = Instant::now();

    let seen = ask(&sim, &streamed(prompt("Hi"))).await;

    // Head, two pieces of text, finish and [DONE]: four pauses.
    assert_eq!(seen.said("content"), "one two three four");
    assert!(begin.elapsed() >= Duration::from_millis(12));
    Ok(())
}

#[tokio::test]
async fn requests_are_remembered_as_they_came() -> TestResult {
    let sim = Simulator::builder()
        .faults("ok, reset".parse()?)
        .start()
        .await?;

    ask(&sim, &prompt("first")).await;
    ask(&sim, &prompt("second")).await;

    let requests = sim.requests();
    let [first, second] = requests.as_slice() else {
        return Err(format!("{} requests", requests.len()).into());
    };
    assert_eq!(
        (first.method.as_str(), first.path.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(first.body, prompt("first"));
    assert_eq!(first.headers["authorization"], "Bearer key");
    assert_eq!(first.status.map(|status| status.as_u16()), Some(200));
    assert_eq!(
        (second.status, second.fault.clone()),
        (None, Some("reset".parse()?))
    );
    assert!(second.at >= first.at);
    let printed = format!("{requests:?} {:?}", first.headers);
    assert!(
        !printed.contains("Bearer") && !printed.contains("second"),
        "{printed}"
    );
    Ok(())
}

#[tokio::test]
async fn panicking_answerer_breaks_only_its_connection() -> TestResult {
    let sim = Simulator::builder()
        .answer(|request| {
            assert_ne!(request.prompt(), "boom");
            Answer::text("fine")
        })
        .start()
        .await?;

    let broken = ask(&sim, &prompt("boom")).await;
    let fine = ask(&sim, &prompt("hello")).await;

    assert_eq!(broken.status, 0);
    assert_eq!(
        fine.json()["choices"][0]["message"]["content"],
        json!("fine")
    );
    Ok(())
}

#[tokio::test]
async fn setting_up_nonsense_is_refused() -> TestResult {
    let sim = Simulator::start().await?;

    let taken = Simulator::builder().listen(sim.address()).start().await;
    let limit = RateLimit::per_second(0.0);
    let no_rate = Simulator::builder().rate_limit(limit).start().await;

    assert!(matches!(taken, Err(Error::Listen { .. })));
    assert!(matches!(
        no_rate,
        Err(Error::RateLimit { field: "rate", .. })
    ));
    Ok(())
}

#[tokio::test]
async fn only_the_last_requests_are_kept() -> TestResult {
    let sim = Simulator::builder().keep_requests(2).start().await?;

    for text in ["first", "second", "third"] {
        ask(&sim, &prompt(text)).await;
    }

    let bodies: Vec<_> = sim
        .requests()
        .into_iter()
        .map(|request| request.body)
        .collect();
    assert_eq!(bodies, [prompt("second"), prompt("third")]);
    Ok(())
}
