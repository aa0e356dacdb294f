//! The entities against the schema that the migrations make.

use entity::{member, todo};
use onerow::{
    prelude::*,
    testing::{TestDatabase, on_every_backend},
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, EntityTrait, ModelTrait, Schema, Statement, prelude::DateTimeUtc,
};

/// What the catalog says about the columns and keys of a table, in an order of its own.
async fn catalog(db: &impl ConnectionTrait, table: &str) -> Vec<String> {
    let (columns, keys) = match db.get_database_backend() {
        DatabaseBackend::Postgres => (POSTGRES_COLUMNS, POSTGRES_KEYS),
        _ => (SQLITE_COLUMNS, SQLITE_KEYS),
    };
    let mut found = Vec::new();
    for sql in [columns, keys] {
        let sql = sql.replace("{table}", table);
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        found.extend(rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()));
    }
    found
}

const POSTGRES_COLUMNS: &str = "
    SELECT concat_ws(' ', column_name, data_type, 'nullable', is_nullable, 'identity', is_identity)
    FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = '{table}'
    ORDER BY column_name";

const POSTGRES_KEYS: &str = "
    SELECT pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = '{table}'::regclass AND contype IN ('p', 'f')
    ORDER BY 1";

const SQLITE_COLUMNS: &str = r#"
    SELECT concat_ws(' ', name, type, 'not null', "notnull", 'key', pk)
    FROM pragma_table_info('{table}')
    ORDER BY name"#;

const SQLITE_KEYS: &str = r#"
    SELECT concat_ws(' ', "from", 'references', "table", "to", 'on delete', on_delete, 'on update', on_update)
    FROM pragma_foreign_key_list('{table}')
    ORDER BY 1"#;

/// Makes the tables anew, as SeaORM understands the entities.
async fn make_the_tables_of_the_entities(db: &impl ConnectionTrait) {
    db.execute_unprepared("DROP TABLE todos").await.unwrap();
    db.execute_unprepared("DROP TABLE members").await.unwrap();
    let schema = Schema::new(db.get_database_backend());
    db.execute(&schema.create_table_from_entity(member::Entity)).await.unwrap();
    db.execute(&schema.create_table_from_entity(todo::Entity)).await.unwrap();
}

async fn catalogs(db: &impl ConnectionTrait) -> [Vec<String>; 2] {
    [catalog(db, "members").await, catalog(db, "todos").await]
}

on_every_backend! {
    /// Name, type, nullability, primary key and foreign key of every column, in both directions.
    async fn the_entities_are_the_tables(db: TestDatabase) {
        migration::registry().up(&db).await.unwrap();
        let migrated = catalogs(&*db).await;

        make_the_tables_of_the_entities(&*db).await;

        assert_eq!(catalogs(&*db).await, migrated);
        // Of members a primary key beside the seven columns; SQLite marks it in the column.
        assert!(migrated[0].len() >= 7 && migrated[1].len() >= 8, "{migrated:?}");
    }

    /// The test above sees what it is there to see.
    async fn a_table_that_differs_in_anything_is_noticed(db: TestDatabase) {
        migration::registry().up(&db).await.unwrap();
        let migrated = catalogs(&*db).await;

        for change in [
            "ALTER TABLE todos ADD COLUMN colour TEXT",
            "ALTER TABLE todos DROP COLUMN due",
            "ALTER TABLE members RENAME COLUMN totp_secret TO secret",
            // Another type; another nullability.
            "ALTER TABLE todos DROP COLUMN due; ALTER TABLE todos ADD COLUMN due TEXT",
            "ALTER TABLE todos DROP COLUMN task; ALTER TABLE todos ADD COLUMN task TEXT",
        ] {
            let transaction = db.begin().await.unwrap();
            transaction.execute_unprepared(change).await.unwrap();
            assert_ne!(catalogs(&transaction).await, migrated, "{change}");
            transaction.rollback().await.unwrap();
        }
        assert_eq!(catalogs(&*db).await, migrated);
    }

    async fn a_row_goes_in_and_comes_out_through_every_field(db: TestDatabase) {
        migration::registry().up(&db).await.unwrap();

        let ada = member::ActiveModel {
            email: Set("ada@example.org".to_owned()),
            password_hash: Set(Some("hash".to_owned())),
            email_verified: Set(Some(time("2030-01-01T00:00:00.5Z"))),
            totp_secret: Set(Some("secret".to_owned())),
            last_totp: Set(Some("000042".to_owned())),
            ..Default::default()
        };
        let ada = ada.insert(&*db).await.unwrap();
        let todo = todo::ActiveModel {
            member_id: Set(ada.id),
            task: Set("write".to_owned()),
            complete: Set(true),
            due: Set(Some(time("2031-01-01T00:00:00Z"))),
            created: Set(time("2020-01-01T00:00:00Z")),
            priority: Set(todo::Priority::Urgent),
            ..Default::default()
        };
        let todo = todo.insert(&*db).await.unwrap();

        assert_eq!(member::Entity::find().one(&*db).await.unwrap().as_ref(), Some(&ada));
        assert_eq!(todo::Entity::find().one(&*db).await.unwrap().as_ref(), Some(&todo));
        assert_eq!((ada.last_totp.as_deref(), ada.email_verified), (Some("000042"), Some(time("2030-01-01T00:00:00.5Z"))));
        assert_eq!((todo.priority, todo.created), (todo::Priority::Urgent, time("2020-01-01T00:00:00Z")));
    }

    async fn the_database_fills_in_what_a_row_leaves_out(db: TestDatabase) {
        migration::registry().up(&db).await.unwrap();
        let ada = member::ActiveModel { email: Set("ada@example.org".to_owned()), ..Default::default() };
        let ada = ada.insert(&*db).await.unwrap();
        let todo = todo::ActiveModel { member_id: Set(ada.id), task: Set("write".to_owned()), ..Default::default() };

        let todo = todo.insert(&*db).await.unwrap();

        assert_eq!((todo.complete, todo.due, todo.priority), (false, None, todo::Priority::Normal));
        assert!(todo.created > time("2020-01-01T00:00:00Z") && todo.created >= ada.created);
        assert_eq!((ada.password_hash, ada.email_verified, ada.totp_secret), (None, None, None));
    }

    async fn a_member_leads_to_their_todos_and_a_todo_to_its_member(db: TestDatabase) {
        migration::registry().up(&db).await.unwrap();
        let ada = member::ActiveModel::builder()
            .set_email("ada@example.org")
            .add_todo(todo::ActiveModel::builder().set_task("write"))
            .add_todo(todo::ActiveModel::builder().set_task("post"))
            .insert(&*db)
            .await
            .unwrap();
        let grace = member::ActiveModel { email: Set("grace@example.org".to_owned()), ..Default::default() };
        let grace = grace.insert(&*db).await.unwrap();

        let all = member::Entity::find().find_with_related(todo::Entity).all(&*db).await.unwrap();
        let counts: Vec<_> = all.iter().map(|(member, todos)| (member.id, todos.len())).collect();
        assert_eq!(counts, [(ada.id, 2), (grace.id, 0)]);

        let todo = &all[0].1[0];
        let member = todo.find_related(member::Entity).one(&*db).await.unwrap().unwrap();
        assert_eq!((member.id, member.email.as_str()), (ada.id, "ada@example.org"));
    }
}

fn time(rfc3339: &str) -> DateTimeUtc {
    rfc3339.parse().unwrap()
}
