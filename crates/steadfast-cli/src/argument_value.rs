//! Values of the command line: times, counts, rates, statuses and addresses. Which flag they belong
//! to, the command line says.

use std::{fmt::Display, net::SocketAddr, str::FromStr, time::Duration};

use http::StatusCode;
use steadfast_sim::{FaultScript, HintStyle, RateLimit};

use crate::refusal::Refusal;

/// Reads a time such as `4s`, `500ms` or `10m`.
pub(crate) fn time(text: &str) -> Result<Duration, Refusal> {
    humantime::parse_duration(text).map_err(|error| {
        Refusal::new(
            format!("it is not a time: {error}"),
            "a time is a number with its unit, such as `500ms`, `4s` or `10m`",
        )
    })
}

/// Reads a time that is not zero.
pub(crate) fn positive_time(text: &str) -> Result<Duration, Refusal> {
    match time(text)? {
        Duration::ZERO => Err(Refusal::new(
            "it leaves no time at all",
            "such as `30s` or `5m`; leave the option out for no limit",
        )),
        time => Ok(time),
    }
}

/// Reads a number from 1 up.
pub(crate) fn count<N: FromStr + Default + PartialOrd + Display>(text: &str) -> Result<N, Refusal> {
    text.parse()
        .ok()
        .filter(|number| *number > N::default())
        .ok_or_else(|| {
            Refusal::new(
                "it is not a number from 1 up",
                "write it in digits, such as `6`; leave the option out for the default",
            )
        })
}

/// Reads a seed, which is any whole number from 0 up.
pub(crate) fn seed(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            "it is not a whole number from 0 up",
            "write it in digits, such as `7`; the same seed gives the same again",
        )
    })
}

/// Reads a rate such as `20/s` or `60/m`.
pub(crate) fn rate(text: &str) -> Result<RateLimit, Refusal> {
    per_second(text).map(RateLimit::per_second)
}

/// Reads such a rate as a number a second.
pub(crate) fn per_second(text: &str) -> Result<f64, Refusal> {
    let refuse = || {
        Refusal::new(
            "it is not a rate",
            "a rate is a number of requests per second or minute, such as `20/s` or `60/m`",
        )
    };
    let (number, unit) = text.split_once('/').ok_or_else(refuse)?;
    let number: f64 = number.trim().parse().map_err(|_| refuse())?;
    let a_second = match unit.trim() {
        "s" | "sec" | "second" => number,
        "m" | "min" | "minute" => number / 60.0,
        _ => return Err(refuse()),
    };
    if !a_second.is_finite() {
        return Err(refuse());
    }
    if a_second <= 0.0 {
        return Err(Refusal::new(
            "it lets no request through",
            "a rate is above 0, such as `20/s` or `60/m`",
        ));
    }
    Ok(a_second)
}

/// Reads the status of an answer.
pub(crate) fn status(text: &str) -> Result<StatusCode, Refusal> {
    text.parse()
        .ok()
        .filter(|status: &StatusCode| status.as_u16() < 600)
        .ok_or_else(|| {
            Refusal::new(
                "it is not an HTTP status",
                "a number from 100 to 599, such as `429`",
            )
        })
}

/// Reads how a refused request is told when to come back.
pub(crate) fn hint_style(text: &str) -> Result<HintStyle, Refusal> {
    match text {
        "none" => Ok(HintStyle::None),
        "int" => Ok(HintStyle::Integer),
        "exact" => Ok(HintStyle::Exact),
        _ => Err(Refusal::new(
            "it is not a kind of hint",
            "one of `none`, `int` (whole seconds) and `exact` (milliseconds)",
        )),
    }
}

/// Reads a script of faults.
pub(crate) fn faults(text: &str) -> Result<FaultScript, Refusal> {
    text.parse().map_err(Refusal::from)
}

/// Reads an address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            "it is not an address with a port",
            "such as `127.0.0.1:8080`; port 0 takes a free one",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_per_second_and_per_minute() {
        let cases = [
            ("20/s", RateLimit::per_second(20.0)),
            ("0.5/s", RateLimit::per_second(0.5)),
            ("60/m", RateLimit::per_minute(60.0)),
            ("90 / min", RateLimit::per_minute(90.0)),
        ];
        for (text, expected) in cases {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rates_that_cannot_work_are_refused() {
        let problem = |text| rate(text).unwrap_err().problem().to_owned();

        for text in ["", "20", "20/h", "x/s", "0/h", "NaN/s", "inf/m"] {
            assert_eq!(problem(text), "it is not a rate", "{text}");
        }
        for text in ["0/s", "-0/s", "-1/s", "0/m", "1e-400/s"] {
            assert_eq!(problem(text), "it lets no request through", "{text}");
        }
    }

    #[test]
    fn statuses_have_five_classes() {
        for text in ["100", "529", "599"] {
            assert!(status(text).is_ok_and(|status| status.as_str() == text));
        }
        for text in ["", "0", "99", "600", "999", "0529", "-429", "4e2", "teapot"] {
            assert!(status(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_begin_at_one() {
        assert_eq!(count::<u32>("6"), Ok(6));
        for text in ["0", "-1", "1.5", "", "x", "4294967296"] {
            assert!(count::<u32>(text).is_err(), "{text}");
        }
        assert_eq!(count::<u64>("4294967296"), Ok(4_294_967_296));
    }
}
