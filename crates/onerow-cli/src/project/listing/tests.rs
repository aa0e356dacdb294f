use super::*;

fn parse(lib: &str) -> Result<Listing<'_>, ProjectError> {
    Listing::parse(Path::new("src/lib.rs"), lib)
}

/// Adds to the text without what is in « and », which must give the text with it.
#[track_caller]
fn assert_added(name: &str, marked: &str) {
    let unmarked = |piece: &str| piece.split_once('»').map_or(piece, |(_, kept)| kept).to_owned();
    let before: String = marked.split('«').map(unmarked).collect();
    let after = marked.replace(['«', '»'], "");
    assert_eq!(parse(&before).unwrap().with(name), after, "before:\n{before}");
}

#[test]
fn a_list_on_one_line_stays_on_it() {
    for list in [
        "registry![m0000, m0001«, m0002»]",
        "registry![m0000, m0001,« m0002,»]",
        "onerow::registry!(m0000, m0001«, m0002»)",
        "::onerow::registry! { m0000, m0001«, m0002» }",
        "registry![ m0000 , m0001 ,« m0002,» ]",
        "registry![m0000, m0001 /* totp */«, m0002»]",
        "registry![m0000, m0001, /* totp */« m0002,»]",
        "registry![\n    m0000, m0001«, m0002»\n]",
        "registry![m0000,\n    m0001«, m0002»]",
        "registry![\n    m0000, m0001,« m0002,»\n]",
    ] {
        assert_added("m0002", &format!("mod m0000;\nmod m0001;\n«mod m0002;\n»{list}"));
    }
}

#[test]
fn a_list_with_a_line_for_each_gets_a_line_more() {
    for list in [
        "registry![\n    m0000,\n    m0001,\n«    m0002,\n»]",
        "registry![\n    m0000,\n    m0001«,\n    m0002»\n]",
        "registry![\n\tm0000,\n\tm0001,«\n\tm0002,»]",
        "registry![\n  m0000, // members\n  m0001, // totp\n«  m0002,\n»]",
        "registry![\n  m0000, // members\n  m0001«,» // totp\n«  m0002\n»]",
        "registry![\n  m0000,\n  m0001, /* one,\n  m0009 */\n«  m0002,\n»  // the end ]\n]",
        "registry![m0000, m0001«,» // totp\n«m0002\n»]",
    ] {
        assert_added("m0002", &format!("mod m0000;\nmod m0001;\n«mod m0002;\n»{list}"));
    }
}

#[test]
fn a_list_with_a_base_keeps_its_style() {
    for list in [
        "registry![..BASE«, m0012»]",
        "registry![..BASE,« m0012,»]",
        "registry! { .. BASE«, m0012» }",
        "registry![..BASE /* of old */«, m0012»]",
        "registry![\n    ..BASE,\n«    m0012,\n»]",
        "registry![\n    ..BASE«,\n    m0012»\n]",
        "registry![\n  ..BASE«,» // of old\n«  m0012\n»]",
        "registry![..Registry::new(vec![\n    Box::new(A),\n])«, m0012»]",
        "registry![\n    ..Registry::new(vec![\n        Box::new(A),\n    ]),\n«    m0012,\n»]",
        "registry![..BASE, m0011«, m0012»]",
        "registry![..BASE, m0011,« m0012,»]",
        "registry![\n    ..BASE, m0011,« m0012,»\n]",
        "registry![\n    ..BASE,\n    m0011,\n«    m0012,\n»]",
        "registry![\n  // of old\n  ..BASE,\n  m0011«,» // totp\n«  m0012\n»]",
    ] {
        assert_added("m0012", &format!("mod m0011;\n«mod m0012;\n»{list}"));
    }
}

#[test]
fn a_base_is_any_expression() {
    for base in [
        "BASE",
        "::old::BASE",
        "base(a, m0001)",
        "{ let a = [m0001, m0002]; base(a) }",
        "onerow::embed_migrations!(\"../migrations, m0001\")",
        "Registry::from_migrator::<old::Migrator>()",
        "Registry::from_migrators::<A, Vec<B, Option<C>>>()",
        "<Old<A, B> as Into<Registry>>::into(old)",
        "Old::<fn(A) -> B, C>::BASE",
        "Old::<dyn Fn(A) -> Vec<B, C>, { 1 > 2 }, D>::base",
        "Old::<'static, -1, A>::base()",
        "old::<A>() as Registry<A, B>",
        "if a << 1 <= b && c >= d { A::<A, B>() } else { B }",
        "if a < Old::<A, B>::COUNT { A } else { B }",
        "match a { a if a > b => A, _ => B }",
        "match a > b { true => A, false => B }",
        "base(|a, b| a < b)",
    ] {
        for (listed, last) in [("", None), (", m0012, m0013", Some(14))] {
            let list = format!("registry![..{base}{listed}");
            assert_eq!(parse(&format!("{list}]")).unwrap().next(), last, "{base}");
            assert_added("m0014", &format!("«mod m0014;\n\n»{list}«, m0014»]"));
        }
    }
}

#[test]
fn the_last_in_the_list_has_the_number_to_count_from() {
    for (list, next) in [
        ("", Some(0)),
        ("m0000", Some(1)),
        ("m0000, m0001,", Some(2)),
        ("m9999, m10000", Some(10001)),
        // These are for the compiler to refuse.
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
    let list = "registry![\r\n    m0000,\r\n    m0001, // totp\r\n«    m0002,\r\n»]\r\n";
    let mods = "mod m0000;\r\nmod m0001; // totp\r\n«mod m0002;\r\n»\r\n";
    assert_added("m0002", &format!("{mods}{list}"));
    assert_added("m0000", "mod old;\r\n«mod m0000;\r\n»registry![\r\n\t..BASE«,\r\n\tm0000»\r\n]");
}

#[test]
fn a_module_is_declared_like_the_last_and_below_it() {
    for mods in [
        "pub mod m0000;\npub mod m0001;\n«pub mod m0002;\n»",
        "mod m0000;\npub(crate) mod m0001;\n«pub(crate) mod m0002;\n»",
        "  mod m0000;\n  mod m0001;\n«  mod m0002;\n»",
        "mod m0000;\n#[cfg(unix)]\nmod m0001;\n«mod m0002;\n»",
        "mod m0001;\n«mod m0002;\n»mod m0000;\n",
        "mod m0000;\nmod m0001; // totp\n«mod m0002;\n»",
        "mod m0000;\nmod m0001; /* totp,\nof RFC 6238 */\n«mod m0002;\n»",
        "mod m0000; mod m0001;«\nmod m0002;» use a::b;\n",
        "mod m0000 {}\nmod m0001 {}\n«mod m0002;\n»mod x;\n",
        "mod m0000;\nmod m0001;\n«mod m0002;\n»mod zebra;\n\n",
    ] {
        assert_added("m0002", &format!("{mods}registry![m0000, m0001«, m0002»]"));
    }
}

#[test]
fn a_module_at_the_end_of_the_file_is_followed_by_the_next() {
    assert_added("m0001", "registry![m0000«, m0001»];\nmod m0000;«\nmod m0001;»");
    assert_added("m0001", "registry![m0000«, m0001»];\nmod m0000; // größer\n«mod m0001;\n»");
}

#[test]
fn the_first_module_goes_below_that_of_the_base_or_before_all_items() {
    for mods in [
        "use a::b;\n\npub mod old; // of 2021\n«mod m0012;\n»mod x {}\n",
        "mod a;\n    #[path = \"x\"]\n    mod b;\n«    mod m0012;\n»",
        "//! Migrations.\n#![warn(missing_docs)]\n\n«mod m0012;\n\n»/// All.\nuse a::b;\n",
        "«mod m0012;\n\n»",
    ] {
        for list in ["..BASE«, m0012»", "«m0012»", "«m0012» // none yet\n"] {
            assert_added("m0012", &format!("{mods}fn registry() {{ registry![{list}] }}\n"));
        }
    }
}

#[test]
fn comments_and_strings_are_not_code() {
    let lib = r##"//! `registry![m0000]` lists them; `mod m0009;` declares.
/* mod m0007; registry![m0007] /* nested */ */
mod m0000; // registry![
mod m0001;
«mod m0002;
»// mod m0005;
macro_rules! registry { ($x:ident) => {}; }
/// registry![m0000]
const TEXT: &str = "mod m0003; registry![m0003] //";
const RAW: &str = r#"" mod m0004; registry!["#;
const QUOTE: char = '"';
fn registry<'a>() -> Registry { /* ] */ registry![m0000, /* m0005, */ m0001«, m0002»] }
"##;
    assert_added("m0002", lib);
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
    for (lib, says) in [
        ("fn a() { registry![] }\n\nmod b { const C: D = a::registry![]; }", "in lines 1 and 3"),
        ("\n\nfn a() { registry![ }", "src/lib.rs:3 does not parse"),
        ("registry![]\n\"", "src/lib.rs:2 does not parse"),
    ] {
        let error = parse(lib).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
