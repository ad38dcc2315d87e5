//! The weather of the demonstration, made up from a city's name, and what to wear in it.

/// What it is like outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) temperature: i64,
    pub(crate) sky: &'static str,
}

/// Weathers to choose from. Oslo gets the first.
const WEATHERS: [Weather; 6] = [
    Weather {
        temperature: 6,
        sky: "light rain",
    },
    Weather {
        temperature: 27,
        sky: "a clear sky",
    },
    Weather {
        temperature: 17,
        sky: "a few clouds",
    },
    Weather {
        temperature: -4,
        sky: "snow",
    },
    Weather {
        temperature: 21,
        sky: "showers",
    },
    Weather {
        temperature: 12,
        sky: "a strong wind",
    },
];

impl Weather {
    /// Makes up the weather of a city: the same each time.
    pub(crate) fn of(city: &str) -> Self {
        let letters = city.to_lowercase();
        let sum: usize = letters.chars().map(|c| c as usize).sum();
        let oslo: usize = "oslo".chars().map(|c| c as usize).sum();
        let index = sum.abs_diff(oslo) % WEATHERS.len();
        WEATHERS.get(index).copied().unwrap_or(Self {
            temperature: 15,
            sky: "clouds",
        })
    }
}

/// Says what to wear.
pub(crate) fn advice(temperature: i64, sky: &str) -> String {
    let layers = match temperature {
        ..=0 => "Wear a winter coat, a hat and gloves",
        1..=9 => "Wear a warm layer under a jacket",
        10..=19 => "Wear a light jacket",
        _ => "A shirt is enough",
    };
    let besides = match sky {
        "light rain" | "showers" => {
            ", take something waterproof, and choose shoes that may get wet."
        }
        "snow" => ", and shoes with a good sole.",
        "a strong wind" => ", and leave the umbrella at home.",
        "a clear sky" => ", and do not forget the sunglasses.",
        _ => ", and you are ready for the day.",
    };
    format!("{layers}{besides}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cities_have_their_own_weather_however_they_are_written() {
        let cases = [
            ("Oslo", 6, "light rain"),
            ("OSLO", 6, "light rain"),
            ("Bergen", 17, "a few clouds"),
            ("São Paulo", -4, "snow"),
            ("Rome", 21, "showers"),
            ("東京", 6, "light rain"),
            ("", 27, "a clear sky"),
        ];
        for (city, temperature, sky) in cases {
            assert_eq!(Weather::of(city), Weather { temperature, sky }, "{city}");
        }
    }
}
