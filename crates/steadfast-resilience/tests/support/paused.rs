//! A runtime whose clock is paused, for what is no `#[tokio::test]`.

use std::io;

use tokio::runtime::{Builder, Runtime};

pub(crate) fn paused() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
}
