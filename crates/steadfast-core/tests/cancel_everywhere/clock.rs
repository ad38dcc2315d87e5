//! A run that is cancelled wherever it looks at the clock: between its awaits, as another thread may
//! do it.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use futures_core::future::BoxFuture;
use steadfast_core::{
    CancellationToken, Runtime, StepName, StepOutcome, StopReason, Stopped, TokioRuntime,
};

use crate::{
    gates::{Gated, Gates},
    rich_run,
    scene::{Checked, check_closed},
};

/// A runtime that cancels a run when it looks at the clock for the n-th time.
struct Looking {
    runtime: Gated,
    looks: AtomicUsize,
    cancels_at: usize,
    token: CancellationToken,
}

impl Runtime for Looking {
    fn record<'a>(
        &'a self,
        name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        self.runtime.record(name, work)
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        self.runtime.sleep_until(name, until)
    }

    fn now(&self) -> SystemTime {
        if self.looks.fetch_add(1, Ordering::Relaxed) == self.cancels_at {
            self.token.cancel();
        }
        self.runtime.now()
    }

    fn random(&self) -> u64 {
        self.runtime.random()
    }
}

/// Runs a prompt that is cancelled so; returns how often it looked.
async fn looks(cancels_at: usize) -> Result<usize, Box<dyn Error>> {
    let gates = Gates::new(None);
    let (agent, told) = rich_run::agent(&gates, 0)?;
    let token = CancellationToken::new();
    let looking = Looking {
        runtime: Gated {
            gates: Arc::clone(&gates),
            clock: TokioRuntime::seeded(7),
        },
        looks: AtomicUsize::new(0),
        cancels_at,
        token: token.clone(),
    };

    let prompt = agent.prompt("Weather?").cancel_on(token.clone());
    let result = prompt.on_runtime(&looking).await?;

    let ends = [StopReason::EndTurn, StopReason::Cancelled];
    assert!(ends.contains(&result.stop_reason()), "at {cancels_at}");
    check_closed(&told);
    Ok(looking.looks.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn cancelling_between_two_awaits_ends_the_run_in_good_order() -> Checked {
    let all = looks(usize::MAX).await?;

    assert!(all >= 40, "{all}");
    for number in 0..all {
        looks(number).await?;
    }
    Ok(())
}
