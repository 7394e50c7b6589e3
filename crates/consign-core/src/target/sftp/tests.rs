use super::*;

#[track_caller]
fn accepted(text: &str, shown: &str) {
    assert_eq!(SftpAddress::parse(text).map(|address| address.to_string()), Ok(shown.to_owned()), "{text}");
}

#[track_caller]
fn refused(text: &str, code: &'static str, sentence: &str) {
    assert_eq!(SftpAddress::parse(text), Err(Fault::new(code, sentence)), "{text}");
}

#[test]
fn an_address_has_scheme_host_and_port() {
    accepted("sftp://sftp.example.org:22/", "sftp://sftp.example.org:22/");
    accepted("sftp://sftp.example.org:22", "sftp://sftp.example.org:22/");
    accepted("SFTP://SFTP.Example.ORG.:2222/", "sftp://sftp.example.org:2222/");
    accepted("sftp://[2606:4700::1]:22/", "sftp://[2606:4700::1]:22/");
    accepted("sftp://203.0.113.7:65535/", "sftp://203.0.113.7:65535/");
    accepted("sftp://bücher.example:22/", "sftp://xn--bcher-kva.example:22/");
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    refused("", "missing", "Enter the hostname");
    refused("  ", "missing", "Enter the hostname");
    for text in ["sftp.example.org:22", "https://h.example:22/", "ssh://h:22/", "scp://h:22/", "sftp:h:22"] {
        refused(text, "sftp_needed", "Hostname must start with sftp://");
    }
    let port = "Hostname must include the port. Most servers use 22: sftp://sftp.example.org:22/";
    refused("sftp://sftp.example.org/", "port_needed", port);
    refused("sftp://SFTP.example.org", "port_needed", port);
    let path = "Hostname must end after the port. Put the folder in the data exporter";
    refused("sftp://sftp.example.org:22/upload", "path_given", path);
    refused("sftp://sftp.example.org:22/?a=b", "path_given", path);
    for text in
        ["sftp://h.example:0/", "sftp://h.example:65536/", "sftp://h.example:022/", "sftp://h.example:+22/"]
    {
        refused(text, "bad_port", "Port must be between 1 and 65535");
    }
    refused("sftp://h.example:/", "bad_port", "Port must be between 1 and 65535");
    let user = "Hostname must not include a username or password. Use authorization type Basic";
    refused("sftp://ana@h.example:22/", "user_info", user);
    refused("sftp://@h.example:22/", "user_info", user);
    refused("sftp://h.example:22/#a", "fragment_given", "Hostname must not include #");
    refused("sftp://h.example:22//", "bad_form", "Hostname must look like sftp://host:port/");
    refused("sftp://127.1:22/", "bad_form", "Hostname must look like sftp://host:port/");
    refused("sftp://2130706433:22/", "bad_form", "Hostname must look like sftp://host:port/");
    refused("sftp://a_b.example:22/", "bad_characters", "Hostname must use plain characters");
    refused(" sftp://h.example:22/", "bad_characters", "Hostname must use plain characters");
    refused("sftp://h.example:22/ ", "bad_characters", "Hostname must use plain characters");
    refused("sftp://{host}:22/", "placeholder_left", "Replace “{host}” in the hostname with your own value");
    let long = format!("sftp://{}:22/", "a".repeat(2_048));
    refused(&long, "too_long", "Hostname must be 2,048 characters or fewer");
}

#[test]
fn known_hosts_names_the_port_where_it_is_not_22() {
    let name = |text: &str| SftpAddress::parse(text).unwrap().known_hosts_name();
    assert_eq!(name("sftp://h.example:22/"), "h.example");
    assert_eq!(name("sftp://h.example:2222/"), "[h.example]:2222");
    assert_eq!(name("sftp://[2606:4700::1]:22/"), "2606:4700::1");
    assert_eq!(name("sftp://[2606:4700::1]:2222/"), "[2606:4700::1]:2222");
}

#[test]
fn a_folder_has_no_way_up() {
    let read = |text: &str| Folder::parse("Folder", text).map(|folder| folder.as_str().to_owned());
    for (text, folder) in
        [("", ""), ("/", "/"), ("in", "in"), ("in/", "in"), ("/a/b c/d", "/a/b c/d"), ("/a.b/", "/a.b")]
    {
        assert_eq!(read(text).as_deref(), Ok(folder), "{text}");
    }
    for text in ["..", "a/../b", "/..", "a/.."] {
        assert_eq!(read(text), Err(Fault::new("bad_characters", "Folder must not include ..")), "{text}");
    }
    for text in ["a//b", "//a", "./a", "a/./b", "-a", "a/~b", "a\\b", "a\0b", "a\nb", " a", "a /b"] {
        assert_eq!(
            read(text),
            Err(Fault::new("bad_characters", "Folder must use plain characters")),
            "{text:?}"
        );
    }
    assert!(read(&"a".repeat(256)).is_err() && read(&"a/".repeat(600)).is_err());
    let join = |folder: &str| Folder::parse("Folder", folder).unwrap().join("f.csv");
    assert_eq!([join(""), join("/"), join("a"), join("/a")], ["f.csv", "/f.csv", "a/f.csv", "/a/f.csv"]);
    assert_eq!(Folder::parse("Folder", "").unwrap().as_sent(), ".");
}

#[test]
fn a_file_name_is_one_name() {
    let read = |text: &str| FileName::parse("File name", text).map(|name| name.as_str().to_owned());
    for text in ["a.csv", "Übersicht 2027.csv", "a-b_c.csv.gz"] {
        assert_eq!(read(text).as_deref(), Ok(text));
    }
    for text in ["a/b", ".a", "/a", ".", ".."] {
        let sentence = "File name must not include / or start with a dot";
        assert_eq!(read(text), Err(Fault::new("bad_characters", sentence)), "{text}");
    }
    for text in ["-a", "~a", "a..b", "a\\b", "a\0", "a\n", " a", "a "] {
        assert!(read(text).is_err(), "{text:?}");
    }
    assert!(read(&"ä".repeat(101)).is_err());
}
