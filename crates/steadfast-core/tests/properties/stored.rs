//! The stored form: what is stored loads back equal, and what is no stored form does no harm.

use proptest::{
    prelude::{Strategy, any},
    prop_oneof,
    sample::{Index, select},
    test_runner::TestCaseError,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use steadfast_core::{
    Agent, CancellationToken, Run, StepOutcome, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};

use crate::{
    broken, holds, paused,
    scenario::{self, Scenario, Stop},
    watched::{self, Watched},
    world::{World, stream},
};

/// A run at each of its steps, and the outcomes between them.
struct Steps {
    runs: Vec<Run>,
    outcomes: Vec<StepOutcome>,
}

async fn steps(scenario: &Scenario, stop: Stop) -> Option<Steps> {
    let world = World::new(scenario).ok()?;
    let journal = Journal::new();
    let runtime = Watched::new(JournalRuntime::new(&journal), &world);
    let token = CancellationToken::new();
    let later = token.clone();
    let canceller = stop.cancel.map(|cancel| {
        tokio::spawn(async move {
            tokio::time::sleep(cancel).await;
            later.cancel();
        })
    });
    let prompt = world.agent.prompt("Go.").on_runtime(&runtime);
    let (_, outcome) = stream(prompt.cancel_on(token)).await;
    if let Some(canceller) = canceller {
        canceller.abort();
    }
    let first = watched::first_step(&world, &journal).await?;
    let mut steps = Steps {
        runs: vec![first.clone()],
        outcomes: Vec::new(),
    };
    let mut run = first;
    for unit in runtime.done() {
        steps.outcomes.push(unit.outcome.clone());
        if !matches!(unit.outcome, StepOutcome::Started { .. }) {
            watched::apply(&mut run, unit.outcome).ok()?;
            steps.runs.push(run.clone());
        }
    }
    let left = match outcome {
        Ok(result) => result.into_run(),
        Err(error) => Some(error.into_run()),
    };
    steps.runs.extend(left);
    Some(steps)
}

fn lost() -> TestCaseError {
    broken("a run follows from its outcomes")
}

fn stored<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn loads_back_equal<T: Serialize + DeserializeOwned + PartialEq>(value: &T) {
    let stored = stored(value);
    let loaded = serde_json::from_str::<T>(&stored);
    assert!(
        loaded.as_ref().is_ok_and(|loaded| loaded == value),
        "{stored}"
    );
    assert_eq!(
        loaded.map(|loaded| self::stored(&loaded)).ok(),
        Some(stored)
    );
}

/// Design 2.4: a run loads back equal at every step, and so does every outcome; the loaded run asks
/// for the same step.
#[test]
fn run_and_outcomes_load_back_equal_at_every_step() {
    holds(
        600,
        (scenario::scenario(), scenario::stop()),
        |(scenario, stop)| {
            paused(async {
                let steps = steps(scenario, *stop).await.ok_or_else(lost)?;
                for run in &steps.runs {
                    loads_back_equal(run);
                    let loaded = serde_json::from_str::<Run>(&stored(run))?;
                    assert_eq!(loaded.step(), run.step());
                }
                steps.outcomes.iter().for_each(loads_back_equal);
                Ok(())
            })
        },
    );
}

/// A change of a stored text.
#[derive(Debug, Clone)]
enum Harm {
    /// Puts a value in the place of another.
    Value(Index, Value),
    /// Puts a part of the text in the place of another.
    Part(Index, Index),
    Cut(Index),
    Byte(Index, u8),
}

fn harm() -> impl Strategy<Value = Harm> {
    let value = select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(""),
        json!("cancelled"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"secs": u64::MAX, "nanos": 999_999_999}),
        json!({"secs_since_epoch": i64::MAX, "nanos_since_epoch": 999_999_999}),
    ]);
    prop_oneof![
        6 => (any::<Index>(), value).prop_map(|(at, value)| Harm::Value(at, value)),
        4 => (any::<Index>(), any::<Index>()).prop_map(|(at, from)| Harm::Part(at, from)),
        1 => any::<Index>().prop_map(Harm::Cut),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
    ]
}

impl Harm {
    fn done_to(&self, text: &str) -> String {
        let mut value: Value = serde_json::from_str(text).unwrap_or_default();
        let count = parts(&value).len();
        match self {
            Self::Value(at, new) => put(&mut value, &mut at.index(count), new),
            Self::Part(at, from) => {
                let parts = parts(&value);
                let new = parts.get(from.index(count)).map(|part| (*part).clone());
                put(&mut value, &mut at.index(count), &new.unwrap_or_default());
            }
            Self::Cut(at) => {
                let kept: Vec<u8> = text.bytes().take(at.index(text.len().max(1))).collect();
                return String::from_utf8_lossy(&kept).into_owned();
            }
            Self::Byte(at, byte) => {
                let mut bytes = text.as_bytes().to_vec();
                let at = at.index(bytes.len().max(1));
                let changed = bytes.iter_mut().skip(at).take(1);
                changed.for_each(|old| *old = *byte);
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        value.to_string()
    }
}

/// All values within a value, itself included, in order.
fn parts(value: &Value) -> Vec<&Value> {
    let mut all = vec![value];
    match value {
        Value::Array(items) => all.extend(items.iter().flat_map(parts)),
        Value::Object(fields) => all.extend(fields.values().flat_map(parts)),
        _ => {}
    }
    all
}

/// Puts a value in the place of the n-th part.
fn put(value: &mut Value, nth: &mut usize, new: &Value) {
    if *nth == 0 {
        *value = new.clone();
        *nth = usize::MAX;
        return;
    }
    *nth -= 1;
    let mut within = |value: &mut Value| {
        if *nth != usize::MAX {
            put(value, nth, new);
        }
    };
    match value {
        Value::Array(items) => items.iter_mut().for_each(&mut within),
        Value::Object(fields) => fields.values_mut().for_each(&mut within),
        _ => {}
    }
}

/// A stored text comes from outside: whatever it holds, it is refused or is a run that steps, takes
/// outcomes and ends. Nothing panics.
#[test]
fn harmed_run_is_refused_or_ends() {
    let harms = proptest::collection::vec(harm(), 1..4);
    let cases = (
        scenario::scenario(),
        scenario::stop(),
        any::<Index>(),
        harms,
    );
    holds(1_000, cases, |(scenario, stop, which, harms)| {
        paused(async {
            let steps = steps(scenario, *stop).await.ok_or_else(lost)?;
            let text = stored(which.get(&steps.runs));
            let harmed = harms.iter().fold(text, |text, harm| harm.done_to(&text));
            if let Ok(run) = serde_json::from_str::<Run>(&harmed) {
                survives(run, &steps.outcomes, &harmed).await;
            }
            let text = stored(which.get(&steps.outcomes));
            let harmed = harms.iter().fold(text, |text, harm| harm.done_to(&text));
            if let Ok(outcome) = serde_json::from_str::<StepOutcome>(&harmed) {
                for run in &steps.runs {
                    survives_one(run.clone(), outcome.clone());
                }
            }
            Ok(())
        })
    });
}

fn survives_one(mut run: Run, outcome: StepOutcome) {
    let before = run.clone();
    if run.apply(outcome).is_err() {
        assert_eq!(run, before, "a refused outcome changes nothing");
    }
    let _ = (run.step(), run.is_done(), format!("{run:?}"));
}

async fn survives(run: Run, outcomes: &[StepOutcome], harmed: &str) {
    for outcome in outcomes {
        survives_one(run.clone(), outcome.clone());
    }
    let model = ScriptedModel::always(Reply::text("Fine."));
    if let Ok(agent) = Agent::builder().model(model).build() {
        const CENTURY: u64 = 100 * 365 * 24 * 60 * 60;
        let resumed = stream(agent.resume(run));
        let ended = tokio::time::timeout(secs(CENTURY), resumed).await;
        // A wait that was stored as one beyond all ends may last.
        let waits = harmed.contains(&u64::MAX.to_string()) || harmed.contains("secs");
        assert!(ended.is_ok() || waits, "{harmed}");
    }
}
