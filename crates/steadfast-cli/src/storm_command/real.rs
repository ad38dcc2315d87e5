//! `steadfast storm --real`: the same agents over real HTTP and in real time, against the simulator, and
//! beside them the same storm in virtual time. What both have to agree in is said here.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use serde_json::Value;
use steadfast::{Message, Model, ModelRequest, OpenAiChat, millis, secs};
use steadfast_sim::{Answer, ChatRequest, RateLimit, SeenRequest, Simulator};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    comparison::{Comparison, Row},
    crowd::Crowd,
    figures::{Figures, Ideal},
    ledger::Ledger,
    scenario::{Scenario, check_length},
    strategies::{MEASURE, Strategy, named},
    tally::Tally,
    world::{Headers, Limit, World},
};
use crate::refusal::Refusal;

/// How many agents there are if nothing is said, and the most: each has a socket at both ends.
pub(super) const USUAL_AGENTS: u32 = 60;
const MOST_AGENTS: u32 = 400;
/// What is compared if nothing is said: each takes its time.
pub(super) const USUAL: &str = "fleet,perfect,full-jitter,openai-python";

/// How long one strategy may take, in real time, and beside it in virtual time.
const LONGEST: Duration = secs(120);
/// The pause between two pieces of an answer, which is so as long as its service takes.
const PIECE: Duration = millis(25);
/// How many pieces an answer has beside its text: who speaks comes first and costs no pause; why it
/// ended, what it cost and that it did come after it.
const OTHER_PIECES: u32 = 3;
/// How often it is looked whether the machine keeps up.
const TICK: Duration = millis(10);
/// How soon the simulator refuses, or begins to answer.
const REACTION: Duration = millis(2);
/// How much of the burst the limiter that knows the limit leaves to what comes too early.
const KEPT_BACK: u32 = 1;

/// With how many kinds of luck the same storm is computed: who wins a race for the last token, the
/// network decides in a real one, and that decides who waits longest.
const LUCK: u64 = 40;
/// By how much real figures may be beyond those of all that luck: shares, times, and times in seconds.
pub(super) const SHARES: f64 = 0.04;
pub(super) const TIMES: f64 = 0.08;
pub(super) const SECONDS: f64 = 0.35;

/// One strategy, really and in virtual time.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) strategy: &'static Strategy,
    pub(super) real: Figures,
    /// The medians over all kinds of luck.
    pub(super) virtually: Figures,
    /// The figures with each kind of luck.
    luck: Vec<Figures>,
    /// By how much more shares and times may differ, since the machine was busy.
    busy: Busy,
}

/// What a busy machine does to figures: a share, a share of a time, and seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Busy {
    shares: f64,
    times: f64,
    seconds: f64,
}

/// What came of real storms.
#[derive(Debug)]
pub(super) struct Real {
    pub(super) comparison: Comparison,
    pub(super) late: Late,
}

/// How late timers came: what else the machine did then, it did not do here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Late {
    pub(super) mean: Duration,
    pub(super) most: Duration,
}

impl Pair {
    /// Computes the same storm with all kinds of luck and puts it beside the real one.
    pub(super) fn all(
        Real {
            comparison: real,
            late,
        }: &Real,
    ) -> Result<Vec<Self>, Refusal> {
        let most = late.most.as_secs_f64();
        let busy = Busy {
            // So many tokens may have run over while the agents stood still.
            shares: most * real.world.requests_a_second() / f64::from(real.world.agents),
            // Every pause between two pieces of an answer ends so late.
            times: late.mean.as_secs_f64() / PIECE.as_secs_f64(),
            seconds: 2.0 * most,
        };
        let strategies: Vec<_> = real.rows.iter().map(|row| row.strategy).collect();
        let computed = (0..LUCK).map(|luck| {
            let world = World {
                luck,
                ..real.world.clone()
            };
            Comparison::of(&strategies, world, real.seeds.clone())
        });
        let computed: Vec<Comparison> = computed.collect::<Result<_, _>>()?;
        let pair = |(place, row): (usize, &Row)| {
            let rows = computed
                .iter()
                .filter_map(|computed| computed.rows.get(place));
            let luck: Vec<Figures> = rows.map(|row| row.summary).collect();
            Self {
                strategy: row.strategy,
                real: row.summary,
                virtually: Figures::median(&luck),
                luck,
                busy,
            }
        };
        Ok(real.rows.iter().enumerate().map(pair).collect())
    }

    /// Names the figures in which both differ by more than they may.
    pub(super) fn differences(&self) -> Vec<&'static str> {
        let busy = self.busy;
        let share = |figure| self.is_within(figure, |_| SHARES + busy.shares);
        let time = |figure| {
            self.is_within(figure, |time| {
                (TIMES * time).max(SECONDS) + busy.times * time + busy.seconds
            })
        };
        let agrees = [
            ("success", share(|figures| figures.success)),
            ("wasted", share(|figures| figures.wasted)),
            ("makespan", time(|figures| figures.makespan)),
            ("p50", time(|figures| figures.p50)),
            ("p99", time(|figures| figures.p99)),
        ];
        let differing = agrees.into_iter().filter(|(_, agrees)| !agrees);
        differing.map(|(figure, _)| figure).collect()
    }

    fn is_within(&self, figure: fn(&Figures) -> f64, tolerance: impl Fn(f64) -> f64) -> bool {
        let values = || self.luck.iter().map(figure);
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(f64::NEG_INFINITY, f64::max);
        let real = figure(&self.real);
        real >= least - tolerance(least) && real <= most + tolerance(most)
    }
}

/// Refuses what the simulator cannot do, and makes the world what it is there.
pub(super) fn real_world(scenario: &Scenario, world: World) -> Result<World, Refusal> {
    let plain = World {
        calls: world.calls,
        processes: world.processes,
        hint: world.hint,
        arrivals: world.arrivals,
        limit: world.limit.clone(),
        ..World::burst(world.agents, 1.0, 1)
    };
    let has_bucket = matches!(&world.limit, Limit::Requests { changes, .. } if changes.is_empty());
    if plain != world || !has_bucket {
        return Err(Refusal::new(
            format!("`--real` has no scenario `{}`", scenario.name),
            "the simulator has a token bucket of requests: `burst`, `loops` or `arrivals`",
        ));
    }
    if world.agents > MOST_AGENTS {
        return Err(Refusal::new(
            format!(
                "`--real` has at most {MOST_AGENTS} agents, not {}",
                world.agents
            ),
            "each has a socket at both ends: choose fewer, or leave out `--real`",
        ));
    }
    if matches!(&world.limit, Limit::Requests { burst, .. } if *burst <= KEPT_BACK) {
        return Err(Refusal::new(
            "`--real` needs a `--burst` of at least 2",
            "requests do not arrive as evenly as they are sent: add `--burst 2`, or leave out `--real`",
        ));
    }
    let world = World {
        reaction: REACTION,
        kept_back: KEPT_BACK,
        // It always writes them.
        headers: Headers::OfBucket,
        longest: LONGEST,
        ..world
    };
    check_length(&world)?;
    Ok(world)
}

/// Returns about how long all of it takes, for those who wait: a storm for each strategy, and one for
/// the measure, whether it was asked for or not.
pub(super) fn expected(strategies: &[&Strategy], world: &World) -> Duration {
    let is_measure = |strategy: &&&Strategy| strategy.name == MEASURE;
    let others = strategies.len() - strategies.iter().filter(is_measure).count();
    let storms = u32::try_from(others + 1).unwrap_or(u32::MAX);
    let one = warm_up_pause(world).saturating_add(world.expected());
    one.saturating_mul(storms)
}

/// Lets all strategies compete, one after the other, in real time.
pub(super) async fn compared(
    strategies: &[&'static Strategy],
    world: &World,
    seed: u64,
) -> Result<Real, Refusal> {
    let lag = Lag::measure();
    let measured = match named(MEASURE) {
        Some(measure) => trial(measure, world, seed).await?,
        None => Tally::default(),
    };
    let ideals = vec![Ideal::of(&measured)];
    let mut rows = Vec::new();
    for strategy in strategies {
        let tally = if strategy.name == MEASURE {
            measured.clone()
        } else {
            trial(strategy, world, seed).await?
        };
        rows.push(Row::of(strategy, world, vec![tally], &ideals));
    }
    let comparison = Comparison {
        world: world.clone(),
        seeds: vec![seed],
        ideals,
        rows,
    };
    Ok(Real {
        comparison,
        late: lag.late(),
    })
}

/// Measures how late timers come, until it is dropped.
struct Lag {
    measured: Arc<Mutex<(u32, Duration, Duration)>>,
    ticking: JoinHandle<()>,
}

impl Lag {
    fn measure() -> Self {
        let measured = Arc::<Mutex<(u32, Duration, Duration)>>::default();
        let noted = Arc::clone(&measured);
        let ticking = tokio::spawn(async move {
            loop {
                let due = Instant::now() + TICK;
                sleep_until(due).await;
                let late = due.elapsed();
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                let (ticks, sum, most) = *noted;
                *noted = (ticks + 1, sum + late, most.max(late));
            }
        });
        Self { measured, ticking }
    }

    fn late(&self) -> Late {
        let (ticks, sum, most) = *self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        Late {
            mean: sum / ticks.max(1),
            most,
        }
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}

async fn trial(strategy: &Strategy, world: &World, seed: u64) -> Result<Tally, Refusal> {
    let Limit::Requests {
        a_second, burst, ..
    } = world.limit
    else {
        return Ok(Tally::default());
    };
    let world = Arc::new(world.clone());
    let ledger = Arc::new(OnceLock::<Ledger>::new());
    let (answering, seen) = (Arc::clone(&world), Arc::clone(&ledger));
    let simulator = Simulator::builder()
        .rate_limit(RateLimit::per_second(a_second).burst(burst))
        .hint(world.hint)
        .chunk_delay(PIECE)
        .keep_requests(0)
        .answer(move |request| answer(request, &answering, seed))
        .on_request(move |request: &SeenRequest| {
            if let Some(ledger) = seen.get() {
                let accepted = request.status.is_some_and(|status| status.is_success());
                ledger.request(ledger.now(), accepted);
            }
        })
        .start()
        .await?;
    let model = OpenAiChat::builder("storm")
        .base_url(simulator.base_url())
        .api_key("storm")
        .build()?;
    let model: Arc<dyn Model> = Arc::new(model);
    warm_up(&model, warm_up_pause(&world)).await;
    let crowd = Crowd {
        world,
        seed,
        ledger: ledger.get_or_init(Ledger::open).clone(),
    };
    let shared = |_| Arc::clone(&model);
    crowd.live(strategy, shared).await?;
    drop(model);
    simulator.stop().await;
    Ok(crowd.ledger.close())
}

/// Makes one call before the storm, since a program's first one takes longer than any other, and waits
/// until the token that it took is there again.
async fn warm_up(model: &Arc<dyn Model>, pause: Duration) {
    // If it fails, all calls do, and the storm says so.
    if let Ok(answer) = model.stream(ModelRequest::new([Message::user("Hi")])).await {
        let _ = answer.response().await;
    }
    sleep(pause).await;
}

/// As long as one token takes to come back.
fn warm_up_pause(world: &World) -> Duration {
    Duration::from_secs_f64(1.0 / world.requests_a_second())
}

/// Answers at such length that it takes as long as the service of this call.
fn answer(request: &ChatRequest, world: &World, seed: u64) -> Answer {
    let user = request.body().get("user").and_then(Value::as_str);
    let Some(agent) = user.and_then(|user| user.parse().ok()) else {
        return Answer::text("calm");
    };
    let role = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
    let calls = request.messages().iter().filter(role).count();
    let call = u32::try_from(calls).unwrap_or_default().saturating_sub(1);
    let service = world.service(seed, agent, call);
    let pieces = (service.as_secs_f64() / PIECE.as_secs_f64()).round() as u32;
    // A piece is two words.
    let words = 2 * pieces.saturating_sub(OTHER_PIECES).max(1);
    let text: Vec<&str> = (0..words).map(|_| "wind").collect();
    Answer::text(text.join(" "))
}

#[cfg(test)]
mod tests;
