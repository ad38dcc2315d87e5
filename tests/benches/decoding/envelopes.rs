//! What each wire writes around a piece of an answer, and where its JSON then lies.

use super::*;

impl Writer {
    pub(super) fn chat(&mut self, delta: String, reason: &str) {
        self.chat_with(
            &format!(
                "{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{reason}}}"
            ),
            "null",
        );
    }

    pub(super) fn chat_with(&mut self, choices: &str, usage: &str) {
        let hidden = self.hiding(choices.len());
        self.data(
            "",
            &format!(
                "{{\"id\":\"chatcmpl-C7oZ1q9yRrWnS5mJ3bXv0uT2kLdAe\",\"object\":\"chat.completion.chunk\",\
                 \"created\":1755969311,\"model\":\"gpt-4.1-2025-04-14\",\"service_tier\":\"default\",\
                 \"system_fingerprint\":\"fp_daf5fcc80a\",\"choices\":[{choices}],\"usage\":{usage},\
                 \"obfuscation\":\"{hidden}\"}}"
            ),
            "\n\n",
        );
    }

    pub(super) fn response_event(&mut self, kind: &str, fields: &str) {
        let number = self.events;
        self.events += 1;
        self.data(
            &format!("event: {kind}\n"),
            &format!("{{\"type\":\"{kind}\",\"sequence_number\":{number}{fields}}}"),
            "\n\n",
        );
    }

    pub(super) fn message_event(&mut self, kind: &str, fields: &str) {
        self.data(
            &format!("event: {kind}\n"),
            &format!("{{\"type\":\"{kind}\"{fields}}}"),
            "\n\n",
        );
    }

    pub(super) fn chunk(&mut self, part: &str, reason: &str) {
        let number = self.events;
        self.events += 1;
        let total = 472 + number;
        self.data(
            "",
            &format!(
                "{{\"candidates\": [{{\"content\": {{\"parts\": [{part}],\"role\": \"model\"}}{reason},\
                 \"index\": 0}}],\"usageMetadata\": {{\"promptTokenCount\": 472,\
                 \"candidatesTokenCount\": {number},\"totalTokenCount\": {total},\
                 \"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": 472}}]}},\
                 \"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"H_KpaLyIEdDgz7IP2cTx8Ag\"}}"
            ),
            "\r\n\r\n",
        );
    }

    pub(super) fn line(&mut self, message: &str, end: &str) {
        let done = !end.is_empty();
        let number = self.events;
        self.events += 1;
        let start = self.body.len();
        let line = format!(
            "{{\"model\":\"qwen3:4b\",\"created_at\":\"2026-08-04T19:59:{:02}.{:06}Z\",\
             \"message\":{{\"role\":\"assistant\",{message}}},\"done\":{done}{end}}}",
            number / 100 % 60,
            number * 7_919 % 1_000_000,
        );
        self.body.extend_from_slice(line.as_bytes());
        self.payloads.push(start..self.body.len());
        self.body.push(b'\n');
    }

    pub(super) fn data(&mut self, before: &str, json: &str, end: &str) {
        self.body.extend_from_slice(before.as_bytes());
        self.body.extend_from_slice(b"data: ");
        let start = self.body.len();
        self.body.extend_from_slice(json.as_bytes());
        self.payloads.push(start..self.body.len());
        self.body.extend_from_slice(end.as_bytes());
    }

    pub(super) fn end_block(&mut self, block: usize) {
        let json = format!("{{\"contentBlockIndex\":{block},\"p\":\"abcdefghijklmn\"}}");
        self.frame("contentBlockStop", &json);
    }

    /// Writes an event of AWS's binary stream: lengths and their checksum, headers, payload, checksum.
    pub(super) fn frame(&mut self, kind: &str, json: &str) {
        let mut headers = Vec::new();
        for (name, value) in [
            (":event-type", kind),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ] {
            headers.push(u8::try_from(name.len()).unwrap_or_default());
            headers.extend_from_slice(name.as_bytes());
            headers.push(7);
            let length = u16::try_from(value.len()).unwrap_or_default();
            headers.extend_from_slice(&length.to_be_bytes());
            headers.extend_from_slice(value.as_bytes());
        }
        let begin = self.body.len();
        for length in [16 + headers.len() + json.len(), headers.len()] {
            let length = u32::try_from(length).unwrap_or_default();
            self.body.extend_from_slice(&length.to_be_bytes());
        }
        self.sum_up(begin);
        self.body.extend_from_slice(&headers);
        let start = self.body.len();
        self.body.extend_from_slice(json.as_bytes());
        self.payloads.push(start..self.body.len());
        self.sum_up(begin);
    }

    /// Adds the CRC-32 of all that was written since a place.
    pub(super) fn sum_up(&mut self, begin: usize) {
        let sum = self.body[begin..].iter().fold(!0_u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
            })
        });
        self.body.extend_from_slice(&(!sum).to_be_bytes());
    }

    /// What hides how long a text is.
    pub(super) fn hiding(&mut self, length: usize) -> String {
        self.random.filling(16 - length as u64 % 16)
    }
}
