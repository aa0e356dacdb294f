//! SQLite files for tests: made, copied, removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbErr};

use super::{
    place::{Lock, Place},
    scratch,
    template::{self, Store},
    test_file::TestFile,
};
use onerow::Database;

use crate::apply::ApplyError;

/// The files of this user's tests.
pub(super) struct Files;

fn templates() -> io::Result<PathBuf> {
    scratch::dir("templates")
}

fn template_file(name: &str) -> io::Result<PathBuf> {
    Ok(templates()?.join(format!("{name}.sqlite")))
}

#[async_trait]
impl Store for Files {
    async fn create(&self, template: Option<&str>) -> Result<Option<Place>, ApplyError> {
        let made = || -> io::Result<_> {
            let file = TestFile::create()?;
            if let Some(template) = template {
                fs::copy(template_file(template)?, file.path())?;
            }
            Ok(Some(Place::File(file)))
        };
        match made() {
            Err(error) if template.is_some() && error.kind() == io::ErrorKind::NotFound => Ok(None),
            made => made.map_err(|error| doing("create a file to test on", &error)),
        }
    }

    async fn lock(&self, build: &str) -> Result<Lock, ApplyError> {
        let failed = |error| doing("lock the templates", &error);
        let file = templates().map_err(failed)?.join(format!("{build}.lock"));
        scratch::lock_when_free(&file).await.map(Lock::File).map_err(failed)
    }

    async fn highest(&self, names: &[String]) -> Result<Option<usize>, ApplyError> {
        let is_there = |name: &String| template_file(name).is_ok_and(|file| file.exists());
        Ok(names.iter().rposition(is_there))
    }

    async fn publish(&self, place: Place, name: &str) -> Result<(), ApplyError> {
        let Place::File(file) = place else { return Ok(()) };
        checkpoint(&file.path()).await?;
        let renamed = template_file(name).and_then(|template| fs::rename(file.path(), template));
        renamed.map_err(|error| doing("keep a template", &error))
    }

    async fn prune(&self, program: &str, build: &str) -> Result<(), ApplyError> {
        let old = old_templates(program, build)
            .map_err(|error| doing("look for old templates", &error))?;
        for file in old {
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}

/// Moves the contents of a write-ahead log into the file. A connection that a migration left open
/// would have kept SQLite from doing it.
async fn checkpoint(file: &Path) -> Result<(), ApplyError> {
    let database = Database::connect(url(file)).await?;
    let done = database.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await;
    database.disconnect().await?;
    done.map(drop).map_err(|error| doing("keep a template", &io::Error::other(error)))
}

/// The URL of a file. Characters that would end the path or begin an escape are escaped.
pub(super) fn url(file: &Path) -> String {
    let path =
        file.display().to_string().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}?mode=rwc")
}

/// The old templates, with the files that were locked for them.
fn old_templates(program: &str, build: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(templates()?)?.flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        files.push((changed.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
    }
    files.sort_unstable_by(|one, other| other.cmp(one));
    let now = SystemTime::now();
    let mut templates = 0;
    let is_old = |(changed, file): &(SystemTime, PathBuf)| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        templates += usize::from(name.ends_with(".sqlite"));
        name.starts_with(program) && !name.starts_with(build)
            || now.duration_since(*changed).is_ok_and(|age| age > template::KEPT)
            || templates > template::KEPT_AT_MOST
    };
    Ok(files.into_iter().filter(is_old).map(|(_, file)| file).collect())
}

fn doing(operation: &str, error: &io::Error) -> ApplyError {
    ApplyError::Database { operation: operation.into(), source: DbErr::Custom(error.to_string()) }
}
