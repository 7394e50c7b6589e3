//! What an idle Consign takes, and how long it needs to be ready.

use std::time::Duration;

use crate::figures::{Spread, Table};
use crate::ground::Ground;
use crate::product::Home;
use crate::report::Section;

const STARTS: u64 = 20;
const IDLE: Duration = Duration::from_secs(10);

pub(crate) fn run(ground: &Ground) -> anyhow::Result<Section> {
    let starts = ground.of(STARTS, 3);
    let mut first = Vec::new();
    let mut again = Vec::new();
    for _ in 0..starts {
        let home = Home::create(ground, None)?;
        for times in [&mut first, &mut again] {
            let product = home.serve()?;
            times.push(product.ready_after.as_secs_f64() * 1e3);
            product.stop()?;
        }
    }
    let (first, again) = (Spread::of(first), Spread::of(again));
    println!("idle: ready after {again} ms, the first time after {first} ms");
    let home = Home::create(ground, None)?;
    let product = home.serve()?;
    std::thread::sleep(IDLE);
    let (memory, before) = (product.memory()?, product.cpu_ms()?);
    std::thread::sleep(IDLE);
    let cpu = (product.cpu_ms()? - before) / IDLE.as_secs_f64();
    product.stop()?;
    println!("idle: {:.1} MiB", memory.now);
    let mut table = Table::new(["", "SQLite"]);
    table.row([format!("memory after {} s of idling, MiB", IDLE.as_secs()), format!("{:.1}", memory.now)]);
    table.row(["most memory until then, MiB".to_owned(), format!("{:.1}", memory.peak)]);
    table.row(["processor time of an idle second, ms".to_owned(), format!("{cpu:.1}")]);
    table.row(["from start to ready, empty database, ms".to_owned(), again.to_string()]);
    table.row(["the same with the database and its key still to be made, ms".to_owned(), first.to_string()]);
    let text = format!(
        "Ready is the first 200 of `/readyz`, asked for every millisecond from the moment the program was \
         started; {starts} starts.\n\n{table}"
    );
    Ok(Section { title: "Idle and start", text })
}
