//! The contents of a database, compared with its version.

use std::{collections::BTreeSet, fmt::Debug};

use onerow::prelude::*;
use sea_orm::{AccessMode, DatabaseTransaction, IsolationLevel, Statement};

use crate::{
    diary::{self, Line},
    place::Place,
    subject::Subject,
};

const TABLE: &str = "schema_migration";

/// Everything that the migrations leave, at one moment.
#[derive(Debug)]
struct State {
    /// `None` if there is no version table.
    version: Option<i32>,
    tables: BTreeSet<String>,
    columns: BTreeSet<String>,
    /// With repetitions.
    ledger: Vec<i32>,
    counter: Option<usize>,
    /// The rows of the table that gets the index.
    rows: Option<u32>,
    /// Whether the index is valid; `None` if there is none.
    index: Option<bool>,
    /// In the order of writing.
    diary: Vec<Line>,
}

/// Panics unless the contents are exactly those of the version. Returns the version, −1 if there is
/// none.
pub async fn check(place: &Place, subject: Subject) -> i32 {
    let db = place.look().await;
    let state =
        read(&db).await.unwrap_or_else(|error| panic!("cannot look at the database: {error}"));
    let closed = db.disconnect().await;
    closed.unwrap_or_else(|error| panic!("{}", error.explain()));
    state.check(subject)
}

/// The same, and that it is the last version.
pub async fn check_finished(place: &Place, subject: Subject) {
    let version = check(place, subject).await;
    assert_eq!(version, subject.last(), "up has returned, and the version is another");
}

impl State {
    fn check(&self, subject: Subject) -> i32 {
        let version = self.version.unwrap_or(-1);
        assert!(version <= subject.last(), "version {version} is past the last");
        let same = Same { version };
        same.assert("tables", &self.tables, &subject.tables(version));
        same.assert("columns of wide", &self.columns, &subject.columns(version));
        same.assert("rows of ledger", &self.ledger, &subject.entered(version).collect());
        let counted = (version >= 0).then(|| subject.entered(version).count());
        same.assert("counter", &self.counter, &counted);
        same.assert("rows of wide", &self.rows, &(version >= 0).then_some(subject.rows));
        // The next migration may run outside a transaction, and may have been cut off at any point.
        if subject.index_at != Some(version + 1) {
            let built = subject.index_at.is_some_and(|at| at <= version);
            same.assert("index", &self.index, &built.then_some(true));
        }
        if let Some(diary) = subject.diary {
            diary.check(&self.diary, version);
        }
        version
    }
}

struct Same {
    version: i32,
}

impl Same {
    fn assert<T: Debug + PartialEq>(&self, what: &str, found: &T, promised: &T) {
        assert!(
            found == promised,
            "the database is at version {}, and its {what} are not those of that version\n  \
             found    {found:?}\n  promised {promised:?}",
            self.version
        );
    }
}

/// Reads in one snapshot, because a run may go on meanwhile.
async fn read(db: &Database) -> Result<State, DbErr> {
    let (isolation, access) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
    let snapshot = match db.get_database_backend() {
        DatabaseBackend::Sqlite => db.begin().await?,
        _ => db.begin_with_config(Some(isolation), Some(access)).await?,
    };
    let snapshot = Snapshot(snapshot);
    let state = read_in(&snapshot).await?;
    snapshot.0.rollback().await?;
    Ok(state)
}

async fn read_in(snapshot: &Snapshot) -> Result<State, DbErr> {
    let catalogue = Catalogue::of(snapshot.0.get_database_backend());
    let mut tables: BTreeSet<_> = snapshot.texts(catalogue.tables).await?.into_iter().collect();
    // The catalog of the snapshot tells, because a statement on a missing table would fail.
    let (is_begun, has_version) = (tables.contains("ledger"), tables.remove(TABLE));
    let has_diary = tables.contains(diary::TABLE);
    let mut state = State {
        version: None,
        tables,
        columns: snapshot.texts(catalogue.columns).await?.into_iter().collect(),
        ledger: Vec::new(),
        counter: None,
        rows: None,
        index: snapshot.texts(catalogue.index).await?.pop().map(|valid| valid == "true"),
        diary: Vec::new(),
    };
    if has_version {
        state.version = Some(snapshot.one(&format!("SELECT version FROM {TABLE}")).await?);
    }
    if is_begun {
        state.ledger = snapshot.numbers("SELECT number FROM ledger").await?;
        state.ledger.sort_unstable();
        state.counter = Some(snapshot.one("SELECT value FROM counter").await?);
        state.rows = Some(snapshot.one("SELECT count(*) FROM wide").await?);
    }
    if has_diary {
        state.diary = snapshot.numbers(diary::LINES).await?;
    }
    if let Some(sound) = catalogue.sound {
        let faults = snapshot.texts(sound).await?;
        assert_eq!(faults, ["ok"], "the file is damaged");
    }
    Ok(state)
}

/// The catalogs of a database. They are plain queries, so that they see the snapshot.
struct Catalogue {
    tables: &'static str,
    columns: &'static str,
    index: &'static str,
    sound: Option<&'static str>,
}

impl Catalogue {
    fn of(backend: DatabaseBackend) -> Self {
        match backend {
            DatabaseBackend::Sqlite => Self {
                tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
                columns: "SELECT name FROM pragma_table_info('wide') WHERE name LIKE 'c%'",
                index: "SELECT 'true' FROM sqlite_master WHERE type = 'index' \
                    AND name = 'wide_note'",
                sound: Some("SELECT integrity_check FROM pragma_integrity_check"),
            },
            _ => Self {
                tables: "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                    AND relkind = 'r'",
                columns: "SELECT attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                          WHERE relname = 'wide' AND attname LIKE 'c%' AND attnum > 0 AND NOT attisdropped",
                index: "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                        WHERE relname = 'wide_note'",
                sound: None,
            },
        }
    }
}

struct Snapshot(DatabaseTransaction);

impl Snapshot {
    /// The only column of each row.
    async fn texts(&self, sql: &str) -> Result<Vec<String>, DbErr> {
        texts(&self.0, sql).await
    }

    async fn numbers<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        sql: &str,
    ) -> Result<Vec<T>, DbErr> {
        let texts = self.texts(sql).await?;
        let parse =
            |text: &String| text.parse().map_err(|error| DbErr::Custom(format!("{text}: {error}")));
        texts.iter().map(parse).collect()
    }

    async fn one<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        sql: &str,
    ) -> Result<T, DbErr> {
        let mut numbers = self.numbers(sql).await?;
        assert_eq!(numbers.len(), 1, "{sql} gives {} rows", numbers.len());
        Ok(numbers.remove(0))
    }
}

/// The only column of each row, as text.
pub async fn texts(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, DbErr> {
    let backend = db.get_database_backend();
    // The column gets a name, whatever it is called in the query.
    let sql = format!("WITH asked(one) AS ({sql}) SELECT CAST(one AS TEXT) AS one FROM asked");
    let rows = db.query_all_raw(Statement::from_string(backend, sql)).await?;
    rows.iter().map(|row| row.try_get("", "one")).collect()
}
