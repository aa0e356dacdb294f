//! Reading and making the version row, and the errors if something else is in its place.

use sea_orm::{DatabaseConnection, DbErr};

use crate::{
    backend::{
        self, Claim, Fault, Mistrust, NONE, Session, Settings, create_table, insert_row,
        permission_denied,
    },
    error::{Error, ErrorKind, still_at},
    table::TableName,
};

/// What a read of the version finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    NoTable,
    NoRow,
    Version(i32),
    /// An SQLite writer whose changes have outgrown its cache shuts readers out until it ends.
    Held,
}

impl Found {
    /// The version, which is −1 if there is none yet. `None` if it could not be read.
    pub(crate) fn version(self) -> Option<i32> {
        match self {
            Self::NoTable | Self::NoRow => Some(NONE),
            Self::Version(version) => Some(version),
            Self::Held => None,
        }
    }
}

/// What a read of the version finds, and whether to believe it.
#[derive(Debug)]
pub(crate) struct Reading {
    found: Found,
    mistrust: Option<Error>,
}

impl Reading {
    /// What was found, to show it.
    pub(crate) fn found(self) -> Found {
        self.found
    }

    /// What was found, to act on it: an error if another role may have made it up.
    pub(crate) fn believed(self) -> Result<Found, Error> {
        self.mistrust.map_or(Ok(self.found), Err)
    }
}

/// Reads the version in one statement.
pub(crate) async fn read(pool: &DatabaseConnection, table: &TableName) -> Result<Reading, Error> {
    let backend = backend::of(pool)?;
    let row = match backend.read_row(pool, table).await? {
        Ok(row) => row,
        Err(source) => {
            let found = match backend.fault(&source) {
                Fault::NoTable => Found::NoTable,
                Fault::Held => Found::Held,
                Fault::NoColumn => return Err(foreign(table, source)),
                fault => return Err(cannot(fault, "read the version", None, table, source)),
            };
            return Ok(Reading { found, mistrust: None });
        }
    };
    let mistrust = match row.mistrust {
        Some(mistrust) if row.versions.is_empty() => return Err(mistrusted(table, mistrust)),
        Some(mistrust @ Mistrust::Foreign { even_to_read: true, .. }) => {
            Some(mistrusted(table, mistrust))
        }
        _ => None,
    };
    Ok(Reading { found: parse(&row.versions, table)?, mistrust })
}

/// The table with the schema in which it is or would be made. It is an error if writing to the
/// table could run another role's code, such as that of a trigger or a rule.
pub(crate) async fn examine(session: &dyn Session, called: &TableName) -> Result<TableName, Error> {
    let examined = session.examine(called).await;
    let (schema, mistrust) = examined.map_err(|source| {
        cannot(session.fault(&source), "look at the version table", None, called, source)
    })?;
    let home = || {
        called.schema().map(str::to_owned).or_else(|| session.default_schema().map(str::to_owned))
    };
    let table = schema.or_else(home).into_iter().fold(called.clone(), TableName::in_schema);
    match mistrust {
        Some(mistrust) => Err(mistrusted(&table, mistrust)),
        None => Ok(table),
    }
}

fn mistrusted(table: &TableName, mistrust: Mistrust) -> Error {
    let Mistrust::Foreign { owner, has, .. } = mistrust else { return hidden(table) };
    let has = has.as_deref().unwrap_or("belongs neither to this user nor to the database's owner");
    let message = format!(
        "the table {table} of the role {owner} {has}, so it could run that role's code; nothing \
         was changed"
    );
    Error::new(ErrorKind::UntrustedTable, message).of_table(table)
}

pub(crate) fn hidden(table: &TableName) -> Error {
    let message = format!(
        "row-level security hides the version row of {table} from this user; nothing was changed"
    );
    Error::new(ErrorKind::RowHidden, message).of_table(table)
}

fn foreign(table: &TableName, source: DbErr) -> Error {
    let message = format!(
        "the table {table} is not onerow's: it has no column \"version\"; nothing was changed"
    );
    Error::new(ErrorKind::ForeignTable, message).of_table(table).because(source)
}

pub(crate) fn several_rows(table: &TableName, rows: usize) -> Error {
    let message = format!("{table} holds {rows} rows instead of one; nothing was changed");
    Error::new(ErrorKind::SeveralRows, message).of_table(table)
}

pub(crate) fn not_a_version(table: &TableName, found: &str) -> Error {
    let message = format!("{table} holds {found}, which is not a version; nothing was changed");
    Error::new(ErrorKind::InvalidVersion, message).of_table(table)
}

pub(crate) fn being_written() -> Error {
    let source = DbErr::Custom("another process is writing a large change".into());
    Error::cannot("read the version", None, source)
}

fn parse(rows: &[Option<String>], table: &TableName) -> Result<Found, Error> {
    let [row] = rows else {
        return if rows.is_empty() {
            Ok(Found::NoRow)
        } else {
            Err(several_rows(table, rows.len()))
        };
    };
    match row.as_deref().map(str::parse) {
        Some(Ok(version)) if version >= NONE => Ok(Found::Version(version)),
        _ => Err(not_a_version(table, row.as_deref().unwrap_or("NULL"))),
    }
}

/// Makes the table and its row, if they are missing. If it gets settings for the first migration,
/// it may also return a claim.
///
/// It does so in a transaction of its own. In the transaction of the first migration, every other
/// process that starts at the same time would block on the table's name for as long as that
/// migration takes.
pub(crate) async fn create(
    session: &dyn Session,
    table: &TableName,
    found: Found,
    next: Option<&Settings>,
) -> Result<Option<Claim>, DbErr> {
    session.create(table, &creation(session, table, found), next).await
}

/// Makes the row as [`create`] does, and claims it in the same transaction.
pub(crate) async fn create_and_hold(
    session: &dyn Session,
    table: &TableName,
    found: Found,
) -> Result<Claim, DbErr> {
    session.create_and_hold(table, &creation(session, table, found)).await
}

fn creation(session: &dyn Session, table: &TableName, found: Found) -> String {
    let (refuse, row) = (session.refuse_untrusted(table), insert_row(table));
    match found {
        Found::NoTable => {
            // `IF NOT EXISTS` may have found a table that another role has just made.
            let schema = session.create_schema(table);
            format!("{schema}{}; {refuse}{row}", create_table(table))
        }
        _ => refuse + &row,
    }
}

/// The error of a statement on the version row that failed.
pub(crate) fn cannot(
    fault: Fault,
    operation: &str,
    version: Option<i32>,
    table: &TableName,
    source: DbErr,
) -> Error {
    match fault {
        Fault::ReadOnly => {
            let message =
                format!("the database is read-only{}; nothing more was changed", still_at(version));
            Error::new(ErrorKind::ReadOnly, message).at(version).because(source)
        }
        Fault::Denied => permission_denied(operation, version, source),
        Fault::NotNull => {
            let message = format!(
                "{table} has no row, and a row with only a version cannot be added; nothing was \
                 changed"
            );
            Error::new(ErrorKind::MissingRow, message).of_table(table).because(source)
        }
        _ => Error::cannot(operation, version, source),
    }
}

/// Why a row that reads as this version cannot be claimed at this version.
pub(crate) async fn unmovable(
    pool: &DatabaseConnection,
    called: &TableName,
    version: i32,
) -> Error {
    // Row-level security may let this user read the row, but not lock it.
    let hides = async { Some(backend::of(pool).ok()?.hides_rows(pool, called).await) };
    if hides.await.unwrap_or(false) {
        return hidden(called);
    }
    not_a_version(called, &format!("{version} as something other than a number"))
}
