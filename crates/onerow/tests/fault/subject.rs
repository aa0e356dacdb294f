//! The migrations under fire. Each changes schema and data so that it shows if it took effect
//! twice, half or not at all.

use std::{collections::BTreeSet, fmt, str::FromStr};

use onerow::prelude::*;

use crate::diary::{self, Diary};

/// The name of the index that the migration outside a transaction builds.
const INDEX: &str = "wide_note";

/// A registry that can be passed to another process as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// How many migrations.
    pub count: i32,
    /// Which of them builds an index outside a transaction. It does nothing else.
    pub index_at: Option<i32>,
    /// How many rows the index has.
    pub rows: u32,
    /// From this one on, they change only data.
    pub light_from: i32,
    /// Which of them writes a diary. It does nothing else.
    pub diary: Option<Diary>,
}

impl Subject {
    pub const PLAIN: Self =
        Self { count: 200, index_at: None, rows: 10, light_from: i32::MAX, diary: None };
    /// The build of the index takes a good part of the run.
    pub const INDEXED: Self = Self { index_at: Some(100), rows: 100_000, ..Self::PLAIN };
    /// Few messages, of every kind.
    pub const SHORT: Self = Self { count: 6, index_at: Some(3), rows: 100, ..Self::PLAIN };
    /// Almost all of it fits a page of the server's log. A full page is written soon, whoever asks
    /// for it.
    pub const LIGHT: Self = Self { count: 25, light_from: 1, ..Self::PLAIN };

    /// A few migrations, one of which writes a diary.
    pub const fn writing(diary: Diary) -> Self {
        Self { count: diary.at + 2, diary: Some(diary), ..Self::PLAIN }
    }

    pub fn last(self) -> i32 {
        self.count - 1
    }

    pub fn registry(self) -> Registry {
        let step = |number| Box::new(Step { number, subject: self }) as Box<dyn MigrationTrait>;
        Registry::new((0..self.count).map(step).collect())
    }

    /// The migrations up to this version that leave a table and a row in `ledger`.
    pub fn entered(self, version: i32) -> impl Iterator<Item = i32> {
        (0..=version).filter(move |number| !self.is_set_apart(*number))
    }

    /// Whether it is one of the two that do only their own work.
    fn is_set_apart(self, number: i32) -> bool {
        Some(number) == self.index_at || self.diary.is_some_and(|diary| diary.at == number)
    }

    /// The tables of this version.
    pub fn tables(self, version: i32) -> BTreeSet<String> {
        if version < 0 {
            return BTreeSet::new();
        }
        let dropped: BTreeSet<_> = (0..=version).filter_map(dropped_by).collect();
        let made = self
            .entered(version)
            .filter(|number| *number < self.light_from && !dropped.contains(number));
        let common = ["ledger", "counter", "wide"].map(str::to_owned);
        let diary = self.diary.map(|_| diary::TABLE.to_owned());
        made.map(|number| format!("t{number}")).chain(common).chain(diary).collect()
    }

    /// The columns that the migrations up to this version have added to `wide`.
    pub fn columns(self, version: i32) -> BTreeSet<String> {
        self.entered(version)
            .filter(|number| *number < self.light_from && adds_a_column(*number))
            .map(|number| format!("c{number}"))
            .collect()
    }

    fn statements(self, number: i32) -> Vec<String> {
        let mut statements = Vec::new();
        if number == 0 {
            statements.extend([
                "CREATE TABLE ledger (number INTEGER NOT NULL)".into(),
                "CREATE TABLE counter (value INTEGER NOT NULL)".into(),
                "INSERT INTO counter VALUES (0)".into(),
                "CREATE TABLE wide (id INTEGER PRIMARY KEY, note TEXT)".into(),
                format!(
                    "INSERT INTO wide (id, note)
                     WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {})
                     SELECT id, 'note ' || id FROM n",
                    self.rows
                ),
            ]);
        }
        statements.extend([
            format!("INSERT INTO ledger VALUES ({number})"),
            "UPDATE counter SET value = value + 1".into(),
        ]);
        if number >= self.light_from {
            return statements;
        }
        statements.push(format!("CREATE TABLE t{number} (id INTEGER PRIMARY KEY)"));
        if adds_a_column(number) {
            statements.push(format!("ALTER TABLE wide ADD COLUMN c{number} INTEGER"));
        }
        if let Some(earlier) = dropped_by(number) {
            statements.push(format!("DROP TABLE t{earlier}"));
        }
        statements
    }
}

fn adds_a_column(number: i32) -> bool {
    number % 5 == 0
}

fn dropped_by(number: i32) -> Option<i32> {
    (number > 0 && number % 7 == 0).then_some(number - 3)
}

struct Step {
    number: i32,
    subject: Subject,
}

#[async_trait]
impl MigrationTrait for Step {
    fn mode(&self) -> Mode {
        let transactional = match self.diary() {
            Some(diary) => diary.transactional,
            None => Some(self.number) != self.subject.index_at,
        };
        if transactional { Mode::Transaction } else { Mode::Outside }
    }

    async fn migrate(&self, db: &Database) -> Result<(), DbErr> {
        if let Some(diary) = self.diary() {
            return diary.write(db).await;
        }
        if self.mode() == Mode::Outside {
            return create_index(db, INDEX, "wide", "note").await;
        }
        for statement in self.subject.statements(self.number) {
            db.execute_unprepared(&statement).await?;
        }
        if self.number == 0 && self.subject.diary.is_some() {
            db.execute_unprepared(&Diary::table(db.get_database_backend())).await?;
        }
        Ok(())
    }
}

impl Step {
    /// The diary that this migration writes.
    fn diary(&self) -> Option<Diary> {
        self.subject.diary.filter(|diary| diary.at == self.number)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index_at = self.index_at.unwrap_or(-1);
        write!(f, "{},{index_at},{},{}", self.count, self.rows, self.light_from)?;
        self.diary.map_or(Ok(()), |diary| {
            let Diary { at, lines, pause, transactional } = diary;
            write!(f, ",{at},{lines},{pause},{}", i32::from(transactional))
        })
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<i32> = text.split(',').flat_map(str::parse).collect();
        let [count, index_at, rows, light_from, ref diary @ ..] = numbers[..] else {
            return Err(format!("{text:?} is not four numbers, or eight"));
        };
        let diary = match *diary {
            [at, lines, pause, transactional] => Some(Diary {
                at,
                lines,
                pause: pause.unsigned_abs(),
                transactional: transactional > 0,
            }),
            _ => None,
        };
        Ok(Self {
            count,
            index_at: (index_at >= 0).then_some(index_at),
            rows: rows.unsigned_abs(),
            light_from,
            diary,
        })
    }
}
