//! Plots: throughput over the number of tasks, and the cost of a step over the settled tasks in the file.

use crate::outcome::Outcome;
use crate::report::Record;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lines of a plot, by name.
type Lines<'a> = BTreeMap<&'a str, Vec<(f64, f64)>>;

/// Draws all plots that the records allow; returns the files.
pub(crate) fn all(folder: &Path, records: &[Record]) -> Outcome<Vec<PathBuf>> {
    let throughput = ["fan_out", "drain", "whole"].iter().flat_map(|bench| of(records, bench));
    let throughput = lines(throughput.filter(|record| record.sync == "FULL"));
    let history = lines(of(records, "history"));
    let mut written = Vec::new();
    for (name, title, unit, lines) in [
        ("throughput.svg", "Throughput over the number of tasks", "per second", throughput),
        ("history.svg", "Cost of a step over the settled tasks in the file", "µs", history),
    ] {
        if lines.values().any(|points| points.len() > 1) {
            let path = folder.join(name);
            draw(&path, title, unit, &lines).map_err(|error| format!("{}: {error}", path.display()))?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Returns the records of one bench and its variants.
fn of<'a>(records: &'a [Record], bench: &str) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.bench.split('/').next() == Some(bench))
}

fn lines<'a>(records: impl Iterator<Item = &'a Record>) -> Lines<'a> {
    let mut lines = Lines::new();
    for record in records {
        #[expect(clippy::cast_precision_loss, reason = "a position on an axis")]
        lines.entry(&record.bench).or_default().push((record.n as f64, per_second(record)));
    }
    lines
}

/// Returns a throughput, also for a record of a total time.
#[expect(clippy::cast_precision_loss, reason = "a position on an axis")]
fn per_second(record: &Record) -> f64 {
    if record.unit == "s" { record.n as f64 / record.value } else { record.value }
}

fn draw(path: &Path, title: &str, unit: &str, lines: &Lines<'_>) -> Outcome<()> {
    let root = SVGBackend::new(path, (960, 600)).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || lines.values().flatten();
    let most = |value: fn(&(f64, f64)) -> f64| points().map(value).fold(f64::MIN, f64::max);
    let least = |value: fn(&(f64, f64)) -> f64| points().map(value).fold(f64::MAX, f64::min);
    // The legend is to the right of the last points.
    let along = (least(|point| point.0)..most(|point| point.0) * 12.0).log_scale();
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 22))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(along, 0.0..most(|point| point.1) * 1.1)?;
    let whole = |number: &f64| format!("{number:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("tasks").y_desc(unit).x_label_formatter(&whole).y_label_formatter(&whole).draw()?;
    for (i, (name, points)) in lines.iter().enumerate() {
        let colour = Palette99::pick(i).mix(1.0);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    let mut names = chart.configure_series_labels();
    names.position(SeriesLabelPosition::UpperRight).background_style(WHITE).border_style(BLACK).draw()?;
    Ok(root.present()?)
}
