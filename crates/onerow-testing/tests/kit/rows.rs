//! Rows as text.

use onerow_testing::{TestDatabase, on_every_backend};

on_every_backend! {
    async fn what_both_backends_know_reads_the_same(db: TestDatabase) {
        db.sql(
            "CREATE TABLE members (id BIGINT, email TEXT, weight DOUBLE PRECISION, active BOOLEAN)",
        )
        .await;
        db.sql(
            "INSERT INTO members VALUES (1, 'ada@example.org', 1.5, TRUE), (-2, '', NULL, FALSE)",
        )
        .await;

        let rows = db.rows("SELECT id, email, weight, active FROM members ORDER BY id DESC").await;

        assert_eq!(rows, ["1|ada@example.org|1.5|true", "-2||NULL|false"]);
        assert_eq!(db.rows("SELECT id FROM members WHERE id = 3").await, [""; 0]);
    }

    async fn sql_tells_how_many_rows_it_changed(db: TestDatabase) {
        db.sql("CREATE TABLE members (id BIGINT)").await;
        assert_eq!(db.sql("INSERT INTO members VALUES (1), (2)").await, 2);
        assert_eq!(db.sql("DELETE FROM members WHERE id = 2").await, 1);
    }

    #[should_panic(
        expected = "SQL: INSERT INTO nowhere VALUES (1)\n  at crates/onerow-testing/tests/kit/rows.rs:"
    )]
    async fn sql_that_is_refused_is_shown_with_the_line_of_the_test(db: TestDatabase) {
        db.sql("INSERT INTO nowhere VALUES (1)").await;
    }
}
