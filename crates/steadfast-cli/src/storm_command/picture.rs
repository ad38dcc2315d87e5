//! A comparison as a picture: one small chart for each strategy, all on the same scales.
//!
//! It is SVG written by hand, without fonts, scripts or pictures from elsewhere, and it is light or dark
//! as its reader's screen is. What the charts show is in `picture/panel.rs`.

mod panel;
mod scale;
mod svg;

use self::{
    panel::{PANEL_HEIGHT, PANEL_WIDTH, panel},
    scale::Scale,
    svg::{Svg, escaped},
};
use super::{
    comparison::Comparison,
    scenario::{Scenario, described},
    table::percent,
};

/// How many charts stand side by side.
const COLUMNS: usize = 3;
const MARGIN: f64 = 28.0;
const GAP: f64 = 22.0;
const HEAD: f64 = 122.0;
const FOOT: f64 = 34.0;

/// Colours and types. Dark ones take their place where the screen is dark; no variables, since not
/// every viewer knows them.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}
.page{fill:#fff}.card{fill:#f6f8fa}.quiet{fill:#59636e}
.title{font-size:21px;font-weight:700}.line{font-size:13px}.name{font-size:14px;font-weight:700}
.small{font-size:10.5px}.figure{font-size:15px;font-weight:700;text-anchor:end}
.label{font-size:10.5px;text-anchor:end}.end{text-anchor:end}.middle{text-anchor:middle}
.accepted{fill:#1a9482}.refused{fill:#e5731f}.lost{fill:#bc4c00}
.limit{fill:none;stroke:#1f2328;stroke-width:1.2;stroke-dasharray:4 3}
.finished{fill:none;stroke:#5a4fcf;stroke-width:1.8;stroke-linejoin:round}
.axis{stroke:#afb8c1;stroke-width:1}.outage{fill:#d0d7de;fill-opacity:.55}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.page{fill:#0d1117}.card{fill:#161b22}.quiet{fill:#9198a1}
.accepted{fill:#2fb8a3}.refused{fill:#f0883e}.lost{fill:#ffa657}
.limit{stroke:#e6edf3}.finished{stroke:#a49bff}.axis{stroke:#484f58}.outage{fill:#30363d}
}
";

/// Draws the comparison.
pub(super) fn picture(scenario: &Scenario, comparison: &Comparison) -> String {
    let columns = COLUMNS.min(comparison.rows.len().max(1));
    let rows = comparison.rows.len().div_ceil(columns);
    let extent = |count: usize, each: f64| count as f64 * (each + GAP) - GAP;
    // The head needs the width of two.
    let width = 2.0 * MARGIN + extent(columns.max(2), PANEL_WIDTH);
    let height = HEAD + extent(rows, PANEL_HEIGHT) + FOOT;
    let scale = Scale::of(comparison);
    let mut svg = Svg::default();
    head(&mut svg, scenario, comparison, width);
    for (index, row) in comparison.rows.iter().enumerate() {
        let (column, line) = (index % columns, index / columns);
        let x = MARGIN + column as f64 * (PANEL_WIDTH + GAP);
        let y = HEAD + line as f64 * (PANEL_HEIGHT + GAP);
        svg.open_group(x, y);
        panel(&mut svg, row, &comparison.world, &scale);
        svg.close_group();
    }
    foot(&mut svg, comparison, height);
    let title = escaped(&format!("storm {}: {}", scenario.name, scenario.what));
    let about = escaped(&spoken(comparison));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-labelledby=\"title about\">\n\
         <title id=\"title\">{title}</title>\n<desc id=\"about\">{about}</desc>\n\
         <style>\n{STYLE}</style>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
        svg.written()
    )
}

fn head(svg: &mut Svg, scenario: &Scenario, comparison: &Comparison, width: f64) {
    svg.text("title", MARGIN, 40.0, &sentence(scenario.what));
    svg.text("line quiet", MARGIN, 63.0, &described(&comparison.world));
    let y = 94.0;
    let mut x = MARGIN;
    for (class, words) in [("accepted", "accepted"), ("refused", "refused")] {
        svg.rect(class, [x, y - 10.0, 12.0, 12.0]);
        svg.text("line", x + 18.0, y, words);
        x += 94.0;
    }
    svg.text("line quiet", x, y, "requests a second");
    x += 138.0;
    svg.path("limit", &format!("M{x:.0} {:.0}h26", y - 4.0));
    svg.text("line", x + 32.0, y, "the limit");
    x += 108.0;
    svg.path("finished", &format!("M{x:.0} {:.0}l8 -4l10 -5h8", y + 1.0));
    svg.text("line", x + 32.0, y, "agents that are done");
    let seeds: Vec<String> = comparison.seeds.iter().map(u64::to_string).collect();
    let seeds = match seeds.as_slice() {
        [seed] => format!("seed {seed}"),
        [first, .., last] => {
            format!("medians of the seeds {first} to {last}; drawn is seed {first}")
        }
        [] => String::new(),
    };
    svg.text("line quiet end", width - MARGIN, 40.0, &seeds);
}

fn foot(svg: &mut Svg, comparison: &Comparison, height: f64) {
    let explained = "\u{d7} ideal: when the last agent was done, over the same of a limiter that knows \
                     the limit. p99: of the calls that succeeded.";
    let complete = comparison.rows.iter().all(|row| row.summary.is_complete());
    let survivors = if complete {
        ""
    } else {
        " *: agents were lost."
    };
    let explained = format!("{explained}{survivors}");
    svg.text("small quiet", MARGIN, height - 14.0, &explained);
}

/// The figures in words, for those who do not see the picture.
fn spoken(comparison: &Comparison) -> String {
    let row = |row: &super::comparison::Row| {
        format!(
            "{}: {} of the agents done, {} of the requests refused",
            row.strategy.name,
            percent(row.summary.success),
            percent(row.summary.wasted)
        )
    };
    let rows: Vec<String> = comparison.rows.iter().map(row).collect();
    rows.join("; ")
}

/// Begins with a capital letter.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    first + characters.as_str()
}

#[cfg(test)]
mod tests;
