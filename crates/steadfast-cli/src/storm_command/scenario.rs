//! The storms that have a name: their worlds, and what flags may change in them.

use steadfast::secs;
use steadfast_sim::HintStyle;

use super::world::{Arrivals, Headers, Limit, MEAN_TOKENS, Network, World};
use crate::{command_line::StormOptions, refusal::Refusal, text_view::duration};

/// A storm with a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// What happens in it, in one line.
    pub(super) what: &'static str,
    agents: u32,
    a_second: f64,
    /// One second's worth of the limit if it is not given.
    burst: Option<u32>,
    calls: u32,
    /// Makes the world of a plain burst into this one.
    change: fn(World) -> World,
}

/// All of them; the first is meant if none is named.
pub(super) const SCENARIOS: [Scenario; 14] = [
    BURST,
    Scenario {
        name: "loops",
        what: "agents of several calls, which think 0.5 to 2 s before the next",
        calls: 5,
        ..BURST
    },
    Scenario {
        name: "charged",
        what: "a refused request takes from the limit as an accepted one does",
        change: |world| World {
            refusals_cost: true,
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "limit-drop",
        what: "the limit falls to two fifths after 10 s, and is back after 30 s",
        agents: 600,
        change: limit_drops,
        ..BURST
    },
    Scenario {
        name: "noisy",
        what: "requests and answers take some 60 ms each way, some of them far longer",
        change: |world| World {
            network: Some(Network {
                median: 0.06,
                sigma: 0.6,
            }),
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "neighbour",
        what: "another tenant of the account takes two fifths of the limit",
        agents: 1_000,
        change: |world| World {
            neighbour: Some(0.4 * world.requests_a_second()),
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "windows",
        what: "fixed windows of 60 s instead of a bucket",
        agents: 1_500,
        a_second: 10.0,
        change: |world| World {
            limit: Limit::Windows {
                requests: (60.0 * world.requests_a_second()).round() as u32,
                length: secs(60),
            },
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "tokens",
        what: "a limit of a model's tokens instead of requests, prompts of uneven size",
        change: token_limited,
        ..BURST
    },
    Scenario {
        name: "concurrency",
        what: "a limit of the calls under way instead of a rate",
        change: |world| World {
            limit: Limit::Concurrency {
                calls: world.requests_a_second().ceil() as u32,
            },
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "outage",
        what: "agents come at half the limit; every request is a 503 from second 30 to 60",
        agents: 1_200,
        change: |world| World {
            outage: Some(secs(30)..secs(60)),
            arrivals: Arrivals::Poisson(world.requests_a_second() / 2.0),
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "arrivals",
        what: "agents come one after the other, at one and a half times the limit",
        agents: 600,
        change: |world| World {
            arrivals: Arrivals::Poisson(1.5 * world.requests_a_second()),
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "trickle",
        what: "one request a second and no burst",
        agents: 60,
        a_second: 1.0,
        burst: Some(1),
        ..BURST
    },
    Scenario {
        name: "headers",
        what: "every answer carries the rate-limit headers of its provider",
        change: |world| World {
            headers: Headers::OfBucket,
            ..world
        },
        ..BURST
    },
    Scenario {
        name: "minute-headers",
        what: "headers tell the limit of a minute, and it holds for shorter times too",
        change: |world| World {
            headers: Headers::OfMinute,
            ..world
        },
        ..BURST
    },
];

const BURST: Scenario = Scenario {
    name: "burst",
    what: "all agents call at once, and their provider has a token bucket",
    agents: 200,
    a_second: 20.0,
    burst: None,
    calls: 1,
    change: |world| world,
};

fn limit_drops(world: World) -> World {
    let Limit::Requests {
        a_second, burst, ..
    } = world.limit
    else {
        return world;
    };
    World {
        limit: Limit::Requests {
            a_second,
            burst,
            changes: vec![(secs(10), 0.4 * a_second), (secs(30), a_second)],
        },
        ..world
    }
}

/// As many tokens as the requests would take on average.
fn token_limited(world: World) -> World {
    let Limit::Requests {
        a_second, burst, ..
    } = world.limit
    else {
        return world;
    };
    let burst = burst.max(least_token_burst(world.calls));
    let burst = u64::from(burst) * MEAN_TOKENS as u64;
    World {
        limit: Limit::Tokens {
            a_second: a_second * MEAN_TOKENS,
            burst,
        },
        ..world
    }
}

/// The smallest burst there: the last call of a conversation has to fit, with the largest of prompts.
fn least_token_burst(calls: u32) -> u32 {
    calls.saturating_mul(16)
}

impl Scenario {
    /// Finds the scenario of this name.
    pub(super) fn named(name: &str) -> Result<&'static Self, Refusal> {
        SCENARIOS
            .iter()
            .find(|scenario| scenario.name == name)
            .ok_or_else(|| {
                let names = SCENARIOS.map(|scenario| scenario.name);
                Refusal::new(
                    format!("`--scenario` cannot be `{name}`"),
                    format!("`list`, or one of: {}", names.join(", ")),
                )
            })
    }

    /// Makes its world, with what is asked for in it.
    pub(super) fn world(&self, asked: &Wishes) -> Result<World, Refusal> {
        let a_second = asked.limit.unwrap_or(self.a_second);
        let usual_burst = || self.burst.filter(|_| asked.limit.is_none());
        let burst = asked
            .burst
            .or_else(usual_burst)
            .unwrap_or((a_second.ceil() as u32).max(1));
        let world = World {
            calls: asked.calls.unwrap_or(self.calls),
            processes: asked.processes.unwrap_or(1),
            hint: asked.hint.unwrap_or(HintStyle::None),
            ..World::burst(asked.agents.unwrap_or(self.agents), a_second, burst)
        };
        check(&world, a_second, burst)?;
        let world = (self.change)(world);
        if let Some(burst) = asked.burst {
            self.check_burst(&world, burst)?;
        }
        check_length(&world)?;
        Ok(world)
    }

    /// Refuses a burst that would go by without a word, or be made a larger one.
    fn check_burst(&self, world: &World, burst: u32) -> Result<(), Refusal> {
        match &world.limit {
            Limit::Windows { .. } | Limit::Concurrency { .. } => Err(Refusal::new(
                format!(
                    "`--burst` has no meaning with `--scenario {}`: its limit has no burst",
                    self.name
                ),
                "leave out one of the two",
            )),
            Limit::Tokens { .. } if burst < least_token_burst(world.calls) => Err(Refusal::new(
                format!(
                    "`--burst` cannot be `{burst}`: with `--scenario {}` it is at least {}, a thousand \
                     tokens each, so that the largest call fits",
                    self.name,
                    least_token_burst(world.calls)
                ),
                "choose a larger one, or leave it out",
            )),
            Limit::Tokens { .. } | Limit::Requests { .. } => Ok(()),
        }
    }
}

/// What somebody wants otherwise than a scenario has it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes {
    pub(super) agents: Option<u32>,
    pub(super) calls: Option<u32>,
    pub(super) processes: Option<u32>,
    pub(super) limit: Option<f64>,
    pub(super) burst: Option<u32>,
    pub(super) hint: Option<HintStyle>,
}

impl From<&StormOptions> for Wishes {
    fn from(options: &StormOptions) -> Self {
        Self {
            agents: options.agents,
            calls: options.calls,
            processes: options.processes,
            limit: options.limit,
            burst: options.burst,
            hint: options.hint,
        }
    }
}

/// The most agents, calls of all together, and the fastest and slowest limit: beyond them a storm takes
/// more memory or time than it is worth.
const MOST_AGENTS: u32 = 20_000;
const MOST_CALLS: u64 = 1_000_000;
const MOST_BURST: u32 = 1_000_000;
const FASTEST: f64 = 100_000.0;
const SLOWEST: f64 = 0.01;

fn check(world: &World, a_second: f64, burst: u32) -> Result<(), Refusal> {
    let cannot_be = |flag: &str, value: String, bound: String, hint: &str| {
        let problem = format!("`{flag}` cannot be `{value}`: {bound}");
        Err(Refusal::new(problem, hint))
    };
    let beyond = |flag: &str, value: String, bound: String| {
        let hint = "a storm is computed agent by agent: choose a smaller one";
        cannot_be(flag, value, bound, hint)
    };
    let calls = u64::from(world.agents) * u64::from(world.calls);
    if world.agents > MOST_AGENTS {
        let most = format!("there are at most {MOST_AGENTS} agents");
        return beyond("--agents", world.agents.to_string(), most);
    }
    if calls > MOST_CALLS {
        let most = format!("all agents make at most {MOST_CALLS} calls together, not {calls}");
        return beyond("--calls", world.calls.to_string(), most);
    }
    if world.processes > world.agents {
        let most = format!("there are {} agents to be in them", world.agents);
        return beyond("--processes", world.processes.to_string(), most);
    }
    if a_second < SLOWEST {
        let least = format!("it is at least {SLOWEST} requests a second");
        let hint = "no storm would end: choose a larger one, such as `1/s`";
        return cannot_be("--limit", format!("{a_second}/s"), least, hint);
    }
    if a_second > FASTEST {
        let most = format!("it is at most {FASTEST} requests a second");
        return beyond("--limit", format!("{a_second}/s"), most);
    }
    if burst > MOST_BURST {
        return beyond(
            "--burst",
            burst.to_string(),
            format!("it is at most {MOST_BURST}"),
        );
    }
    Ok(())
}

/// Refuses a world in which not even the limiter that knows the limit would be done in time.
pub(super) fn check_length(world: &World) -> Result<(), Refusal> {
    let expected = world.expected();
    if expected <= world.longest {
        return Ok(());
    }
    Err(Refusal::new(
        format!(
            "`--agents`, `--calls` and `--limit` make a storm of {}, and it is ended after {}",
            duration(expected),
            duration(world.longest)
        ),
        "choose fewer agents or calls, or a higher limit",
    ))
}

/// Says in one line what a world is like.
pub(super) fn described(world: &World) -> String {
    let hint = match world.hint {
        HintStyle::Integer => "hints in whole seconds",
        HintStyle::Exact => "exact hints",
        _ => "no hints",
    };
    let mut parts = vec![
        counted(world.agents, "agent"),
        format!("{} each", counted(world.calls, "call")),
        limited(&world.limit),
        hint.to_owned(),
    ];
    if let Arrivals::Poisson(a_second) = world.arrivals {
        parts.insert(2, format!("{} arrive a second", number(a_second)));
    }
    if world.processes > 1 {
        parts.push(format!("{} processes", world.processes));
    }
    parts.join(", ")
}

fn limited(limit: &Limit) -> String {
    match limit {
        Limit::Requests {
            a_second, burst, ..
        } => format!("limit {}/s, burst {burst}", number(*a_second)),
        Limit::Windows { requests, length } => {
            format!("limit {requests} in {} s", length.as_secs())
        }
        Limit::Tokens { a_second, burst } => {
            format!("limit {} tokens/s, burst {burst}", number(*a_second))
        }
        Limit::Concurrency { calls } => format!("limit {calls} calls at once"),
    }
}

fn counted(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Writes a number without the zeros behind the point.
fn number(value: f64) -> String {
    let written = format!("{value:.3}");
    written
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}
