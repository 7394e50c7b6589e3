//! Rows under headings: aligned for people, tab-separated for scripts.

/// The widest table on a terminal.
const WIDTH_MAX: usize = 100;
/// A column is not cut below this.
const COLUMN_WIDTH_MIN: usize = 12;
const GAP: usize = 2;

/// Rows under headings.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; its cells are cleaned of what could steer a terminal.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Aligned columns; on a terminal the widest ones are cut.
    pub(super) fn pretty(&self, header: bool, on_terminal: bool) -> String {
        let mut widths: Vec<usize> = self.headings.iter().map(|heading| heading.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if on_terminal {
            shrink(&mut widths);
        }
        let headings: Vec<String> = self.headings.iter().map(|heading| heading.to_uppercase()).collect();
        let rows = header.then_some(&headings).into_iter().chain(&self.rows);
        rows.map(|row| aligned(row, &widths)).collect()
    }

    /// Tab-separated, nothing cut.
    pub(super) fn plain(&self, header: bool) -> String {
        let headings: Vec<String> = self.headings.iter().map(|heading| heading.replace(' ', "_")).collect();
        let rows = header.then_some(&headings).into_iter().chain(&self.rows);
        rows.map(|row| row.join("\t") + "\n").collect()
    }
}

/// Takes from the widest column until the row fits.
fn shrink(widths: &mut [usize]) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > WIDTH_MAX {
        let Some(widest) = widths.iter_mut().max().filter(|width| **width > COLUMN_WIDTH_MIN) else { return };
        *widest -= 1;
    }
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| {
        let length = cell.chars().count();
        if length > *width {
            cell.chars().take(width - 1).chain(['…']).collect()
        } else {
            format!("{cell}{}", " ".repeat(width - length))
        }
    });
    let line = cells.collect::<Vec<String>>().join(&" ".repeat(GAP));
    line.trim_end().to_owned() + "\n"
}

/// Text from elsewhere on one line, without characters that steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
