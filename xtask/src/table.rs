//! Tables of text, as wide as their widest cells.

use std::fmt;

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with a heading and no rows.
    pub(crate) fn new(heading: [&str; N]) -> Self {
        Self {
            rows: vec![heading.map(str::to_owned)],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let rule = widths.map(|width| "-".repeat(width));
        for (index, row) in self.rows.iter().enumerate() {
            write_row(f, row, &widths)?;
            if index == 0 {
                write_row(f, &rule, &widths)?;
            }
        }
        Ok(())
    }
}

fn write_row<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    row: &[String; N],
    widths: &[usize; N],
) -> fmt::Result {
    let padded: Vec<String> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    writeln!(f, "{}", padded.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["model", "answer"]);
        table.row(["iris".to_owned(), "setosa".to_owned()]);
        table.row(["lead-score".to_owned(), "yes".to_owned()]);
        assert_eq!(
            table.to_string(),
            "model       answer\n----------  ------\niris        setosa\nlead-score  yes\n"
        );
    }
}
