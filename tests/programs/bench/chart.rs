//! Curves as pictures.

use std::path::Path;

use plotters::prelude::*;

/// Several curves over the same places.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    /// What is told apart from left to right.
    pub(crate) places: Vec<String>,
    /// The speed at each place, as a part of the floor's.
    pub(crate) curves: Vec<(&'static str, Vec<f64>)>,
}

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x2c, 0x8c, 0x4a),
    RGBColor(0x7b, 0x3f, 0x99),
    RGBColor(0xc2, 0x1f, 0x4b),
    RGBColor(0x55, 0x55, 0x55),
];

impl Chart {
    /// As a table.
    pub(crate) fn print(&self) {
        println!("\n{}\n", self.title);
        println!("| path | {} |", self.places.join(" | "));
        println!("| --- |{}", " ---: |".repeat(self.places.len()));
        for (name, speeds) in &self.curves {
            let speeds: Vec<String> = speeds.iter().map(|speed| format!("{speed:.2}")).collect();
            println!("| {name} | {} |", speeds.join(" | "));
        }
    }

    /// Writes it as an SVG.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        self.draw(path).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error + '_>> {
        let area = SVGBackend::new(path, (760, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let last = self.places.len().saturating_sub(1) as f64;
        let highest = self.curves.iter().flat_map(|(_, speeds)| speeds).fold(1.0_f64, |most, speed| most.max(*speed));
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(50)
            // Room for the names beside the curves.
            .build_cartesian_2d(-0.05 * last..last * 1.55, 0.0..highest * 1.05)?;
        let name_of = |place: &f64| {
            let near = (0..self.places.len()).find(|index| (*index as f64 - place).abs() < 0.01);
            near.map(|index| self.places[index].clone()).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(3 * self.places.len())
            .x_label_formatter(&name_of)
            .y_desc("speed, floor = 1")
            .draw()?;
        for ((name, speeds), colour) in self.curves.iter().zip(COLOURS) {
            let points = || speeds.iter().enumerate().map(|(place, speed)| (place as f64, *speed));
            chart
                .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
            chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
