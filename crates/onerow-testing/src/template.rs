//! Migrated databases, kept to be copied for each test.
//!
//! The name of a template holds the program that built it, the program's build, and the migrations
//! that were applied. So a template that is found is what this very program would make: changed
//! code is another build. Two rules keep that true:
//!
//! - The kernel's record of the program's file identifies a build, above all the time of the last
//!   change, which nobody can set.
//! - The type of a migration identifies it, so it must have no fields: with fields, two migrations
//!   of one type may do different things. Migrations of another tool are identified by their place
//!   in its migrator, or by their SQL. If a registry holds another migration with fields, it has no
//!   templates from there on, and each test migrates its database.
//!
//! The clock, a file or a variable that a migration reads is as it was when the template was built.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::LazyLock,
    time::Duration,
};

use async_trait::async_trait;

use super::{
    apply::ApplyError,
    place::{Lock, Place},
};
use onerow::{__private::identity, Registry};

/// How long a template is kept, if the server or the directory outlives the tests.
pub(super) const KEPT: Duration = Duration::from_hours(24);

/// How many templates are kept, of this build and all others. Each is a whole database of at least
/// 8 MB.
pub(super) const KEPT_AT_MOST: usize = 200;

/// The keeper of the databases and templates of one backend.
#[async_trait]
pub(super) trait Store: Send + Sync {
    /// A new database: empty, or a copy of this template. `None` if there is no such template.
    async fn create(&self, template: Option<&str>) -> Result<Option<Place>, ApplyError>;

    /// Keeps others from building templates for this build of the program.
    async fn lock(&self, build: &str) -> Result<Lock, ApplyError>;

    /// The last of these templates that exists.
    async fn highest(&self, names: &[String]) -> Result<Option<usize>, ApplyError>;

    /// Makes a database a template. Nobody must be connected to it.
    async fn publish(&self, place: Place, name: &str) -> Result<(), ApplyError>;

    /// Removes the templates of other builds of this program, old ones, and those above the limit.
    async fn prune(&self, program: &str, build: &str) -> Result<(), ApplyError>;
}

/// The running program and its build, as the names of templates have them.
struct Program {
    program: String,
    build: String,
}

impl Program {
    fn this() -> &'static Self {
        static THIS: LazyLock<Program> = LazyLock::new(Program::look);
        &THIS
    }

    fn look() -> Self {
        let path = env::current_exe().unwrap_or_default();
        // If the program's file was replaced since it started, its path names another file, and
        // this link still names the right one.
        let itself = PathBuf::from("/proc/self/exe");
        let file = fs::metadata(itself).or_else(|_| fs::metadata(&path));
        let build = file.map(|file| {
            (
                file.dev(),
                file.ino(),
                file.size(),
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            )
        });
        let path = path.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
        let program = format!("{:08x}_", hash(&path) & 0xffff_ffff);
        // If the file cannot be read, each start counts as a new build.
        let build = build.map_or_else(|_| fastrand::u64(..), |build| hash(&build));
        Self { build: format!("{program}{build:016x}_"), program }
    }
}

/// The names of the templates for each version from the first to this one, as far as the migrations
/// can be identified.
fn names(registry: &Registry, version: i32) -> Vec<String> {
    let mut applied = 0;
    let name = |number| {
        applied = hash(&(applied, identity(registry.get(number)?)?));
        Some(format!("{}{applied:016x}", Program::this().build))
    };
    (0..=version).map_while(name).collect()
}

/// A database with the migrations up to this version applied, copied from a template if possible.
///
/// `migrate` takes a database from its version to the given one, and closes its connections.
pub(super) async fn database_at<M, F>(
    store: &dyn Store,
    registry: &Registry,
    version: i32,
    migrate: M,
) -> Result<Place, ApplyError>
where
    M: Fn(Place, i32) -> F,
    F: Future<Output = Result<Place, ApplyError>>,
{
    let names = names(registry, version);
    let last = i32::try_from(names.len()).unwrap_or(i32::MAX) - 1;
    let place = match names.last() {
        None => create(store, None).await?,
        Some(name) => loop {
            if let Some(copy) = store.create(Some(name)).await? {
                break copy;
            }
            build(store, &names, last, &migrate).await?;
        },
    };
    if last == version { Ok(place) } else { migrate(place, version).await }
}

/// Builds the template of the last name, from the nearest one before it.
async fn build<M, F>(
    store: &dyn Store,
    names: &[String],
    last: i32,
    migrate: &M,
) -> Result<(), ApplyError>
where
    M: Fn(Place, i32) -> F,
    F: Future<Output = Result<Place, ApplyError>>,
{
    let Program { program, build } = Program::this();
    let _lock = store.lock(build).await?;
    let nearest = store.highest(names).await?;
    if nearest == Some(names.len() - 1) {
        return Ok(());
    }
    store.prune(program, build).await?;
    let template = nearest.map(|nearest| names[nearest].as_str());
    let place = match store.create(template).await? {
        Some(place) => place,
        // Another process has pruned it meanwhile.
        None => create(store, None).await?,
    };
    let place = migrate(place, last).await?;
    store.publish(place, &names[names.len() - 1]).await
}

async fn create(store: &dyn Store, template: Option<&str>) -> Result<Place, ApplyError> {
    let place = store.create(template).await?;
    Ok(place.unwrap_or_else(|| unreachable!("an empty database needs no template")))
}

/// The same in each process of one build, unlike the hash of a `HashMap`.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
