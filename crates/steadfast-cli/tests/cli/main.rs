//! The program as people and programs meet it: real processes, real HTTP, real terminals.

mod anthropic;
mod aws_retry;
mod bad_input;
mod bedrock;
mod compatible_servers;
mod conversation;
mod demonstration;
mod ending;
mod explain;
mod gemini;
mod ollama;
mod openai_responses;
mod process;
mod sim;
mod storm;
#[cfg(target_os = "linux")]
mod storm_pages;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod window;
