//! The same migrations as onerow's, each tool's in its own form.

use onerow::{MigrationTrait, Mode, Registry, SqlMigration};

use crate::{Tool, tools::sea_orm::Migrator};

/// The fixtures of this tool, as somebody has them who moves to onerow.
#[must_use]
pub fn registry(tool: Tool) -> Registry {
    match tool {
        Tool::Diesel => onerow::embed_migrations!("migrations/diesel"),
        Tool::Refinery => onerow::embed_migrations!("migrations/refinery"),
        Tool::Sqlx => onerow::embed_migrations!("migrations/sqlx"),
        Tool::SeaOrm => Registry::from_migrator::<Migrator>(),
        Tool::QuartDb(version) => rewritten(version),
    }
}

/// Python migrations are written anew. In the releases 0.8 to 0.10, the table has another layout
/// and the name of onerow's.
fn rewritten(version: &str) -> Registry {
    let scripts = [
        include_str!("../migrations/sqlx/20240101000000_create_members.sql"),
        include_str!("../migrations/sqlx/20240102000000_create_posts.up.sql"),
        include_str!("../migrations/sqlx/20240103000000_add_nick.up.sql"),
        include_str!("../migrations/sqlx/20240104000000_compact.sql"),
        include_str!("../migrations/sqlx/20240105000000_create_tags.sql"),
    ];
    let names = ["0.py", "1.py", "2.py", "3.py", "4.py"];
    let migrations = names.into_iter().zip(scripts).map(|(name, script)| {
        let outside = script.starts_with("-- no-transaction");
        let mode = if outside { Mode::Outside } else { Mode::Transaction };
        Box::new(SqlMigration::new(name, name, script, mode)) as Box<dyn MigrationTrait>
    });
    let registry = Registry::new(migrations.collect());
    if version == "0.10.1" { registry.with_table("app_migration") } else { registry }
}
