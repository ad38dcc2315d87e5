//! Bytes that an agent holds: idle, and parked in a wait before a retry, a hundred thousand at once.
//!
//! ```text
//! cargo bench --bench memory
//! ```

use std::{
    future::{Future as _, IntoFuture, poll_fn},
    task::Poll,
};

use allocation_counter::measure;
use steadfast::{
    Agent, ModelErrorKind,
    testing::{Reply, ScriptedModel},
};

const AGENTS: usize = 10_000;
const PARKED: usize = 100_000;

fn main() {
    let model = ScriptedModel::always(Reply::fail(ModelErrorKind::Throttled));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");

    let mut agents = Vec::with_capacity(AGENTS);
    let idle = measure(|| {
        agents.extend((0..AGENTS).map(|_| {
            Agent::builder()
                .model(model.clone())
                .build()
                .expect("an agent")
        }));
    });
    println!("idle agent: {} bytes", per(idle.bytes_current, AGENTS));

    let agent = Agent::builder().model(model).build().expect("an agent");
    let mut runs = Vec::with_capacity(PARKED);
    let parked = measure(|| {
        runtime.block_on(async {
            for _ in 0..PARKED {
                let mut run = Box::pin(agent.prompt("Umbrella?").into_future());
                let waits = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx).is_pending())).await;
                assert!(waits, "the run is to wait");
                runs.push(run);
            }
        });
    });
    println!(
        "parked in a wait: {} bytes each, {PARKED} at once",
        per(parked.bytes_current, PARKED)
    );

    // They are real runs: all of them end when time has passed.
    runtime.block_on(async {
        let mut failed = 0;
        for run in &mut runs {
            failed += usize::from(run.await.is_err());
        }
        println!("all ended: {failed} of {PARKED} gave up after their attempts");
    });
}

fn per(bytes: i64, count: usize) -> i64 {
    bytes / i64::try_from(count).unwrap_or(1)
}
