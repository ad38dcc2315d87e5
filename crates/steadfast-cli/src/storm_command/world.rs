//! The world of a storm: the provider, its limit, the network, and when agents come. It does nothing.

use std::{ops::Range, time::Duration};

use steadfast::{millis, secs};
use steadfast_sim::HintStyle;

use super::chance::{Chance, Draw};

/// What a storm happens in. Everything random in it follows from the seed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct World {
    pub(super) agents: u32,
    /// How many calls each agent makes, one after the other.
    pub(super) calls: u32,
    /// In how many processes the agents are, which share nothing.
    pub(super) processes: u32,
    pub(super) limit: Limit,
    pub(super) hint: HintStyle,
    /// Whether a refused request takes from the limit as an accepted one does.
    pub(super) refusals_cost: bool,
    /// When every request is answered with 503.
    pub(super) outage: Option<Range<Duration>>,
    pub(super) network: Option<Network>,
    /// How many requests a second another tenant sends on the same account.
    pub(super) neighbour: Option<f64>,
    pub(super) arrivals: Arrivals,
    /// How long it takes to be refused, and to be told that an answer begins.
    pub(super) reaction: Duration,
    /// What answers carry of rate-limit headers.
    pub(super) headers: Headers,
    /// How much of the burst the limiter that knows the limit leaves alone: over a real network,
    /// requests do not arrive as evenly as they are sent.
    pub(super) kept_back: u32,
    /// Which of those that come at once is first, and what their jitter draws: 0 as they are numbered.
    /// All else stays the same.
    pub(super) luck: u64,
    /// After what time the storm is ended, whoever is still at it.
    pub(super) longest: Duration,
}

/// What the provider admits.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Limit {
    /// A token bucket of requests, whose rate may change on the way.
    Requests {
        a_second: f64,
        burst: u32,
        changes: Vec<(Duration, f64)>,
    },
    /// So many requests in each window, which begins at a multiple of its length.
    Windows { requests: u32, length: Duration },
    /// A token bucket of a model's tokens.
    Tokens { a_second: f64, burst: u64 },
    /// So many calls under way at once.
    Concurrency { calls: u32 },
}

/// How long requests and answers are on their way, each on its own: lognormal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Network {
    pub(super) median: f64,
    pub(super) sigma: f64,
}

/// What a provider's headers say of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Headers {
    None,
    /// What may go at once, what is left of it, and when all of it is there again.
    OfBucket,
    /// The limit of a minute, beside what is left of far less: so vendors write them whose limit of a
    /// minute holds for shorter times too.
    OfMinute,
}

/// When agents come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Arrivals {
    AtOnce,
    /// One after the other, so many a second on average.
    Poisson(f64),
}

/// The most tokens that a model may answer with, in the world with token limits.
pub(super) const ANSWER_TOKENS: u32 = 200;
/// How many tokens a conversation's first call takes on average there, its prompt of them, and the most
/// of one prompt.
pub(super) const MEAN_TOKENS: f64 = 1_000.0;
const MEAN_PROMPT_TOKENS: f64 = MEAN_TOKENS - ANSWER_TOKENS as f64;
const MOST_PROMPT_TOKENS: f64 = 15_000.0;
/// How uneven prompts are: the standard deviation of the logarithm.
const PROMPT_SIGMA: f64 = 1.0;
/// The same of service times, and their mean in seconds.
const SERVICE_SIGMA: f64 = 0.5;
const MEAN_SERVICE: f64 = 1.0;
/// How long the slowest of many services takes, about.
const LAST_SERVICE: f64 = 4.0;
/// How many characters make a token, as clients guess it.
pub(super) const CHARACTERS_A_TOKEN: usize = 4;
/// Between which bounds an agent thinks before its next call.
const THINKING: (f64, f64) = (0.5, 2.0);

impl World {
    /// A burst of agents at a token bucket, as most storms are.
    pub(super) fn burst(agents: u32, a_second: f64, burst: u32) -> Self {
        Self {
            agents,
            calls: 1,
            processes: 1,
            limit: Limit::Requests {
                a_second,
                burst,
                changes: Vec::new(),
            },
            hint: HintStyle::None,
            refusals_cost: false,
            outage: None,
            network: None,
            neighbour: None,
            arrivals: Arrivals::AtOnce,
            reaction: millis(50),
            headers: Headers::None,
            kept_back: 0,
            luck: 0,
            longest: LONGEST,
        }
    }

    /// The world in which the limiter that knows the limit sets the measure: nothing disturbs it, since
    /// it is never refused. An outage stays, and it knows of that too.
    pub(super) fn undisturbed(&self) -> Self {
        Self {
            processes: 1,
            hint: HintStyle::None,
            refusals_cost: false,
            network: None,
            neighbour: None,
            headers: Headers::None,
            ..self.clone()
        }
    }

    /// Returns how many requests a second the provider takes in the long run.
    pub(super) fn requests_a_second(&self) -> f64 {
        match &self.limit {
            Limit::Requests { a_second, .. } => *a_second,
            Limit::Windows { requests, length } => f64::from(*requests) / length.as_secs_f64(),
            Limit::Tokens { a_second, .. } => a_second / MEAN_TOKENS,
            // With a mean service time of one second, so many end in each.
            Limit::Concurrency { calls } => f64::from(*calls),
        }
    }

    /// Returns about how long the limiter that knows the limit needs: for all calls, or for those of one
    /// agent, where that is longer.
    pub(super) fn expected(&self) -> Duration {
        let calls = f64::from(self.agents) * f64::from(self.calls);
        let all = match &self.limit {
            Limit::Requests {
                a_second, burst, ..
            } => (calls - f64::from(*burst)) / a_second,
            Limit::Windows { requests, length } => {
                ((calls - 1.0) / f64::from(*requests)).floor() * length.as_secs_f64()
            }
            Limit::Tokens { a_second, burst } => {
                let tokens = f64::from(self.agents) * tokens_of_conversation(self.calls);
                (tokens - *burst as f64) / a_second
            }
            Limit::Concurrency { calls: at_once } => calls / f64::from(*at_once),
        };
        let (least, most) = THINKING;
        let pauses = f64::from(self.calls.saturating_sub(1)) * f64::midpoint(least, most);
        let one = f64::from(self.calls) * MEAN_SERVICE + pauses;
        let coming = match self.arrivals {
            Arrivals::AtOnce => 0.0,
            Arrivals::Poisson(a_second) => f64::from(self.agents) / a_second,
        };
        let last = all.max(one).max(coming) + LAST_SERVICE;
        Duration::try_from_secs_f64(last).unwrap_or(Duration::MAX)
    }

    /// Returns the same from each second on at which it becomes another one, the first at 0.
    pub(super) fn rates(&self) -> Vec<(f64, f64)> {
        let mut rates = vec![(0.0, self.requests_a_second())];
        if let Limit::Requests { changes, .. } = &self.limit {
            rates.extend(changes.iter().map(|(at, rate)| (at.as_secs_f64(), *rate)));
        }
        rates
    }

    /// Draws how long the model takes for a call: the same for every strategy.
    pub(super) fn service(&self, seed: u64, agent: u32, call: u32) -> Duration {
        let mut chance = Chance::of(seed, Draw::Service, &[agent.into(), call.into()]);
        let service = chance.lognormal_with_mean(MEAN_SERVICE, SERVICE_SIGMA);
        Duration::from_secs_f64(service).max(self.reaction)
    }

    /// Draws how long an agent thinks before a call; not at all before its first.
    pub(super) fn thinking(&self, seed: u64, agent: u32, call: u32) -> Duration {
        if call == 0 {
            return Duration::ZERO;
        }
        let (least, most) = THINKING;
        let share = Chance::of(seed, Draw::Think, &[agent.into(), call.into()]).unit();
        Duration::from_secs_f64(least + share * (most - least))
    }

    /// Draws how long a request and its answer are on their way.
    pub(super) fn journey(&self, seed: u64, agent: u32, call: u32, attempt: u32) -> Journey {
        let Some(network) = self.network else {
            return Journey::default();
        };
        let names = [agent.into(), call.into(), attempt.into()];
        let mut chance = Chance::of(seed, Draw::Network, &names);
        let mut way = || {
            let seconds = chance.lognormal(network.median, network.sigma);
            Duration::from_secs_f64(seconds)
        };
        Journey {
            there: way(),
            back: way(),
        }
    }

    /// Writes the prompt of a call: as large as the world wants it.
    pub(super) fn prompt(&self, seed: u64, agent: u32, call: u32) -> String {
        let Limit::Tokens { .. } = self.limit else {
            return "Which way does the storm go?".to_owned();
        };
        let mean = MEAN_PROMPT_TOKENS;
        let tokens = Chance::of(seed, Draw::Prompt, &[agent.into(), call.into()])
            .lognormal_with_mean(mean, PROMPT_SIGMA)
            .clamp(1.0, MOST_PROMPT_TOKENS);
        "storm, "
            .repeat(2 * CHARACTERS_A_TOKEN)
            .chars()
            .cycle()
            .take(tokens as usize * CHARACTERS_A_TOKEN)
            .collect()
    }

    /// Returns the agents in the order in which they are called up.
    pub(super) fn order(&self, seed: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.agents).collect();
        if self.luck > 0 {
            order.sort_by_key(|agent| self.jitter(seed, *agent));
        }
        order
    }

    /// Draws the seed of what an agent's runs draw.
    pub(super) fn jitter(&self, seed: u64, agent: u32) -> u64 {
        Chance::of(seed, Draw::Agent, &[agent.into(), self.luck]).bits()
    }

    /// Draws when each agent comes.
    pub(super) fn beginnings(&self, seed: u64) -> Vec<Duration> {
        let mut chance = Chance::of(seed, Draw::Arrivals, &[]);
        let mut now = 0.0;
        let beginning = |_| match self.arrivals {
            Arrivals::AtOnce => Duration::ZERO,
            Arrivals::Poisson(a_second) => {
                now += chance.exponential(a_second);
                Duration::from_secs_f64(now)
            }
        };
        (0..self.agents).map(beginning).collect()
    }
}

/// How many tokens all calls of a conversation take on average: each has the prompts before it too.
fn tokens_of_conversation(calls: u32) -> f64 {
    let calls = f64::from(calls);
    let prompts = calls * (calls + 1.0) / 2.0;
    prompts * MEAN_PROMPT_TOKENS + calls * f64::from(ANSWER_TOKENS)
}

/// How long one request and its answer are on their way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Journey {
    pub(super) there: Duration,
    pub(super) back: Duration,
}

/// How long a storm may take before it is ended, in virtual time, as in the study.
const LONGEST: Duration = secs(3_600);
