//! Reads one fault from its spelling; errors name the item and say what is allowed there.

use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;

use super::{Fault, Moment, RetryHint, StreamError};
use crate::Error;

const KINDS: &str = "one of ok, a status from 400 to 599, reset, hang, cut, error, no-end, empty, \
                     html, malformed, garbage-utf8, huge-line, error-200, keepalive";
const MOMENTS: &str = "start, text, tool, end or a number of bytes after the `@`";
const ERRORS: &str = "nothing, `:rate_limit` or `:overloaded` after the moment";
const HINTS: &str = "`:retry-after=SECONDS` or `:retry-after-ms=MILLISECONDS`";

/// The longest wait that a hint can ask for: a year, so that no clock overflows.
const LONGEST_HINT: Duration = Duration::from_secs(365 * 24 * 3600);

impl FromStr for Fault {
    type Err = Error;

    /// Reads one fault, without a `*` suffix: repeating is a matter of the script.
    fn from_str(item: &str) -> Result<Self, Error> {
        let item = item.trim();
        let (rest, option) = match item.split_once(':') {
            Some((rest, option)) => (rest, Some(option)),
            None => (item, None),
        };
        let (kind, moment) = match rest.split_once('@') {
            Some((kind, moment)) => (kind, Some(moment)),
            None => (rest, None),
        };
        let spelling = Spelling {
            item,
            moment,
            option,
        };
        match kind {
            "reset" => Ok(Self::Reset(spelling.moment_or(Moment::Request)?)),
            "hang" => Ok(Self::Hang(spelling.moment_or(Moment::Request)?)),
            "cut" => Ok(Self::Cut(spelling.moment_or(Moment::Request)?)),
            "no-end" => Ok(Self::NoEnd(spelling.moment_or(Moment::End)?)),
            "error" => spelling.error(),
            "ok" => spelling.plain(Self::Ok),
            "empty" => spelling.plain(Self::Empty),
            "html" => spelling.plain(Self::Html),
            "malformed" => spelling.plain(Self::Malformed),
            "garbage-utf8" => spelling.plain(Self::GarbageUtf8),
            "huge-line" => spelling.plain(Self::HugeLine),
            "error-200" => spelling.plain(Self::Error200),
            "keepalive" => spelling.plain(Self::KeepAlive),
            _ => spelling.status(kind),
        }
    }
}

/// One item of a script, taken apart.
struct Spelling<'a> {
    item: &'a str,
    moment: Option<&'a str>,
    option: Option<&'a str>,
}

impl Spelling<'_> {
    fn refuse(&self, expected: &str) -> Error {
        Error::fault(self.item, format!("expected {expected}"))
    }

    fn plain(&self, fault: Fault) -> Result<Fault, Error> {
        if self.moment.is_some() || self.option.is_some() {
            return Err(self.refuse(&format!("`{fault}` alone")));
        }
        Ok(fault)
    }

    fn moment_or(&self, default: Moment) -> Result<Moment, Error> {
        if self.option.is_some() {
            return Err(self.refuse("no `:` here"));
        }
        self.moment.map_or(Ok(default), |text| {
            moment(text).ok_or_else(|| self.refuse(MOMENTS))
        })
    }

    fn error(&self) -> Result<Fault, Error> {
        let moment = self
            .moment
            .and_then(moment)
            .ok_or_else(|| self.refuse(&format!("`error@…`, with {MOMENTS}")))?;
        let error = match self.option {
            None => StreamError::Server,
            Some("rate_limit") => StreamError::RateLimit,
            Some("overloaded") => StreamError::Overloaded,
            Some(_) => return Err(self.refuse(ERRORS)),
        };
        Ok(Fault::Error(moment, error))
    }

    fn status(&self, kind: &str) -> Result<Fault, Error> {
        let status = kind
            .parse::<u16>()
            .ok()
            .filter(|status| (400..600).contains(status))
            .and_then(|status| StatusCode::from_u16(status).ok())
            .ok_or_else(|| self.refuse(KINDS))?;
        if self.moment.is_some() {
            return Err(self.refuse("no `@` after a status"));
        }
        let hint = match self.option {
            None => RetryHint::None,
            Some("quota") if status == StatusCode::TOO_MANY_REQUESTS => return Ok(Fault::Quota),
            Some(option) => hint(option).ok_or_else(|| {
                if status == StatusCode::TOO_MANY_REQUESTS {
                    self.refuse(&format!("`:quota`, {HINTS}"))
                } else {
                    self.refuse(HINTS)
                }
            })?,
        };
        Ok(Fault::Status { status, hint })
    }
}

fn moment(text: &str) -> Option<Moment> {
    match text {
        "start" => Some(Moment::Start),
        "text" => Some(Moment::Text),
        "tool" => Some(Moment::Tool),
        "end" => Some(Moment::End),
        number => number.parse().ok().map(Moment::Bytes),
    }
}

fn hint(option: &str) -> Option<RetryHint> {
    let hint = match option.split_once('=')? {
        ("retry-after", value) => {
            let wait = Duration::try_from_secs_f64(value.parse().ok()?).ok()?;
            RetryHint::After(wait)
        }
        ("retry-after-ms", value) => {
            RetryHint::AfterMillis(Duration::from_millis(value.parse().ok()?))
        }
        _ => return None,
    };
    match hint {
        RetryHint::After(wait) | RetryHint::AfterMillis(wait) if wait > LONGEST_HINT => None,
        hint => Some(hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_displays_as_it_was_written() {
        let spellings = [
            "ok",
            "429",
            "429:retry-after=2",
            "429:retry-after=0.25",
            "429:retry-after-ms=1500",
            "429:quota",
            "500",
            "503",
            "503:retry-after=1",
            "529",
            "400",
            "599",
            "reset",
            "reset@start",
            "reset@text",
            "hang",
            "hang@start",
            "hang@text",
            "hang@tool",
            "cut",
            "cut@start",
            "cut@text",
            "cut@tool",
            "cut@end",
            "cut@0",
            "cut@4096",
            "error@start",
            "error@text",
            "error@tool",
            "error@12",
            "error@text:rate_limit",
            "error@text:overloaded",
            "no-end",
            "no-end@text",
            "empty",
            "html",
            "malformed",
            "garbage-utf8",
            "huge-line",
            "error-200",
            "keepalive",
        ];
        for spelling in spellings {
            let fault: Fault = spelling.parse().unwrap();

            assert_eq!(fault.to_string(), spelling);
            assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        }
    }

    #[test]
    fn mistakes_are_named_with_what_is_allowed() {
        let cases = [
            ("", "one of ok"),
            ("boom", "one of ok"),
            ("200", "a status from 400 to 599"),
            ("600", "a status from 400 to 599"),
            ("429:soon", "`:quota`, `:retry-after=SECONDS`"),
            ("500:quota", "`:retry-after=SECONDS`"),
            ("429:retry-after=-1", "`:retry-after=SECONDS`"),
            ("429:retry-after=NaN", "`:retry-after=SECONDS`"),
            ("429:retry-after=1e300", "`:retry-after=SECONDS`"),
            ("429:retry-after-ms=1.5", "`:retry-after-ms=MILLISECONDS`"),
            ("429@text", "no `@` after a status"),
            ("cut@middle", "start, text, tool, end"),
            ("cut@-1", "a number of bytes"),
            ("cut@text:now", "no `:` here"),
            ("error", "`error@…`, with start"),
            ("error@soon", "`error@…`, with start"),
            ("error@text:weird", "`:rate_limit` or `:overloaded`"),
            ("html@text", "`html` alone"),
        ];
        for (spelling, allowed) in cases {
            let error = spelling.parse::<Fault>().unwrap_err().to_string();

            assert!(
                error.starts_with(&format!("unknown fault `{spelling}`")),
                "{error}"
            );
            assert!(error.contains(allowed), "{error} should mention {allowed}");
        }
    }
}
