use super::*;

fn parse(lib: &str) -> Result<Listing<'_>, ProjectError> {
    Listing::parse(Path::new("src/lib.rs"), lib)
}

#[track_caller]
fn assert_added(name: &str, before: &str, after: &str) {
    assert_eq!(parse(before).unwrap().with(name), after, "before:\n{before}");
}

/// Lists of m0000 and m0001, before and after m0002 is added.
#[track_caller]
fn assert_listed(cases: &[(&str, &str)]) {
    let mods = "mod m0000;\nmod m0001;\n";
    for (before, after) in cases {
        let after = format!("{mods}mod m0002;\n{after}");
        assert_added("m0002", &format!("{mods}{before}"), &after);
    }
}

#[test]
fn a_list_on_one_line_stays_on_it() {
    assert_listed(&[
        ("registry![m0000, m0001]", "registry![m0000, m0001, m0002]"),
        ("registry![m0000, m0001,]", "registry![m0000, m0001, m0002,]"),
        ("onerow::registry!(m0000, m0001)", "onerow::registry!(m0000, m0001, m0002)"),
        ("::onerow::registry! { m0000, m0001 }", "::onerow::registry! { m0000, m0001, m0002 }"),
        ("registry![ m0000 , m0001 , ]", "registry![ m0000 , m0001 , m0002, ]"),
        ("registry![m0000, m0001 /* totp */]", "registry![m0000, m0001 /* totp */, m0002]"),
        ("registry![m0000, m0001, /* totp */]", "registry![m0000, m0001, /* totp */ m0002,]"),
        ("registry![\n    m0000, m0001\n]", "registry![\n    m0000, m0001, m0002\n]"),
        ("registry![m0000,\n    m0001]", "registry![m0000,\n    m0001, m0002]"),
        ("registry![\n    m0000, m0001,\n]", "registry![\n    m0000, m0001, m0002,\n]"),
    ]);
}

#[test]
fn a_list_with_a_line_for_each_gets_a_line_more() {
    assert_listed(&[
        ("registry![\n    m0000,\n    m0001,\n]", "registry![\n    m0000,\n    m0001,\n    m0002,\n]"),
        ("registry![\n    m0000,\n    m0001\n]", "registry![\n    m0000,\n    m0001,\n    m0002\n]"),
        ("registry![\n\tm0000,\n\tm0001,]", "registry![\n\tm0000,\n\tm0001,\n\tm0002,]"),
        (
            "registry![\n  m0000, // members\n  m0001, // totp\n]",
            "registry![\n  m0000, // members\n  m0001, // totp\n  m0002,\n]",
        ),
        (
            "registry![\n  m0000, // members\n  m0001 // totp\n]",
            "registry![\n  m0000, // members\n  m0001, // totp\n  m0002\n]",
        ),
        (
            "registry![\n  m0000,\n  m0001, /* one,\n  m0009 */\n  // the end ]\n]",
            "registry![\n  m0000,\n  m0001, /* one,\n  m0009 */\n  m0002,\n  // the end ]\n]",
        ),
        ("registry![m0000, m0001 // totp\n]", "registry![m0000, m0001, // totp\nm0002\n]"),
    ]);
}

/// Lists with a base, before and after m0012 is added.
#[track_caller]
fn assert_listed_after_a_base(cases: &[(&str, &str)]) {
    for (before, after) in cases {
        let after = format!("mod m0011;\nmod m0012;\n{after}");
        assert_added("m0012", &format!("mod m0011;\n{before}"), &after);
    }
}

#[test]
fn the_first_entry_after_a_base_is_written_like_a_second_one() {
    assert_listed_after_a_base(&[
        ("registry![..BASE]", "registry![..BASE, m0012]"),
        ("registry![..BASE,]", "registry![..BASE, m0012,]"),
        ("registry! { .. BASE }", "registry! { .. BASE, m0012 }"),
        ("registry![..BASE /* of old */]", "registry![..BASE /* of old */, m0012]"),
        ("registry![\n    ..BASE,\n]", "registry![\n    ..BASE,\n    m0012,\n]"),
        ("registry![\n    ..BASE\n]", "registry![\n    ..BASE,\n    m0012\n]"),
        ("registry![\n  ..BASE // of old\n]", "registry![\n  ..BASE, // of old\n  m0012\n]"),
        (
            "registry![..Registry::new(vec![\n    Box::new(A),\n])]",
            "registry![..Registry::new(vec![\n    Box::new(A),\n]), m0012]",
        ),
        (
            "registry![\n    ..Registry::new(vec![\n        Box::new(A),\n    ]),\n]",
            "registry![\n    ..Registry::new(vec![\n        Box::new(A),\n    ]),\n    m0012,\n]",
        ),
    ]);
}

#[test]
fn a_list_with_a_base_keeps_its_style() {
    assert_listed_after_a_base(&[
        ("registry![..BASE, m0011]", "registry![..BASE, m0011, m0012]"),
        ("registry![..BASE, m0011,]", "registry![..BASE, m0011, m0012,]"),
        ("registry![\n    ..BASE, m0011,\n]", "registry![\n    ..BASE, m0011, m0012,\n]"),
        ("registry![\n    ..BASE,\n    m0011,\n]", "registry![\n    ..BASE,\n    m0011,\n    m0012,\n]"),
        (
            "registry![\n  // of old\n  ..BASE,\n  m0011 // totp\n]",
            "registry![\n  // of old\n  ..BASE,\n  m0011, // totp\n  m0012\n]",
        ),
    ]);
}

#[test]
fn a_base_is_any_expression() {
    for base in [
        "BASE",
        "::old::BASE",
        "base()",
        "base(a, m0001)",
        "{ let a = [m0001, m0002]; base(a) }",
        "onerow::embed_migrations!(\"../migrations, m0001\")",
        "Registry::from_migrator::<old::Migrator>()",
        "Registry::from_migrators::<A, B>()",
        "Registry::from_migrators::<A, Vec<B, Option<C>>>()",
        "<Old<A, B> as Into<Registry>>::into(old)",
        "Old::<fn(A) -> B, C>::BASE",
        "Old::<dyn Fn(A) -> Vec<B, C>, { 1 > 2 }, D>::base",
        "Old::<'static, -1, A>::base()",
        "old::<A>() as Registry<A, B>",
        "if a < b { A } else { B }",
        "if a << 1 <= b && c >= d { A::<A, B>() } else { B }",
        "if a < Old::<A, B>::COUNT { A } else { B }",
        "match a { a if a > b => A, _ => B }",
        "match a > b { true => A, false => B }",
        "base(|a, b| a < b)",
    ] {
        let lib = format!("mod m0012;\nmod m0013;\nregistry![..{base}, m0012, m0013]");
        assert_eq!(parse(&lib).unwrap().next(), Some(14), "{base}");
        let after = format!("mod m0012;\nmod m0013;\nmod m0014;\nregistry![..{base}, m0012, m0013, m0014]");
        assert_added("m0014", &lib, &after);

        let lib = format!("registry![..{base}]");
        assert_eq!(parse(&lib).unwrap().next(), None, "{base}");
        assert_added("m0012", &lib, &format!("mod m0012;\n\nregistry![..{base}, m0012]"));
    }
}

#[test]
fn the_last_in_the_list_has_the_number_to_count_from() {
    for (list, next) in [
        ("", Some(0)),
        ("m0000", Some(1)),
        ("m0000, m0001,", Some(2)),
        ("m9999, m10000", Some(10001)),
        // The compiler finds fault with these.
        ("m0000, m0007", Some(8)),
        ("m0001, m0000", Some(1)),
        ("m0000, m1", None),
        ("m0000, m00001", None),
        ("m2147483647", None),
        ("m0000, first", None),
        ("..", None),
    ] {
        assert_eq!(parse(&format!("registry![{list}]")).unwrap().next(), next, "{list}");
    }
}

#[test]
fn windows_line_ends_stay_what_they_are() {
    assert_added(
        "m0002",
        "mod m0000;\r\nmod m0001; // totp\r\n\r\n\
         registry![\r\n    m0000,\r\n    m0001, // totp\r\n]\r\n",
        "mod m0000;\r\nmod m0001; // totp\r\nmod m0002;\r\n\r\n\
         registry![\r\n    m0000,\r\n    m0001, // totp\r\n    m0002,\r\n]\r\n",
    );
    assert_added(
        "m0012",
        "mod old;\r\nregistry![\r\n\t..BASE\r\n]",
        "mod old;\r\nmod m0012;\r\nregistry![\r\n\t..BASE,\r\n\tm0012\r\n]",
    );
}

#[test]
fn a_module_is_declared_like_the_last_and_below_it() {
    for (before, after) in [
        ("pub mod m0000;\npub mod m0001;\n", "pub mod m0000;\npub mod m0001;\npub mod m0002;\n"),
        ("mod m0000;\npub(crate) mod m0001;\n", "mod m0000;\npub(crate) mod m0001;\npub(crate) mod m0002;\n"),
        ("  mod m0000;\n  mod m0001;\n", "  mod m0000;\n  mod m0001;\n  mod m0002;\n"),
        ("mod m0000;\n#[cfg(unix)]\nmod m0001;\n", "mod m0000;\n#[cfg(unix)]\nmod m0001;\nmod m0002;\n"),
        ("mod m0001;\nmod m0000;\n", "mod m0001;\nmod m0002;\nmod m0000;\n"),
        ("mod m0000;\nmod m0001; // totp\n", "mod m0000;\nmod m0001; // totp\nmod m0002;\n"),
        (
            "mod m0000;\nmod m0001; /* totp,\nof RFC 6238 */\n",
            "mod m0000;\nmod m0001; /* totp,\nof RFC 6238 */\nmod m0002;\n",
        ),
        ("mod m0000; mod m0001; use a::b;\n", "mod m0000; mod m0001;\nmod m0002; use a::b;\n"),
        ("mod m0000 {}\nmod m0001 {}\nmod x;\n", "mod m0000 {}\nmod m0001 {}\nmod m0002;\nmod x;\n"),
        ("mod m0000;\nmod m0001;\nmod zebra;\n\n", "mod m0000;\nmod m0001;\nmod m0002;\nmod zebra;\n\n"),
    ] {
        let after = format!("{after}registry![m0000, m0001, m0002]");
        assert_added("m0002", &format!("{before}registry![m0000, m0001]"), &after);
    }
}

#[test]
fn a_module_at_the_end_of_the_file_is_followed_by_the_next() {
    for (end, end_after) in [("", "\nmod m0001;"), (" // größer\n", " // größer\nmod m0001;\n")] {
        let before = format!("registry![m0000];\nmod m0000;{end}");
        assert_added("m0001", &before, &format!("registry![m0000, m0001];\nmod m0000;{end_after}"));
    }
}

#[test]
fn the_first_migration_goes_before_all_else() {
    let attributes = "//! Migrations.\n#![warn(missing_docs)]\n\n";
    let function = "/// All.\npub fn registry() -> Registry {\n    registry![]\n}\n";
    let filled = function.replace("![]", "![m0000]");
    assert_added("m0000", &format!("{attributes}{function}"), &format!("{attributes}mod m0000;\n\n{filled}"));
    assert_added("m0000", "registry![ // none yet\n]", "mod m0000;\n\nregistry![m0000 // none yet\n]");
}

#[test]
fn the_first_module_after_a_base_goes_below_that_of_the_base() {
    for (before, after) in [
        (
            "use a::b;\n\npub mod old; // of 2021\nmod x {}\n",
            "use a::b;\n\npub mod old; // of 2021\nmod m0012;\nmod x {}\n",
        ),
        (
            "mod a;\n    #[path = \"x\"]\n    mod b;\n",
            "mod a;\n    #[path = \"x\"]\n    mod b;\n    mod m0012;\n",
        ),
        ("//! Migrations.\n\nuse a::b;\n", "//! Migrations.\n\nmod m0012;\n\nuse a::b;\n"),
    ] {
        let with_list = |text, list| format!("{text}fn registry() {{ registry![{list}] }}");
        assert_added("m0012", &with_list(before, "..BASE"), &with_list(after, "..BASE, m0012"));
    }
}

#[test]
fn comments_and_strings_are_not_code() {
    let before = r##"//! `registry![m0000]` lists them; `mod m0009;` declares.
/* mod m0007; registry![m0007] /* nested */ */
mod m0000; // registry![
mod m0001;
// mod m0005;
macro_rules! registry { ($x:ident) => {}; }
/// registry![m0000]
const TEXT: &str = "mod m0003; registry![m0003] //";
const RAW: &str = r#"" mod m0004; registry!["#;
const QUOTE: char = '"';
fn registry<'a>() -> onerow::Registry { /* ] */ onerow::registry![m0000, /* m0005, */ m0001] }
"##;
    let after =
        before.replace("mod m0001;\n", "mod m0001;\nmod m0002;\n").replace("*/ m0001]", "*/ m0001, m0002]");
    assert_added("m0002", before, &after);
}

#[test]
fn the_function_around_the_list_is_known_if_it_can_be_called() {
    for (lib, function) in [
        ("pub fn registry() -> Registry { registry![] }", Some("registry")),
        ("fn other() {}\nfn all() -> Registry { let all = { registry![] }; all }", Some("all")),
        ("fn other() {}\nstatic ALL: LazyLock<Registry> = LazyLock::new(|| registry![]);", None),
        ("mod inner { pub fn all() -> Registry { registry![] } }", None),
    ] {
        assert_eq!(parse(lib).unwrap().function().as_deref(), function, "{lib}");
    }
}

#[test]
fn a_file_without_one_registry_is_refused() {
    for lib in ["", "mod m0000;", "// registry![]", "fn registry() {}", "use onerow::registry;"] {
        assert!(matches!(parse(lib).unwrap_err(), ProjectError::NoRegistry { .. }), "{lib}");
    }
    let error = parse("fn a() { registry![] }\n\nmod b { fn c() { onerow::registry![] } }").unwrap_err();
    assert!(matches!(&error, ProjectError::SeveralRegistries { lines, .. } if lines == "1 and 3"), "{error}");
    for (lib, line) in [("\n\nfn a() { registry![ }", 3), ("registry![]\n\"", 2)] {
        let error = parse(lib).unwrap_err();
        assert!(matches!(&error, ProjectError::Syntax { line: found, .. } if *found == line), "{error}");
    }
}
