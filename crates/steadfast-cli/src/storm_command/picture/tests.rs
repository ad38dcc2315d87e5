use super::*;
use crate::storm_command::{strategies::chosen, world::World};

fn drawn(world: World, strategies: &str) -> String {
    let scenario = Scenario::named("burst").unwrap();
    let strategies = chosen(Some(strategies)).unwrap();
    let comparison = Comparison::of(&strategies, world, vec![1]).unwrap();
    picture(scenario, &comparison)
}

#[test]
fn picture_is_whole_and_takes_nothing_from_elsewhere() {
    let svg = drawn(World::burst(60, 20.0, 20), "perfect,none,vercel,default");

    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert!(svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<g ").count(), 4);
    assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    assert!(svg.contains("prefers-color-scheme:dark"));
    for foreign in ["<script", "href", "url(", "@import", "NaN", "inf"] {
        assert!(!svg.contains(foreign), "{foreign}");
    }
}

#[test]
fn picture_names_who_leaves_the_chart() {
    let svg = drawn(World::burst(200, 20.0, 20), "perfect,strands-python");

    assert!(svg.contains("\u{2191} 200 in one second"), "{svg}");
    assert!(svg.contains("last one at 12"), "{svg}");
    assert!(svg.contains("<text class=\"figure lost\""));
}

#[test]
fn picture_of_nobody_done_has_no_impossible_numbers() {
    let world = World {
        outage: Some(std::time::Duration::ZERO..steadfast::secs(9_000)),
        ..World::burst(5, 20.0, 20)
    };

    let svg = drawn(world, "none");

    assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
}
