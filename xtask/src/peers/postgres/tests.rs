//! A real server, from nothing to nothing.

use super::*;

fn ask(programs: &Path, url: &str, sql: &str) -> Result<String, String> {
    output(Command::new(programs.join("psql")).args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "-c",
        sql,
        url,
    ]))
}

#[test]
fn the_server_starts_answers_only_its_user_and_leaves_nothing() {
    let programs = programs().expect("no PostgreSQL server; install it with: cargo xtask test --only peers");
    let server = Postgres::start(&programs, Durability::OnDisk).unwrap();
    let setting =
        |name: &str| ask(&programs, &server.url(), &format!("show {name}")).unwrap().trim().to_owned();
    assert_eq!(setting("max_connections"), "200");
    assert_eq!(setting("fsync"), "on");
    assert_eq!(setting("synchronous_commit"), "on");
    ask(&programs, &server.url(), "create database another").unwrap();
    let stranger = server.url().replace(&server.password, "wrong");
    assert!(ask(&programs, &stranger, "select 1").is_err());

    let data = PathBuf::from(setting("data_directory"));
    let url = server.url();
    drop(server);
    assert!(ask(&programs, &url, "select 1").is_err());
    assert!(!data.parent().unwrap().exists(), "{} was left behind", data.display());
}

#[test]
fn a_server_for_tests_does_not_wait_for_its_disk() {
    let programs = programs().expect("no PostgreSQL server; install it with: cargo xtask test --only peers");
    let server = Postgres::start(&programs, Durability::OfProcess).unwrap();
    assert_eq!(ask(&programs, &server.url(), "show fsync").unwrap().trim(), "off");
    assert_eq!(ask(&programs, &server.url(), "show synchronous_commit").unwrap().trim(), "on");
}
