//! Every page of the console is measured by the benchmark of pages, or it is said why not.

#[path = "../../benches/deliveries/addresses.rs"]
mod addresses;

use addresses::{NOT_MEASURED, PAGES, address_of, left_out};

#[test]
fn every_page_of_the_console_is_measured_or_excepted() {
    let gets = consign::console::addresses().filter(|(method, _)| method.as_str() == "GET");
    let gets: Vec<_> = gets.map(|(_, address)| address).collect();
    assert_eq!(left_out(&gets), [""; 0], "add each to one of the lists, or take it out of both");
    for (name, path) in PAGES {
        assert!(address_of(path, &gets).is_some(), "{name}: the console has no {path}");
    }
}

#[test]
fn a_page_that_is_in_neither_list_is_left_out() {
    let mut some = vec!["/", "/webhooks/{id}", "/webhooks/new", "/brand-new", "/brand-new/{id}"];
    some.extend(NOT_MEASURED.iter().map(|(address, _)| *address));
    assert_eq!(left_out(&some), ["/brand-new", "/brand-new/{id}"]);
    assert_eq!(left_out(&["/"]).len(), NOT_MEASURED.len(), "exceptions that are no addresses");
}
