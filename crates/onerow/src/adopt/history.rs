//! What another tool has applied, as its table tells.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, TransactionTrait};

use super::{
    AdoptionWarning, HistoryProblem,
    error::{
        foreign_history, history_elsewhere, no_history, no_tool, several_histories, unsafe_history,
    },
    sea_orm_migration::makes_identities,
};
use crate::{
    Registry,
    backend::{Fault, Session},
    error::{Error, ErrorKind},
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
    /// Of the table itself.
    pub(super) problems: Vec<HistoryProblem>,
}

/// A migration of the old tool.
pub(super) struct Entry {
    pub(super) key: String,
    /// What is said of it beside the key, where that is compared.
    pub(super) description: Option<String>,
    /// As it is shown.
    pub(super) name: String,
    /// Sorts by when it was applied.
    pub(super) position: String,
    pub(super) succeeded: bool,
    /// Of its script, where the tool keeps one.
    pub(super) checksum: Option<String>,
}

/// Why a table was not read.
pub(crate) enum Refusal {
    /// Somebody holds a lock on this table that keeps others out.
    Held(TableName),
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Reads the tables of other tools, in a transaction.
pub(crate) struct Reader<'a> {
    pub(crate) session: &'a dyn Session,
    pub(crate) transaction: &'a DatabaseTransaction,
    pub(crate) registry: &'a Registry,
    /// The registry's own table, as it is called on this database.
    pub(crate) own: &'a TableName,
}

impl Reader<'_> {
    /// The one history that there is. Tables without a row say nothing where another has some.
    pub(super) async fn find(&self) -> Result<History, Refusal> {
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

    /// The histories that there are, at the places where the tools keep them.
    ///
    /// A table of such a name that is somebody else's is an error, or is passed over.
    pub(super) async fn find_all(&self, pass_over_others: bool) -> Result<Vec<History>, Refusal> {
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
                Err(Refusal::Error(error)) if is_somebody_elses(&error) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn candidates(&self) -> impl Iterator<Item = (Tool, TableName)> {
        Tool::ALL.into_iter().map(|tool| (tool, self.registry.history_of(tool)))
    }

    /// A table of the seed's columns is another registry's, unless it is said to be a history: quart-db's had one more from
    /// the first release on.
    fn may_be_history(&self, tool: Tool, columns: &[String]) -> bool {
        tool != Tool::QuartDb || self.registry.has_history(tool) || has(columns, "data_loaded")
    }

    /// The history of this tool, in this table or where it has it by default.
    pub(super) async fn read(
        &self,
        tool: Tool,
        table: Option<&TableName>,
    ) -> Result<History, Refusal> {
        let table = table.cloned().unwrap_or_else(|| self.registry.history_of(tool));
        let (table, columns) = self.existing(table).await?;
        self.read_with(tool, table, &columns).await
    }

    /// The history in this table, of the tool whose columns it has.
    pub(super) async fn read_any(&self, table: &TableName) -> Result<History, Refusal> {
        let (table, columns) = self.existing(table.clone()).await?;
        let fits = |tool: &Tool| tool.missing(&columns).is_none();
        match Tool::ALL.into_iter().find(fits) {
            Some(tool) => self.read_with(tool, table, &columns).await,
            None => Err(no_tool(&table).into()),
        }
    }

    /// The table and its columns. Most tools write its name without quotes, so that PostgreSQL folds it.
    async fn existing(&self, table: TableName) -> Result<(TableName, Vec<String>), Refusal> {
        for table in [table.clone(), table.folded()] {
            let columns = self.columns(&table).await?;
            if !columns.is_empty() {
                return Ok((table, columns));
            }
        }
        Err(no_history(&[table.to_string()]).into())
    }

    async fn columns(&self, table: &TableName) -> Result<Vec<String>, Refusal> {
        let columns = self.session.columns(self.transaction, table).await;
        columns.map_err(|error| self.refused("look for the table", table, error))
    }

    /// In a savepoint, so that a refusal does not end the transaction.
    async fn read_apart(
        &self,
        tool: Tool,
        table: TableName,
        columns: &[String],
    ) -> Result<History, Refusal> {
        let savepoint =
            self.transaction.begin().await.map_err(|error| self.refused("read", &table, error))?;
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
    ) -> Result<History, Refusal> {
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

    /// One row with a number: `version`, or in releases 0.8 to 0.10 `foreground` and `background`.
    async fn read_quart_db(
        &self,
        table: TableName,
        columns: &[String],
    ) -> Result<History, Refusal> {
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

    /// A search path may lead to the history of another tenant.
    async fn check_schema(&self, tool: Tool, table: &TableName) -> Result<(), Refusal> {
        if table.schema().is_some() {
            return Ok(());
        }
        let schema = async |of: &TableName| self.session.schema_of(self.transaction, of).await;
        let schemas = async { Ok::<_, DbErr>((schema(table).await?, schema(self.own).await?)) };
        let (there, here) =
            schemas.await.map_err(|error| self.refused("look for the schema of", table, error))?;
        match there.zip(here) {
            Some((there, here)) if there != here => {
                Err(history_elsewhere(tool, &table.clone().in_schema(there), &here).into())
            }
            _ => Ok(()),
        }
    }

    /// Whoever may create tables may have put one where that of a tool would be.
    async fn check_safety(&self, tool: Tool, table: &TableName) -> Result<(), Refusal> {
        let danger = self.session.danger(self.transaction, table).await;
        match danger.map_err(|error| self.refused("look at the table", table, error))? {
            Some(reason) => Err(unsafe_history(tool, table, &reason).into()),
            None => Ok(()),
        }
    }

    /// Keys that another build of the same migrations has made.
    pub(super) async fn serial_keys(
        &self,
        history: &History,
    ) -> Result<Option<AdoptionWarning>, Refusal> {
        if history.tool != Tool::SeaOrmMigration || !makes_identities() {
            return Ok(None);
        }
        let columns = self.session.serial_keys(self.transaction, &history.table).await;
        let columns = columns
            .map_err(|error| self.refused("look at the keys beside", &history.table, error))?;
        Ok((!columns.is_empty()).then_some(AdoptionWarning::SerialKeys { columns }))
    }

    async fn select(&self, table: &TableName, sql: &str) -> Result<Vec<Vec<String>>, Refusal> {
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
        texts.await.map_err(|error| self.refused("read the table", table, error))
    }

    /// Keeps the old tool from writing to its table until the transaction ends.
    pub(super) async fn lock(&self, history: &History) -> Result<(), Refusal> {
        let locked = self.session.lock_out_writers(self.transaction, &history.table).await;
        let operation = "keep writers, which takes the right to UPDATE or DELETE, from the table";
        locked.map_err(|error| self.refused(operation, &history.table, error))
    }

    fn refused(&self, operation: &str, table: &TableName, error: DbErr) -> Refusal {
        match self.session.fault(&error) {
            Fault::Held => Refusal::Held(table.clone()),
            fault => {
                version::refusal(fault, &format!("{operation} {table}"), None, self.own, error)
                    .into()
            }
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
        // Sqlx tells migrations by the number alone, and those of two projects have the same ones.
        let description =
            (tool == Tool::Sqlx).then(|| name.split_once(' ').unwrap_or_default().1.to_owned());
        Self { key, description, name, position, succeeded, checksum }
    }
}

/// Makes the positions sort.
fn place(tool: Tool, entries: &mut [Entry]) {
    if tool != Tool::Refinery {
        return entries
            .iter_mut()
            .for_each(|entry| entry.position = format!("{:0>20}", entry.position));
    }
    // Moments as text: `…:07Z` comes before `…:07.5Z`. Before 0.5 in local time, whose order is not that of the texts.
    let in_utc = entries.iter().all(|entry| entry.position.ends_with('Z'));
    for entry in entries {
        entry.position.truncate(if in_utc { entry.position.len() - 1 } else { 0 });
    }
}

/// `0.py` up to this number; of those that the registry does not have, the last.
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

/// Whether the table only has the name of a history that this registry might have.
fn is_somebody_elses(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ForeignHistory | ErrorKind::HistoryElsewhere | ErrorKind::PermissionDenied
    )
}
