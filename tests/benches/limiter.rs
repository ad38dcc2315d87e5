//! What a free permit costs beside a token bucket behind a mutex written by hand, and beside
//! `governor`, in one run: on one thread, and with two that contend for it.
//!
//! ```text
//! cargo bench -p steadfast-benchmarks --bench limiter
//! ```
//!
//! Times are medians of interleaved batches, with the least beside them: where another process has
//! the core, that is the better figure. Rounds of two threads count only if both had a core. The
//! package of its own builds tokio without `test-util`, which makes its clock slower.

use std::{
    future::Future,
    hint::black_box,
    num::NonZeroU32,
    pin::pin,
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use governor::{DefaultDirectRateLimiter, Quota};
use steadfast_resilience::{Cost, Limiter, LimiterBuilder};

/// So much a second that nothing ever waits.
const AMPLE: u32 = 1_000_000_000;
/// So little a second that two threads wait for it all the time.
const SCARCE: u32 = 500;

const BATCHES: usize = 41;
const ROUNDS: u32 = 20_000;
const CONTENDED: Duration = Duration::from_millis(50);
const CONTESTS: usize = 21;
const MOST_CONTESTS: usize = 200;

fn main() {
    one_thread();
    two_threads();
    two_threads_that_wait();
}

/// A token bucket as one writes it by hand: it knows no queue, gives nothing back and counts no places.
struct Bucket {
    state: Mutex<(f64, Instant)>,
    per_second: f64,
    burst: f64,
}

impl Bucket {
    fn new(per_second: f64, burst: f64) -> Self {
        Self {
            state: Mutex::new((burst, Instant::now())),
            per_second,
            burst,
        }
    }

    #[inline(never)]
    fn take(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, filled_at) = &mut *state;
        let now = Instant::now();
        let passed = now.duration_since(*filled_at).as_secs_f64();
        *level = (*level + passed * self.per_second).min(self.burst);
        *filled_at = now;
        if *level < 1.0 {
            return false;
        }
        *level -= 1.0;
        true
    }
}

fn limiter(configure: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> Limiter {
    configure(Limiter::builder().per_second(f64::from(AMPLE)).burst(AMPLE))
        .build()
        .expect("a limiter")
}

fn governor(per_second: u32, burst: u32) -> DefaultDirectRateLimiter {
    let count = |count| NonZeroU32::new(count).expect("more than none");
    DefaultDirectRateLimiter::direct(Quota::per_second(count(per_second)).allow_burst(count(burst)))
}

fn look<T>(value: &T) {
    black_box(value);
}

/// Polls a future that is ready, where it is made, and looks at what it gives before that is dropped.
macro_rules! at_once {
    ($future:expr) => {
        match pin!($future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => look(&value),
            Poll::Pending => panic!("it is free"),
        }
    };
}

fn one_thread() {
    let bucket = Bucket::new(f64::from(AMPLE), f64::from(AMPLE));
    let (other, plain) = (governor(AMPLE, AMPLE), limiter(|limiter| limiter));
    let with_tokens = limiter(|limiter| limiter.tokens_per_minute(1e15));
    let with_places = limiter(|limiter| limiter.concurrency(1_000));
    let lock = Mutex::new(0_u64);

    let cases: [(&str, &dyn Fn()); 10] = [
        ("the clock of std", &|| look(&Instant::now())),
        ("the clock of tokio", &|| look(&tokio::time::Instant::now())),
        ("a mutex", &|| {
            *lock.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }),
        (BY_HAND, &|| look(&bucket.take())),
        ("governor", &|| look(&other.check())),
        ("acquire", &|| at_once!(plain.acquire(Cost::request()))),
        ("acquire_owned", &|| {
            at_once!(plain.acquire_owned(Cost::request()));
        }),
        ("try_acquire", &|| look(&plain.try_acquire(Cost::request()))),
        ("acquire, with a model's tokens", &|| {
            at_once!(with_tokens.acquire(Cost::request().tokens(1)));
        }),
        ("acquire, with concurrency", &|| {
            at_once!(with_places.acquire(Cost::request()));
        }),
    ];

    let mut times = cases.map(|_| Vec::with_capacity(BATCHES));
    for _ in 0..BATCHES {
        for (times, (_, run)) in times.iter_mut().zip(&cases) {
            times.push(batch(run));
        }
    }
    let figures: Vec<_> = times.into_iter().map(figures).collect();
    let floor = cases.iter().position(|(name, _)| *name == BY_HAND);
    let floor = floor.map_or((1.0, 1.0), |place| figures[place]);

    println!(
        "{:<34} {:>8} {:>8} {:>8}",
        "one thread, ns", "median", "least", "ratio"
    );
    for ((name, _), (median, least)) in cases.iter().zip(&figures) {
        let ratio = least / floor.1;
        println!("{name:<34} {median:>8.1} {least:>8.1} {ratio:>7.2}x");
    }
}

const BY_HAND: &str = "a bucket behind a mutex, by hand";

fn batch(run: &dyn Fn()) -> f64 {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        run();
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

/// The median and the least.
fn figures(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or_default();
    (median, values.first().copied().unwrap_or_default())
}

fn two_threads() {
    let bucket = Bucket::new(f64::from(AMPLE), f64::from(AMPLE));
    let (other, plain) = (governor(AMPLE, AMPLE), limiter(|limiter| limiter));
    println!(
        "\n{:<34} {:>8} {:>8} {:>8}",
        "two threads, ns for each permit", "median", "least", "share"
    );
    print_contest(BY_HAND, || look(&bucket.take()));
    print_contest("governor", || look(&other.check()));
    print_contest("acquire", || at_once!(plain.acquire(Cost::request())));
}

/// How long a permit takes while two threads take as many as they can, and the share of the slower.
fn print_contest(name: &str, take: impl Fn() + Sync) {
    let (mut times, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..MOST_CONTESTS {
        // Two threads that have to share a core do not contend.
        let was_free = both_cores_are_free();
        let (first, second) = contest(&take, CONTENDED);
        if !was_free || !both_cores_are_free() {
            continue;
        }
        let all = (first + second) as f64;
        times.push(CONTENDED.as_secs_f64() * 1e9 / all);
        shares.push(first.min(second) as f64 / all);
        if times.len() == CONTESTS {
            break;
        }
    }
    let contests = times.len();
    let ((median, least), (share, _)) = (figures(times), figures(shares));
    println!(
        "{name:<34} {median:>8.1} {least:>8.1} {:>7.0}%   {contests} rounds",
        share * 100.0
    );
}

/// Whether two threads that only count have a core each.
fn both_cores_are_free() -> bool {
    let length = Duration::from_millis(10);
    let busy = ProcessTime::now();
    contest(&|| (), length);
    busy.elapsed() > length.mul_f64(1.9)
}

fn contest(take: &(impl Fn() + Sync), length: Duration) -> (u64, u64) {
    let (stop, begin) = (AtomicBool::new(false), Barrier::new(3));
    let run = || {
        begin.wait();
        let mut taken = 0;
        while !stop.load(Ordering::Relaxed) {
            take();
            taken += 1;
        }
        taken
    };
    thread::scope(|scope| {
        let (first, second) = (scope.spawn(run), scope.spawn(run));
        begin.wait();
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        (
            first.join().unwrap_or_default(),
            second.join().unwrap_or_default(),
        )
    })
}

/// Two threads, each with a runtime, that wait for every permit: what comes through and who gets it.
fn two_threads_that_wait() {
    println!(
        "\n{:<34} {:>8} {:>8}",
        format!("two threads wait, {SCARCE} a second"),
        "a second",
        "share"
    );
    for (name, burst) in [("acquire, burst 10", 10), ("acquire, burst 1", 1)] {
        let limiter = Limiter::builder().per_second(f64::from(SCARCE));
        let limiter = limiter.burst(burst).build().expect("a limiter");
        let take = async || drop(limiter.acquire(Cost::request()).await);
        print_waits(name, wait_in_two_threads(take));
    }
    for (name, burst) in [("governor, burst 10", 10), ("governor, burst 1", 1)] {
        let limiter = governor(SCARCE, burst);
        print_waits(
            name,
            wait_in_two_threads(async || limiter.until_ready().await),
        );
    }
}

const WAITED: Duration = Duration::from_secs(2);

fn wait_in_two_threads(take: impl AsyncFn() + Sync) -> (u64, u64) {
    let begin = Barrier::new(2);
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        begin.wait();
        let began = Instant::now();
        let mut taken = 0;
        runtime.block_on(async {
            while began.elapsed() < WAITED {
                take().await;
                taken += 1;
            }
        });
        taken
    };
    thread::scope(|scope| {
        let (first, second) = (scope.spawn(run), scope.spawn(run));
        (
            first.join().unwrap_or_default(),
            second.join().unwrap_or_default(),
        )
    })
}

fn print_waits(name: &str, (first, second): (u64, u64)) {
    let all = (first + second) as f64;
    let share = first.min(second) as f64 / all * 100.0;
    println!(
        "{name:<34} {:>8.0} {share:>7.0}%",
        all / WAITED.as_secs_f64()
    );
}
