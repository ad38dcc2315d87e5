//! What must hold of anything that comes from outside: the bodies of the fuzz targets. They need no
//! fuzzer: the tests of `steadfast-providers` put the seeds through them.

mod answer;
mod frames;
mod refusal;
pub mod seeds;
mod stored_run;

pub use answer::answer;
pub use frames::{checksum, event};
pub use refusal::refusal;
pub use stored_run::stored_run;

use std::{cell::LazyCell, future::Future};

use steadfast_core::ModelError;
use tokio::runtime::{Builder, Runtime};

/// The longest stored form of an error: a sentence, a code, two or three pieces of evidence.
const MAX_ERROR_BYTES: usize = 32 * 1024;

thread_local! {
    static RUNTIME: LazyCell<Option<Runtime>> = LazyCell::new(|| {
        Builder::new_current_thread().enable_time().start_paused(true).build().ok()
    });
}

/// Runs a future with its time paused.
fn paused(future: impl Future<Output = ()>) {
    RUNTIME.with(|runtime| {
        let runtime = runtime.as_ref();
        assert!(runtime.is_some(), "no runtime");
        runtime.map(|runtime| runtime.block_on(future))
    });
}

/// What is stored of an error is short and loads back equal.
fn check_error(error: &ModelError) {
    let stored = serde_json::to_value(error).unwrap_or_default();
    assert_eq!(
        serde_json::from_value::<ModelError>(stored.clone())
            .ok()
            .as_ref(),
        Some(error),
        "{stored}"
    );
    let length = stored.to_string().len();
    assert!(length <= MAX_ERROR_BYTES, "an error of {length} bytes");
}
