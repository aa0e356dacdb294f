//! What the name of a file means to each tool.
//!
//! The rules are those of sqlx-core 0.9 (`migrate/source.rs`), refinery-core 0.10 (`util.rs`) and
//! migrations_internals 2.3. Each of the three ignores a file with any other name, silently or with
//! a line in a log. Here such a file is an error.

use std::{num::IntErrorKind, path::Path};

/// A tool whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Sqlx,
    Refinery,
    Diesel,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlx => "sqlx",
            Self::Refinery => "refinery",
            Self::Diesel => "diesel",
        }
    }
}

/// The version of a migration, by which migrations are ordered. No two have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// sqlx and refinery have numbers.
    Number(i64),
    /// diesel has texts, so for it `10` comes before `9`.
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

/// What the name of a script says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub tool: Tool,
    pub direction: Direction,
    pub version: Version,
    /// The name that the tool gives to the migration.
    pub name: String,
    /// The text after the version.
    pub description: String,
}

pub const UNKNOWN: &str = "is not named like a migration of sqlx (`1_name.sql`, not in a \
     subfolder), refinery (`V1__name.sql`, in any subfolder) or diesel (`1_name/up.sql`): rename \
     it, or move it out of the folder";
pub const TOO_LARGE: &str = "has a version that does not fit in 64 bits: give it a smaller number";
pub const FRACTION: &str =
    "has a fraction as its version, which refinery refuses: give it a whole number";
pub const RUST: &str = "is a migration in Rust, which cannot be embedded: write it as a Rust \
     migration of onerow, and move it out of the folder";
pub const UNDOES: &str = "undoes a migration, according to its name: move it out of the folder, \
     or leave it out with `except`, since onerow only goes forward";

/// The error says what is wrong with the file.
type Named<T> = Result<T, &'static str>;

/// Reads the name of a file: its path in the folder, with `/`. Returns `None` if it is no SQL.
pub fn script(path: &str) -> Named<Option<Script>> {
    let (folder, file) =
        path.rsplit_once('/').map_or((None, path), |(folder, file)| (Some(folder), file));
    if file.strip_suffix(".rs").is_some_and(|stem| refinery_parts(stem).is_some()) {
        return Err(RUST);
    }
    if !has_extension_sql(file) {
        return Ok(None);
    }
    if UNDO_ENDINGS.iter().any(|ending| file.ends_with(ending)) {
        return Err(UNDOES);
    }
    let script = match (refinery(file)?, folder) {
        (Some(script), _) => Some(script),
        (None, None) => sqlx(file)?,
        (None, Some(folder)) => diesel(folder, file),
    };
    script.map(Some).ok_or(UNKNOWN)
}

/// The endings with which yoyo, postgrator and others mark a file that undoes. sqlx would run such
/// a file as a migration.
const UNDO_ENDINGS: [&str; 3] = [".rollback.sql", ".undo.sql", ".revert.sql"];

/// Upper case counts too: `1_name.SQL` is a mistake, since the tools want lower case.
fn has_extension_sql(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

fn sqlx(file: &str) -> Named<Option<Script>> {
    let endings =
        [(".up.sql", Direction::Up), (".down.sql", Direction::Down), (".sql", Direction::Up)];
    let ending = endings
        .into_iter()
        .find_map(|(ending, direction)| Some((file.strip_suffix(ending)?, direction)));
    let Some((name, direction)) = ending else { return Ok(None) };
    let Some((version, _)) = name.split_once('_') else { return Ok(None) };
    let Some(version) = number(version)? else { return Ok(None) };
    Ok(Some(Script {
        tool: Tool::Sqlx,
        direction,
        version,
        name: name.into(),
        description: description(name, "_"),
    }))
}

fn refinery(file: &str) -> Named<Option<Script>> {
    let Some(name) = file.strip_suffix(".sql") else { return Ok(None) };
    let Some(version) = refinery_parts(name) else { return Ok(None) };
    let version = number(version)?.ok_or(FRACTION)?;
    let description = description(name, "__");
    Ok(Some(Script {
        tool: Tool::Refinery,
        direction: Direction::Up,
        version,
        name: name.into(),
        description,
    }))
}

/// The version in `^([U|V])(\d+(?:\.\d+)?)__(\w+)$`, except that `|` is no letter here. (In
/// refinery's pattern that is a slip.)
fn refinery_parts(stem: &str) -> Option<&str> {
    let (version, name) = stem.strip_prefix(['U', 'V'])?.split_once("__")?;
    let (whole, fraction) = version.split_once('.').unwrap_or((version, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_word =
        !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    (digits(whole) && digits(fraction) && is_word).then_some(version)
}

/// diesel accepts any name of a folder. The version is the part before the first `_`, or all of it.
fn diesel(folder: &str, file: &str) -> Option<Script> {
    let direction = match file {
        "up.sql" => Direction::Up,
        "down.sql" => Direction::Down,
        _ => return None,
    };
    if folder.contains('/') {
        return None;
    }
    let version = folder.split('_').next().unwrap_or_default().replace('-', "");
    Some(Script {
        tool: Tool::Diesel,
        direction,
        version: Version::Text(version),
        name: folder.into(),
        description: description(folder, "_"),
    })
}

/// The version as a number, or `None` if it is not a whole number. Like sqlx, it accepts a sign.
fn number(version: &str) -> Named<Option<Version>> {
    match version.parse() {
        Ok(number) => Ok(Some(Version::Number(number))),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Err(TOO_LARGE),
            _ => Ok(None),
        },
    }
}

fn description(name: &str, behind: &str) -> String {
    name.split_once(behind)
        .map(|(_, description)| description.replace('_', " ").trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(path: &str) -> Script {
        let script = script(path).unwrap().unwrap();
        assert_eq!(script.direction, Direction::Up);
        script
    }

    fn sums_up(script: &Script) -> (Tool, Version, &str, &str) {
        (script.tool, script.version.clone(), &script.name, &script.description)
    }

    #[test]
    fn sqlx_has_a_number_a_description_and_one_of_three_endings() {
        let create = up("20220101000001_create_users.sql");
        let version = Version::Number(20_220_101_000_001);
        assert_eq!(
            sums_up(&create),
            (Tool::Sqlx, version, "20220101000001_create_users", "create users")
        );
        assert_eq!(sums_up(&up("01_a.up.sql")), (Tool::Sqlx, Version::Number(1), "01_a", "a"));
        assert_eq!(script("1_a.down.sql").unwrap().unwrap().direction, Direction::Down);
    }

    #[test]
    fn sqlx_takes_what_parses_as_i64() {
        assert_eq!(up("-1_a.sql").version, Version::Number(-1));
        assert_eq!(up("+1_a.sql").version, Version::Number(1));
        assert_eq!(up("9223372036854775807_a.sql").version, Version::Number(i64::MAX));
        assert_eq!(script("9223372036854775808_a.sql"), Err(TOO_LARGE));
        assert_eq!(up("1_.sql").description, "");
        assert_eq!(up("1_up.sql").description, "up");
        assert_eq!(up("1_a.b.sql").name, "1_a.b");
    }

    #[test]
    fn refinery_has_a_letter_a_number_and_two_underscores_in_any_subfolder() {
        let initial = up("V1__initial_tables.sql");
        assert_eq!(
            sums_up(&initial),
            (Tool::Refinery, Version::Number(1), "V1__initial_tables", "initial tables")
        );
        let late = up("2022/late/U007___late.sql");
        assert_eq!(sums_up(&late), (Tool::Refinery, Version::Number(7), "U007___late", "late"));
        assert_eq!(up("V2__été.sql").description, "été");
    }

    #[test]
    fn refinery_refuses_a_fraction_and_a_version_beyond_64_bits() {
        assert_eq!(script("V1.2__a.sql"), Err(FRACTION));
        assert_eq!(script("V9223372036854775808__a.sql"), Err(TOO_LARGE));
    }

    #[test]
    fn a_migration_of_refinery_in_rust_cannot_be_embedded() {
        assert_eq!(script("V1__initial.rs"), Err(RUST));
        assert_eq!(script("later/U1.2__initial.rs"), Err(RUST));
        assert_eq!(script("mod.rs"), Ok(None));
        assert_eq!(script("V1_initial.rs"), Ok(None));
    }

    #[test]
    fn diesel_has_a_folder_whose_version_ends_at_the_first_underscore_and_counts_without_dashes() {
        let create = up("2022-01-01-000001_create_users/up.sql");
        let version = Version::Text("20220101000001".into());
        assert_eq!(
            sums_up(&create),
            (Tool::Diesel, version, "2022-01-01-000001_create_users", "create users")
        );
        assert_eq!(script("1_a/down.sql").unwrap().unwrap().direction, Direction::Down);
        assert_eq!(sums_up(&up("1/up.sql")), (Tool::Diesel, Version::Text("1".into()), "1", ""));
        assert_eq!(up("create_users/up.sql").version, Version::Text("create".into()));
    }

    #[test]
    fn sql_of_any_other_name_is_an_error() {
        for path in [
            "schema.sql",
            "1.sql",
            "1-a.sql",
            "_a.sql",
            "users_create.sql",
            "1_a.SQL",
            "1_a.up.SQL",
            "old/1_a.sql",
            "V1_a.sql",
            "v1__a.sql",
            "V1__a-b.sql",
            "V1__.sql",
            "V__a.sql",
            "V1.__a.sql",
            "V.1__a.sql",
            "V-1__a.sql",
            "V١__a.sql",
            "|1__a.sql",
            "R__a.sql",
            "V1__a.up.sql",
            "up.sql",
            "1_a/UP.sql",
            "1_a/up.SQL",
            "1_a/seed.sql",
            "2022/1_a/up.sql",
        ] {
            assert_eq!(script(path), Err(UNKNOWN), "{path}");
        }
    }

    #[test]
    fn a_file_that_goes_back_by_its_name_is_an_error() {
        for path in [
            "1_a.rollback.sql",
            "0001.create.rollback.sql",
            "1_a.undo.sql",
            "V1__a.undo.sql",
            "1_a.revert.sql",
        ] {
            assert_eq!(script(path), Err(UNDOES), "{path}");
        }
        assert_eq!(up("1_rollback.sql").description, "rollback");
    }

    #[test]
    fn what_is_no_sql_is_nobody_s() {
        for path in
            ["README.md", "1_a", "1_a.sql.bak", "1_a.sqlite", "1_a/metadata.toml", "V1__a.txt"]
        {
            assert_eq!(script(path), Ok(None), "{path}");
        }
    }

    #[test]
    fn numbers_are_in_the_order_of_numbers_and_texts_in_that_of_texts() {
        assert!(up("9_a.sql").version < up("10_a.sql").version);
        assert!(up("V9__a.sql").version < up("V10__a.sql").version);
        assert!(up("9_a/up.sql").version > up("10_a/up.sql").version);
    }
}
