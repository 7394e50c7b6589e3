//! Files that were begun to push and are not whole: which there are, and giving one up.

use http::Method;

use super::EXPORTERS;
use crate::cli::client::{Call, Client};
use crate::cli::failure::Failure;
use crate::cli::listing::{cell, show};
use crate::cli::output::{Form, Output};

pub(super) const UPLOADS: &str = "uploads";

pub(super) async fn list(client: &Client<'_>, output: &Output, exporter: &str) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[EXPORTERS, exporter, UPLOADS])).await?;
    let headings = ["id", "file", "arrived", "bytes", "by", "began", "kept until"];
    show(output, &answer, &headings, "No files are on their way.", |row| {
        vec![
            cell(row, "id"),
            cell(row, "file_name"),
            cell(row, "offset"),
            cell(row, "bytes"),
            cell(row, "created_by"),
            output.when(&row["created_at"]),
            output.when(&row["expires_at"]),
        ]
    })
}

pub(super) async fn discard(
    client: &Client<'_>,
    output: &Output,
    upload: &str,
    yes: bool,
) -> Result<(), Failure> {
    output.confirm(&format!("Give up {upload}? What is stored of the file goes."), yes)?;
    client.send(Call::new(Method::DELETE, &[UPLOADS, upload])).await?;
    match output.form {
        Form::Json => {}
        Form::Plain => output.line(upload),
        Form::People => output.done(&format!("Gave up {upload}")),
    }
    Ok(())
}
