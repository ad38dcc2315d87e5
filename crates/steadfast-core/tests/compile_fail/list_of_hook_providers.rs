//! Hook providers are given one by one.

use steadfast_core::{Agent, HookProvider, HookRegistry};

struct Logger;

impl HookProvider for Logger {
    fn register_hooks(&self, _hooks: &mut HookRegistry) {}
}

fn main() {
    let _ = Agent::builder().hooks(vec![Logger, Logger]);
}
