//! What another tool has applied, according to its table.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, TransactionTrait};

use super::{
    AdoptionWarning, HistoryProblem,
    error::{
        foreign_history, history_elsewhere, no_history, no_tool, several_histories, unsafe_history,
    },
    sea_orm_migration::makes_identities,
};
use crate::{
    backend::{Fault, Session},
    error::{Error, ErrorKind},
    registry::Registry,
    table::TableName,
    tool::{Column, Tool},
    version,
};

/// What a tool has applied to a database.
pub(super) struct History {
    pub(super) tool: Tool,
    pub(super) table: TableName,
    /// In the order in which they were applied.
    pub(super) entries: Vec<Entry>,
    /// What is wrong with the table itself.
    pub(super) problems: Vec<HistoryProblem>,
}

/// A migration of the old tool.
pub(super) struct Entry {
    pub(super) key: String,
    /// The part of its name that is not the key, if that part is compared.
    pub(super) description: Option<String>,
    /// The name to show.
    pub(super) name: String,
    /// Text that sorts by the time at which it was applied.
    pub(super) position: String,
    pub(super) succeeded: bool,
    /// The checksum of its script, if the tool keeps one.
    pub(super) checksum: Option<String>,
}

/// Why a table was not read.
pub(crate) enum Unread {
    /// Another session holds a lock on this table.
    Held(TableName),
    Error(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Reads the tables of other tools, in a transaction.
pub(crate) struct Reader<'a> {
    pub(crate) session: &'a dyn Session,
    pub(crate) transaction: &'a DatabaseTransaction,
    pub(crate) registry: &'a Registry,
    /// The name of the version table on this database.
    pub(crate) own: &'a TableName,
}

impl Reader<'_> {
    /// The history, if the database has exactly one. A table without rows does not count if another
    /// has rows.
    pub(super) async fn find(&self) -> Result<History, Unread> {
        let mut found = self.find_all(false).await?;
        if found.iter().any(|history| !history.entries.is_empty()) {
            found.retain(|history| !history.entries.is_empty());
        }
        if found.len() > 1 {
            let tables = found.iter().map(|history| (history.tool, &history.table));
            return Err(several_histories(tables).into());
        }
        let looked_for =
            || self.candidates().map(|(_, table)| table.to_string()).collect::<Vec<_>>();
        found.pop().ok_or_else(|| no_history(&looked_for()).into())
    }

    /// Reads each old tool's table that the database has, by its default name or the one that the
    /// registry gives.
    ///
    /// If a table of such a name is not this tool's, it is passed over if `pass_over_others`, and
    /// an error otherwise.
    pub(super) async fn find_all(&self, pass_over_others: bool) -> Result<Vec<History>, Unread> {
        let mut found = Vec::new();
        for (tool, table) in self.candidates() {
            let columns = self.columns(&table).await?;
            if columns.is_empty() || !self.may_be_history(tool, &columns) {
                continue;
            }
            if !pass_over_others {
                found.push(self.read_with(tool, table, &columns).await?);
                continue;
            }
            match self.read_apart(tool, table, &columns).await {
                Ok(history) => found.push(history),
                Err(Unread::Error(error)) if is_somebody_elses(&error) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn candidates(&self) -> impl Iterator<Item = (Tool, TableName)> {
        Tool::ALL.into_iter().map(|tool| (tool, self.registry.history_of(tool)))
    }

    /// Whether this may be the table of this tool. quart-db's table is called as the version table
    /// of a registry, but has had one more column since its first release.
    fn may_be_history(&self, tool: Tool, columns: &[String]) -> bool {
        tool != Tool::QuartDb || self.registry.has_history(tool) || has(columns, "data_loaded")
    }

    /// Reads what this tool has applied, from this table or from its usual one.
    pub(super) async fn read(
        &self,
        tool: Tool,
        table: Option<&TableName>,
    ) -> Result<History, Unread> {
        let table = table.cloned().unwrap_or_else(|| self.registry.history_of(tool));
        let (table, columns) = self.existing(table).await?;
        self.read_with(tool, table, &columns).await
    }

    /// Reads what was applied from this table. The tool is the one whose columns it has.
    pub(super) async fn read_any(&self, table: &TableName) -> Result<History, Unread> {
        let (table, columns) = self.existing(table.clone()).await?;
        let fits = |tool: &Tool| tool.missing(&columns).is_none();
        match Tool::ALL.into_iter().find(fits) {
            Some(tool) => self.read_with(tool, table, &columns).await,
            None => Err(no_tool(&table).into()),
        }
    }

    /// The table and its columns. Most tools write the name without quotes, so PostgreSQL has it in
    /// lower case.
    async fn existing(&self, table: TableName) -> Result<(TableName, Vec<String>), Unread> {
        for table in [table.clone(), table.folded()] {
            let columns = self.columns(&table).await?;
            if !columns.is_empty() {
                return Ok((table, columns));
            }
        }
        Err(no_history(&[table.to_string()]).into())
    }

    async fn columns(&self, table: &TableName) -> Result<Vec<String>, Unread> {
        let columns = self.session.columns(self.transaction, table).await;
        columns.map_err(|error| self.unread("look for the table", table, error))
    }

    /// Reads the table in a savepoint, so that an error does not end the transaction.
    async fn read_apart(
        &self,
        tool: Tool,
        table: TableName,
        columns: &[String],
    ) -> Result<History, Unread> {
        let savepoint =
            self.transaction.begin().await.map_err(|error| self.unread("read", &table, error))?;
        let history =
            Reader { transaction: &savepoint, ..*self }.read_with(tool, table, columns).await;
        let _ = savepoint.rollback().await;
        history
    }

    async fn read_with(
        &self,
        tool: Tool,
        table: TableName,
        columns: &[String],
    ) -> Result<History, Unread> {
        if let Some(column) = tool.missing(columns) {
            return Err(foreign_history(tool, &table, column).into());
        }
        self.check_schema(tool, &table).await?;
        self.check_safety(tool, &table).await?;
        if tool == Tool::QuartDb {
            return self.read_quart_db(table, columns).await;
        }
        let checksum = tool
            .checksum(|column| self.session.hexadecimal(column))
            .filter(|_| has(columns, "checksum"));
        let select =
            tool.columns().into_iter().map(|Column { sql, .. }| sql.to_owned()).chain(checksum);
        let select = select.collect::<Vec<_>>().join(", ");
        let rows = self.select(&table, &format!("SELECT {select} FROM {}", table.sql())).await?;
        let mut entries: Vec<_> = rows.into_iter().map(|row| Entry::of(tool, row)).collect();
        place(tool, &mut entries);
        entries.sort_by(|a, b| (&a.position, &a.key).cmp(&(&b.position, &b.key)));
        Ok(History { tool, table, entries, problems: Vec::new() })
    }

    /// quart-db's table has one row, with the number `version`, or with the numbers `foreground`
    /// and `background` in releases 0.8 to 0.10.
    async fn read_quart_db(&self, table: TableName, columns: &[String]) -> Result<History, Unread> {
        let select = if has(columns, "version") {
            "CAST(version AS pg_catalog.text), CAST(version AS pg_catalog.text)"
        } else {
            "CAST(foreground AS pg_catalog.text), CAST(background AS pg_catalog.text)"
        };
        let rows = self.select(&table, &format!("SELECT {select} FROM {}", table.sql())).await?;
        let [row] = rows.as_slice() else {
            return Err(version::several_rows(&table, rows.len()).into());
        };
        let number = |index: usize| {
            row[index].parse::<i32>().map_err(|_| version::not_a_version(&table, &row[index]))
        };
        let (foreground, background) = (number(0)?, number(1)?);
        let entries = applied_by_number(foreground, self.registry.latest());
        let pending = background < foreground;
        let problems =
            pending.then_some(HistoryProblem::BackgroundPending { foreground, background });
        Ok(History {
            tool: Tool::QuartDb,
            table,
            entries,
            problems: problems.into_iter().collect(),
        })
    }

    /// An error if the table is not in the schema of the version table: a search path may lead to
    /// the table of another tenant.
    async fn check_schema(&self, tool: Tool, table: &TableName) -> Result<(), Unread> {
        if table.schema().is_some() {
            return Ok(());
        }
        let schema = async |of: &TableName| self.session.schema_of(self.transaction, of).await;
        let schemas = async { Ok::<_, DbErr>((schema(table).await?, schema(self.own).await?)) };
        let (there, here) =
            schemas.await.map_err(|error| self.unread("look for the schema of", table, error))?;
        match there.zip(here) {
            Some((there, here)) if there != here => {
                Err(history_elsewhere(tool, &table.clone().in_schema(there), &here).into())
            }
            _ => Ok(()),
        }
    }

    /// An error if reading the table could run its owner's code: any role that may create tables
    /// may have made one of this name.
    async fn check_safety(&self, tool: Tool, table: &TableName) -> Result<(), Unread> {
        let danger = self.session.danger(self.transaction, table).await;
        match danger.map_err(|error| self.unread("look at the table", table, error))? {
            Some(reason) => Err(unsafe_history(tool, table, &reason).into()),
            None => Ok(()),
        }
    }

    /// Warns of serial keys, if this build of the migrations would make identity columns instead.
    pub(super) async fn serial_keys(
        &self,
        history: &History,
    ) -> Result<Option<AdoptionWarning>, Unread> {
        if history.tool != Tool::SeaOrmMigration || !makes_identities() {
            return Ok(None);
        }
        let columns = self.session.serial_keys(self.transaction, &history.table).await;
        let columns = columns
            .map_err(|error| self.unread("look at the keys beside", &history.table, error))?;
        Ok((!columns.is_empty()).then_some(AdoptionWarning::SerialKeys { columns }))
    }

    /// Runs a query whose columns are all text, and returns its rows. NULL becomes empty.
    async fn select(&self, table: &TableName, sql: &str) -> Result<Vec<Vec<String>>, Unread> {
        let backend = self.transaction.get_database_backend();
        let statement = Statement::from_string(backend, self.session.dialect(sql));
        let texts = async {
            let rows = self.transaction.query_all_raw(statement).await?;
            let row = |row: &sea_orm::QueryResult| {
                let text = |index| row.try_get_by_index::<Option<String>>(index);
                (0..row.column_names().len())
                    .map(|index| Ok(text(index)?.unwrap_or_default()))
                    .collect()
            };
            rows.iter().map(row).collect::<Result<Vec<Vec<_>>, DbErr>>()
        };
        texts.await.map_err(|error| self.unread("read the table", table, error))
    }

    /// Keeps the old tool from writing to its table until the transaction ends.
    pub(super) async fn lock(&self, history: &History) -> Result<(), Unread> {
        let locked = self.session.lock_out_writers(self.transaction, &history.table).await;
        let operation =
            "lock out writers, which takes the right to UPDATE or DELETE, from the table";
        locked.map_err(|error| self.unread(operation, &history.table, error))
    }

    fn unread(&self, operation: &str, table: &TableName, error: DbErr) -> Unread {
        let operation = format!("{operation} {table}");
        match self.session.fault(&error) {
            Fault::Held => Unread::Held(table.clone()),
            fault => version::cannot(fault, &operation, None, self.own, error).into(),
        }
    }
}

impl Entry {
    fn of(tool: Tool, row: Vec<String>) -> Self {
        let mut row = row.into_iter();
        let mut next = || row.next().unwrap_or_default();
        let (key, name, position) = (next(), next(), next());
        let succeeded = next() == "yes";
        let checksum = row.next();
        // sqlx knows a migration by its number alone, and two projects may have the same numbers.
        let description =
            (tool == Tool::Sqlx).then(|| name.split_once(' ').unwrap_or_default().1.to_owned());
        Self { key, description, name, position, succeeded, checksum }
    }
}

/// Makes the positions sort as text.
fn place(tool: Tool, entries: &mut [Entry]) {
    if tool != Tool::Refinery {
        return entries
            .iter_mut()
            .for_each(|entry| entry.position = format!("{:0>20}", entry.position));
    }
    // refinery writes the time as text. Without the `Z`, `…:07Z` sorts before `…:07.5Z`. Before 0.5
    // it wrote local time, whose text does not sort by time, so then all positions are the same.
    let in_utc = entries.iter().all(|entry| entry.position.ends_with('Z'));
    for entry in entries {
        entry.position.truncate(if in_utc { entry.position.len() - 1 } else { 0 });
    }
}

/// `0.py` up to this number. Of the numbers that the registry does not have, only the last.
fn applied_by_number(last: i32, latest: i32) -> Vec<Entry> {
    let known = 0..=last.min(latest);
    let beyond = (last > latest).then_some(last);
    let entry = |number: i32| Entry {
        key: number.to_string(),
        description: None,
        name: format!("{number}.py"),
        position: format!("{number:0>20}"),
        succeeded: true,
        checksum: None,
    };
    known.chain(beyond).map(entry).collect()
}

fn has(columns: &[String], name: &str) -> bool {
    columns.iter().any(|column| column == name)
}

/// Whether the table has the name of an old tool's table by chance, and belongs to somebody else.
fn is_somebody_elses(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ForeignHistory | ErrorKind::HistoryElsewhere | ErrorKind::PermissionDenied
    )
}
