//! One chart: the requests of a strategy over time, how many agents were done, and the figures.

use std::fmt::Write as _;

use super::{scale::Scale, svg::Svg};
use crate::storm_command::{
    comparison::Row,
    figures::Figures,
    strategies::Whose,
    table::{of_survivors, over_ideal, percent, rounded},
    tally::{MOMENTS_A_SECOND, Moment, Tally},
    world::World,
};

pub(super) const PANEL_WIDTH: f64 = 396.0;
pub(super) const PANEL_HEIGHT: f64 = 216.0;

/// Where the chart is in its panel.
const LEFT: f64 = 40.0;
const RIGHT: f64 = 300.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 190.0;
/// Where the figures end.
const FIGURES: f64 = 384.0;

/// Draws the panel of one strategy.
pub(super) fn panel(svg: &mut Svg, row: &Row, world: &World, scale: &Scale) {
    svg.card(PANEL_WIDTH, PANEL_HEIGHT);
    svg.text("name", 14.0, 24.0, row.strategy.name);
    svg.text("small quiet", 14.0, 41.0, row.strategy.what);
    let whose = match row.strategy.whose {
        Whose::Ours => "this project",
        Whose::Measure => "the measure",
        Whose::Others => "a model",
    };
    svg.text("small quiet end", FIGURES, 24.0, whose);
    outage(svg, world, scale);
    columns(svg, &row.shown, scale);
    axes(svg, scale);
    limit(svg, world, scale);
    finished(svg, &row.shown, world, scale);
    leaves_the_chart(svg, row, scale);
    figures(svg, &row.summary);
}

fn x_of(second: f64, scale: &Scale) -> f64 {
    LEFT + (RIGHT - LEFT) * (second / scale.seconds).clamp(0.0, 1.0)
}

/// Where a share of the chart's height is.
fn y_of(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
}

fn outage(svg: &mut Svg, world: &World, scale: &Scale) {
    if let Some(outage) = &world.outage {
        let from = x_of(outage.start.as_secs_f64(), scale);
        let to = x_of(outage.end.as_secs_f64(), scale);
        svg.rect("outage", [from, TOP, to - from, BOTTOM - TOP]);
    }
}

/// Draws a column for each few moments: what was accepted, and on it what was refused.
fn columns(svg: &mut Svg, tally: &Tally, scale: &Scale) {
    let seconds = scale.moments as f64 / MOMENTS_A_SECOND as f64;
    let width = (RIGHT - LEFT) * seconds / scale.seconds;
    let (mut accepted, mut refused) = (String::new(), String::new());
    for (index, moments) in tally.moments.chunks(scale.moments).enumerate() {
        let x = LEFT + index as f64 * width;
        // Only whole columns: the last may reach beyond the chart.
        if x + width > RIGHT + 0.5 {
            break;
        }
        let share = |count: u64| count as f64 / seconds / scale.a_second;
        let sent: u64 = moments.iter().copied().map(Moment::sent).sum();
        let let_in: u64 = moments
            .iter()
            .map(|moment| u64::from(moment.accepted))
            .sum();
        let (middle, top) = (y_of(share(let_in)), y_of(share(sent)));
        column(&mut accepted, [x, BOTTOM, middle], width);
        column(&mut refused, [x, middle, top], width);
    }
    svg.path("accepted", &accepted);
    svg.path("refused", &refused);
}

/// Adds a column that stands at x between two heights, with a little air to the next.
fn column(path: &mut String, [x, from, to]: [f64; 3], width: f64) {
    if from - to > 0.05 {
        let width = width - (0.12 * width).min(0.6);
        // Writing to a string does not fail.
        let _ = write!(path, "M{x:.1} {from:.1}V{to:.1}h{width:.1}V{from:.1}z");
    }
}

fn axes(svg: &mut Svg, scale: &Scale) {
    svg.path("axis", &format!("M{LEFT:.1} {BOTTOM:.1}H{RIGHT:.1}"));
    let mut second = 0.0;
    while second <= scale.seconds + 1e-9 {
        let x = x_of(second, scale);
        let unit = if second == 0.0 { " s" } else { "" };
        svg.text(
            "small quiet middle",
            x,
            BOTTOM + 15.0,
            &format!("{second}{unit}"),
        );
        second += scale.mark;
    }
}

/// Draws the limit, which may change on the way.
fn limit(svg: &mut Svg, world: &World, scale: &Scale) {
    let rates = world.rates();
    let mut path = String::new();
    for (index, (from, a_second)) in rates.iter().enumerate() {
        let to = rates.get(index + 1).map_or(scale.seconds, |(to, _)| *to);
        let y = y_of(a_second / scale.a_second);
        let command = if index == 0 { 'M' } else { 'L' };
        let (from, to) = (x_of(*from, scale), x_of(to, scale));
        let _ = write!(path, "{command}{from:.1} {y:.1}H{to:.1}");
    }
    svg.path("limit", &path);
    if let Some((_, a_second)) = rates.first() {
        let y = y_of(a_second / scale.a_second) + 3.5;
        let rate = if *a_second < 10.0 {
            rounded(*a_second, 1)
        } else {
            rounded(*a_second, 0)
        };
        svg.text("small quiet end", LEFT - 5.0, y, &format!("{rate}/s"));
    }
}

/// Draws how many of all agents were done: the chart's height is all of them.
fn finished(svg: &mut Svg, tally: &Tally, world: &World, scale: &Scale) {
    let mut done: Vec<f64> = tally
        .done
        .iter()
        .map(|done| done.at.as_secs_f64())
        .collect();
    done.sort_by(f64::total_cmp);
    let mut path = format!("M{LEFT:.1} {BOTTOM:.1}");
    let mut last = BOTTOM;
    for (count, second) in (1_u32..).zip(&done) {
        if *second > scale.seconds {
            break;
        }
        let y = y_of(f64::from(count) / f64::from(world.agents.max(1)));
        // Lines that nobody can tell apart are left out.
        if last - y > 0.4 || count as usize == done.len() {
            let _ = write!(path, "L{:.1} {y:.1}", x_of(*second, scale));
            last = y;
        }
    }
    let _ = write!(path, "H{RIGHT:.1}");
    svg.path("finished", &path);
}

/// Says what is beyond the chart: a peak, and who was not done by its end.
fn leaves_the_chart(svg: &mut Svg, row: &Row, scale: &Scale) {
    let seconds = scale.moments as f64 / MOMENTS_A_SECOND as f64;
    let busiest = row.shown.moments.chunks(scale.moments).map(|moments| {
        let sent: u64 = moments.iter().copied().map(Moment::sent).sum();
        sent as f64 / seconds
    });
    if busiest.fold(0.0, f64::max) > scale.a_second {
        let peak = format!("\u{2191} {} in one second", thousands(row.shown.peak()));
        svg.text("small lost", LEFT, TOP - 5.0, &peak);
    }
    let makespan = row.shown.makespan().unwrap_or_default().as_secs_f64();
    if makespan > scale.seconds {
        let last = format!("last one at {makespan:.0} s \u{2192}");
        svg.text("small lost end", RIGHT, TOP - 5.0, &last);
    }
}

/// Writes a number with a comma after its thousands.
fn thousands(number: u64) -> String {
    match (number / 1_000, number % 1_000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

fn figures(svg: &mut Svg, figures: &Figures) {
    let lost = if figures.is_complete() { "" } else { " lost" };
    let lines = [
        (percent(figures.success), "agents done", lost),
        (over_ideal(figures), "\u{d7} ideal", ""),
        (percent(figures.wasted), "refused", ""),
        (of_survivors(figures, figures.p99, " s"), "p99", ""),
    ];
    let mut y = TOP + 10.0;
    for (figure, label, class) in lines {
        svg.text(&format!("figure{class}"), FIGURES, y, &figure);
        svg.text("label quiet", FIGURES, y + 12.5, label);
        y += 35.0;
    }
}
