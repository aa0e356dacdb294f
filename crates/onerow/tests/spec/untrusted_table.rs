//! onerow looks at the version table before it trusts it. It never runs code that another role may
//! have put there.

use onerow::{ErrorKind, prelude::*};
use onerow_testing::PostgresServer;
use sea_orm::ConnectOptions;

use crate::support::{Sql, has_table, logged, number, registry, server_with};

/// A database in which everybody may create, as was usual up to PostgreSQL 14, with an intruder and
/// the app's role.
struct Shared {
    server: PostgresServer,
    admin: Database,
}

const TABLE: &str = "CREATE TABLE schema_migration (onerow_id BOOL PRIMARY KEY DEFAULT TRUE, \
    version INTEGER NOT NULL)";

impl Shared {
    async fn start() -> Option<Self> {
        let server = server_with(&[])?;
        let admin = Database::connect(server.url("postgres")).await.unwrap();
        let shared = Self { server, admin };
        for role in ["intruder", "owner", "app"] {
            shared.as_admin(&format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'")).await;
        }
        shared.as_admin("GRANT ALL ON SCHEMA public TO PUBLIC").await;
        shared.as_admin("CREATE TABLE loot (who NAME); GRANT INSERT ON loot TO PUBLIC").await;
        Some(shared)
    }

    async fn as_admin(&self, sql: &str) {
        self.admin.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn connect(&self, role: &str) -> Database {
        let port = self.server.port();
        let mut options =
            ConnectOptions::new(format!("postgres://{role}:{role}@127.0.0.1:{port}/postgres"));
        options.max_connections(4);
        Database::connect(options).await.unwrap()
    }

    async fn as_intruder(&self, sql: &str) {
        self.connect("intruder").await.execute_unprepared(sql).await.unwrap();
    }

    /// Checks that a run is refused, that the error names the owner of the table, and that nothing
    /// of the intruder's has run.
    async fn refuses(&self, db: &Database) -> String {
        let error = logged(1).up(db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UntrustedTable, "{error:?}");
        assert!(error.to_string().contains("intruder"), "{error}");
        assert!(!has_table(&self.admin, "t0").await);
        assert_eq!(number(&self.admin, "SELECT count(*) FROM loot").await, 0);
        error.to_string()
    }
}

const STEAL: &str = "CREATE FUNCTION steal() RETURNS INTEGER LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO loot VALUES (current_user); RETURN 0; END $$;";

#[tokio::test]
async fn a_view_is_not_read() {
    let Some(shared) = Shared::start().await else { return };
    let view = "CREATE VIEW schema_migration AS SELECT true AS onerow_id, steal() AS version, \
        1 AS tableoid";
    shared.as_intruder(&format!("{STEAL} {view}; GRANT ALL ON schema_migration TO PUBLIC")).await;
    for db in [&shared.admin, &shared.connect("owner").await] {
        assert!(shared.refuses(db).await.contains("is not an ordinary table"));
        let error = logged(1).status(db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UntrustedTable, "{error:?}");
    }
    assert_eq!(number(&shared.admin, "SELECT count(*) FROM loot").await, 0);
}

#[tokio::test]
async fn a_table_of_another_role_is_not_written_to_and_its_trigger_not_run() {
    let Some(shared) = Shared::start().await else { return };
    let trigger = "CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO loot VALUES (current_user); RETURN NEW; END $$;
        CREATE TRIGGER watch BEFORE UPDATE ON schema_migration FOR EACH ROW EXECUTE FUNCTION steal()";
    let row = "INSERT INTO schema_migration (version) VALUES (-1); \
        GRANT ALL ON schema_migration TO PUBLIC";
    shared.as_intruder(&format!("{TABLE}; {row}; {trigger}")).await;
    for db in [&shared.admin, &shared.connect("owner").await] {
        shared.refuses(db).await;
        let error = logged(1).baseline(db, 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UntrustedTable, "{error:?}");
    }
    assert_eq!(number(&shared.admin, "SELECT version FROM schema_migration").await, -1);
}

#[tokio::test]
async fn a_superuser_is_not_told_by_another_role_that_there_is_nothing_to_do() {
    let Some(shared) = Shared::start().await else { return };
    let row = "INSERT INTO schema_migration (version) VALUES (0); GRANT ALL \
        ON schema_migration TO PUBLIC";
    shared.as_intruder(&format!("{TABLE}; {row}")).await;
    shared.refuses(&shared.admin).await;
}

#[tokio::test]
async fn nobody_is_told_by_anything_but_an_ordinary_table_that_there_is_nothing_to_do() {
    let row = "SELECT true AS onerow_id, 0 AS version";
    let parts = "CREATE TABLE part PARTITION OF schema_migration DEFAULT;
        INSERT INTO schema_migration VALUES (true, 0); GRANT SELECT ON schema_migration TO PUBLIC";
    for made in [
        format!(
            "CREATE MATERIALIZED VIEW schema_migration AS {row}; GRANT SELECT \
             ON schema_migration TO PUBLIC"
        ),
        format!(
            "CREATE TABLE schema_migration (onerow_id BOOL, version INTEGER) PARTITION BY LIST \
             (version); {parts}"
        ),
    ] {
        let Some(shared) = Shared::start().await else { return };
        shared.as_intruder(&made).await;
        for db in [&shared.admin, &shared.connect("owner").await] {
            assert!(shared.refuses(db).await.contains("is not an ordinary table"), "{made}");
            let error = logged(1).status(db).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UntrustedTable, "{made}: {error:?}");
        }
    }
}

#[tokio::test]
async fn row_security_of_another_role_is_not_entered() {
    let Some(shared) = Shared::start().await else { return };
    let policy = "INSERT INTO schema_migration (version) VALUES (0); GRANT ALL ON schema_migration TO PUBLIC;
        ALTER TABLE schema_migration ENABLE ROW LEVEL SECURITY;
        CREATE POLICY watch ON schema_migration USING (steal() = 0)";
    shared.as_intruder(&format!("{STEAL} {TABLE}; {policy}")).await;
    logged(1).up(&shared.connect("owner").await).await.unwrap_err();
    assert_eq!(number(&shared.admin, "SELECT count(*) FROM loot").await, 0);
}

#[tokio::test]
async fn a_trigger_or_a_rule_on_ones_own_table_is_named() {
    for (what, code) in [
        (
            "the trigger audit",
            "CREATE TRIGGER audit BEFORE UPDATE ON schema_migration FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ),
        ("a rule", "CREATE RULE audit AS ON UPDATE TO schema_migration DO ALSO NOTIFY news"),
    ] {
        let Some(shared) = Shared::start().await else { return };
        let owner = shared.connect("owner").await;
        logged(1).up(&owner).await.unwrap();
        owner.execute_unprepared(code).await.unwrap();
        let error = logged(2).up(&owner).await.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(!has_table(&owner, "t1").await);
        // Nothing is pending, so nothing has to run.
        assert_eq!(logged(1).up(&owner).await.unwrap().applied.len(), 0);
    }
}

#[tokio::test]
async fn row_security_that_hides_the_row_is_told_as_that() {
    let Some(shared) = Shared::start().await else { return };
    logged(1).up(&shared.connect("owner").await).await.unwrap();
    shared.as_admin("GRANT SELECT ON schema_migration TO app").await;
    shared.as_admin("ALTER TABLE schema_migration ENABLE ROW LEVEL SECURITY").await;
    let app = shared.connect("app").await;
    for error in [logged(1).up(&app).await.unwrap_err(), logged(2).status(&app).await.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::RowHidden, "{error:?}");
    }
    assert_eq!(logged(1).up(&shared.connect("owner").await).await.unwrap().applied.len(), 0);
}

#[tokio::test]
async fn row_security_that_hides_the_row_only_from_who_writes_is_told_as_that_too() {
    let Some(shared) = Shared::start().await else { return };
    let owner = shared.connect("owner").await;
    logged(1).up(&owner).await.unwrap();
    let force = "ALTER TABLE schema_migration ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY reading ON schema_migration FOR SELECT USING (true)";
    owner.execute_unprepared(force).await.unwrap();
    let error = logged(2).up(&owner).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowHidden, "{error:?}");
    assert!(!has_table(&owner, "t1").await);
}

#[tokio::test]
async fn row_security_is_named_if_the_role_has_it_switched_off() {
    let Some(shared) = Shared::start().await else { return };
    logged(1).up(&shared.connect("owner").await).await.unwrap();
    shared
        .as_admin("GRANT SELECT ON schema_migration TO app; ALTER ROLE app SET row_security = off")
        .await;
    shared.as_admin("ALTER TABLE schema_migration ENABLE ROW LEVEL SECURITY").await;
    let error = logged(1).status(&shared.connect("app").await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowHidden, "{error:?}");
}

#[tokio::test]
async fn an_app_that_may_only_read_finds_that_there_is_nothing_to_do() {
    let Some(shared) = Shared::start().await else { return };
    logged(1).up(&shared.connect("owner").await).await.unwrap();
    shared.as_admin("GRANT SELECT ON schema_migration TO app").await;
    assert_eq!(logged(1).up(&shared.connect("app").await).await.unwrap().applied.len(), 0);
}

const TRAP: &str = "CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO loot VALUES (current_user); RETURN NEW; END $$;
    CREATE TRIGGER steal BEFORE INSERT OR UPDATE ON schema_migration \
    FOR EACH ROW EXECUTE FUNCTION steal()";

#[tokio::test]
async fn a_table_that_another_role_makes_at_the_same_moment_is_not_written_to() {
    let Some(shared) = Shared::start().await else { return };
    let intruder = shared.connect("intruder").await;
    let transaction = intruder.begin().await.unwrap();
    let row = "INSERT INTO schema_migration (version) VALUES (-1); \
        GRANT ALL ON schema_migration TO PUBLIC";
    transaction.execute_unprepared(&format!("{TABLE}; {row}; {TRAP}")).await.unwrap();
    // The run has looked, found no table, and waits to make it.
    let commit = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        transaction.commit().await.unwrap();
    };
    let registry = logged(1);
    let (run, ()) = tokio::join!(registry.up(&shared.admin).into_future(), commit);
    let error = run.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UntrustedTable, "{error:?}");
    assert_eq!(number(&shared.admin, "SELECT count(*) FROM loot").await, 0);
    let error = logged(1).baseline(&shared.admin, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UntrustedTable, "{error:?}");
}

/// `GRANT ALL` gives the right to put a trigger on the table.
#[tokio::test]
async fn a_trigger_that_another_role_puts_on_the_table_during_a_migration_does_not_run() {
    let Some(shared) = Shared::start().await else { return };
    logged(1).up(&shared.admin).await.unwrap();
    shared.as_admin("GRANT ALL ON schema_migration TO intruder").await;
    let intruder = shared.connect("intruder").await;
    let slow = registry([Sql::default(), Sql::new(["SELECT pg_sleep(1)"])]);
    let set = async {
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while number(&shared.admin, asleep).await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        // Committed only when the run waits for its lock.
        let transaction = intruder.begin().await.unwrap();
        transaction.execute_unprepared(TRAP).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        transaction.commit().await.unwrap();
    };
    let (run, ()) = tokio::join!(slow.up(&shared.admin).into_future(), set);
    let error = run.unwrap_err();
    assert_eq!((error.kind(), error.version()), (ErrorKind::MigrationFailed, Some(0)), "{error:?}");
    let text = error.explain().to_string();
    assert!(text.contains("has a trigger of a role that is not trusted"), "{text}");
    assert_eq!(number(&shared.admin, "SELECT count(*) FROM loot").await, 0);
    let error = slow.up(&shared.admin).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UntrustedTable, "{error:?}");
}
