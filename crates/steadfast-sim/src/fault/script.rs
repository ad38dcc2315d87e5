//! A list of faults, one per request, and the place in it that has been reached.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use super::Fault;
use crate::Error;

/// Lists the faults of a simulator, in the order in which requests meet them.
///
/// Each request that would otherwise have been answered takes one item. Requests that are refused
/// anyway (no key, no JSON, over the rate limit) take none. After the last item there is no fault.
///
/// Written as [`Fault`]s with commas between them. A suffix repeats an item: `503*3` three times,
/// `503*` for ever.
///
/// # Examples
///
/// ```
/// use steadfast_sim::{Fault, FaultScript, Moment};
///
/// let parsed: FaultScript = "503*2, cut@text".parse()?;
/// let built = FaultScript::new()
///     .then_times("503".parse()?, 2)
///     .then(Fault::Cut(Moment::Text));
///
/// assert_eq!(parsed, built);
/// assert_eq!(parsed.to_string(), "503*2, cut@text");
/// # Ok::<(), steadfast_sim::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct FaultScript {
    items: Vec<(Fault, Times)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Count(u32),
    ForEver,
}

impl FaultScript {
    /// Starts a script without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault for one request.
    pub fn then(self, fault: Fault) -> Self {
        self.then_times(fault, 1)
    }

    /// Adds a fault for so many requests; zero adds nothing.
    pub fn then_times(mut self, fault: Fault, times: u32) -> Self {
        if times > 0 {
            self.items.push((fault, Times::Count(times)));
        }
        self
    }

    /// Adds a fault for every request from here on; what is added after it is never reached.
    pub fn then_for_ever(mut self, fault: Fault) -> Self {
        self.items.push((fault, Times::ForEver));
        self
    }
}

impl From<Fault> for FaultScript {
    fn from(fault: Fault) -> Self {
        Self::new().then(fault)
    }
}

impl FromIterator<Fault> for FaultScript {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        faults.into_iter().fold(Self::new(), Self::then)
    }
}

impl FromStr for FaultScript {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::new());
        }
        let items = text.split(',').map(str::trim).map(item);
        let items = items.collect::<Result<_, _>>()?;
        Ok(Self { items })
    }
}

fn item(item: &str) -> Result<(Fault, Times), Error> {
    let Some((fault, times)) = item.split_once('*') else {
        return Ok((item.parse()?, Times::Count(1)));
    };
    let times = match times {
        "" => Times::ForEver,
        number => match number.parse() {
            Ok(count) if count > 0 => Times::Count(count),
            _ => {
                let problem = "expected `*` alone (for ever) or a number from 1 up after it";
                return Err(Error::fault(item, problem));
            }
        },
    };
    Ok((fault.parse()?, times))
}

impl fmt::Display for FaultScript {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (fault, times)) in self.items.iter().enumerate() {
            if index > 0 {
                formatter.write_str(", ")?;
            }
            match times {
                Times::Count(1) => write!(formatter, "{fault}")?,
                Times::Count(count) => write!(formatter, "{fault}*{count}")?,
                Times::ForEver => write!(formatter, "{fault}*")?,
            }
        }
        Ok(())
    }
}

/// A script that is being used up.
#[derive(Debug)]
pub(crate) struct FaultQueue {
    items: VecDeque<(Fault, Times)>,
}

impl From<FaultScript> for FaultQueue {
    fn from(script: FaultScript) -> Self {
        Self {
            items: script.items.into(),
        }
    }
}

impl FaultQueue {
    /// Takes the next fault; [`Fault::Ok`] after the end.
    pub(crate) fn take(&mut self) -> Fault {
        let Some((fault, times)) = self.items.front_mut() else {
            return Fault::Ok;
        };
        match times {
            Times::ForEver => fault.clone(),
            Times::Count(count) if *count > 1 => {
                *count -= 1;
                fault.clone()
            }
            Times::Count(_) => self.items.pop_front().map_or(Fault::Ok, |(fault, _)| fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(script: &str, count: usize) -> Vec<String> {
        let mut queue = FaultQueue::from(script.parse::<FaultScript>().unwrap());
        (0..count).map(|_| queue.take().to_string()).collect()
    }

    #[test]
    fn faults_are_taken_in_order_then_none() {
        assert_eq!(taken("429, cut@text", 4), ["429", "cut@text", "ok", "ok"]);
        assert_eq!(taken("", 1), ["ok"]);
    }

    #[test]
    fn star_repeats_an_item() {
        assert_eq!(
            taken("429*2,ok,503*", 6),
            ["429", "429", "ok", "503", "503", "503"]
        );
    }

    #[test]
    fn scripts_display_in_a_form_that_parses_back() {
        for script in [
            "",
            "429",
            "429*3, ok, reset@text",
            "error@tool:overloaded, 503*",
        ] {
            let parsed: FaultScript = script.parse().unwrap();

            assert_eq!(parsed.to_string(), script);
        }
    }

    #[test]
    fn mistakes_name_the_item_and_what_is_allowed() {
        let cases = [
            ("429,,500", "unknown fault ``: expected one of"),
            ("429*0", "unknown fault `429*0`: expected `*` alone"),
            ("429*x", "unknown fault `429*x`: expected `*` alone"),
            ("429*2*2", "unknown fault `429*2*2`: expected `*` alone"),
            ("ok, wobble*2", "unknown fault `wobble`"),
        ];
        for (script, expected) in cases {
            let error = script.parse::<FaultScript>().unwrap_err().to_string();

            assert!(error.starts_with(expected), "{error}");
        }
    }
}
