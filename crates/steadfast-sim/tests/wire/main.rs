//! What a client sees of the simulator, over real HTTP on this machine.

mod answers;
mod bedrock;
mod broken_answers;
mod cassettes;
mod client;
mod faults;
mod gemini;
mod lifecycle;
mod limits;
mod messages;
mod ollama;
mod refusals;
mod responses;
