//! A closure says neither its name nor what it is for; the message says what to wrap it in.

use steadfast_core::Agent;

fn get_weather(city: String) -> String {
    city
}

fn main() {
    let _ = Agent::builder().tool(get_weather);
}
