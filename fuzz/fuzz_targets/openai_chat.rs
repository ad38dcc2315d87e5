#![no_main]

use steadfast_providers::Wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| steadfast_fuzz::answer(Wire::OpenAiChat, input));
