use super::*;

fn with(version: i32, before: &str) -> String {
    Listing::parse(Path::new("src/lib.rs"), before).unwrap().with(version)
}

/// Tables of before and after, each with m0000 and m0001 in it and m0002 to come.
#[track_caller]
fn assert_added(cases: &[(&str, &str)]) {
    for (before, after) in cases {
        assert_eq!(with(2, before), *after, "before:\n{before}");
    }
}

/// What stands in front of the list in the cases that are about the list, and the same afterwards.
const MODS: [&str; 2] = ["mod m0000;\nmod m0001;\n", "mod m0000;\nmod m0001;\nmod m0002;\n"];

#[track_caller]
fn assert_listed(cases: &[(&str, &str)]) {
    for (before, after) in cases {
        assert_eq!(with(2, &format!("{}{before}", MODS[0])), format!("{}{after}", MODS[1]));
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

/// Lists behind a base, and the same with m0012 to come.
#[track_caller]
fn assert_listed_behind(cases: &[(&str, &str)]) {
    for (before, after) in cases {
        assert_eq!(with(12, &format!("mod m0011;\n{before}")), format!("mod m0011;\nmod m0012;\n{after}"));
    }
}

#[test]
fn the_first_behind_a_base_is_written_as_a_second_is() {
    assert_listed_behind(&[
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
fn behind_a_base_a_list_is_written_on_as_it_is() {
    assert_listed_behind(&[
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
fn a_base_ends_where_its_expression_ends() {
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
        let listing = Listing::parse(Path::new("src/lib.rs"), &lib).unwrap();

        assert!(listing.base.is_some(), "{base}");
        let names: Vec<_> = listing.items.iter().map(|item| item.name.clone()).collect();
        assert_eq!(names, [Name::Migration(12), Name::Migration(13)], "{base}");
        assert!(listing.with(14).ends_with(&format!("registry![..{base}, m0012, m0013, m0014]")), "{base}");
    }
}

#[test]
fn windows_line_ends_stay_what_they_are() {
    assert_added(&[(
        "mod m0000;\r\nmod m0001; // totp\r\n\r\nregistry![\r\n    m0000,\r\n    m0001, // totp\r\n]\r\n",
        "mod m0000;\r\nmod m0001; // totp\r\nmod m0002;\r\n\r\nregistry![\r\n    m0000,\r\n    m0001, // totp\r\n    m0002,\r\n]\r\n",
    )]);
    assert_eq!(
        with(12, "mod old;\r\nregistry![\r\n\t..BASE\r\n]"),
        "mod old;\r\nmod m0012;\r\nregistry![\r\n\t..BASE,\r\n\tm0012\r\n]"
    );
}

#[test]
fn a_module_is_declared_below_the_last_as_that_is() {
    let list = ["registry![m0000, m0001]", "registry![m0000, m0001, m0002]"];
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
        ("mod m0000; mod m0001; use a::b;\n", "mod m0000; mod m0001;\nmod m0002;\n use a::b;\n"),
        ("mod m0000 {}\nmod m0001 {}\nmod x;\n", "mod m0000 {}\nmod m0001 {}\nmod m0002;\nmod x;\n"),
        ("mod m0000;\nmod m0001;\nmod zebra;\n\n", "mod m0000;\nmod m0001;\nmod m0002;\nmod zebra;\n\n"),
    ] {
        assert_added(&[(&format!("{before}{}", list[0]), &format!("{after}{}", list[1]))]);
    }
}

#[test]
fn a_module_at_the_end_of_the_file_is_followed_by_the_next() {
    assert_added(&[
        (
            "registry![m0000, m0001];\nmod m0000;\nmod m0001;",
            "registry![m0000, m0001, m0002];\nmod m0000;\nmod m0001;\nmod m0002;",
        ),
        (
            "registry![m0000, m0001];\nmod m0000;\nmod m0001; // größer\n",
            "registry![m0000, m0001, m0002];\nmod m0000;\nmod m0001; // größer\nmod m0002;\n",
        ),
    ]);
}

#[test]
fn the_first_migration_goes_before_all_else() {
    let before = "//! Migrations.\n#![warn(missing_docs)]\n\n/// All.\npub fn registry() -> Registry {\n    registry![]\n}\n";
    let after = "//! Migrations.\n#![warn(missing_docs)]\n\nmod m0000;\n\n/// All.\npub fn registry() -> Registry {\n    registry![m0000]\n}\n";
    assert_eq!(with(0, before), after);
    assert_eq!(with(0, "registry![ // none yet\n]"), "mod m0000;\n\nregistry![m0000 // none yet\n]");
}

#[test]
fn the_first_module_behind_a_base_goes_below_that_of_the_base() {
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
        let list = |list| format!("fn registry() {{ registry![{list}] }}");
        assert_eq!(
            with(12, &format!("{before}{}", list("..BASE"))),
            format!("{after}{}", list("..BASE, m0012"))
        );
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
    assert_added(&[(before, &after)]);
}

#[test]
fn the_function_around_the_list_is_known_where_it_can_be_called() {
    for (lib, function) in [
        ("pub fn registry() -> Registry { registry![] }", Some("registry")),
        ("fn other() {}\nfn all() -> Registry { let all = { registry![] }; all }", Some("all")),
        ("fn other() {}\nstatic ALL: LazyLock<Registry> = LazyLock::new(|| registry![]);", None),
        ("mod inner { pub fn all() -> Registry { registry![] } }", None),
    ] {
        let listing = Listing::parse(Path::new("src/lib.rs"), lib).unwrap();
        assert_eq!(listing.function.as_deref(), function, "{lib}");
    }
}

#[test]
fn a_file_without_one_registry_is_refused() {
    let parse = |lib| Listing::parse(Path::new("src/lib.rs"), lib).unwrap_err();
    for lib in ["", "mod m0000;", "// registry![]", "fn registry() {}", "use onerow::registry;"] {
        assert!(matches!(parse(lib), ProjectError::NoRegistry { .. }), "{lib}");
    }
    let error = parse("fn a() { registry![] }\n\nmod b { fn c() { onerow::registry![] } }");
    assert!(matches!(&error, ProjectError::SeveralRegistries { lines, .. } if lines == "1 and 3"), "{error}");
    for (lib, line) in [("\n\nfn a() { registry![ }", 3), ("registry![]\n\"", 2)] {
        let error = parse(lib);
        assert!(matches!(&error, ProjectError::Syntax { line: found, .. } if *found == line), "{error}");
    }
}
