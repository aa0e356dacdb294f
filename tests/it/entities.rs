//! The entities compared with the schema that the migrations make.

use entity::{member, todo};
use onerow_testing::{Backend, EntityDifference, on_every_backend};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, ModelTrait, prelude::DateTimeUtc};

on_every_backend! {
    /// Compares name, type, nullability, primary key and foreign key of every column, in both
    /// directions.
    async fn the_entities_match_their_tables(backend: Backend) {
        let db = backend.database(migration::registry()).await;

        db.assert_matches_entity(member::Entity).await;
        db.assert_matches_entity(todo::Entity).await;
    }

    /// The test above notices every difference.
    async fn a_table_that_differs_in_anything_is_noticed(backend: Backend) {
        for change in [
            "ALTER TABLE todos ADD COLUMN colour TEXT",
            "ALTER TABLE todos DROP COLUMN due",
            "ALTER TABLE members RENAME COLUMN totp_secret TO secret",
            // The type differs, then the nullability.
            "ALTER TABLE todos DROP COLUMN due; ALTER TABLE todos ADD COLUMN due TEXT",
            "ALTER TABLE todos DROP COLUMN task; ALTER TABLE todos ADD COLUMN task TEXT",
        ] {
            let db = backend.database(migration::registry()).await;
            db.sql(change).await;
            let todo = EntityDifference::of(&db, todo::Entity).await.unwrap();
            let member = EntityDifference::of(&db, member::Entity).await.unwrap();
            assert!(!(todo.is_empty() && member.is_empty()), "{change}");
        }
    }

    async fn a_row_goes_in_and_comes_out_through_every_field(backend: Backend) {
        let db = backend.database(migration::registry()).await;

        let ada = member::ActiveModel {
            email: Set("ada@example.org".to_owned()),
            password_hash: Set(Some("hash".to_owned())),
            email_verified: Set(Some(time("2030-01-01T00:00:00.5Z"))),
            totp_secret: Set(Some("secret".to_owned())),
            last_totp: Set(Some("000042".to_owned())),
            ..Default::default()
        };
        let ada = ada.insert(&db).await.unwrap();
        let todo = todo::ActiveModel {
            member_id: Set(ada.id),
            task: Set("write".to_owned()),
            complete: Set(true),
            due: Set(Some(time("2031-01-01T00:00:00Z"))),
            created: Set(time("2020-01-01T00:00:00Z")),
            priority: Set(todo::Priority::Urgent),
            ..Default::default()
        };
        let todo = todo.insert(&db).await.unwrap();

        assert_eq!(member::Entity::find().one(&db).await.unwrap().as_ref(), Some(&ada));
        assert_eq!(todo::Entity::find().one(&db).await.unwrap().as_ref(), Some(&todo));
        assert_eq!(
            (ada.last_totp.as_deref(), ada.email_verified),
            (Some("000042"), Some(time("2030-01-01T00:00:00.5Z")))
        );
        assert_eq!(
            (todo.priority, todo.created),
            (todo::Priority::Urgent, time("2020-01-01T00:00:00Z"))
        );
    }

    async fn the_database_fills_in_what_a_row_leaves_out(backend: Backend) {
        let db = backend.database(migration::registry()).await;
        let ada =
            member::ActiveModel { email: Set("ada@example.org".to_owned()), ..Default::default() };
        let ada = ada.insert(&db).await.unwrap();
        let todo = todo::ActiveModel {
            member_id: Set(ada.id),
            task: Set("write".to_owned()),
            ..Default::default()
        };

        let todo = todo.insert(&db).await.unwrap();

        assert_eq!((todo.complete, todo.due, todo.priority), (false, None, todo::Priority::Normal));
        assert!(todo.created > time("2020-01-01T00:00:00Z") && todo.created >= ada.created);
        assert_eq!((ada.password_hash, ada.email_verified, ada.totp_secret), (None, None, None));
    }

    async fn a_member_leads_to_their_todos_and_a_todo_to_its_member(backend: Backend) {
        let db = backend.database(migration::registry()).await;
        let ada = member::ActiveModel::builder()
            .set_email("ada@example.org")
            .add_todo(todo::ActiveModel::builder().set_task("write"))
            .add_todo(todo::ActiveModel::builder().set_task("post"))
            .insert(&db)
            .await
            .unwrap();
        let grace = member::ActiveModel {
            email: Set("grace@example.org".to_owned()),
            ..Default::default()
        };
        let grace = grace.insert(&db).await.unwrap();

        let all = member::Entity::find().find_with_related(todo::Entity).all(&db).await.unwrap();
        let counts: Vec<_> = all.iter().map(|(member, todos)| (member.id, todos.len())).collect();
        assert_eq!(counts, [(ada.id, 2), (grace.id, 0)]);

        let todo = &all[0].1[0];
        let member = todo.find_related(member::Entity).one(&db).await.unwrap().unwrap();
        assert_eq!((member.id, member.email.as_str()), (ada.id, "ada@example.org"));
    }
}

fn time(rfc3339: &str) -> DateTimeUtc {
    rfc3339.parse().unwrap()
}
