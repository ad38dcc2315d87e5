//! A stored run, and in the lines behind it outcomes that it is told: it is refused, or steps, takes
//! what fits, and goes on.

use std::time::Duration;

use serde_json::Value;
use steadfast_core::{
    Agent, FunctionTool, Run, StepOutcome, ToolError,
    testing::{Reply, ScriptedModel},
};
use tokio::time::timeout;

use super::paused;

/// Longer than any wait that is not for ever.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Checks one stored run.
pub fn stored_run(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(Ok(run)) = lines.next().map(serde_json::from_slice::<Run>) else {
        return;
    };
    check(&run);
    let mut told = run.clone();
    for outcome in lines.filter_map(|line| serde_json::from_slice::<StepOutcome>(line).ok()) {
        let before = told.clone();
        if told.apply(outcome).is_err() {
            assert!(told == before, "a refused outcome changes nothing");
        }
        check(&told);
    }
    paused(async {
        let nothing =
            FunctionTool::new("look", "", |_: Value| async { Ok::<_, ToolError>("done") });
        let model = ScriptedModel::always(Reply::text("Fine."));
        let Ok(agent) = Agent::builder().model(model).tool(nothing).build() else {
            return;
        };
        for run in [run, told] {
            // A wait may be stored as one for ever.
            if let Ok(Err(error)) = timeout(CENTURY, agent.resume(run)).await {
                check(error.run());
            }
        }
    });
}

/// It says what comes next, and is stored and loaded back equal.
fn check(run: &Run) {
    let _ = (run.step(), run.is_done(), format!("{run:?}"));
    let stored = serde_json::to_string(run).unwrap_or_default();
    let loaded = serde_json::from_str::<Run>(&stored);
    assert!(
        loaded.as_ref().is_ok_and(|loaded| loaded == run),
        "{:?}: {stored}",
        loaded.err()
    );
}
